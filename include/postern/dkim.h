/* DKIM (RFC 6376, 8301, 8463): sign messages, verify them, make keys. */
#ifndef POSTERN_DKIM_H
#define POSTERN_DKIM_H

#include "dns.h"

POSTERN_BEGIN_DECLS

/* ---- keys ---- */

/* postern_dkim_key is a private key with what its DNS record says. It does not change, apart from
 * the text that postern_dkim_key_zone_line lends; any thread may sign with it. */
typedef struct postern_dkim_key postern_dkim_key;

/* Kinds of keys. */
enum { POSTERN_DKIM_KEY_RSA = 0, POSTERN_DKIM_KEY_ED25519 = 1 };

/* postern_dkim_key_new_pem reads the first private key of a PEM text, PKCS#1 or PKCS#8, RSA or
 * Ed25519. POSTERN_OK; POSTERN_ERR_INVALID_ARGUMENT: the text holds something else, a key with a
 * passphrase, or an RSA key under 1024 bits; the message says which. Since 0.2. */
POSTERN_API postern_status postern_dkim_key_new_pem(postern_dkim_key** out, const char* pem,
                                                    size_t pem_len, postern_error** out_error);

/* postern_dkim_key_generate makes a key: of `kind` POSTERN_DKIM_KEY_RSA with `bits` 2048 (also when
 * 0), 3072 or 4096, or POSTERN_DKIM_KEY_ED25519. It takes its randomness from the system, and for
 * RSA up to some seconds. POSTERN_OK; POSTERN_ERR_INVALID_ARGUMENT; POSTERN_ERR_INTERNAL. Since
 * 0.2. */
POSTERN_API postern_status postern_dkim_key_generate(postern_dkim_key** out, int32_t kind,
                                                     uint32_t bits, postern_error** out_error);

/* postern_dkim_key_kind and postern_dkim_key_bits tell what it is. postern_dkim_key_pem lends it as
 * PKCS#8 in PEM: keep that secret. postern_dkim_key_record lends the text of its DNS record,
 * "v=DKIM1; k=rsa; p=...". NUL-terminated, living as long as `key`. Since 0.2. */
POSTERN_API int32_t postern_dkim_key_kind(const postern_dkim_key* key);
POSTERN_API uint32_t postern_dkim_key_bits(const postern_dkim_key* key);
POSTERN_API const char* postern_dkim_key_pem(const postern_dkim_key* key);
POSTERN_API const char* postern_dkim_key_record(const postern_dkim_key* key);

/* postern_dkim_key_zone_line lends the record as a zone file has it, its text cut into strings of
 * at most 255 octets: `selector._domainkey.domain. IN TXT ( "..." )` with a final line end;
 * U-labels become A-labels, and "" is given when that makes no name of the DNS. It lives until the
 * next call with this `key`, which one thread at a time makes. Since 0.2. */
POSTERN_API const char* postern_dkim_key_zone_line(postern_dkim_key* key, const char* domain,
                                                   const char* selector);

/* postern_dkim_key_free frees `key`; NULL is allowed. Signers that have it keep it. Since 0.2. */
POSTERN_API void postern_dkim_key_free(postern_dkim_key* key);

/* ---- signing ---- */

/* Canonical forms (RFC 6376 section 3.4). */
enum { POSTERN_DKIM_RELAXED = 0, POSTERN_DKIM_SIMPLE = 1 };

/* postern_dkim_sign_options say how. Texts are NUL-terminated; lists have colons between names. */
typedef struct postern_dkim_sign_options {
  size_t struct_size;
  int32_t header_canonicalization; /* POSTERN_DKIM_RELAXED or POSTERN_DKIM_SIMPLE */
  int32_t body_canonicalization;
  const char* fields;     /* header fields to sign, each as often as it is there; From always. NULL:
                             those of RFC 6376 section 5.4.1 and MIME's */
  const char* oversigned; /* fields of which none may be added later either. NULL: those that decide
                             what a reader sees; "": none */
  uint32_t expires_after_s;    /* x= is so much after t=; 0: the signature does not expire */
  uint8_t no_timestamp;        /* 1: no t= */
  uint8_t bare_lf_is_line_end; /* 1: LF alone ends a line, as in files; the signature is for the
                                  message with CRLF */
  int64_t now_unix_s;          /* t=; 0: the machine's clock */
} postern_dkim_sign_options;

#define POSTERN_DKIM_SIGN_OPTIONS_INIT \
  { sizeof(postern_dkim_sign_options), 0, 0, NULL, NULL, 0, 0, 0, 0 }

/* postern_dkim_signer signs one message that passes in pieces; it keeps its header and nothing of
 * its body. One thread at a time. */
typedef struct postern_dkim_signer postern_dkim_signer;

/* postern_dkim_signer_new makes one. `options` may be NULL. POSTERN_OK; POSTERN_ERR_VERSION. Since
 * 0.2. */
POSTERN_API postern_status postern_dkim_signer_new(postern_dkim_signer** out,
                                                   const postern_dkim_sign_options* options,
                                                   postern_error** out_error);

/* postern_dkim_signer_add_key asks for one signature more: with `key`, whose record stands at
 * `selector`._domainkey.`domain`. `identity` is i=, "user@domain" or "@domain"; NULL leaves it out.
 * Before the first feed. POSTERN_OK; POSTERN_ERR_INVALID_ARGUMENT: the names cannot be right;
 * POSTERN_ERR_BUSY: the message has begun. Since 0.2. */
POSTERN_API postern_status postern_dkim_signer_add_key(postern_dkim_signer* signer,
                                                       const postern_dkim_key* key,
                                                       const char* domain, const char* selector,
                                                       const char* identity,
                                                       postern_error** out_error);

/* postern_dkim_signer_feed takes the next octets of the message, header and body as they are sent.
 * POSTERN_OK; POSTERN_ERR_BUSY: after finish. Since 0.2. */
POSTERN_API postern_status postern_dkim_signer_feed(postern_dkim_signer* signer, const char* data,
                                                    size_t len, postern_error** out_error);

/* postern_dkim_signer_finish ends the message and sets `*out_fields` to the DKIM-Signature fields,
 * each with its CRLF, to be put in front of it; lent, living as long as `signer`. POSTERN_OK;
 * POSTERN_ERR_INVALID_ARGUMENT: no key, or a message without exactly one From; POSTERN_ERR_LIMIT:
 * the header is too large; POSTERN_ERR_BUSY: finished before. Since 0.2. */
POSTERN_API postern_status postern_dkim_signer_finish(postern_dkim_signer* signer,
                                                      postern_str* out_fields,
                                                      postern_error** out_error);

/* postern_dkim_signer_free frees `signer`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dkim_signer_free(postern_dkim_signer* signer);

/* ---- verifying ---- */

/* Results (RFC 8601 section 2.7.1). */
enum {
  POSTERN_DKIM_NONE = 0,
  POSTERN_DKIM_PASS = 1,
  POSTERN_DKIM_FAIL = 2,
  POSTERN_DKIM_POLICY = 3, /* not looked at: too many signatures, too large a header */
  POSTERN_DKIM_NEUTRAL = 4,
  POSTERN_DKIM_TEMPERROR = 5,
  POSTERN_DKIM_PERMERROR = 6
};

/* postern_dkim_verify_options; zero is the default everywhere. */
typedef struct postern_dkim_verify_options {
  size_t struct_size;
  uint32_t max_signatures;     /* looked at, from the top. 0: 5 */
  uint32_t min_rsa_bits;       /* 0: 1024, the least that RFC 8301 allows; lower is 1024 */
  uint32_t max_rsa_bits;       /* 0: 8192 */
  uint8_t bare_lf_is_line_end; /* 1: LF alone ends a line, as in files */
  int64_t now_unix_s;          /* when the message came in; 0: the machine's clock */
} postern_dkim_verify_options;

#define POSTERN_DKIM_VERIFY_OPTIONS_INIT \
  { sizeof(postern_dkim_verify_options), 0, 0, 0, 0, 0 }

/* postern_dkim_verifier checks one message that passes in pieces; it keeps its header and nothing
 * of its body. One thread at a time. */
typedef struct postern_dkim_verifier postern_dkim_verifier;

/* postern_dkim_verifier_new makes one. `options` may be NULL. POSTERN_OK; POSTERN_ERR_VERSION.
 * Since 0.2. */
POSTERN_API postern_status postern_dkim_verifier_new(postern_dkim_verifier** out,
                                                     const postern_dkim_verify_options* options,
                                                     postern_error** out_error);

/* postern_dkim_verifier_feed takes the next octets of the message. POSTERN_OK; POSTERN_ERR_BUSY:
 * after finish. Since 0.2. */
POSTERN_API postern_status postern_dkim_verifier_feed(postern_dkim_verifier* verifier,
                                                      const char* data, size_t len,
                                                      postern_error** out_error);

/* postern_dkim is the outcome for one message. It does not change; any thread may read it. What it
 * lends lives as long as it does. */
typedef struct postern_dkim postern_dkim;

/* postern_dkim_verifier_finish ends the message, asks `resolver` for the keys, blocking, and sets
 * `*out`. POSTERN_OK whatever DKIM says; POSTERN_ERR_CALLBACK: your on_query failed;
 * POSTERN_ERR_BUSY: finished before. Since 0.2. */
POSTERN_API postern_status postern_dkim_verifier_finish(postern_dkim_verifier* verifier,
                                                        postern_resolver* resolver,
                                                        postern_dkim** out,
                                                        postern_error** out_error);

/* postern_dkim_verifier_free frees `verifier`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dkim_verifier_free(postern_dkim_verifier* verifier);

/* The outcome of the best signature, a pass if there is one: POSTERN_DKIM_*, its name, a word for
 * programs ("good", "no_signature", "body_hash_differs", "signature_differs", "no_key",
 * "key_unavailable", "key_too_short", "expired", ...; more may come), and a sentence for people.
 * Since 0.2. */
POSTERN_API int32_t postern_dkim_result(const postern_dkim* dkim);
POSTERN_API const char* postern_dkim_result_name(const postern_dkim* dkim);
POSTERN_API const char* postern_dkim_reason(const postern_dkim* dkim);
POSTERN_API const char* postern_dkim_explanation(const postern_dkim* dkim);

/* The signatures in the order of the header; 0, "" for an index that is not there. Domain (d=),
 * selector (s=), identity (i=) and algorithm (a=) are as written by the signer. key_bits is 0 when
 * no key was found; testing is 1 when the key says t=y; unsigned_body_bytes is what l= leaves out.
 * Since 0.2. */
POSTERN_API size_t postern_dkim_signature_count(const postern_dkim* dkim);
POSTERN_API int32_t postern_dkim_signature_result(const postern_dkim* dkim, size_t index);
POSTERN_API const char* postern_dkim_signature_reason(const postern_dkim* dkim, size_t index);
POSTERN_API const char* postern_dkim_signature_explanation(const postern_dkim* dkim, size_t index);
POSTERN_API const char* postern_dkim_signature_domain(const postern_dkim* dkim, size_t index);
POSTERN_API const char* postern_dkim_signature_selector(const postern_dkim* dkim, size_t index);
POSTERN_API const char* postern_dkim_signature_identity(const postern_dkim* dkim, size_t index);
POSTERN_API const char* postern_dkim_signature_algorithm(const postern_dkim* dkim, size_t index);
POSTERN_API uint32_t postern_dkim_signature_key_bits(const postern_dkim* dkim, size_t index);
POSTERN_API int postern_dkim_signature_testing(const postern_dkim* dkim, size_t index);
POSTERN_API uint64_t postern_dkim_signature_unsigned_body_bytes(const postern_dkim* dkim,
                                                                size_t index);

/* postern_dkim_json lends all of this as a JSON object. Since 0.2. */
POSTERN_API const char* postern_dkim_json(const postern_dkim* dkim);

/* postern_dkim_free frees `dkim`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dkim_free(postern_dkim* dkim);

POSTERN_END_DECLS

#endif /* POSTERN_DKIM_H */
