// Abuse reporting format: feedback about one message, sent to whoever is responsible for it (RFC
// 5965; authentication failures: RFC 6591 and RFC 9991; source port: RFC 6692).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// ArfReport is the content of a report. Strings that are empty and lists that are empty are fields
// that are not there. Read: values are unfolded, undecoded and as written. Written: they may come
// from anywhere and are made fit for their field.
struct ArfReport {
  // RFC 5965 §3.1, required.
  std::string feedback_type;  // "abuse", "fraud", "virus", "other", "not-spam", "auth-failure"
  std::string user_agent;     // the program and its version: "Postern/0.1"
  std::string version = "1";
  // §3.2, at most once each.
  std::string original_envelope_id;
  std::string original_mail_from;  // with or without angle brackets
  std::string arrival_date;        // RFC 5322 date-time
  std::string reporting_mta;       // "dns; mx.example.org"
  std::string source_ip;
  std::string source_port;  // RFC 6692
  uint64_t incidents = 1;
  // §3.3, any number.
  std::vector<std::string> original_rcpt_to;
  std::vector<std::string> authentication_results;
  std::vector<std::string> reported_domain;
  std::vector<std::string> reported_uri;
  // RFC 6591 §3.
  std::string auth_failure;        // "adsp", "bodyhash", "revoked", "signature", "spf", "dmarc"
  std::string delivery_result;     // "delivered", "spam", "policy", "reject", "other"
  std::string identity_alignment;  // RFC 9991 §4: "none", or "dkim", "spf", both with a comma
  std::string dkim_domain;
  std::string dkim_identity;
  std::string dkim_selector;
  std::string dkim_selector_dns;
  std::string dkim_adsp_dns;
  std::string dkim_canonicalized_header;  // base64, without its blanks
  std::string dkim_canonicalized_body;
  std::vector<std::string> spf_dns;
  // Fields that nobody knows (§3.4): name and value.
  std::vector<std::pair<std::string, std::string>> others;

  // The message that it is about.
  std::string original;
  bool headers_only = false;  // text/rfc822-headers: `original` has no body
  std::string text;           // what the report says to people; may be empty
};

// ArfLimits bound a report that is read.
struct ArfLimits {
  size_t max_field_bytes = 64 << 10;     // of one value; the rest is dropped
  size_t max_fields = 1'000;             // further ones are passed over
  size_t max_original_bytes = 64 << 20;  // of `original` and of `text`, each; the rest is dropped
};

// ParseArf reads a report out of a message: its first message/feedback-report, and what stands
// beside it. The multipart around it need not call itself a report. kNotFound when there is no such
// part, kInvalidArgument when it has no Feedback-Type (RFC 5965 §3.1). Linear time.
StatusOr<ArfReport> ParseArf(const MessageView& message, const ArfLimits& limits = {});

// ParseFeedbackFields reads the fields of message/feedback-report alone.
StatusOr<ArfReport> ParseFeedbackFields(std::string_view fields, const ArfLimits& limits = {});

// FormatFeedbackFields writes them, with CRLF ends.
std::string FormatFeedbackFields(const ArfReport& report);

// ArfMail is the message around a report.
struct ArfMail {
  std::string from;  // an address
  std::vector<std::string> to;
  std::string subject;        // UTF-8; empty: "FW: " and the subject of the original (RFC 5965 §2)
  std::string message_id;     // with brackets
  std::string boundary_seed;  // random letters and digits, at least 16
  WallTime date;
  int offset_minutes = 0;
};
// BuildArf writes the whole message: CRLF lines; with `headers_only` only the header of `original`
// goes along. It has 8-bit octets where the original has them, and then says so.
std::string BuildArf(const ArfReport& report, const ArfMail& mail);

}  // namespace postern::message
