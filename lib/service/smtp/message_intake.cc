#include "lib/service/smtp/message_intake.h"

#include "lib/core/base/strings.h"
#include "lib/service/smtp/masquerade.h"
#include "lib/service/smtp/qualify.h"

namespace postern::service {
namespace {

// Past this many fields of addresses (RFC 5322 §3.6 has one of each kind) bare names stay bare, so
// that a header cannot grow much.
constexpr int kMaxAddressFields = 20;

// FieldName returns the name of the header field that `line` begins, or "" when it begins none (RFC
// 5322 §2.2: printable octets but colon, and blanks before the colon as §4.5 allows).
std::string_view FieldName(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  const std::string_view name = Trim(line.substr(0, colon));
  for (const char c : name) {
    if (c <= ' ' || c == 0x7f) return {};
  }
  return IsAsciiPrintable(line[0]) && line[0] != ' ' ? name : std::string_view();
}

// FindHeaderEnd returns the offset after the empty line that ends the header, or npos. `from` is
// where to begin.
size_t FindHeaderEnd(std::string_view text, size_t from) {
  if (text.substr(0, 2) == "\r\n") return 2;
  const size_t at = text.find("\r\n\r\n", from);
  return at == std::string_view::npos ? at : at + 4;
}

}  // namespace

std::string_view MessageIntake::Push(std::string_view piece) {
  if (problem_ != Problem::kNone) return {};
  if (in_body_) return piece;
  header_.append(piece);
  const size_t end = FindHeaderEnd(header_, scanned_ > 3 ? scanned_ - 3 : 0);
  scanned_ = header_.size();
  if (end == std::string_view::npos || end > options_.max_header_bytes) {
    if (header_.size() > options_.max_header_bytes) problem_ = Problem::kHeaderTooBig;
    return {};
  }
  out_.clear();
  WriteHeader(std::string_view(header_).substr(0, end - 2));
  in_body_ = true;
  if (problem_ != Problem::kNone) return {};
  out_.append(header_, end - 2);
  std::string().swap(header_);
  return out_;
}

std::string_view MessageIntake::Finish() {
  if (problem_ != Problem::kNone) return {};
  out_.clear();
  if (in_body_) return out_;
  WriteHeader(header_);
  std::string().swap(header_);
  in_body_ = true;
  return problem_ == Problem::kNone ? std::string_view(out_) : std::string_view();
}

// WriteHeader appends to out_ our fields and `header` (without its empty line), less Bcc and, of a
// new message, Return-Path.
void MessageIntake::WriteHeader(std::string_view header) {
  out_ += options_.received;
  bool has_date = false, has_message_id = false, dropping = false, is_header = true, first = true;
  int received_fields = 0;
  bool has_from = false, in_from = false, in_addresses = false;
  std::string field;  // the one that is to be masqueraded or completed
  std::string kept;
  kept.reserve(header.size());
  int addresses = 0;
  const auto end_field = [&] {
    if (in_from) kept += MasqueradeFrom(field, options_.masquerade);
    if (in_addresses) kept += QualifyAddresses(field, options_.domain);
    in_from = in_addresses = false;
    field.clear();
  };
  std::string_view rest = header;
  while (!rest.empty()) {
    const size_t line_end = rest.find("\r\n");
    const size_t length = line_end == std::string_view::npos ? rest.size() : line_end + 2;
    const std::string_view line = rest.substr(0, length);
    rest.remove_prefix(length);
    const bool continues = line[0] == ' ' || line[0] == '\t';
    if (!continues || first) {
      first = false;
      end_field();
      const std::string_view name = FieldName(line);
      dropping = EqualsIgnoreCase(name, "Bcc") ||
                 (options_.complete && EqualsIgnoreCase(name, "Return-Path"));
      if (!options_.masquerade.empty() && EqualsIgnoreCase(name, "From")) {
        dropping = has_from;
        in_from = !has_from;
        has_from = true;
      }
      in_addresses = options_.complete && !options_.domain.empty() && !in_from && !dropping &&
                     TakesQualification(name) && ++addresses <= kMaxAddressFields;
      has_date |= EqualsIgnoreCase(name, "Date");
      has_message_id |= EqualsIgnoreCase(name, "Message-ID");
      received_fields += EqualsIgnoreCase(name, "Received") ? 1 : 0;
      // Text that is no header at all: our own fields become the header and this the body.
      if (name.empty() && kept.empty() && !dropping && line != "\r\n") is_header = false;
    }
    if (in_from || in_addresses) {
      field.append(line);
    } else if (!dropping) {
      kept.append(line);
    }
  }
  end_field();
  if (received_fields >= options_.max_received_fields) problem_ = Problem::kLoop;
  std::string missing;
  if (options_.complete && !has_date) StrAppend(missing, "Date: ", options_.date, "\r\n");
  if (options_.complete && !has_message_id)
    StrAppend(missing, "Message-ID: ", options_.message_id, "\r\n");
  // Where our trace fields came with the text they stay at its top (RFC 5321 §4.4).
  if (options_.received.empty() && is_header && kept.ends_with("\r\n")) {
    kept += missing;
  } else {
    out_ += missing;
  }
  if (!is_header) out_ += "\r\n";
  out_ += kept;
}

}  // namespace postern::service
