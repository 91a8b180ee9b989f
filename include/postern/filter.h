/* Filters: a function of your program that is asked about each step of an SMTP session before it is
 * taken, as the `filter` of a listener is. */
#ifndef POSTERN_FILTER_H
#define POSTERN_FILTER_H

#include "error.h"

POSTERN_BEGIN_DECLS

/* The steps. New ones may appear. */
enum {
  POSTERN_PHASE_CONNECT = 0,   /* somebody has connected; before the greeting */
  POSTERN_PHASE_HELO = 1,      /* argument: the name */
  POSTERN_PHASE_EHLO = 2,      /* argument: the name */
  POSTERN_PHASE_STARTTLS = 3,  /* before TLS begins */
  POSTERN_PHASE_AUTH = 4,      /* argument: mechanism and initial response, password and all */
  POSTERN_PHASE_MAIL_FROM = 5, /* argument: the sender, empty for the null reverse-path */
  POSTERN_PHASE_RCPT_TO = 6,   /* argument: the recipient */
  POSTERN_PHASE_DATA = 7,      /* before the message comes */
  POSTERN_PHASE_COMMIT = 8,    /* the message has come, the client awaits its reply */
  POSTERN_PHASE_RSET = 9,
  POSTERN_PHASE_NOOP = 10,
  POSTERN_PHASE_QUIT = 11,
  POSTERN_PHASE_OTHER = 12 /* argument: the whole line of another command, known or not */
};

/* postern_step is a step, or what has happened, and the session that it is of. It is lent to a
 * callback and dies when the callback returns; so does everything it lends. */
typedef struct postern_step postern_step;

/* postern_step_phase returns the phase, POSTERN_PHASE_*; -1 in on_event. Since 0.1. */
POSTERN_API int32_t postern_step_phase(const postern_step* step);

/* postern_step_argument lends what the client said, as the phase says; in on_event what there is to
 * tell. Since 0.1. */
POSTERN_API postern_str postern_step_argument(const postern_step* step);

/* postern_step_session lends the session's id, 16 hexadecimal digits, as the log has it. Since 0.1.
 */
POSTERN_API postern_str postern_step_session(const postern_step* step);

/* postern_step_message_id lends the id of the message under way; empty when there is none, or none
 * is known yet. Since 0.1. */
POSTERN_API postern_str postern_step_message_id(const postern_step* step);

/* postern_step_client_address lends the client's address as text, "192.0.2.1"; empty for a local
 * socket. Since 0.1. */
POSTERN_API postern_str postern_step_client_address(const postern_step* step);

/* postern_step_client_name lends the client's name by DNS; empty when it has none or was not asked
 * for (the configuration asks where it needs it). Since 0.1. */
POSTERN_API postern_str postern_step_client_name(const postern_step* step);

/* postern_step_helo lends the name of the last HELO or EHLO; empty before it. Since 0.1. */
POSTERN_API postern_str postern_step_helo(const postern_step* step);

/* postern_step_auth_user lends the login; empty without one. Since 0.1. */
POSTERN_API postern_str postern_step_auth_user(const postern_step* step);

/* postern_step_sender lends the envelope sender from MAIL_FROM on; empty for the null reverse-path,
 * and before. Since 0.1. */
POSTERN_API postern_str postern_step_sender(const postern_step* step);

/* postern_step_is_tls returns 1 in TLS, else 0. Since 0.1. */
POSTERN_API int postern_step_is_tls(const postern_step* step);

/* What shall become of a step. */
enum {
  POSTERN_STEP_PROCEED = 0,
  POSTERN_STEP_REJECT = 1,     /* the client gets `reply_code` and `text`; 421 disconnects */
  POSTERN_STEP_DISCONNECT = 2, /* … and the connection is closed */
  POSTERN_STEP_REWRITE = 3,    /* the step is taken with `text` in place of the argument: in HELO,
                                  EHLO, MAIL_FROM, RCPT_TO */
  POSTERN_STEP_JUNK = 4 /* the message, or before MAIL_FROM all of the session, is marked with
                           X-Spam: Yes; not in COMMIT */
};

/* postern_step_verdict is filled in by the callback; it comes zeroed: PROCEED. An unknown action
 * makes the client try again later (451). */
typedef struct postern_step_verdict {
  size_t struct_size;
  int32_t action;     /* POSTERN_STEP_* */
  int32_t reply_code; /* 400 to 599; 0 is 550 */
  char text[400];     /* NUL-terminated: the reply's text, which may start with an enhanced status
                         "5.7.1 ", or the new argument */
} postern_step_verdict;

/* postern_filter_callbacks are a filter behind those of every listener. */
typedef struct postern_filter_callbacks {
  size_t struct_size;
  /* In which phases on_step is asked: bits 1u << POSTERN_PHASE_*. 0: in all. */
  uint32_t phases;
  /* on_step decides about `step`. A status other than POSTERN_OK makes the client try again later
   * (451). Called on the thread that runs the session's loop, which stands still meanwhile: with
   * several workers, on several threads at once. From inside, only postern_step_* may be called.
   * NULL: nobody is asked. */
  postern_status (*on_step)(const postern_step* step, postern_step_verdict* verdict,
                            void* user_data);
  /* on_event is told what has happened, by the names of smtpd-filters(7): "link-connect",
   * "link-identify", "tx-begin", "tx-rcpt", "tx-commit", "protocol-client", … As on_step, but it
   * decides nothing. NULL: nobody is told. */
  void (*on_event)(const postern_step* step, const char* event, void* user_data);
  /* destroy_user_data, if set, is called exactly once, when the server is freed or
   * postern_server_new failed. */
  void (*destroy_user_data)(void* user_data);
  void* user_data;
} postern_filter_callbacks;

#define POSTERN_FILTER_CALLBACKS_INIT \
  { sizeof(postern_filter_callbacks), 0, NULL, NULL, NULL, NULL }

POSTERN_END_DECLS

#endif /* POSTERN_FILTER_H */
