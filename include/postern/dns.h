/* Where the checks of a message's origin get their answers from the DNS. */
#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include "error.h"

POSTERN_BEGIN_DECLS

/* postern_resolver answers questions about names. It makes no thread: it works inside the check
 * that it was given to, on the caller's thread. One thread at a time. */
typedef struct postern_resolver postern_resolver;

/* postern_resolver_new_zone makes one that answers from `zone_text`, a text in the form of a zone
 * file (RFC 1035 section 5; several zones may follow one another), and says NXDOMAIN to all else.
 * "broken.example. SERVFAIL" and "slow.example. TIMEOUT" make a name fail. POSTERN_OK;
 * POSTERN_ERR_INVALID_ARGUMENT: the message says "line N: ...". Since 0.1. */
POSTERN_API postern_status postern_resolver_new_zone(postern_resolver** out, const char* zone_text,
                                                     size_t zone_text_len,
                                                     postern_error** out_error);

/* postern_resolver_options are for postern_resolver_new_system. */
typedef struct postern_resolver_options {
  size_t struct_size;
  /* A file that names the servers to ask (NUL-terminated). NULL: "/etc/resolv.conf". When there is
   * no such file, the resolver goes from the root by itself. */
  const char* resolv_conf;
  /* Servers to ask instead, with blanks between (NUL-terminated): "192.0.2.53 127.0.0.1@5353".
   * NULL: those of resolv_conf. */
  const char* forwarders;
  /* How long a whole check may wait for answers. 0: 20000, the least that RFC 7208 allows. */
  uint32_t timeout_ms;
  /* How long one question may wait for its answer, at most 60000. 0: 5000. A check asks several in
   * turn: with servers that say nothing it ends at timeout_ms. */
  uint32_t question_timeout_ms;
} postern_resolver_options;

#define POSTERN_RESOLVER_OPTIONS_INIT \
  { sizeof(postern_resolver_options), NULL, NULL, 0, 0 }

/* postern_resolver_new_system makes one that asks the network. It opens sockets when it is first
 * asked and keeps a cache. `options` may be NULL. POSTERN_OK; POSTERN_ERR_INVALID_ARGUMENT: an
 * option cannot be right; POSTERN_ERR_VERSION. Since 0.1. */
POSTERN_API postern_status postern_resolver_new_system(postern_resolver** out,
                                                       const postern_resolver_options* options,
                                                       postern_error** out_error);

/* postern_dns_answer is lent to on_query, which fills it. It comes as "the name has no record of
 * this type". */
typedef struct postern_dns_answer postern_dns_answer;

/* postern_dns_answer_add adds a record of the type asked for, its data as in a zone file:
 * "192.0.2.1", "10 mail.example.org.", "\"v=spf1 -all\"". Names are absolute. POSTERN_OK, or
 * POSTERN_ERR_INVALID_ARGUMENT. Only inside on_query. Since 0.1. */
POSTERN_API postern_status postern_dns_answer_add(postern_dns_answer* answer, const char* text,
                                                  size_t text_len);

/* postern_dns_answer_add_octets adds a record whose data are `len` octets as on the wire (names not
 * compressed), as DNS libraries hand them out. POSTERN_OK, or POSTERN_ERR_INVALID_ARGUMENT. Only
 * inside on_query. Since 0.1. */
POSTERN_API postern_status postern_dns_answer_add_octets(postern_dns_answer* answer,
                                                         const void* octets, size_t len);

/* What an answer without records says. */
enum {
  POSTERN_DNS_NO_DATA = 0,   /* the name has no record of this type */
  POSTERN_DNS_NX_DOMAIN = 1, /* there is no such name */
  POSTERN_DNS_SERV_FAIL = 2, /* the servers failed; later they may answer */
  POSTERN_DNS_TIMEOUT = 3    /* nobody answered in time */
};

/* postern_dns_answer_set_failure makes the answer POSTERN_DNS_*; records added are dropped. An
 * unknown value is POSTERN_DNS_SERV_FAIL. Only inside on_query. Since 0.1. */
POSTERN_API void postern_dns_answer_set_failure(postern_dns_answer* answer, int32_t failure);

/* postern_resolver_callbacks let you answer. */
typedef struct postern_resolver_callbacks {
  size_t struct_size;
  /* on_query answers one question: `name` without a final dot (NUL-terminated, "\." and "\DDD"
   * escapes as in zone files), `type` as the DNS numbers them (1 A, 12 PTR, 15 MX, 16 TXT, 28
   * AAAA). CNAMEs are yours to follow. It is called on the thread that runs the check and must not
   * use the resolver. Another status than POSTERN_OK ends the check with POSTERN_ERR_CALLBACK. */
  postern_status (*on_query)(const char* name, uint16_t type, postern_dns_answer* answer,
                             void* user_data);
  /* destroy_user_data, if set, is called exactly once, when the resolver is freed or
   * postern_resolver_new_callback failed. */
  void (*destroy_user_data)(void* user_data);
  void* user_data;
} postern_resolver_callbacks;

#define POSTERN_RESOLVER_CALLBACKS_INIT \
  { sizeof(postern_resolver_callbacks), NULL, NULL, NULL }

/* postern_resolver_new_callback makes one that asks you. POSTERN_OK; POSTERN_ERR_INVALID_ARGUMENT:
 * on_query is missing; POSTERN_ERR_VERSION. Since 0.1. */
POSTERN_API postern_status postern_resolver_new_callback(
    postern_resolver** out, const postern_resolver_callbacks* callbacks, postern_error** out_error);

/* postern_resolver_free frees `resolver`; NULL is allowed. It does not wait. Since 0.1. */
POSTERN_API void postern_resolver_free(postern_resolver* resolver);

POSTERN_END_DECLS

#endif /* POSTERN_DNS_H */
