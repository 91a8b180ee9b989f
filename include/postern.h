/* Postern: a mail server that you link. This header brings in the whole C API.
 *
 * Conventions, everywhere:
 *  - Functions return a postern_status: POSTERN_OK is 0, failures are negative, progress is
 * positive. A function that can fail takes a `postern_error **out_error` last; give NULL when the
 * status is enough. An error that was given is yours: postern_error_free it.
 *  - Handles are opaque. `postern_x_new` pairs with `postern_x_free`; free accepts NULL.
 *  - What you pass in is borrowed for the call. What you are lent (postern_str) says when it dies.
 *  - Octets are always a pointer and a length. Text is UTF-8; mail is octets and may hold NUL.
 *  - Option structs start with their size and only grow at the end. Initialise them with
 * POSTERN_X_OPTIONS_INIT; zero always means the documented default.
 *  - The library prints nothing, exits never, reads no environment, installs no signal handler, and
 * makes a thread only where a function says so.
 */
#ifndef POSTERN_H
#define POSTERN_H

#include "postern/address.h"
#include "postern/arc.h"
#include "postern/auth.h"
#include "postern/config.h"
#include "postern/control.h"
#include "postern/dkim.h"
#include "postern/dmarc.h"
#include "postern/dns.h"
#include "postern/error.h"
#include "postern/filter.h"
#include "postern/message.h"
#include "postern/notice.h"
#include "postern/server.h"
#include "postern/spf.h"
#include "postern/version.h"

#endif /* POSTERN_H */
