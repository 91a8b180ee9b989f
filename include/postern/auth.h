/* All that a receiver checks about one message: iprev, SPF, DKIM, ARC and DMARC; and the header
 * field Authentication-Results (RFC 8601). */
#ifndef POSTERN_AUTH_H
#define POSTERN_AUTH_H

#include "dmarc.h"
#include "dns.h"
#include "error.h"

POSTERN_BEGIN_DECLS

/* How names and addresses that are not ASCII stand in Authentication-Results (RFC 8601 section
 * 2.5). */
enum {
  POSTERN_AUTH_UTF8_AS_MESSAGE = 0, /* in UTF-8 when the header or mail_from has UTF-8, else not */
  POSTERN_AUTH_UTF8_ALWAYS = 1,
  POSTERN_AUTH_UTF8_NEVER = 2 /* domains as A-labels, local parts that are not ASCII left out */
};

/* postern_auth_options says how the message came. Texts are lent for the call; NULL is empty and
 * all are ended by NUL. */
typedef struct postern_auth_options {
  size_t struct_size;
  const char* client_address; /* "192.0.2.1", "2001:db8::1"; without it iprev and SPF are not
                                 checked. Since 0.2 */
  const char* helo;           /* Since 0.2 */
  const char* mail_from;      /* reverse-path without brackets; empty: the null one. Since 0.2 */
  const char* authserv_id; /* who we are in Authentication-Results; NULL: "localhost". Since 0.2 */
  const char* auth_user;   /* login of the client, if it had one. Since 0.2 */
  int64_t now_unix_s;      /* when it came; 0: the system's clock. Since 0.2 */
  uint8_t lf_lines;        /* 1: bare LF ends lines too, as in files. Since 0.2 */
  const postern_dmarc_options* dmarc; /* NULL: defaults. Since 0.2 */
  int32_t
      utf8; /* POSTERN_AUTH_UTF8_*: how the field Authentication-Results is written. Since 0.2 */
} postern_auth_options;
#define POSTERN_AUTH_OPTIONS_INIT \
  { sizeof(postern_auth_options), NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, 0 }

/* postern_auth is what was found. Immutable; any thread. */
typedef struct postern_auth postern_auth;

/* postern_auth_check runs every check on `message`. A check that fails is no error: the error is
 * for options that cannot be right (POSTERN_ERR_INVALID_ARGUMENT). The caller's thread waits for
 * the resolver. Since 0.2. */
POSTERN_API postern_status postern_auth_check(postern_auth** out, postern_resolver* resolver,
                                              const char* message, size_t message_len,
                                              const postern_auth_options* options,
                                              postern_error** out_error);
/* postern_auth_dmarc returns the result of DMARC, POSTERN_DMARC_PASS and the like. Since 0.2. */
POSTERN_API int32_t postern_auth_dmarc(const postern_auth* auth);
/* postern_auth_dmarc_explanation and postern_auth_dmarc_json lend what DMARC said, as a sentence
 * and as a JSON object. Since 0.2. */
POSTERN_API const char* postern_auth_dmarc_explanation(const postern_auth* auth);
POSTERN_API const char* postern_auth_dmarc_json(const postern_auth* auth);
/* postern_auth_disposition returns what the author's domain asks to do. Since 0.2. */
POSTERN_API int32_t postern_auth_disposition(const postern_auth* auth);
/* postern_auth_method lends the result of a method ("iprev", "spf", "dkim", "arc", "dmarc") as
 * Authentication-Results spells it, "pass"; of several DKIM signatures a pass when there is one;
 * empty when it was not checked. Since 0.2. */
POSTERN_API const char* postern_auth_method(const postern_auth* auth, const char* method);
/* postern_auth_results lends the field Authentication-Results with its name and final CRLF, to be
 * put in front of the message. Since 0.2. */
POSTERN_API const char* postern_auth_results(const postern_auth* auth);
/* postern_auth_explanation lends sentence `index` for people, one for each check; empty past the
 * end. Since 0.2. */
POSTERN_API const char* postern_auth_explanation(const postern_auth* auth, size_t index);
/* postern_auth_dmarc_row makes the row of an aggregate report that tells of this message, which is
 * yours: `disposition` is what you did with it (POSTERN_DMARC_DO_NOTHING and the like),
 * `envelope_to` the domain of its recipient (NULL: not told). POSTERN_ERR_NOT_FOUND: such a message
 * has no place in a report, as it came from no address or has no author's domain. Any thread.
 * Since 0.2. */
POSTERN_API postern_status postern_auth_dmarc_row(postern_dmarc_row** out, const postern_auth* auth,
                                                  int32_t disposition, const char* envelope_to,
                                                  postern_error** out_error);
/* postern_auth_json lends all of it. Since 0.2. */
POSTERN_API const char* postern_auth_json(const postern_auth* auth);
/* postern_auth_free frees it; NULL is allowed. Since 0.2. */
POSTERN_API void postern_auth_free(postern_auth* auth);

/* --- fields that somebody forged --- */

/* postern_auth_header is a header without them. */
typedef struct postern_auth_header postern_auth_header;

/* postern_auth_remove_forged takes Authentication-Results fields out of the header of `message`
 * that claim to be of `authserv_id` (ended by NUL), or of a version that nobody knows, or that
 * cannot be read (RFC 8601 section 5). Any thread. Since 0.2. */
POSTERN_API postern_status postern_auth_remove_forged(postern_auth_header** out,
                                                      const char* message, size_t message_len,
                                                      const char* authserv_id,
                                                      postern_error** out_error);
/* postern_auth_header_text lends the header that is left, with the empty line at its end. Since
 * 0.1. */
POSTERN_API postern_str postern_auth_header_text(const postern_auth_header* header);
/* postern_auth_header_body_offset returns where in the message the body begins, which was not
 * touched. Since 0.2. */
POSTERN_API size_t postern_auth_header_body_offset(const postern_auth_header* header);
/* postern_auth_header_removed returns how many fields were taken out. Since 0.2. */
POSTERN_API size_t postern_auth_header_removed(const postern_auth_header* header);
/* postern_auth_header_free frees it; NULL is allowed. Since 0.2. */
POSTERN_API void postern_auth_header_free(postern_auth_header* header);

POSTERN_END_DECLS

#endif /* POSTERN_AUTH_H */
