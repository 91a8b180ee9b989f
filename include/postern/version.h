/* Which Postern this is. */
#ifndef POSTERN_VERSION_H
#define POSTERN_VERSION_H

#include "export.h"

POSTERN_BEGIN_DECLS

#define POSTERN_VERSION_MAJOR 0
#define POSTERN_VERSION_MINOR 1
#define POSTERN_VERSION_PATCH 0

/* postern_version returns "0.1.0" of the library in use (which may be newer than the header). It
 * lives forever. Any thread. Since 0.1. */
POSTERN_API const char* postern_version(void);

/* postern_features returns a blank-separated list of what this build can do, such as "smtp imap tls
 * sqlite". It lives forever. Any thread. Since 0.1. */
POSTERN_API const char* postern_features(void);

POSTERN_END_DECLS

#endif /* POSTERN_VERSION_H */
