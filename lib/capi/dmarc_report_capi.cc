// Aggregate reports of DMARC, built by a caller in C.
#include "postern/version.h"
#include <algorithm>
#include <ctime>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include <openssl/rand.h>

#include "lib/capi/dmarc_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/trust/dmarc_report.h"

struct postern_dmarc_report {
  explicit postern_dmarc_report(size_t max_rows) : rows(max_rows) {}
  postern::trust::DmarcReport head;  // without records
  postern::trust::DmarcReportCollector rows;
};

namespace postern::capi {
namespace {

constexpr size_t kMostResults = 200;  // what DmarcReportLimits lets a reader take

// AsciiDomain reads a domain's name; empty when it is none.
std::string AsciiDomain(std::string_view text) {
  StatusOr<std::string> name = mail::DomainToAscii(text);
  if (!name.ok() || !mail::IsValidDomainName(*name, /*allow_utf8=*/false)) return {};
  return *std::move(name);
}

trust::DmarcReport Whole(const postern_dmarc_report& report) {
  trust::DmarcReport whole = report.head;
  whole.records = report.rows.Records();
  return whole;
}

std::string RandomHex(size_t octets) {
  std::string random(octets, '\0');
  RAND_bytes(reinterpret_cast<uint8_t*>(random.data()), random.size());
  return HexEncode(random);
}

// Add appends to one of a row's lists.
template <typename T>
postern_status Add(std::vector<T>& list, T one, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (list.size() >= kMostResults)
      return Fail(out_error, POSTERN_ERR_LIMIT, "limit",
                  StrCat("the row has ", kMostResults, " of them already"));
    list.push_back(std::move(one));
    return POSTERN_OK;
  });
}

// CheckWord holds a value to the words that the schema has for it (RFC 9990 appendix A; the reasons
// of RFC 7489 appendix C too).
Status CheckWord(std::string_view what, std::string_view word,
                 std::initializer_list<std::string_view> words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return OkStatus();
  std::string known;
  for (const std::string_view each : words) StrAppend(known, known.empty() ? "" : ", ", each);
  return InvalidArgument(StrCat("\"", Escape(word, 80), "\" is no ", what, ": ", known));
}

// CheckResultDomain brings the domain of a result to A-labels.
Status CheckResultDomain(std::string* domain) {
  std::string ascii = AsciiDomain(*domain);
  if (ascii.empty())
    return InvalidArgument(StrCat("\"", Escape(*domain, 80), "\" is no domain name"));
  *domain = std::move(ascii);
  return OkStatus();
}

std::string Text(const char* text) { return std::string(CString(text)); }

// ReadHead fills in what the options say.
Status ReadHead(const postern_dmarc_report_options& options, trust::DmarcReport* head) {
  head->org_name = Text(options.org_name);
  head->email = Text(options.email);
  head->extra_contact_info = Text(options.extra_contact_info);
  head->report_id = Text(options.report_id);
  for (const auto& [text, name] :
       {std::pair(&head->org_name, "org_name"), std::pair(&head->email, "email"),
        std::pair(&head->report_id, "report_id")}) {
    if (text->empty()) return InvalidArgument(StrCat("the report needs ", name));
  }
  head->generator = options.generator == nullptr ? StrCat("Postern ", postern_version())
                                                 : Text(options.generator);
  head->begin = options.begin_unix_s;
  head->end = options.end_unix_s;
  if (head->begin <= 0 || head->end <= head->begin)
    return InvalidArgument("the report needs a span of time that begins before it ends");
  if (options.form != POSTERN_DMARC_RFC9990 && options.form != POSTERN_DMARC_RFC7489)
    return InvalidArgument(StrCat("there is no form ", options.form));
  head->rfc9990 = options.form == POSTERN_DMARC_RFC9990;
  return OkStatus();
}

Status ReadMail(const postern_dmarc_mail_options& options, trust::DmarcReportMail* mail) {
  mail->receiver = AsciiDomain(CString(options.receiver));
  if (mail->receiver.empty())
    return InvalidArgument(
        StrCat("\"", Escape(CString(options.receiver), 80), "\" is no domain name"));
  const StatusOr<mail::Address> from = mail::ParseAddress(CString(options.from));
  if (!from.ok()) return InvalidArgument(StrCat("from: ", Message(from.status())));
  mail->from = from->ToString();
  for (size_t i = 0; i < options.to_count; ++i) {
    const StatusOr<mail::Address> to =
        mail::ParseAddress(Given(options.to[i].data, options.to[i].len));
    if (!to.ok()) return InvalidArgument(StrCat("to: ", Message(to.status())));
    mail->to.push_back(to->ToString());
  }
  if (mail->to.empty()) return InvalidArgument("the message needs an address to go to");
  mail->message_id = options.message_id == nullptr
                         ? StrCat("<", RandomHex(16), "@", mail->receiver, ">")
                         : Text(options.message_id);
  const std::string_view id = mail->message_id;
  const bool printable =
      std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && IsAsciiPrintable(c); });
  if (id.size() < 5 || id.front() != '<' || id.back() != '>' || !printable)
    return InvalidArgument(StrCat("\"", Escape(id, 80), "\" is no Message-ID"));
  mail->date = absl::FromUnixSeconds(
      options.date_unix_s != 0 ? options.date_unix_s : static_cast<int64_t>(std::time(nullptr)));
  mail->text = Text(options.text);
  mail->boundary_seed = RandomHex(16);
  return OkStatus();
}

}  // namespace
}  // namespace postern::capi

using namespace postern;  // NOLINT: the functions below are the boundary

extern "C" {

postern_status postern_dmarc_row_new(postern_dmarc_row** out,
                                     const postern_dmarc_row_options* options,
                                     postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    postern_dmarc_row_options given;
    if (!capi::TakeStruct(&given, postern_dmarc_row_options POSTERN_DMARC_ROW_OPTIONS_INIT,
                          options))
      return capi::Fail(out_error, POSTERN_ERR_VERSION, "version",
                        "the options are of a newer header");
    const std::string_view source = capi::CString(given.source_ip);
    const std::optional<IpAddress> address = IpAddress::Parse(source);
    if (!address)
      return capi::FailWith(
          out_error, InvalidArgument(StrCat("\"", Escape(source, 80), "\" is no IP address")));
    const std::optional<trust::DmarcPolicy> applied = capi::PolicyOf(given.disposition);
    if (!applied)
      return capi::FailWith(out_error,
                            InvalidArgument(StrCat("there is no disposition ", given.disposition)));
    auto row = std::make_unique<postern_dmarc_row>();
    trust::DmarcReportRecord& record = row->record;
    record.source_ip = address->ToString();
    record.count = given.count == 0 ? 1 : given.count;
    record.dkim = given.dkim_aligned != 0 ? "pass" : "fail";
    record.spf = given.spf_aligned != 0 ? "pass" : "fail";
    record.disposition = record.aligned() && *applied == trust::DmarcPolicy::kNone
                             ? "pass"
                             : std::string(trust::DmarcPolicyName(*applied));
    record.header_from = capi::AsciiDomain(capi::CString(given.header_from));
    if (record.header_from.empty())
      return capi::FailWith(
          out_error, InvalidArgument(StrCat("\"", Escape(capi::CString(given.header_from), 80),
                                            "\" is no domain name")));
    if (given.envelope_from != nullptr) record.envelope_from = given.envelope_from;
    if (given.envelope_to != nullptr) record.envelope_to = given.envelope_to;
    *out = row.release();
    return POSTERN_OK;
  });
}
postern_status postern_dmarc_row_add_dkim(postern_dmarc_row* row, const char* domain,
                                          const char* selector, const char* result,
                                          const char* human_result, postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    trust::DmarcReportDkim one{capi::Text(domain), capi::Text(selector), capi::Text(result),
                               capi::Text(human_result)};
    Status status =
        capi::CheckWord("result of DKIM", one.result,
                        {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"});
    if (status.ok()) status = capi::CheckResultDomain(&one.domain);
    if (!status.ok()) return capi::FailWith(out_error, status);
    return capi::Add(row->record.dkim_results, std::move(one), out_error);
  });
}
postern_status postern_dmarc_row_add_spf(postern_dmarc_row* row, const char* domain,
                                         const char* result, const char* human_result,
                                         postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    trust::DmarcReportSpf one{capi::Text(domain), "mfrom", capi::Text(result),
                              capi::Text(human_result)};
    Status status =
        capi::CheckWord("result of SPF", one.result,
                        {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"});
    if (status.ok()) status = capi::CheckResultDomain(&one.domain);
    if (!status.ok()) return capi::FailWith(out_error, status);
    return capi::Add(row->record.spf_results, std::move(one), out_error);
  });
}
postern_status postern_dmarc_row_add_reason(postern_dmarc_row* row, const char* type,
                                            const char* comment, postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    trust::DmarcReportReason one{capi::Text(type), capi::Text(comment)};
    const Status status =
        capi::CheckWord("reason", one.type,
                        {"local_policy", "mailing_list", "other", "policy_test_mode",
                         "trusted_forwarder", "forwarded", "sampled_out"});
    if (!status.ok()) return capi::FailWith(out_error, status);
    return capi::Add(row->record.reasons, std::move(one), out_error);
  });
}
void postern_dmarc_row_free(postern_dmarc_row* row) { delete row; }

postern_status postern_dmarc_report_new(postern_dmarc_report** out, const char* policy_domain,
                                        size_t policy_domain_len, const char* record,
                                        size_t record_len,
                                        const postern_dmarc_report_options* options,
                                        postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    postern_dmarc_report_options given;
    if (!capi::TakeStruct(&given, postern_dmarc_report_options POSTERN_DMARC_REPORT_OPTIONS_INIT,
                          options))
      return capi::Fail(out_error, POSTERN_ERR_VERSION, "version",
                        "the options are of a newer header");
    trust::DmarcCheck check;
    const std::string_view domain = capi::Given(policy_domain, policy_domain_len);
    check.policy_domain = capi::AsciiDomain(domain);
    if (check.policy_domain.empty())
      return capi::FailWith(
          out_error, InvalidArgument(StrCat("\"", Escape(domain, 80), "\" is no domain name")));
    check.record = trust::ParseDmarcRecord(capi::Given(record, record_len));
    if (!check.record)
      return capi::FailWith(out_error, InvalidArgument("the record does not begin with v=DMARC1"));
    if (given.method != POSTERN_DMARC_TREE_WALK && given.method != POSTERN_DMARC_PUBLIC_SUFFIX_LIST)
      return capi::FailWith(out_error,
                            InvalidArgument(StrCat("there is no DMARC method ", given.method)));
    check.method = given.method == POSTERN_DMARC_TREE_WALK ? trust::DmarcMethod::kTreeWalk
                                                           : trust::DmarcMethod::kPublicSuffixList;
    auto report = std::make_unique<postern_dmarc_report>(
        given.max_rows == 0 ? 100'000 : static_cast<size_t>(given.max_rows));
    report->head = trust::MakeDmarcReport(check);
    const Status read = capi::ReadHead(given, &report->head);
    if (!read.ok()) return capi::FailWith(out_error, read);
    *out = report.release();
    return POSTERN_OK;
  });
}
postern_status postern_dmarc_report_add(postern_dmarc_report* report, const postern_dmarc_row* row,
                                        postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    trust::DmarcReportRecord record = row->record;
    // RFC 7489 has no word for a policy that had no part in it but this one.
    if (!report->head.rfc9990 && record.disposition == "pass") record.disposition = "none";
    const uint64_t before = report->rows.dropped();
    report->rows.Add(std::move(record));
    if (report->rows.dropped() == before) return POSTERN_OK;
    return capi::Fail(out_error, POSTERN_ERR_LIMIT, "limit",
                      "the report has as many different rows as it may have");
  });
}
postern_status postern_dmarc_report_xml(const postern_dmarc_report* report, postern_buf* out,
                                        postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    capi::Give(out, trust::FormatDmarcReport(capi::Whole(*report)));
    return POSTERN_OK;
  });
}
postern_status postern_dmarc_report_gzip(const postern_dmarc_report* report, const char* receiver,
                                         postern_buf* out, postern_buf* out_name,
                                         postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    const trust::DmarcReport whole = capi::Whole(*report);
    const std::string domain = capi::AsciiDomain(capi::CString(receiver));
    if (domain.empty())
      return capi::FailWith(out_error,
                            InvalidArgument(StrCat("\"", Escape(capi::CString(receiver), 80),
                                                   "\" is no domain name")));
    const std::string packed = trust::GzipCompress(trust::FormatDmarcReport(whole));
    if (out_name != nullptr) capi::Give(out_name, trust::DmarcReportFileName(whole, domain));
    capi::Give(out, packed);
    return POSTERN_OK;
  });
}
postern_status postern_dmarc_report_mail(const postern_dmarc_report* report,
                                         const postern_dmarc_mail_options* options,
                                         postern_buf* out, postern_error** out_error) {
  return capi::Guard(out_error, [&]() -> postern_status {
    postern_dmarc_mail_options given;
    if (!capi::TakeStruct(&given, postern_dmarc_mail_options POSTERN_DMARC_MAIL_OPTIONS_INIT,
                          options))
      return capi::Fail(out_error, POSTERN_ERR_VERSION, "version",
                        "the options are of a newer header");
    trust::DmarcReportMail mail;
    const Status read = capi::ReadMail(given, &mail);
    if (!read.ok()) return capi::FailWith(out_error, read);
    capi::Give(out, trust::BuildDmarcReportMail(capi::Whole(*report), mail));
    return POSTERN_OK;
  });
}
void postern_dmarc_report_free(postern_dmarc_report* report) { delete report; }

}  // extern "C"
