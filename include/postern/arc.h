/* ARC (RFC 8617): is the chain of those who handled a message whole? And one more set on it, for
 * who wants that: nothing in this library seals by itself, and the IETF is moving ARC to historic.
 */
#ifndef POSTERN_ARC_H
#define POSTERN_ARC_H

#include "dkim.h"

POSTERN_BEGIN_DECLS

/* Results (RFC 8617 section 4.4), and one for a DNS that did not answer. */
enum {
  POSTERN_ARC_NONE = 0,
  POSTERN_ARC_PASS = 1,
  POSTERN_ARC_FAIL = 2,
  POSTERN_ARC_TEMPERROR = 3
};

/* postern_arc_options are for validating and sealing. Texts are NUL-terminated. */
typedef struct postern_arc_options {
  size_t struct_size;
  uint8_t bare_lf_is_line_end; /* 1: LF alone ends a line, as in files */

  /* For sealing; key NULL: the chain is validated only. */
  const postern_dkim_key* key;
  const char* domain;      /* d= */
  const char* selector;    /* s= */
  const char* authserv_id; /* who we are in Authentication-Results. NULL: `domain` */
  const char* results;     /* what was found out, "spf=pass smtp.mailfrom=...; dkim=pass ...". NULL:
                              what the message's Authentication-Results of authserv_id say, for which
                              you vouch */
  const char* fields;      /* h= of the message signature, colons between. NULL: DKIM's and
                              DKIM-Signature */
  int64_t now_unix_s;      /* t=; 0: the machine's clock */
  const char* oversigned;  /* fields of which none may be added behind us, as in
                              postern_dkim_sign_options. NULL: those that decide what a reader sees;
                              "": none. Since 0.2 */
} postern_arc_options;

#define POSTERN_ARC_OPTIONS_INIT \
  { sizeof(postern_arc_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL }

/* postern_arc_reader looks at one message that passes in pieces; it keeps its header and nothing of
 * its body. One thread at a time. */
typedef struct postern_arc_reader postern_arc_reader;

/* postern_arc_reader_new makes one. `options` may be NULL. POSTERN_OK;
 * POSTERN_ERR_INVALID_ARGUMENT: a key without right names; POSTERN_ERR_VERSION. Since 0.2. */
POSTERN_API postern_status postern_arc_reader_new(postern_arc_reader** out,
                                                  const postern_arc_options* options,
                                                  postern_error** out_error);

/* postern_arc_reader_feed takes the next octets of the message. POSTERN_OK; POSTERN_ERR_BUSY: after
 * finish. Since 0.2. */
POSTERN_API postern_status postern_arc_reader_feed(postern_arc_reader* reader, const char* data,
                                                   size_t len, postern_error** out_error);

/* postern_arc is the outcome for one message. It does not change; any thread may read it. What it
 * lends lives as long as it does. */
typedef struct postern_arc postern_arc;

/* postern_arc_reader_finish ends the message, asks `resolver` for the keys, blocking, and sets
 * `*out`. POSTERN_OK whatever ARC says; POSTERN_ERR_CALLBACK: your on_query failed;
 * POSTERN_ERR_BUSY: finished before. Since 0.2. */
POSTERN_API postern_status postern_arc_reader_finish(postern_arc_reader* reader,
                                                     postern_resolver* resolver, postern_arc** out,
                                                     postern_error** out_error);

/* postern_arc_reader_seal sets `*out_fields` to the three fields of a new set, each with its CRLF,
 * to be put in front of the message; lent, living as long as `reader`. After finish. POSTERN_OK;
 * POSTERN_ERR_BUSY: the chain was sealed as failed before, or has 50 sets, or finish was not
 * called; POSTERN_ERR_IO: the DNS did not answer, so nothing true can be said of the chain;
 * POSTERN_ERR_INVALID_ARGUMENT: no key; POSTERN_ERR_LIMIT. Since 0.2. */
POSTERN_API postern_status postern_arc_reader_seal(postern_arc_reader* reader,
                                                   postern_str* out_fields,
                                                   postern_error** out_error);

/* postern_arc_reader_free frees `reader`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_arc_reader_free(postern_arc_reader* reader);

/* The outcome: POSTERN_ARC_*, its name, a word for programs ("good", "no_chain", "structure",
 * "seal_differs", "message_signature_differs", "body_hash_differs", "sealed_as_failed", ...; more
 * may come), and a sentence for people. Since 0.2. */
POSTERN_API int32_t postern_arc_result(const postern_arc* arc);
POSTERN_API const char* postern_arc_result_name(const postern_arc* arc);
POSTERN_API const char* postern_arc_reason(const postern_arc* arc);
POSTERN_API const char* postern_arc_explanation(const postern_arc* arc);

/* postern_arc_oldest_pass returns the least instance whose message signature still holds with all
 * after it; 0: all do. Since 0.2. */
POSTERN_API uint32_t postern_arc_oldest_pass(const postern_arc* arc);

/* The sets, the first one first; "" for an index that is not there. domain is d= of the seal;
 * results is what its handler's ARC-Authentication-Results says. Since 0.2. */
POSTERN_API size_t postern_arc_set_count(const postern_arc* arc);
POSTERN_API const char* postern_arc_set_domain(const postern_arc* arc, size_t index);
POSTERN_API const char* postern_arc_set_results(const postern_arc* arc, size_t index);

/* postern_arc_json lends all of this as a JSON object. Since 0.2. */
POSTERN_API const char* postern_arc_json(const postern_arc* arc);

/* postern_arc_free frees `arc`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_arc_free(postern_arc* arc);

POSTERN_END_DECLS

#endif /* POSTERN_ARC_H */
