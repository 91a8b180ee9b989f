#include "lib/core/message/arf.h"

#include <algorithm>
#include <array>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

// Single and Multi tie names of fields to their places; reading and writing both walk over them.
struct Single {
  std::string_view name;
  std::string ArfReport::*slot;
};
struct Multi {
  std::string_view name;
  std::vector<std::string> ArfReport::*slot;
};
constexpr std::array<Single, 19> kSingles = {{
    {"Feedback-Type", &ArfReport::feedback_type},
    {"User-Agent", &ArfReport::user_agent},
    {"Version", &ArfReport::version},
    {"Original-Envelope-Id", &ArfReport::original_envelope_id},
    {"Original-Mail-From", &ArfReport::original_mail_from},
    {"Arrival-Date", &ArfReport::arrival_date},
    {"Reporting-MTA", &ArfReport::reporting_mta},
    {"Source-IP", &ArfReport::source_ip},
    {"Source-Port", &ArfReport::source_port},
    {"Auth-Failure", &ArfReport::auth_failure},
    {"Delivery-Result", &ArfReport::delivery_result},
    {"Identity-Alignment", &ArfReport::identity_alignment},
    {"DKIM-Domain", &ArfReport::dkim_domain},
    {"DKIM-Identity", &ArfReport::dkim_identity},
    {"DKIM-Selector", &ArfReport::dkim_selector},
    {"DKIM-Selector-DNS", &ArfReport::dkim_selector_dns},
    {"DKIM-ADSP-DNS", &ArfReport::dkim_adsp_dns},
    {"DKIM-Canonicalized-Header", &ArfReport::dkim_canonicalized_header},
    {"DKIM-Canonicalized-Body", &ArfReport::dkim_canonicalized_body},
}};
constexpr std::array<Multi, 5> kMultis = {{
    {"Original-Rcpt-To", &ArfReport::original_rcpt_to},
    {"Authentication-Results", &ArfReport::authentication_results},
    {"Reported-Domain", &ArfReport::reported_domain},
    {"Reported-URI", &ArfReport::reported_uri},
    {"SPF-DNS", &ArfReport::spf_dns},
}};

bool IsBase64Field(std::string_view name) { return name.starts_with("DKIM-Canonicalized-"); }

// OneLine is `text` of printable characters on one line; UTF-8 stays (RFC 6532).
std::string OneLine(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (IsAscii(c) && !IsAsciiPrintable(c)) c = ' ';
  return out;
}

void AddField(std::string_view name, std::string_view value, std::string& out) {
  const std::string line = OneLine(value);
  value = Trim(line);
  if (value.empty()) return;
  if (!IsBase64Field(name)) return AppendHeader(name, value, out);
  // Base64 has no blanks to fold at: it gets them.
  constexpr size_t kLine = 70;
  StrAppend(out, name, ":");
  for (; !value.empty(); value.remove_prefix(std::min(kLine, value.size())))
    StrAppend(out, "\r\n ", value.substr(0, kLine));
  out += "\r\n";
}

bool IsFieldName(std::string_view name) {
  return !name.empty() && name.size() <= 200 && std::all_of(name.begin(), name.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != ':';
  });
}

std::string_view Cut(std::string_view text, size_t bytes) { return text.substr(0, bytes); }

// OriginalOf gives the octets of the message in a part, undecoded unless the part is encoded.
std::string OriginalOf(const MessageView& message, const Part& part, const ArfLimits& limits) {
  if (part.kind != PartKind::kMultipart && part.encoding != TransferEncoding::kIdentity) {
    std::string out;
    DecodeBody(message, part, out);
    out.resize(std::min(out.size(), limits.max_original_bytes));
    return out;
  }
  return std::string(Cut(message.BodyBytes(part), limits.max_original_bytes));
}

}  // namespace

StatusOr<ArfReport> ParseFeedbackFields(std::string_view fields, const ArfLimits& limits) {
  ArfReport report;
  // Reporters leave empty lines before the first field.
  while (!fields.empty() && (fields.front() == '\r' || fields.front() == '\n'))
    fields.remove_prefix(1);
  ParseOptions options;
  options.max_headers = limits.max_fields;
  const MessageView view = ParseHeader(fields, options);
  std::array<bool, kSingles.size()> seen{};
  for (const Header& header : view.headers(view.root())) {
    // Controls at the ends have become blanks.
    std::string value(Trim(Unfold(Cut(header.value, limits.max_field_bytes))));
    bool known = false;
    for (size_t i = 0; i < kSingles.size() && !known; ++i) {
      if (!EqualsIgnoreCase(header.name, kSingles[i].name)) continue;
      known = true;
      if (seen[i]) continue;  // the first counts
      seen[i] = true;
      if (IsBase64Field(kSingles[i].name))
        value.erase(std::remove_if(value.begin(), value.end(),
                                   [](char c) { return c == ' ' || c == '\t'; }),
                    value.end());
      report.*kSingles[i].slot = std::move(value);
    }
    for (size_t i = 0; i < kMultis.size() && !known; ++i) {
      if (!EqualsIgnoreCase(header.name, kMultis[i].name)) continue;
      known = true;
      (report.*kMultis[i].slot).push_back(std::move(value));
    }
    if (known) continue;
    if (EqualsIgnoreCase(header.name, "Received-Date")) {
      // RFC 5965 §3.2: the older name of Arrival-Date.
      if (report.arrival_date.empty()) report.arrival_date = std::move(value);
    } else if (EqualsIgnoreCase(header.name, "Incidents")) {
      report.incidents = ParseUint(value).value_or(1);
    } else if (!header.name.empty()) {
      report.others.emplace_back(std::string(header.name), std::move(value));
    }
  }
  if (report.version.empty()) report.version = "1";  // RFC 5965 §3.1 has no other
  if (report.feedback_type.empty()) return InvalidArgument("the report has no Feedback-Type");
  return report;
}

StatusOr<ArfReport> ParseArf(const MessageView& message, const ArfLimits& limits) {
  const Part* feedback = nullptr;
  for (const Part& part : message.parts()) {
    if (!part.Is("message", "feedback-report") || !IsOfMessageItself(message, part)) continue;
    feedback = &part;
    break;
  }
  if (feedback == nullptr) return NotFound("the message has no message/feedback-report part");
  std::string fields;
  DecodeBody(message, *feedback, fields);
  StatusOr<ArfReport> report = ParseFeedbackFields(fields, limits);
  if (!report.ok()) return report;
  for (const Part& part : message.parts()) {
    if (part.parent != feedback->parent || &part == feedback) continue;
    const bool whole = part.Is("message", "rfc822") || part.Is("message", "global");
    const bool headers = part.Is("text", "rfc822-headers") ||
                         part.Is("message", "rfc822-headers") ||
                         part.Is("message", "global-headers");
    if ((whole || headers) && report->original.empty()) {
      report->original = OriginalOf(message, part, limits);
      report->headers_only = headers;
    } else if (&part < feedback && part.Is("text", "") && report->text.empty()) {
      report->text = std::string(Cut(DecodeBodyText(message, part), limits.max_original_bytes));
    }
  }
  return report;
}

std::string FormatFeedbackFields(const ArfReport& report) {
  std::string out;
  for (const Single& single : kSingles) AddField(single.name, report.*single.slot, out);
  if (report.incidents != 1) AddField("Incidents", StrCat(report.incidents), out);
  for (const Multi& multi : kMultis)
    for (const std::string& value : report.*multi.slot) AddField(multi.name, value, out);
  for (const auto& [name, value] : report.others)
    if (IsFieldName(name)) AddField(name, value, out);
  return out;
}

std::string BuildArf(const ArfReport& report, const ArfMail& mail) {
  const MessageView original = ParseHeader(report.original);
  std::string subject = mail.subject;
  if (subject.empty()) {
    subject = "FW:";
    if (const Header* header = original.Find(original.root(), Field::kSubject))
      StrAppend(subject, " ", DecodeText(Unfold(header->value).substr(0, 1'000)));
  }
  std::string text = report.text;
  if (text.empty()) {
    text =
        StrCat("This is a report about a message that was received",
               report.source_ip.empty() ? "" : StrCat(" from IP ", OneLine(report.source_ip)),
               report.arrival_date.empty() ? "" : StrCat(" on\r\n", OneLine(report.arrival_date)),
               ".\r\nThe part behind this one is for programs (RFC 5965); the message",
               report.headers_only ? "'s header\r\n" : "\r\n", "follows it.\r\n");
  }
  const std::string fields = FormatFeedbackFields(report);
  std::string_view returned = report.original;
  if (report.headers_only) returned = returned.substr(0, original.root().header_end_offset);
  const std::string boundary = StrCat("=_", mail.boundary_seed, "_arf");

  std::string out;
  AppendHeader("Date", mail::FormatDate(mail.date, mail.offset_minutes), out);
  AppendAddressHeader("From", {{"", mail.from}}, out);
  std::vector<std::pair<std::string, std::string>> to;
  for (const std::string& address : mail.to) to.emplace_back("", address);
  AppendAddressHeader("To", to, out);
  AppendTextHeader("Subject", subject, out);
  AppendHeader("Message-ID", mail.message_id, out);
  AppendHeader("Auto-Submitted", "auto-generated", out);
  AppendHeader("MIME-Version", "1.0", out);
  AppendHeader("Content-Type",
               StrCat("multipart/report; report-type=feedback-report; boundary=\"", boundary, "\""),
               out);
  // A message with UTF-8 in its header is message/global, and encoded, because this report may go
  // where such headers may not (RFC 6532 §3.7); a header alone is quoted-printable (RFC 6522 §4).
  const std::string_view header = original.HeaderBytes(original.root());
  const bool global = !report.headers_only && !IsAscii(header) && mail::IsValidUtf8(header);
  const bool quoted = report.headers_only && !IsAscii(returned);
  const bool returned_8bit = !IsAscii(returned) && !global && !quoted;
  const bool eight_bit = !IsAscii(fields) || returned_8bit;
  if (eight_bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  OutgoingPart people;
  people.content = std::move(text);
  AppendPart(people, mail.boundary_seed, out);
  StrAppend(out, "\r\n--", boundary, "\r\n");
  AppendHeader("Content-Type", "message/feedback-report", out);
  if (!IsAscii(fields)) AppendHeader("Content-Transfer-Encoding", "8bit", out);
  StrAppend(out, "\r\n", fields);
  StrAppend(out, "\r\n--", boundary, "\r\n");
  AppendHeader("Content-Type",
               report.headers_only ? "text/rfc822-headers"
               : global            ? "message/global"
                                   : "message/rfc822",
               out);
  if (global || quoted || returned_8bit) {
    AppendHeader("Content-Transfer-Encoding",
                 global   ? "base64"
                 : quoted ? "quoted-printable"
                          : "8bit",
                 out);
  }
  StrAppend(out, "\r\n");
  if (global) {
    out += mail::Base64EncodeLines(returned);
  } else if (quoted) {
    out += mail::QuotedPrintableEncode(returned);
  } else {
    out += returned;
  }
  StrAppend(out, "\r\n--", boundary, "--\r\n");
  return out;
}

}  // namespace postern::message
