/* What went wrong. */
#ifndef POSTERN_ERROR_H
#define POSTERN_ERROR_H

#include "export.h"

POSTERN_BEGIN_DECLS

/* postern_status is what every call returns. New codes may appear; treat an unknown negative one as
 * POSTERN_ERR_INTERNAL. */
typedef int32_t postern_status;

enum {
  POSTERN_OK = 0,

  POSTERN_NEED_INPUT = 1,
  POSTERN_EVENT = 2,
  POSTERN_DONE = 3,

  POSTERN_ERR_INVALID_ARGUMENT = -1, /* a parameter, or a configuration, that cannot be right */
  POSTERN_ERR_NOT_FOUND = -2,
  POSTERN_ERR_EXISTS = -3, /* it is there already, or the address is in use */
  POSTERN_ERR_BUSY = -4,   /* not in this state, or somebody else holds it */
  POSTERN_ERR_LIMIT = -5,  /* a bound was reached: disk full, too many */
  POSTERN_ERR_IO = -6,
  POSTERN_ERR_PROTOCOL = -7, /* the peer broke the rules */
  POSTERN_ERR_AUTH = -8,     /* no permission */
  POSTERN_ERR_TIMEOUT = -9,
  POSTERN_ERR_CANCELLED = -10,
  POSTERN_ERR_CLOSED = -11,
  POSTERN_ERR_VERSION =
      -12, /* an option struct of a newer header asks for what this library does not know */
  POSTERN_ERR_NO_MEMORY = -13,
  POSTERN_ERR_INTERNAL = -14, /* a mistake of ours: please report it */
  POSTERN_ERR_CALLBACK =
      -15 /* a callback of yours failed; postern_error_callback_status has what it returned */
};

/* postern_status_name returns "POSTERN_ERR_LIMIT" and the like; "POSTERN_ERR_UNKNOWN" for a code it
 * does not know. It lives forever. Any thread. Since 0.1. */
POSTERN_API const char* postern_status_name(postern_status status);

/* postern_error tells particulars. It belongs to who received it. One thread at a time. */
typedef struct postern_error postern_error;

/* postern_error_status returns the status that the call returned. Since 0.1. */
POSTERN_API postern_status postern_error_status(const postern_error* error);

/* postern_error_message lends the message: one line, or for a configuration one line a mistake,
 * each "file:line:column: error: what was found and what would be right". It is NUL-terminated and
 * lives as long as `error`. Since 0.1. */
POSTERN_API const char* postern_error_message(const postern_error* error);

/* postern_error_reason lends a word for logs and programs, such as "config" or
 * "resource-exhausted". It lives as long as `error`. Since 0.1. */
POSTERN_API const char* postern_error_reason(const postern_error* error);

/* postern_error_os_errno returns the errno behind the failure, or 0. Of a spool: EACCES, EROFS,
 * ENOENT (the folder it would stand in is missing), ENOTDIR, EIO; ENOSPC for a full disk, also for
 * a message that would not leave free what `queue reserve` keeps. Of a listener: EADDRINUSE,
 * EACCES. Since 0.1. */
POSTERN_API int postern_error_os_errno(const postern_error* error);

/* postern_error_callback_status returns what the callback returned when the status is
 * POSTERN_ERR_CALLBACK; otherwise 0. Since 0.1. */
POSTERN_API postern_status postern_error_callback_status(const postern_error* error);

/* postern_error_free frees `error`; NULL is allowed. Since 0.1. */
POSTERN_API void postern_error_free(postern_error* error);

POSTERN_END_DECLS

#endif /* POSTERN_ERROR_H */
