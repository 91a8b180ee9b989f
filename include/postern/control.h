/* Asking a server that runs on this machine: what smtpctl(8) is for. */
#ifndef POSTERN_CONTROL_H
#define POSTERN_CONTROL_H

#include "dns.h"

POSTERN_BEGIN_DECLS

/* postern_control_options say which server is asked, and what. */
typedef struct postern_control_options {
  size_t struct_size;
  /* Where the server listens: its control socket (NUL-terminated); or the spool it is in; or the
   * smtpd.conf that says so. The first that is not NULL counts. All NULL: what
   * "/etc/mail/smtpd.conf" says where it can be read, else the spool "/var/spool/postern". */
  const char* socket_path;
  const char* spool_path;
  const char* config_path;
  /* The words, NUL-terminated each: "show", "queue". They may be shortened to what no other word
   * begins with. */
  const char* const* words;
  size_t word_count;
  /* 1: the answer is JSON, where there is one. */
  uint8_t json;
  /* 1: `input` goes to the server too; "submit" wants it. */
  uint8_t has_input;
  const char* input;
  size_t input_len;
  /* on_output gets the answer as it comes, on the calling thread: `len` octets of `text`, for
   * standard error when `is_error` is 1. It may be NULL. */
  void (*on_output)(int32_t is_error, const char* text, size_t len, void* user_data);
  void* user_data;
} postern_control_options;

#define POSTERN_CONTROL_OPTIONS_INIT \
  { sizeof(postern_control_options), NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, NULL, NULL }

/* postern_control_ask asks a running server and sets `*out_exit_status` to the exit status that it
 * gives: 0 when it did what was asked. It returns when the answer is whole; some (monitor, trace)
 * have no end but the server's. Where no server is there, "show queue", "show envelope" and "show
 * message" are answered from the spool, which stays as it is; not where `socket_path` alone was
 * given. Returns POSTERN_OK; POSTERN_ERR_NOT_FOUND when no server is there and one is needed;
 * POSTERN_ERR_AUTH when its socket may not be used; POSTERN_ERR_INVALID_ARGUMENT for too many or
 * too long words; POSTERN_ERR_IO when the answer broke off. Makes no thread. Any thread. Since
 * 0.1. */
POSTERN_API postern_status postern_control_ask(int32_t* out_exit_status,
                                               const postern_control_options* options,
                                               postern_error** out_error);

/* postern_control_spool gives the folder of the server's spool, and postern_control_socket the path
 * of its control socket, as `options` lead to them; no server is asked. Any thread. Since 0.1. */
POSTERN_API postern_status postern_control_spool(postern_buf* out,
                                                 const postern_control_options* options,
                                                 postern_error** out_error);
POSTERN_API postern_status postern_control_socket(postern_buf* out,
                                                  const postern_control_options* options,
                                                  postern_error** out_error);

/* postern_password_hash gives a bcrypt hash ("$2b$") of `password` for a table of logins.
 * POSTERN_ERR_INVALID_ARGUMENT for a password with a NUL or of more than 72 octets, of which bcrypt
 * would read only the first. It takes a part of a second. Any thread. Since 0.1. */
POSTERN_API postern_status postern_password_hash(postern_buf* out, const char* password, size_t len,
                                                 postern_error** out_error);

/* postern_spf_walk_callbacks get what a walk finds. */
typedef struct postern_spf_walk_callbacks {
  size_t struct_size;
  /* on_network gets an address or a network ("192.0.2.0/24"), each once. */
  void (*on_network)(const char* network, void* user_data);
  /* on_remark gets what was passed over, in a sentence. May be NULL. */
  void (*on_remark)(const char* remark, void* user_data);
  void* user_data;
} postern_spf_walk_callbacks;

#define POSTERN_SPF_WALK_CALLBACKS_INIT \
  { sizeof(postern_spf_walk_callbacks), NULL, NULL, NULL }

/* postern_spf_walk lists the addresses that the SPF record of `domain` (NUL-terminated) lets send,
 * through include, redirect, a, mx and exists. A domain without a record has none. Returns
 * POSTERN_OK, or what the resolver's callback gave. Blocks. Since 0.1. */
POSTERN_API postern_status postern_spf_walk(postern_resolver* resolver, const char* domain,
                                            const postern_spf_walk_callbacks* callbacks,
                                            postern_error** out_error);

POSTERN_END_DECLS

#endif /* POSTERN_CONTROL_H */
