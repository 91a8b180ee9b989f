/* SPF (RFC 7208): may this client use this sender's domain? And iprev (RFC 8601 section 3): do the
 * client's address and name agree? */
#ifndef POSTERN_SPF_H
#define POSTERN_SPF_H

#include "dns.h"

POSTERN_BEGIN_DECLS

/* Results of SPF (RFC 7208 section 2.6). */
enum {
  POSTERN_SPF_NONE = 0,
  POSTERN_SPF_NEUTRAL = 1,
  POSTERN_SPF_PASS = 2,
  POSTERN_SPF_FAIL = 3,
  POSTERN_SPF_SOFTFAIL = 4,
  POSTERN_SPF_TEMPERROR = 5,
  POSTERN_SPF_PERMERROR = 6
};

/* Whose domain is checked. */
enum {
  POSTERN_SPF_MAILFROM = 0, /* the reverse-path's; postmaster at the HELO name when that is null */
  POSTERN_SPF_HELO = 1      /* the name that the client gave in EHLO or HELO */
};

/* Instead of a limit that may be no lookup at all (a 0 is the default). */
#define POSTERN_SPF_NO_LOOKUPS UINT16_MAX

/* postern_spf_options say what is asked. Texts are NUL-terminated UTF-8. */
typedef struct postern_spf_options {
  size_t struct_size;
  const char* client_ip; /* "192.0.2.1" or "2001:db8::1" */
  const char* helo;      /* NULL: none was given */
  const char* sender;    /* "local@domain" without brackets; NULL or "": the null reverse-path */
  int32_t identity;      /* POSTERN_SPF_MAILFROM or POSTERN_SPF_HELO */
  const char* receiver;  /* the name of this host, for macros and the field; NULL: "unknown" */
  int64_t now_unix_s;    /* for macros; 0: the machine's clock */
  uint16_t max_lookups;  /* terms that ask the DNS. 0: 10, as RFC 7208 section 4.6.4; at most 100 */
  uint16_t max_void_lookups; /* answers without a record. 0: 2 */
} postern_spf_options;

#define POSTERN_SPF_OPTIONS_INIT \
  { sizeof(postern_spf_options), NULL, NULL, NULL, 0, NULL, 0, 0, 0 }

/* postern_spf is the outcome of one check. It does not change; any thread may read it. What it
 * lends lives as long as it does. */
typedef struct postern_spf postern_spf;

/* postern_spf_check asks `resolver` what it needs, and blocks meanwhile. POSTERN_OK whatever SPF
 * says; POSTERN_ERR_INVALID_ARGUMENT: client_ip is no address, or identity is unknown;
 * POSTERN_ERR_CALLBACK: your on_query failed; POSTERN_ERR_VERSION. Since 0.1. */
POSTERN_API postern_status postern_spf_check(postern_spf** out, postern_resolver* resolver,
                                             const postern_spf_options* options,
                                             postern_error** out_error);

/* postern_spf_result returns POSTERN_SPF_*. Since 0.1. */
POSTERN_API int32_t postern_spf_result(const postern_spf* spf);

/* postern_spf_result_name lends the result as the RFC spells it: "softfail". Since 0.1. */
POSTERN_API const char* postern_spf_result_name(const postern_spf* spf);

/* postern_spf_reason lends a word for programs: matched, matched_all, no_match, no_domain,
 * no_record, dns_failed, syntax, many_records, too_many_lookups, too_many_void_lookups,
 * too_many_mx_names, included_no_record, redirected_no_record, malformed_domain. More may come.
 * Since 0.1. */
POSTERN_API const char* postern_spf_reason(const postern_spf* spf);

/* postern_spf_explanation lends a sentence for people: "SPF softfail: 192.0.2.7 matches no
 * mechanism of example.org's record, which ends in ~all". Since 0.1. */
POSTERN_API const char* postern_spf_explanation(const postern_spf* spf);

/* postern_spf_domain lends the domain that was checked, in A-labels; empty when there is none.
 * Since 0.1. */
POSTERN_API const char* postern_spf_domain(const postern_spf* spf);

/* postern_spf_mechanism lends the mechanism that decided, as published: "-all"; empty when none
 * did. Since 0.1. */
POSTERN_API const char* postern_spf_mechanism(const postern_spf* spf);

/* postern_spf_published lends the domain's own text for the refused sender (exp=); empty without
 * one. Printable ASCII, written by a stranger. Since 0.1. */
POSTERN_API const char* postern_spf_published(const postern_spf* spf);

/* postern_spf_lookups and postern_spf_void_lookups return how many were made, as they are counted
 * against the limits. Since 0.1. */
POSTERN_API size_t postern_spf_lookups(const postern_spf* spf);
POSTERN_API size_t postern_spf_void_lookups(const postern_spf* spf);

/* The records on the way to the result, in their order: the first domain's, then those that a
 * redirect or an include led to. postern_spf_step_count returns how many; the others lend the
 * domain, its record (empty when it has none), and the term in it that was decisive (empty when
 * none was); all empty when there is no step `index`. Since 0.1. */
POSTERN_API size_t postern_spf_step_count(const postern_spf* spf);
POSTERN_API const char* postern_spf_step_domain(const postern_spf* spf, size_t index);
POSTERN_API const char* postern_spf_step_record(const postern_spf* spf, size_t index);
POSTERN_API const char* postern_spf_step_term(const postern_spf* spf, size_t index);

/* postern_spf_received_header lends the Received-SPF field, folded, with its final CRLF. Since 0.1.
 */
POSTERN_API const char* postern_spf_received_header(const postern_spf* spf);

/* postern_spf_json lends all of this and the records on the way as a JSON object. Since 0.1. */
POSTERN_API const char* postern_spf_json(const postern_spf* spf);

/* postern_spf_free frees `spf`; NULL is allowed. Since 0.1. */
POSTERN_API void postern_spf_free(postern_spf* spf);

/* Results of iprev. */
enum {
  POSTERN_IPREV_PASS = 0,
  POSTERN_IPREV_FAIL = 1,
  POSTERN_IPREV_TEMPERROR = 2,
  POSTERN_IPREV_PERMERROR = 3
};

/* postern_iprev is the outcome of one check. It does not change; any thread may read it. What it
 * lends lives as long as it does. */
typedef struct postern_iprev postern_iprev;

/* postern_iprev_check looks whether a name of `client_ip` (NUL-terminated) leads back to it, and
 * blocks meanwhile. POSTERN_OK whatever iprev says; POSTERN_ERR_INVALID_ARGUMENT: client_ip is no
 * address; POSTERN_ERR_CALLBACK: your on_query failed. Since 0.1. */
POSTERN_API postern_status postern_iprev_check(postern_iprev** out, postern_resolver* resolver,
                                               const char* client_ip, postern_error** out_error);

/* postern_iprev_result returns POSTERN_IPREV_*; the others lend its name, a word for programs
 * (address_confirmed, address_not_confirmed, no_name, no_address, dns_failed), a sentence for
 * people, the name that was confirmed (or the first one; empty without), and all as a JSON object.
 * Since 0.1. */
POSTERN_API int32_t postern_iprev_result(const postern_iprev* iprev);
POSTERN_API const char* postern_iprev_result_name(const postern_iprev* iprev);
POSTERN_API const char* postern_iprev_reason(const postern_iprev* iprev);
POSTERN_API const char* postern_iprev_explanation(const postern_iprev* iprev);
POSTERN_API const char* postern_iprev_name(const postern_iprev* iprev);
POSTERN_API const char* postern_iprev_json(const postern_iprev* iprev);

/* postern_iprev_free frees `iprev`; NULL is allowed. Since 0.1. */
POSTERN_API void postern_iprev_free(postern_iprev* iprev);

POSTERN_END_DECLS

#endif /* POSTERN_SPF_H */
