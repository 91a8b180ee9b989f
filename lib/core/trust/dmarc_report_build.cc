// Writing aggregate reports, and telling people what is in one.
#include <algorithm>
#include <utility>
#include <zlib.h>

#include "absl/time/time.h"

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/people_text.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/builder.h"
#include "lib/core/trust/dmarc_report.h"

namespace postern::trust {
namespace {

// AppendText writes character data: XML's own characters as entities, and what XML 1.0 §2.2 does
// not allow as U+FFFD.
void AppendText(std::string_view text, std::string& out) {
  const std::string clean = mail::ScrubUtf8(text);
  for (char c : clean) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\r': out += "&#13;"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n')
          out += mail::kReplacementCharacter;
        else
          out += c;
    }
  }
}

class Writer {
 public:
  void Open(std::string_view name) {
    Indent();
    StrAppend(out_, "<", name, ">\n");
    ++depth_;
  }
  void Close(std::string_view name) {
    --depth_;
    Indent();
    StrAppend(out_, "</", name, ">\n");
  }
  void Leaf(std::string_view name, std::string_view text) {
    Indent();
    StrAppend(out_, "<", name, ">");
    AppendText(text, out_);
    StrAppend(out_, "</", name, ">\n");
  }
  void Optional(std::string_view name, std::string_view text) {
    if (!text.empty()) Leaf(name, text);
  }
  std::string out_;

 private:
  void Indent() { out_.append(2 * depth_, ' '); }
  size_t depth_ = 0;
};

void WriteRecord(const DmarcReportRecord& record, Writer& xml) {
  xml.Open("record");
  xml.Open("row");
  // A reporter may have left it out.
  if (!record.source_ip.empty()) xml.Leaf("source_ip", record.source_ip);
  xml.Leaf("count", StrCat(record.count));
  xml.Open("policy_evaluated");
  xml.Leaf("disposition", record.disposition);
  xml.Leaf("dkim", record.dkim);
  xml.Leaf("spf", record.spf);
  for (const DmarcReportReason& reason : record.reasons) {
    xml.Open("reason");
    xml.Leaf("type", reason.type);
    xml.Optional("comment", reason.comment);
    xml.Close("reason");
  }
  xml.Close("policy_evaluated");
  xml.Close("row");
  xml.Open("identifiers");
  if (record.envelope_to) xml.Leaf("envelope_to", *record.envelope_to);
  if (record.envelope_from) xml.Leaf("envelope_from", *record.envelope_from);
  xml.Leaf("header_from", record.header_from);
  xml.Close("identifiers");
  xml.Open("auth_results");
  for (const DmarcReportDkim& dkim : record.dkim_results) {
    xml.Open("dkim");
    xml.Leaf("domain", dkim.domain);
    xml.Leaf("selector", dkim.selector);
    xml.Leaf("result", dkim.result);
    xml.Optional("human_result", dkim.human_result);
    xml.Close("dkim");
  }
  for (const DmarcReportSpf& spf : record.spf_results) {
    xml.Open("spf");
    xml.Leaf("domain", spf.domain);
    xml.Optional("scope", spf.scope);
    xml.Leaf("result", spf.result);
    xml.Optional("human_result", spf.human_result);
    xml.Close("spf");
  }
  xml.Close("auth_results");
  xml.Close("record");
}

std::string OnlyDomain(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 255))
    if (IsAsciiAlnum(c) || c == '-' || c == '.' || c == '_') out += AsciiToLower(c);
  return out;
}

// ReportIdText is the Report-ID as the subject may have it (RFC 9990 §3.5.1).
std::string ReportIdText(std::string_view id) {
  std::string out;
  for (char c : id.substr(0, 200))
    if (IsAsciiAlnum(c) ||
        std::string_view("-._@!#$%&'*+/=?^`{|}~").find(c) != std::string_view::npos)
      out += c;
  return out;
}

// Key tells records apart that may not be counted together.
std::string Key(const DmarcReportRecord& record) {
  std::string key;
  const auto add = [&key](std::string_view text) { StrAppend(key, text, '\0'); };
  add(record.source_ip);
  add(record.disposition);
  add(record.dkim);
  add(record.spf);
  for (const DmarcReportReason& reason : record.reasons) {
    add(reason.type);
    add(reason.comment);
  }
  add("\1");
  add(record.header_from);
  add(record.envelope_from ? StrCat("=", *record.envelope_from) : "");
  add(record.envelope_to ? StrCat("=", *record.envelope_to) : "");
  for (const DmarcReportDkim& dkim : record.dkim_results)
    for (std::string_view text : {dkim.domain, dkim.selector, dkim.result, dkim.human_result})
      add(text);
  add("\1");
  for (const DmarcReportSpf& spf : record.spf_results)
    for (std::string_view text : {spf.domain, spf.scope, spf.result, spf.human_result}) add(text);
  return key;
}

std::string UtcText(int64_t seconds) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}

}  // namespace

std::string FormatDmarcReport(const DmarcReport& report) {
  Writer xml;
  xml.out_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  if (report.rfc9990) {
    xml.Open("feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"");
  } else {
    xml.Open("feedback");
  }
  xml.Leaf("version",
           report.version.empty() ? std::string_view("1.0") : std::string_view(report.version));
  xml.Open("report_metadata");
  xml.Leaf("org_name", report.org_name);
  xml.Leaf("email", report.email);
  xml.Optional("extra_contact_info", report.extra_contact_info);
  xml.Leaf("report_id", report.report_id);
  xml.Open("date_range");
  xml.Leaf("begin", StrCat(report.begin));
  xml.Leaf("end", StrCat(report.end));
  xml.Close("date_range");
  for (const std::string& error : report.errors) xml.Leaf("error", error);
  if (report.rfc9990) xml.Optional("generator", report.generator);
  xml.Close("report_metadata");
  xml.Open("policy_published");
  xml.Leaf("domain", report.domain);
  if (report.rfc9990) xml.Optional("discovery_method", report.discovery_method);
  if (!report.rfc9990) {
    xml.Optional("adkim", report.adkim);
    xml.Optional("aspf", report.aspf);
  }
  xml.Leaf("p", report.p);
  xml.Optional("sp", report.sp);
  if (report.rfc9990) {
    xml.Optional("np", report.np);
    xml.Optional("fo", report.fo);
    xml.Optional("adkim", report.adkim);
    xml.Optional("aspf", report.aspf);
    xml.Optional("testing", report.testing);
  } else {
    xml.Optional("pct", report.pct);
    xml.Optional("fo", report.fo);
  }
  xml.Close("policy_published");
  for (const DmarcReportRecord& record : report.records) WriteRecord(record, xml);
  xml.Close("feedback");
  return std::move(xml.out_);
}

std::string DmarcReportFileName(const DmarcReport& report, std::string_view receiver,
                                std::string_view unique, bool compressed) {
  std::string out = StrCat(OnlyDomain(receiver), "!", OnlyDomain(report.domain), "!", report.begin,
                           "!", report.end);
  std::string id;
  for (char c : unique.substr(0, 64))
    if (IsAsciiAlnum(c)) id += c;
  if (!id.empty()) StrAppend(out, "!", id);
  return StrCat(out, compressed ? ".xml.gz" : ".xml");
}

std::string GzipCompress(std::string_view octets) {
  z_stream stream{};
  POSTERN_CHECK(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8,
                             Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out;
  // zlib counts in 32 bits: long input goes in pieces.
  constexpr size_t kPiece = 1u << 30;
  do {
    const std::string_view piece = octets.substr(0, kPiece);
    octets.remove_prefix(piece.size());
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream.avail_in = static_cast<uInt>(piece.size());
    const int flush = octets.empty() ? Z_FINISH : Z_NO_FLUSH;
    int result = Z_OK;
    do {
      char buffer[1 << 14];
      stream.next_out = reinterpret_cast<Bytef*>(buffer);
      stream.avail_out = sizeof buffer;
      result = deflate(&stream, flush);
      out.append(buffer, sizeof buffer - stream.avail_out);
    } while (stream.avail_out == 0 && result == Z_OK);
  } while (!octets.empty());
  deflateEnd(&stream);
  return out;
}

std::string BuildDmarcReportMail(const DmarcReport& report, const DmarcReportMail& mail) {
  const std::string receiver = OnlyDomain(mail.receiver);
  const std::string id = ReportIdText(report.report_id);
  std::string out;
  message::AppendHeader("Date", mail::FormatDate(mail.date, mail.offset_minutes), out);
  message::AppendAddressHeader("From", {{"", mail.from}}, out);
  std::vector<std::pair<std::string, std::string>> to;
  for (const std::string& address : mail.to) to.emplace_back("", address);
  message::AppendAddressHeader("To", to, out);
  message::AppendHeader("Subject",
                        StrCat("Report Domain: ", OnlyDomain(report.domain), " Submitter: ",
                               receiver, id.empty() ? "" : StrCat(" Report-ID: <", id, ">")),
                        out);
  message::AppendHeader("Message-ID", mail.message_id, out);
  message::AppendHeader("Auto-Submitted", "auto-generated", out);
  message::AppendHeader("MIME-Version", "1.0", out);
  message::OutgoingPart text;
  text.content_type = "text/plain; charset=utf-8";
  text.content = mail.text;
  if (text.content.empty()) {
    text.content =
        StrCat("This is a DMARC aggregate report about ", OnlyDomain(report.domain), " from ",
               receiver, ",\r\nfor ", UtcText(report.begin), " to ", UtcText(report.end), ".\r\n");
  }
  message::OutgoingPart file;
  file.content_type = "application/gzip";
  file.file_name = DmarcReportFileName(report, receiver, mail.unique);
  file.content = GzipCompress(FormatDmarcReport(report));
  message::OutgoingPart whole;
  whole.content_type = "multipart/mixed";
  whole.parts.push_back(std::move(text));
  whole.parts.push_back(std::move(file));
  message::AppendPart(whole, mail.boundary_seed, out);
  return out;
}

DmarcReport MakeDmarcReport(const DmarcCheck& check) {
  DmarcReport report;
  report.domain = check.policy_domain;
  report.discovery_method = check.method == DmarcMethod::kTreeWalk ? "treewalk" : "psl";
  const DmarcRecord record = check.record.value_or(DmarcRecord{});
  // Defaults are written out (§3.1.1.5); a broken policy counts as "none".
  using Whose = DmarcRecord::Whose;
  report.p = DmarcPolicyName(record.PolicyFor(Whose::kItself));
  report.sp = DmarcPolicyName(record.PolicyFor(Whose::kSubdomain));
  report.np = DmarcPolicyName(record.PolicyFor(Whose::kMissingSubdomain));
  report.adkim = record.adkim == DmarcAlignment::kStrict ? "s" : "r";
  report.aspf = record.aspf == DmarcAlignment::kStrict ? "s" : "r";
  report.testing = record.testing ? "y" : "n";
  for (const auto& [set, letter] :
       {std::pair(record.fo.all, '0'), std::pair(record.fo.any, '1'),
        std::pair(record.fo.dkim, 'd'), std::pair(record.fo.spf, 's')}) {
    if (!set) continue;
    if (!report.fo.empty()) report.fo += ':';
    report.fo += letter;
  }
  for (const DmarcProblem& problem : record.problems)
    if (!problem.harmless && report.errors.size() < 10)
      report.errors.push_back(problem.explanation);
  return report;
}

void DmarcReportCollector::Add(DmarcReportRecord record) {
  std::string key = Key(record);
  const auto found = records_.find(key);
  if (found != records_.end()) {
    found->second.count += record.count;
  } else if (records_.size() < max_records_) {
    records_.emplace(std::move(key), std::move(record));
  } else {
    dropped_ += record.count;
  }
}

std::vector<DmarcReportRecord> DmarcReportCollector::Take() {
  std::vector<DmarcReportRecord> out;
  out.reserve(records_.size());
  for (auto& [key, record] : records_) out.push_back(std::move(record));
  records_.clear();
  dropped_ = 0;
  return out;
}

std::vector<DmarcReportRecord> DmarcReportCollector::Records() const {
  std::vector<DmarcReportRecord> out;
  out.reserve(records_.size());
  for (const auto& [key, record] : records_) out.push_back(record);
  return out;
}

std::string DescribeDmarcReport(const DmarcReport& report, size_t max_records) {
  const auto safe = [](std::string_view text) { return mail::EscapeForPeople(text, 200); };
  std::string out = StrCat("Report about ", safe(report.domain), " from ", safe(report.org_name));
  if (!report.email.empty()) StrAppend(out, " <", safe(report.email), ">");
  StrAppend(out, "\n  id       ", safe(report.report_id), "\n  period   ", UtcText(report.begin),
            " to ", UtcText(report.end), "\n  policy   p=", safe(report.p));
  for (const auto& [name, value] : {std::pair<std::string_view, std::string_view>("sp", report.sp),
                                    {"np", report.np},
                                    {"adkim", report.adkim},
                                    {"aspf", report.aspf},
                                    {"pct", report.pct},
                                    {"fo", report.fo},
                                    {"t", report.testing}})
    if (!value.empty()) StrAppend(out, " ", name, "=", safe(value));
  if (!report.discovery_method.empty()) StrAppend(out, " (", safe(report.discovery_method), ")");
  StrAppend(out, "\n  form     ", report.rfc9990 ? "RFC 9990" : "RFC 7489");
  if (!report.generator.empty()) StrAppend(out, ", by ", safe(report.generator));
  const uint64_t all = report.message_count(), good = report.aligned_count();
  StrAppend(out, "\n  messages ", all, ", of which ", good, " passed DMARC and ", all - good,
            " did not\n");
  for (const std::string& error : report.errors) StrAppend(out, "  error    ", safe(error), "\n");
  // What did not pass is what its owner must look at: it comes first, the most of it foremost.
  std::vector<const DmarcReportRecord*> records;
  for (const DmarcReportRecord& record : report.records) records.push_back(&record);
  std::stable_sort(records.begin(), records.end(), [](const auto* a, const auto* b) {
    return a->aligned() != b->aligned() ? b->aligned() : a->count > b->count;
  });
  size_t shown = 0;
  for (const DmarcReportRecord* record : records) {
    if (shown++ >= max_records) {
      StrAppend(out, "\n  and ", records.size() - max_records, " records more\n");
      break;
    }
    StrAppend(out, "\n  ", safe(record->source_ip), "  ", record->count,
              record->count == 1 ? " message" : " messages", " from ", safe(record->header_from));
    if (record->envelope_from)
      StrAppend(out, " (envelope ",
                record->envelope_from->empty() ? "<>" : safe(*record->envelope_from), ")");
    StrAppend(out, "\n    DMARC ", record->aligned() ? "pass" : "fail", ": dkim ",
              safe(record->dkim), ", spf ", safe(record->spf),
              "; done: ", safe(record->disposition), "\n");
    for (const DmarcReportReason& reason : record->reasons)
      StrAppend(out, "    because of ", safe(reason.type),
                reason.comment.empty() ? "" : StrCat(": ", safe(reason.comment)), "\n");
    for (const DmarcReportDkim& dkim : record->dkim_results)
      StrAppend(out, "    DKIM ", safe(dkim.result), " for ", safe(dkim.domain),
                dkim.selector.empty() ? "" : StrCat(", selector ", safe(dkim.selector)),
                dkim.human_result.empty() ? "" : StrCat(" (", safe(dkim.human_result), ")"), "\n");
    for (const DmarcReportSpf& spf : record->spf_results)
      StrAppend(out, "    SPF ", safe(spf.result), " for ", safe(spf.domain),
                spf.scope.empty() ? "" : StrCat(" (", safe(spf.scope), ")"),
                spf.human_result.empty() ? "" : StrCat(" (", safe(spf.human_result), ")"), "\n");
  }
  for (const std::string& problem : report.problems)
    StrAppend(out, "  note: ", safe(problem), "\n");
  return out;
}

}  // namespace postern::trust
