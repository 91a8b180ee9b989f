#include "lib/core/mail/reply.h"

#include "lib/core/base/strings.h"

namespace postern::mail {
namespace {

// RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets with the code and CRLF.
constexpr size_t kMaxReplyTextBytes = 512 - 6;

std::string PrintableAscii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (!IsAsciiPrintable(c) && c != '\t') c = '?';
  }
  return out;
}

}  // namespace

std::string EnhancedStatus::ToString() const {
  return empty() ? std::string() : StrCat(klass, ".", subject, ".", detail);
}

EnhancedStatus EnhancedStatus::Parse(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, '.');
  if (parts.size() != 3 || parts[0].size() != 1) return {};
  // RFC 3463 §2: class 2, 4 or 5; subject and detail of one to three digits without leading zeros.
  if (parts[0] != "2" && parts[0] != "4" && parts[0] != "5") return {};
  EnhancedStatus status;
  int* const fields[] = {&status.klass, &status.subject, &status.detail};
  for (size_t i = 0; i < 3; ++i) {
    if (parts[i].size() > 3 || (parts[i].size() > 1 && parts[i][0] == '0')) return {};
    const std::optional<uint64_t> value = ParseUint(parts[i], 999);
    if (!value.has_value()) return {};
    *fields[i] = static_cast<int>(*value);
  }
  return status;
}

std::string Reply::Text() const { return StrJoin(lines, " "); }

std::string Reply::ToString() const {
  std::string out = StrCat(code);
  if (!status.empty()) StrAppend(out, " ", status.ToString());
  const std::string text = PrintableAscii(Text());
  if (!text.empty()) StrAppend(out, " ", text);
  return out;
}

std::string Reply::ToWire() const {
  const std::string prefix = status.empty() ? "" : status.ToString() + " ";
  std::string out;
  for (size_t i = 0; i < lines.size() || i == 0; ++i) {
    const bool last = i + 1 >= lines.size();
    std::string text = prefix + (i < lines.size() ? PrintableAscii(lines[i]) : "");
    if (text.size() > kMaxReplyTextBytes) text.resize(kMaxReplyTextBytes);
    StrAppend(out, code, last ? " " : "-", text, "\r\n");
  }
  return out;
}

StatusOr<Reply> Reply::FromText(std::string_view text, bool any_class) {
  text = Trim(text);
  const std::optional<uint64_t> code = ParseUint(text.substr(0, 3), 599);
  if (!code.has_value() || text.size() < 3 || *code < (any_class ? 200u : 400u) ||
      (text.size() > 3 && text[3] != ' ')) {
    return InvalidArgument(StrCat("\"", Escape(text), "\" does not start with a reply code ",
                                  any_class ? "(2xx to 5xx)" : "(4xx or 5xx)"));
  }
  text = Trim(text.substr(3));
  const size_t blank = text.find(' ');
  EnhancedStatus status = EnhancedStatus::Parse(text.substr(0, blank));
  if (!status.empty() && static_cast<uint64_t>(status.klass) == *code / 100) {
    text = blank == std::string_view::npos ? std::string_view() : Trim(text.substr(blank));
  } else {
    status = {};
  }
  return Reply(static_cast<int>(*code), status, std::string(text));
}

}  // namespace postern::mail
