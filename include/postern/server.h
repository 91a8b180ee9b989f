/* A mail server in your process. */
#ifndef POSTERN_SERVER_H
#define POSTERN_SERVER_H

#include "filter.h"
#include "message.h"

POSTERN_BEGIN_DECLS

/* postern_server is a server made from one smtpd.conf. It holds no global state: a process may have
 * several. */
typedef struct postern_server postern_server;

enum {
  POSTERN_LOG_DEBUG = 1,
  POSTERN_LOG_INFO = 2,
  POSTERN_LOG_WARNING = 3,
  POSTERN_LOG_ERROR = 4
};

/* postern_log_callbacks receive the log. */
typedef struct postern_log_callbacks {
  size_t struct_size;
  /* on_log gets one record as one line of printable text (`line`, NUL-terminated, dies when the
   * call returns). It is called from any thread of the server, several at once; it must not block
   * for long nor call into the server. */
  void (*on_log)(int32_t level, const char* line, void* user_data);
  /* destroy_user_data, if set, is called exactly once, when the server is freed or
   * postern_server_new failed. */
  void (*destroy_user_data)(void* user_data);
  void* user_data;
} postern_log_callbacks;

#define POSTERN_LOG_CALLBACKS_INIT \
  { sizeof(postern_log_callbacks), NULL, NULL, NULL }

/* postern_log_output is a log that the library writes itself. */
typedef struct postern_log_output {
  size_t struct_size;
  /* Where it goes (NUL-terminated): "stderr"; "file:/path", one line a record; "syslog" for
   * /dev/log, or "syslog:/path of a socket"; "syslog5424:/path", in the form of RFC 5424; "journal"
   * for systemd's, by its own protocol, or "journal:/path". */
  const char* target;
  /* What the program is called there (NUL-terminated). NULL: "smtpd", which tools look for. */
  const char* tag;
  /* 1: each text is a JSON object (the journal has the fields anyway). */
  uint8_t json;
} postern_log_output;

#define POSTERN_LOG_OUTPUT_INIT \
  { sizeof(postern_log_output), NULL, NULL, 0 }

/* postern_message_callbacks see each message when all of it has come and before the client gets its
 * reply. */
typedef struct postern_message_callbacks {
  size_t struct_size;
  /* on_message decides about `message` by filling `*verdict` (it comes zeroed: CONTINUE). A status
   * other than POSTERN_OK makes the client try again later (451). Called on the thread that runs
   * the session's loop; while it runs, that loop stands still. From inside, only postern_message_*
   * may be called. */
  postern_status (*on_message)(const postern_message* message, postern_message_verdict* verdict,
                               void* user_data);
  /* destroy_user_data, if set, is called exactly once, when the server is freed or
   * postern_server_new failed. */
  void (*destroy_user_data)(void* user_data);
  void* user_data;
} postern_message_callbacks;

#define POSTERN_MESSAGE_CALLBACKS_INIT \
  { sizeof(postern_message_callbacks), NULL, NULL, NULL }

/* postern_token_login is a login by a token: OAUTHBEARER (RFC 7628) or XOAUTH2, over SMTP or IMAP.
 * All texts are NUL-terminated and die when the call returns. Since 0.2. */
typedef struct postern_token_login {
  size_t struct_size;
  const char* mechanism; /* "OAUTHBEARER" or "XOAUTH2" */
  const char* user;      /* whom the client wants to be; "" when it did not say */
  const char* token;
  const char* address; /* of the client, "192.0.2.1" */
} postern_token_login;

/* The octets of a user name that on_token may write, NUL included. */
#define POSTERN_TOKEN_USER_SIZE 1024

/* postern_login_callbacks judge logins. Since 0.2. */
typedef struct postern_login_callbacks {
  size_t struct_size;
  /* on_token writes whose token it is to `user` (POSTERN_TOKEN_USER_SIZE octets, NUL-terminated)
   * and returns POSTERN_OK; POSTERN_ERR_AUTH refuses the token, and any other status makes the
   * client try again later. Where the client said whom it wants to be, another user is a refusal.
   * Called from any thread of the server, several at once; it may block. It must not call into the
   * server. NULL: the mechanisms are not offered. */
  postern_status (*on_token)(const postern_token_login* login, char* user, void* user_data);
  /* destroy_user_data, if set, is called exactly once, when the server is freed or
   * postern_server_new failed. */
  void (*destroy_user_data)(void* user_data);
  void* user_data;
} postern_login_callbacks;

#define POSTERN_LOGIN_CALLBACKS_INIT \
  { sizeof(postern_login_callbacks), NULL, NULL, NULL }

/* postern_server_options say what server it shall be. */
typedef struct postern_server_options {
  size_t struct_size;
  /* The configuration: either a text in the language of smtpd.conf(5) … */
  const char* config_text;
  size_t config_text_len;
  /* … or the path of a file that holds one (NUL-terminated). Exactly one of the two. */
  const char* config_path;
  /* Where the queue lives (NUL-terminated). NULL: what the configuration's `spool` says, then
   * "/var/spool/postern". */
  const char* spool_path;
  /* 1: the queue lives in memory and is gone when the server is: for tests and for programs that
   * take every message. */
  uint8_t in_memory;
  /* 1: make no thread at all; everything runs inside postern_server_poll or postern_server_run. 0:
   * disk work has a few threads of its own (pool_threads), made when there is work. */
  uint8_t no_threads;
  /* Most threads for blocking work. 0: 4. */
  uint16_t pool_threads;
  /* Event loops, at most 256. Loop 0 runs on the thread that calls postern_server_run, the others
   * on threads of their own. 0: 1. With postern_server_poll and with no_threads only 1 is allowed.
   */
  uint16_t workers;
  const postern_log_callbacks* log;         /* NULL: no log */
  const postern_message_callbacks* message; /* NULL: every message goes on */
  /* The account (NUL-terminated) that the whole process becomes in postern_server_start, once the
   * ports are bound, if root runs it: for daemons, not for hosts that do other things as root. Then
   * postern_server_new makes a second process, which keeps root's rights, delivers to users as
   * those users, starts the filter programs that run as others, and does nothing else; call it
   * before your program makes threads. When that process is killed the server stops, and poll and
   * run return POSTERN_ERR_CLOSED. The spool is given to the account; a folder of root's that is
   * not a queue's alone is refused. NULL, or not run by root: everything is done by this process,
   * with the rights that it has. Since 0.1. */
  const char* run_as;
  /* Macros that win over the file's: "name=value" each, NUL-terminated. */
  const char* const* macros;
  size_t macro_count;
  /* Asked once, by postern_server_new, when the configuration says `queue encryption` and leaves
   * the key to whoever starts the server: `from_stdin` is 1 when it says "stdin" or "-", and 0 when
   * it expects a prompt. It writes the key's 32 characters and a NUL into `into`, which has room
   * for `room` octets; a status other than POSTERN_OK is what postern_server_new returns. NULL:
   * such a configuration is refused. Since 0.1. */
  postern_status (*queue_key)(int32_t from_stdin, char* into, size_t room, void* user_data);
  void* queue_key_data;
  /* The least POSTERN_LOG_* that on_log gets, until `postern ctl log` changes it. 0: all. Since
   * 0.1. */
  int32_t log_level;
  /* 1: no control socket (control.h) is opened, and mail that was handed in offline is left alone.
   * A server in memory has none unless the configuration names one. Since 0.1. */
  uint8_t no_control;
  /* The log written by the library; `log` is not called then. NULL: it is not. Since 0.1. */
  const postern_log_output* log_output;
  /* A filter behind those of every listener. NULL: none. Since 0.1. */
  const postern_filter_callbacks* filter;
  const postern_login_callbacks* login; /* NULL: tables judge all logins. Since 0.2. */
} postern_server_options;

#define POSTERN_SERVER_OPTIONS_INIT                                                             \
  {                                                                                             \
    sizeof(postern_server_options), NULL, 0, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, \
        NULL, NULL, 0, 0, NULL, NULL, NULL                                                      \
  }

/* postern_server_options_init fills `*options` with defaults for a caller whose header says it is
 * `struct_size` octets. Since 0.1. */
POSTERN_API void postern_server_options_init(postern_server_options* options, size_t struct_size);

/* postern_server_new reads the configuration and sets `*out` to a server that has not started: no
 * port is open, no file is written. Returns POSTERN_OK; POSTERN_ERR_INVALID_ARGUMENT when options
 * or configuration are wrong (the message lists every mistake with file, line and column);
 * POSTERN_ERR_NOT_FOUND when the file is missing; POSTERN_ERR_VERSION; POSTERN_ERR_IO;
 * POSTERN_ERR_NO_MEMORY. Any thread. Since 0.1. */
POSTERN_API postern_status postern_server_new(postern_server** out,
                                              const postern_server_options* options,
                                              postern_error** out_error);

/* postern_server_start opens the queue and all listeners, or none: when one fails
 * (POSTERN_ERR_EXISTS for a port in use, POSTERN_ERR_AUTH without privilege, POSTERN_ERR_IO for the
 * spool) nothing is left open. Mail is served once postern_server_poll or postern_server_run is
 * called. Returns POSTERN_ERR_BUSY when it was started before, and when another server has the
 * spool. The thread that will poll or run. Since 0.1. */
POSTERN_API postern_status postern_server_start(postern_server* server, postern_error** out_error);

/* postern_server_poll runs what is ready on the calling thread and returns when nothing is, after
 * waiting at most `timeout_ms` milliseconds (0: not at all, negative: no limit) for the first of
 * it. `*out_ran`, if not NULL, is how many callbacks ran. POSTERN_DONE once the server has stopped;
 * POSTERN_ERR_CLOSED when that was for want of its second process (run_as). One thread, always the
 * same. Since 0.1. */
POSTERN_API postern_status postern_server_poll(postern_server* server, size_t* out_ran,
                                               int64_t timeout_ms, postern_error** out_error);

/* postern_server_run serves on the calling thread until the server has stopped, then returns
 * POSTERN_OK; POSTERN_ERR_CLOSED when it stopped for want of its second process (run_as). Since
 * 0.1. */
POSTERN_API postern_status postern_server_run(postern_server* server, postern_error** out_error);

/* postern_server_stop asks the server to stop: no new connections, messages in flight are finished,
 * and after `grace_ms` milliseconds (0: 5000) the rest is cut. It returns at once; run returns, or
 * poll returns POSTERN_DONE, when it is done. Any thread; not from a signal handler. Since 0.1. */
POSTERN_API void postern_server_stop(postern_server* server, int64_t grace_ms);

/* postern_server_reload reads the configuration anew from the text or file the server was made
 * with. Listeners, certificates, tables, rules and actions of the new one are in force from then
 * on: new addresses are opened before old ones are closed, no session is dropped, and queued mail
 * keeps its action; limits, intervals, `queue reserve` and `resolver` hold for what begins
 * after it. Another `spool` takes a restart, as a warning says. When the configuration is wrong
 * (POSTERN_ERR_INVALID_ARGUMENT, every mistake in the message) or one of its addresses cannot be
 * opened (as from postern_server_start; the message names the line), the old one stays in force.
 * Before postern_server_start it replaces what postern_server_new has read; POSTERN_ERR_BUSY once
 * the server was told to stop. Blocks for as long as the files take to read. Any thread, one at a
 * time. Since 0.1. */
POSTERN_API postern_status postern_server_reload(postern_server* server, postern_error** out_error);

/* postern_server_reopen_log opens the file of log_output anew under its name, after it was moved
 * away; without such a file it does nothing. A server that has become run_as does it though only
 * root may write there, as long as the file is no link and its folder is the one of the start.
 * POSTERN_ERR_IO: it cannot be; the old one stays in use. Any thread. Since 0.1. */
POSTERN_API postern_status postern_server_reopen_log(postern_server* server,
                                                     postern_error** out_error);

/* postern_server_log writes a line of the host's own to the log, of level POSTERN_LOG_*. Any
 * thread; not from on_log. Since 0.1. */
POSTERN_API void postern_server_log(postern_server* server, int32_t level, const char* text);

/* postern_server_free frees the server; NULL is allowed. One that runs must have stopped (run
 * returned, or poll returned POSTERN_DONE); otherwise connections are cut and it waits for work in
 * progress on the disk. Accepted mail stays in the queue. Since 0.1. */
POSTERN_API void postern_server_free(postern_server* server);

/* postern_server_endpoint_count returns how many addresses the server was started with; a reload
 * does not change it. Since 0.1. */
POSTERN_API size_t postern_server_endpoint_count(const postern_server* server);

/* postern_server_endpoint lends address `index` as text, such as "127.0.0.1:2525"; NULL when there
 * is none of that index. It lives until the server is freed. Since 0.1. */
POSTERN_API const char* postern_server_endpoint(const postern_server* server, size_t index);

/* postern_server_endpoint_port returns the port of address `index` (1 to 65535): for `port 0` in
 * the configuration, the one that the system chose. 0 when there is no address of that index, or
 * the server was not started. Any thread, once postern_server_start has returned. Since 0.1. */
POSTERN_API uint16_t postern_server_endpoint_port(const postern_server* server, size_t index);

/* postern_submission is a message to send. */
typedef struct postern_submission {
  size_t struct_size;
  const char*
      reverse_path; /* "local@domain", NUL-terminated; NULL or "" is the null reverse-path */
  const char* const* recipients; /* NUL-terminated addresses */
  size_t recipient_count;
  const char* content; /* header, empty line, body; lines end in LF or CRLF; no other CR, no NUL */
  size_t content_len;
} postern_submission;

#define POSTERN_SUBMISSION_INIT \
  { sizeof(postern_submission), NULL, NULL, 0, NULL, 0 }

/* postern_server_submit queues a message as if it came over the local socket: the rules apply as
 * `from local`, missing Date and Message-ID fields are added. It runs the server's loop until the
 * queue has made the message durable. `out_id`, if not NULL, receives the message id,
 * NUL-terminated, in `out_id_size` octets (9 at least). Returns POSTERN_ERR_INVALID_ARGUMENT for
 * a malformed address or content with a CR outside CRLF or a NUL (the message says where, nothing
 * is queued) and POSTERN_ERR_PROTOCOL when a recipient is refused (the message holds the
 * reply; nothing is queued then), POSTERN_ERR_LIMIT when the disk is full, POSTERN_ERR_CALLBACK
 * when on_message failed. The thread that polls, between two polls; not from a callback. Since 0.1.
 */
POSTERN_API postern_status postern_server_submit(postern_server* server, char* out_id,
                                                 size_t out_id_size,
                                                 const postern_submission* submission,
                                                 postern_error** out_error);

/* postern_server_metrics gives the server's numbers as OpenMetrics text: sessions, messages,
 * deliveries by outcome, the queue, logins, delays. It runs the server's loop until the queue has
 * counted. POSTERN_ERR_BUSY when the server does not run. The thread that polls, between two polls;
 * not from a callback. (`postern ctl metrics` asks a server from outside.) Since 0.1. */
POSTERN_API postern_status postern_server_metrics(postern_server* server, postern_buf* out,
                                                  postern_error** out_error);

POSTERN_END_DECLS

#endif /* POSTERN_SERVER_H */
