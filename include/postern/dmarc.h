/* DMARC (RFC 9989): what a domain wishes for mail in its name, whether a message is backed by it,
 * and the reports about it (RFC 9990). */
#ifndef POSTERN_DMARC_H
#define POSTERN_DMARC_H

#include "dns.h"
#include "error.h"

POSTERN_BEGIN_DECLS

/* --- records --- */

/* postern_dmarc_record is one record, read. Immutable; any thread. */
typedef struct postern_dmarc_record postern_dmarc_record;

/* postern_dmarc_record_parse reads the text of a TXT record. POSTERN_ERR_INVALID_ARGUMENT: it is no
 * DMARC record, because it does not begin with v=DMARC1; other mistakes stand in the JSON, as the
 * RFC passes over them. Any thread. Since 0.2. */
POSTERN_API postern_status postern_dmarc_record_parse(postern_dmarc_record** out, const char* text,
                                                      size_t text_len, postern_error** out_error);
/* postern_dmarc_record_is_usable returns 1 when DMARC applies by this record (RFC 9989 section
 * 4.10.1), else 0. Since 0.2. */
POSTERN_API int postern_dmarc_record_is_usable(const postern_dmarc_record* record);
/* postern_dmarc_record_text lends the record in its plainest form. Since 0.2. */
POSTERN_API const char* postern_dmarc_record_text(const postern_dmarc_record* record);
/* postern_dmarc_record_problem lends sentence `index` about what is wrong or without effect in it;
 * empty past the end. Since 0.2. */
POSTERN_API const char* postern_dmarc_record_problem(const postern_dmarc_record* record,
                                                     size_t index);
/* postern_dmarc_record_json lends all of it as a JSON object with "problems". Since 0.2. */
POSTERN_API const char* postern_dmarc_record_json(const postern_dmarc_record* record);
/* postern_dmarc_record_free frees `record`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dmarc_record_free(postern_dmarc_record* record);

/* --- policy and check --- */

enum {
  POSTERN_DMARC_TREE_WALK = 0,         /* RFC 9989 */
  POSTERN_DMARC_PUBLIC_SUFFIX_LIST = 1 /* RFC 7489 */
};

typedef struct postern_dmarc_options {
  size_t struct_size;
  int32_t method; /* POSTERN_DMARC_*; since 0.2 */
  /* The list for the second method, as publicsuffix.org writes it; NULL: the one that the library's
   * system has. Since 0.2. */
  const char* public_suffix_list;
  size_t public_suffix_list_len;
} postern_dmarc_options;
#define POSTERN_DMARC_OPTIONS_INIT \
  { sizeof(postern_dmarc_options), 0, NULL, 0 }

/* postern_dmarc_discovery is what the DNS says about a domain. Immutable; any thread. */
typedef struct postern_dmarc_discovery postern_dmarc_discovery;

/* postern_dmarc_discover asks for the policy of `domain` (UTF-8 or A-labels). No record is no
 * error: the record text is empty then. `options` may be NULL. POSTERN_ERR_INVALID_ARGUMENT: no
 * domain name, or no list. The caller's thread waits for the resolver. Since 0.2. */
POSTERN_API postern_status postern_dmarc_discover(postern_dmarc_discovery** out,
                                                  postern_resolver* resolver, const char* domain,
                                                  size_t domain_len,
                                                  const postern_dmarc_options* options,
                                                  postern_error** out_error);
/* postern_dmarc_discovery_policy_domain lends the domain whose record applies; empty without one.
 * Since 0.2. */
POSTERN_API const char* postern_dmarc_discovery_policy_domain(
    const postern_dmarc_discovery* discovery);
/* postern_dmarc_discovery_organizational_domain lends it. Since 0.2. */
POSTERN_API const char* postern_dmarc_discovery_organizational_domain(
    const postern_dmarc_discovery* discovery);
/* postern_dmarc_discovery_record lends the text of the record that applies, as published. Since
 * 0.1. */
POSTERN_API const char* postern_dmarc_discovery_record(const postern_dmarc_discovery* discovery);
/* postern_dmarc_discovery_json lends all of it, with each question of the walk. Since 0.2. */
POSTERN_API const char* postern_dmarc_discovery_json(const postern_dmarc_discovery* discovery);
/* postern_dmarc_discovery_free frees it; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dmarc_discovery_free(postern_dmarc_discovery* discovery);

enum {
  POSTERN_DMARC_NONE = 0,
  POSTERN_DMARC_PASS = 1,
  POSTERN_DMARC_FAIL = 2,
  POSTERN_DMARC_TEMPERROR = 3,
  POSTERN_DMARC_PERMERROR = 4
};
enum { POSTERN_DMARC_DO_NOTHING = 0, POSTERN_DMARC_QUARANTINE = 1, POSTERN_DMARC_REJECT = 2 };

/* postern_dmarc_result is the outcome of one check. Immutable; any thread. */
typedef struct postern_dmarc_result postern_dmarc_result;

/* postern_dmarc_check judges mail of `from_domain` for which SPF passed for `spf_domain` (empty:
 * it did not) and DKIM for each of `dkim_domains`. The caller's thread waits for the resolver. To
 * check a whole message see postern/auth.h. Since 0.2. */
POSTERN_API postern_status
postern_dmarc_check(postern_dmarc_result** out, postern_resolver* resolver, const char* from_domain,
                    size_t from_domain_len, const char* spf_domain, size_t spf_domain_len,
                    const postern_str* dkim_domains, size_t dkim_domain_count,
                    const postern_dmarc_options* options, postern_error** out_error);
/* postern_dmarc_result_code returns POSTERN_DMARC_NONE and the like. Since 0.2. */
POSTERN_API int32_t postern_dmarc_result_code(const postern_dmarc_result* result);
/* postern_dmarc_result_disposition returns what the domain asks to do: POSTERN_DMARC_DO_NOTHING
 * unless the message failed. Since 0.2. */
POSTERN_API int32_t postern_dmarc_result_disposition(const postern_dmarc_result* result);
/* postern_dmarc_result_reason lends a stable word, "not_aligned". Since 0.2. */
POSTERN_API const char* postern_dmarc_result_reason(const postern_dmarc_result* result);
/* postern_dmarc_result_explanation lends a sentence for people. Since 0.2. */
POSTERN_API const char* postern_dmarc_result_explanation(const postern_dmarc_result* result);
/* postern_dmarc_result_json lends all of it. Since 0.2. */
POSTERN_API const char* postern_dmarc_result_json(const postern_dmarc_result* result);
/* postern_dmarc_result_free frees it; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dmarc_result_free(postern_dmarc_result* result);

/* --- aggregate reports --- */

/* postern_dmarc_reports is what one file or mail had. Immutable; any thread. */
typedef struct postern_dmarc_reports postern_dmarc_reports;

/* postern_dmarc_reports_read reads aggregate reports, of RFC 9990 or RFC 7489, out of XML, gzip, a
 * zip archive or a whole mail. Reports come from anybody: 64 MiB unpacked each and 20 reports are
 * the bounds. POSTERN_ERR_INVALID_ARGUMENT: no report, with the line; POSTERN_ERR_NOT_FOUND: a mail
 * without one; POSTERN_ERR_LIMIT: past a bound. Any thread. Since 0.2. */
POSTERN_API postern_status postern_dmarc_reports_read(postern_dmarc_reports** out,
                                                      const char* octets, size_t octets_len,
                                                      postern_error** out_error);
/* postern_dmarc_reports_count returns how many there are, at least 1. Since 0.2. */
POSTERN_API size_t postern_dmarc_reports_count(const postern_dmarc_reports* reports);
/* postern_dmarc_reports_text lends report `index` for people; empty past the end. Since 0.2. */
POSTERN_API const char* postern_dmarc_reports_text(const postern_dmarc_reports* reports,
                                                   size_t index);
/* postern_dmarc_reports_json lends report `index` as a JSON object; empty past the end. Since
 * 0.1. */
POSTERN_API const char* postern_dmarc_reports_json(const postern_dmarc_reports* reports,
                                                   size_t index);
/* postern_dmarc_reports_free frees it; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dmarc_reports_free(postern_dmarc_reports* reports);

POSTERN_END_DECLS

#endif /* POSTERN_DMARC_H */
