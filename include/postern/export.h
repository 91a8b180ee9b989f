/* How the API's functions are declared. */
#ifndef POSTERN_EXPORT_H
#define POSTERN_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#if defined(POSTERN_STATIC)
#define POSTERN_API
#elif defined(__GNUC__)
#define POSTERN_API __attribute__((visibility("default")))
#else
#define POSTERN_API
#endif

#ifdef __cplusplus
#define POSTERN_BEGIN_DECLS extern "C" {
#define POSTERN_END_DECLS }
#else
#define POSTERN_BEGIN_DECLS
#define POSTERN_END_DECLS
#endif

POSTERN_BEGIN_DECLS

/* postern_str lends octets: not ended by NUL, NULL with 0 when empty. The function that returns one
 * says how long it lives. */
typedef struct postern_str {
  const char* data;
  size_t len;
} postern_str;

/* postern_buf is octets that are yours: postern_buf_free them. A NUL stands behind them that `len`
 * does not count. */
typedef struct postern_buf {
  char* data;
  size_t len;
} postern_buf;

/* postern_buf_free frees the octets and empties `buf`; NULL and an empty one are allowed. Any
 * thread. Since 0.1. */
POSTERN_API void postern_buf_free(postern_buf* buf);

POSTERN_END_DECLS

#endif /* POSTERN_EXPORT_H */
