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
/* postern_dmarc_discovery_is_temporary returns 1 when a question was not answered, so that the rest
 * may be wrong and should be asked again later; else 0. _explanation lends what the DNS said, a
 * sentence: of a failure, or of several records at one name; else empty. Since 0.2. */
POSTERN_API int postern_dmarc_discovery_is_temporary(const postern_dmarc_discovery* discovery);
POSTERN_API const char* postern_dmarc_discovery_explanation(
    const postern_dmarc_discovery* discovery);
/* postern_dmarc_discovery_policy lends what the record wishes for mail of the domain that fails:
 * "none", "quarantine" or "reject"; _policy_tag the tag that says so: "p", "sp" for a name below
 * that of the record, "np" for one below that does not exist. Both are empty without a record.
 * Since 0.2.
 */
POSTERN_API const char* postern_dmarc_discovery_policy(const postern_dmarc_discovery* discovery);
POSTERN_API const char* postern_dmarc_discovery_policy_tag(
    const postern_dmarc_discovery* discovery);
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

/* --- aggregate reports, read --- */

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

/* --- aggregate reports, written --- */

/* postern_dmarc_row is what a report tells of one message, or of several that are alike in all of
 * it. Texts given to it are ended by NUL and copied. One thread at a time. */
typedef struct postern_dmarc_row postern_dmarc_row;

typedef struct postern_dmarc_row_options {
  size_t struct_size;
  const char* source_ip;     /* where the messages came from; needed. Since 0.2 */
  uint64_t count;            /* how many there were; 0: one. Since 0.2 */
  int32_t disposition;       /* what was done: POSTERN_DMARC_DO_NOTHING and the like. Since 0.2 */
  uint8_t dkim_aligned;      /* 1: DKIM passed for an aligned domain. Since 0.2 */
  uint8_t spf_aligned;       /* 1: SPF passed for an aligned domain. Since 0.2 */
  const char* header_from;   /* the author's domain; needed. Since 0.2 */
  const char* envelope_from; /* domain of the reverse-path, "" the null one; NULL: not told.
                                Since 0.2 */
  const char* envelope_to;   /* domain of the recipient; NULL: not told. Since 0.2 */
} postern_dmarc_row_options;
#define POSTERN_DMARC_ROW_OPTIONS_INIT \
  { sizeof(postern_dmarc_row_options), NULL, 0, 0, 0, 0, NULL, NULL, NULL }

/* postern_dmarc_row_new makes a row; see postern_auth_dmarc_row for one out of a message that was
 * checked. POSTERN_ERR_INVALID_ARGUMENT: no address, no domain, no such disposition. Since 0.2. */
POSTERN_API postern_status postern_dmarc_row_new(postern_dmarc_row** out,
                                                 const postern_dmarc_row_options* options,
                                                 postern_error** out_error);
/* postern_dmarc_row_add_dkim and _add_spf add the results of one signature and of SPF, "pass",
 * "temperror" and the like; `human_result` may be NULL. POSTERN_ERR_LIMIT: the row has 200 already.
 * Since 0.2. */
POSTERN_API postern_status postern_dmarc_row_add_dkim(postern_dmarc_row* row, const char* domain,
                                                      const char* selector, const char* result,
                                                      const char* human_result,
                                                      postern_error** out_error);
POSTERN_API postern_status postern_dmarc_row_add_spf(postern_dmarc_row* row, const char* domain,
                                                     const char* result, const char* human_result,
                                                     postern_error** out_error);
/* postern_dmarc_row_add_reason tells why something else was done than the domain asks for: `type`
 * is "local_policy", "mailing_list", "other", "policy_test_mode" or "trusted_forwarder"; `comment`
 * may be NULL. POSTERN_ERR_LIMIT as above. Since 0.2. */
POSTERN_API postern_status postern_dmarc_row_add_reason(postern_dmarc_row* row, const char* type,
                                                        const char* comment,
                                                        postern_error** out_error);
/* postern_dmarc_row_free frees `row`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dmarc_row_free(postern_dmarc_row* row);

/* postern_dmarc_report collects rows for one domain and one span of time, and writes them. One
 * thread at a time. */
typedef struct postern_dmarc_report postern_dmarc_report;

enum {
  POSTERN_DMARC_RFC9990 = 0,
  POSTERN_DMARC_RFC7489 = 1 /* the form before, for readers that know no other */
};

/* postern_dmarc_report_options says who reports. Texts are ended by NUL and copied; NULL is empty.
 */
typedef struct postern_dmarc_report_options {
  size_t struct_size;
  const char* org_name;           /* needed. Since 0.2 */
  const char* email;              /* needed. Since 0.2 */
  const char* extra_contact_info; /* where people find help, a URL say; NULL: not told. Since 0.2 */
  const char* report_id;          /* unique among yours for this domain; needed. Since 0.2 */
  const char* generator;          /* NULL: this library and its version. Since 0.2 */
  int64_t begin_unix_s;           /* the span of time; needed. Since 0.2 */
  int64_t end_unix_s;             /* its end, after the begin; needed. Since 0.2 */
  int32_t form;                   /* POSTERN_DMARC_RFC9990. Since 0.2 */
  int32_t method;                 /* how the policy was found: POSTERN_DMARC_TREE_WALK. Since 0.2 */
  uint64_t max_rows;              /* different ones; 0: 100,000. Since 0.2 */
} postern_dmarc_report_options;
#define POSTERN_DMARC_REPORT_OPTIONS_INIT \
  { sizeof(postern_dmarc_report_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0 }

/* postern_dmarc_report_new begins a report about `policy_domain`, which publishes `record`: what
 * postern_dmarc_discovery_policy_domain and _record gave. POSTERN_ERR_INVALID_ARGUMENT: that is no
 * domain or no DMARC record, or an option is missing. Since 0.2. */
POSTERN_API postern_status postern_dmarc_report_new(postern_dmarc_report** out,
                                                    const char* policy_domain,
                                                    size_t policy_domain_len, const char* record,
                                                    size_t record_len,
                                                    const postern_dmarc_report_options* options,
                                                    postern_error** out_error);
/* postern_dmarc_report_add counts the messages of `row`, together with others that are alike.
 * POSTERN_ERR_LIMIT: there are max_rows different ones already; these messages are left out.
 * Since 0.2. */
POSTERN_API postern_status postern_dmarc_report_add(postern_dmarc_report* report,
                                                    const postern_dmarc_row* row,
                                                    postern_error** out_error);
/* postern_dmarc_report_xml gives the report as XML. Since 0.2. */
POSTERN_API postern_status postern_dmarc_report_xml(const postern_dmarc_report* report,
                                                    postern_buf* out, postern_error** out_error);
/* postern_dmarc_report_gzip gives it packed, and in `out_name` the name that such a file has (RFC
 * 9990 section 3.5.2), from the domain `receiver` (ended by NUL). `out_name` may be NULL.
 * Since 0.2. */
POSTERN_API postern_status postern_dmarc_report_gzip(const postern_dmarc_report* report,
                                                     const char* receiver, postern_buf* out,
                                                     postern_buf* out_name,
                                                     postern_error** out_error);

/* postern_dmarc_mail_options says how the message that carries a report looks. Texts are ended by
 * NUL. */
typedef struct postern_dmarc_mail_options {
  size_t struct_size;
  const char* receiver;  /* your domain; needed. Since 0.2 */
  const char* from;      /* an address whose mail passes DMARC itself; needed. Since 0.2 */
  const postern_str* to; /* addresses of the record's rua; at least one. Since 0.2 */
  size_t to_count;
  const char* message_id; /* with brackets; NULL: a random one of `receiver`. Since 0.2 */
  int64_t date_unix_s;    /* 0: the system's clock. Since 0.2 */
  const char* text;       /* for people; NULL: one of ours. Since 0.2 */
} postern_dmarc_mail_options;
#define POSTERN_DMARC_MAIL_OPTIONS_INIT \
  { sizeof(postern_dmarc_mail_options), NULL, NULL, NULL, 0, NULL, 0, NULL }

/* postern_dmarc_report_mail gives the whole message, CRLF lines, with the packed report attached:
 * ready to be signed and sent. It takes randomness from the system. POSTERN_ERR_INVALID_ARGUMENT:
 * an address or the domain cannot be right. Since 0.2. */
POSTERN_API postern_status postern_dmarc_report_mail(const postern_dmarc_report* report,
                                                     const postern_dmarc_mail_options* options,
                                                     postern_buf* out, postern_error** out_error);
/* postern_dmarc_report_free frees `report`; NULL is allowed. Since 0.2. */
POSTERN_API void postern_dmarc_report_free(postern_dmarc_report* report);

POSTERN_END_DECLS

#endif /* POSTERN_DMARC_H */
