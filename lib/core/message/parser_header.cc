// The header of a part: its fields, what is wrong with them, and what they say of the body.
#include <algorithm>
#include <cstring>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/parser_impl.h"

namespace postern::message {
namespace {

// The octets that a field name may have: RFC 5322 §2.2 gives 33 to 126 without the colon; 8-bit
// ones are met and kept.
bool IsNameOctet(char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != ':'; }

}  // namespace

void Parser::ReadHeader(uint32_t index) {
  size_t at = part(index).header_offset;
  const size_t begin = at;
  part_has_body_ = true;
  bool over_limit = false;
  bool first = true;
  while (true) {
    if (at >= raw_.size()) {
      part_has_body_ = false;
      FinishHeader(index, at, at);
      break;
    }
    // The empty line ends the header.
    if (raw_[at] == '\n' || (raw_[at] == '\r' && at + 1 < raw_.size() && raw_[at + 1] == '\n')) {
      if (index == 0 && at == begin) NoteLeadingLine(at);
      FinishHeader(index, at, at + (raw_[at] == '\n' ? 1 : 2));
      break;
    }
    Delimiter delimiter;
    if (raw_[at] == '-' && !frames_.empty() && raw_.substr(at, 2) == "--" &&
        MatchDelimiter(at, &delimiter)) {
      if (at != begin) Note(Defect::kMissingHeaderEnd, index, at);
      part_has_body_ = false;
      pending_delimiter_ = true;
      FinishHeader(index, at, at);
      break;
    }
    const size_t next = ReadField(index, at, first, over_limit);
    if (next == at) {
      // Not a field: the body begins here, as Postfix and Python read it too.
      Note(Defect::kMissingHeaderEnd, index, at);
      FinishHeader(index, at, at);
      break;
    }
    first = false;
    at = next;
    if (!over_limit && at - begin > options_.max_header_bytes) {
      over_limit = true;
      Stop(Defect::kHeaderSizeLimit, at);
    }
    if (!over_limit && view_.headers_.size() >= options_.max_headers) {
      over_limit = true;
      Stop(Defect::kHeaderCountLimit, at);
    }
  }
  ReadMimeFields(index);
}

void Parser::NoteLeadingLine(size_t at) {
  size_t name = raw_.find_first_not_of("\r\n", at);
  if (name == std::string_view::npos) return;
  const size_t begin = name;
  while (name < raw_.size() && name - begin < 100 && IsNameOctet(raw_[name])) ++name;
  if (name > begin && name < raw_.size() && raw_[name] == ':')
    Note(Defect::kLeadingEmptyLine, 0, at);
}

void Parser::FinishHeader(uint32_t index, size_t header_end, size_t body) {
  Part& p = part(index);
  p.header_end_offset = header_end;
  p.body_offset = body;
  p.header_count = static_cast<uint32_t>(view_.headers_.size()) - p.first_header;
}

size_t Parser::ReadField(uint32_t index, size_t at, bool first, bool over_limit) {
  const char* const base = raw_.data();
  const char* const end = base + raw_.size();
  const char* const line = base + at;
  const char* p = line;
  while (p < end && IsNameOctet(*p)) ++p;
  const char* name_end = p;
  // RFC 5322 §4.5: obsolete syntax has blanks before the colon.
  while (p < end && IsBlank(*p)) ++p;
  bool is_field = p < end && *p == ':';
  const bool mbox = first && index == 0 && !(is_field && name_end - line <= 5) &&
                    (raw_.substr(at, 5) == "From " || raw_.substr(at, 6) == ">From ");
  if (!is_field && !mbox) return at;
  const char* value = is_field ? p + 1 : line;
  if (mbox) {
    Note(Defect::kMboxFromLine, index, at);
    name_end = line;
    value = line;
    is_field = false;
  } else if (name_end == line) {
    Note(Defect::kMalformedHeaderLine, index, at);
  }
  const char* next = value;
  while (true) {
    const auto* lf =
        static_cast<const char*>(std::memchr(next, '\n', static_cast<size_t>(end - next)));
    if (lf == nullptr) {
      next = end;
      break;
    }
    next = lf + 1;
    // Folding: a line that begins with a blank goes on (RFC 5322 §2.2.3), but never behind an
    // mbox line.
    if (!is_field || next >= end || !IsBlank(*next)) break;
  }
  if (!over_limit) {
    const char* value_end = next;
    uint8_t line_end = 0;
    if (value_end > value && value_end[-1] == '\n') {
      --value_end;
      line_end = 1;
      if (value_end > value && value_end[-1] == '\r') {
        --value_end;
        line_end = 2;
      }
    }
    Header header;
    header.name = std::string_view(line, static_cast<size_t>(name_end - line));
    header.value = std::string_view(value, static_cast<size_t>(value_end - value));
    header.field = FieldOf(header.name);
    header.line_end_bytes = line_end;
    ExamineField(index, at, header);
    view_.headers_.push_back(header);
  }
  return static_cast<size_t>(next - base);
}

void Parser::ExamineField(uint32_t index, size_t at, const Header& header) {
  const std::string_view octets = header.raw();
  // One pass that most fields leave without a finding: 8-bit octets set `high`, NUL and bare CR
  // are looked for by memchr.
  unsigned char high = 0;
  for (const char c : octets)
    high = static_cast<unsigned char>(high | static_cast<unsigned char>(c));
  if (high >= 0x80 && !mail::IsValidUtf8(octets)) Note(Defect::kInvalidUtf8InHeader, index, at);
  if (std::memchr(octets.data(), '\0', octets.size()) != nullptr)
    Note(Defect::kNulInHeader, index, at);
  for (size_t cr = octets.find('\r'); cr != std::string_view::npos;
       cr = octets.find('\r', cr + 1)) {
    if (cr + 1 < octets.size() && octets[cr + 1] == '\n') continue;
    Note(Defect::kBareCrInHeader, index, at + cr);
    break;
  }
}

void Parser::ReadMimeFields(uint32_t index) {
  Part& p = part(index);
  bool have_encoding = false;
  for (const Header& header : view_.headers(p)) {
    if (header.field == Field::kContentType && !p.type_given) {
      std::string_view type, subtype, rest;
      if (ScanMediaType(header.value, &type, &subtype, &rest) && !subtype.empty()) {
        p.type = type;
        p.subtype = subtype;
        p.type_given = true;
      } else {
        p.type = "text";
        p.subtype = "plain";
        Note(Defect::kBadContentType, index, static_cast<size_t>(header.name.data() - raw_.data()));
      }
    } else if (header.field == Field::kContentTransferEncoding && !have_encoding) {
      have_encoding = true;
      ReadEncoding(index, header);
    }
  }
}

void Parser::ReadEncoding(uint32_t index, const Header& header) {
  Part& p = part(index);
  // RFC 822 §3.4.3: comments may stand before the word too.
  std::string_view value = Trim(header.value.substr(SkipCfws(header.value, 0)));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  value = value.substr(0, value.find_first_of(" \t\r\n;("));
  if (EqualsIgnoreCase(value, "base64")) {
    p.encoding = TransferEncoding::kBase64;
  } else if (EqualsIgnoreCase(value, "quoted-printable")) {
    p.encoding = TransferEncoding::kQuotedPrintable;
  } else if (!EqualsIgnoreCase(value, "7bit") && !EqualsIgnoreCase(value, "8bit") &&
             !EqualsIgnoreCase(value, "binary") && !value.empty()) {
    Note(Defect::kUnknownEncoding, index, static_cast<size_t>(header.name.data() - raw_.data()));
  }
}

}  // namespace postern::message
