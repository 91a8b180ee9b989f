/* A message that has come in, as a callback sees it. */
#ifndef POSTERN_MESSAGE_H
#define POSTERN_MESSAGE_H

#include "error.h"

POSTERN_BEGIN_DECLS

/* postern_message is lent to a callback and dies when the callback returns; so does everything it
 * lends. */
typedef struct postern_message postern_message;

/* postern_message_reverse_path lends the envelope sender, "local@domain"; empty for the null
 * reverse-path. Since 0.1. */
POSTERN_API postern_str postern_message_reverse_path(const postern_message* message);

/* postern_message_recipient_count returns how many recipients were accepted. Since 0.1. */
POSTERN_API size_t postern_message_recipient_count(const postern_message* message);

/* postern_message_recipient lends recipient `index` as the client named it; empty when there is
 * none of that index. Since 0.1. */
POSTERN_API postern_str postern_message_recipient(const postern_message* message, size_t index);

/* postern_message_content lends the whole message, lines ended by CRLF, with our Received field in
 * front. Since 0.1. */
POSTERN_API postern_str postern_message_content(const postern_message* message);

/* postern_message_client_address lends the client's address as text, "192.0.2.1"; empty for a local
 * socket and for postern_server_submit. Since 0.1. */
POSTERN_API postern_str postern_message_client_address(const postern_message* message);

/* postern_message_helo lends the name that the client gave in EHLO or HELO. Since 0.1. */
POSTERN_API postern_str postern_message_helo(const postern_message* message);

/* postern_message_auth_user lends the login of an authenticated client; empty without one. Since
 * 0.1. */
POSTERN_API postern_str postern_message_auth_user(const postern_message* message);

/* postern_message_is_tls returns 1 when the message came over TLS, else 0. Since 0.1. */
POSTERN_API int postern_message_is_tls(const postern_message* message);

/* What shall become of a message. */
enum {
  POSTERN_MESSAGE_CONTINUE = 0, /* queue and deliver it as the configuration says */
  POSTERN_MESSAGE_TAKE = 1,  /* it is yours: the client gets 250 and nothing is queued. Have it safe
                                before you return */
  POSTERN_MESSAGE_REFUSE = 2 /* the client gets `reply_code` and `reply_text` */
};

/* postern_message_verdict is filled in by the callback; it comes zeroed. An unknown action makes
 * the client try again later (451). */
typedef struct postern_message_verdict {
  size_t struct_size;
  int32_t action;       /* POSTERN_MESSAGE_* */
  int32_t reply_code;   /* for REFUSE: 400 to 599; 0 is 550 */
  char reply_text[400]; /* for REFUSE: NUL-terminated, may start with an enhanced status "5.7.1 ";
                           empty is a standard text */
} postern_message_verdict;

POSTERN_END_DECLS

#endif /* POSTERN_MESSAGE_H */
