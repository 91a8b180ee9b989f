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

// TakeStatus takes an enhanced status off the front of `text`, and the blanks behind it; empty when
// none stands there.
EnhancedStatus TakeStatus(std::string_view* text) {
  // Few texts begin with a digit.
  if (text->empty() || text->front() < '2' || text->front() > '5') return {};
  const size_t blank = text->find(' ');
  const EnhancedStatus status = EnhancedStatus::Parse(text->substr(0, blank));
  if (!status.empty())
    *text = blank == std::string_view::npos ? std::string_view() : Trim(text->substr(blank));
  return status;
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
    std::string_view line = i < lines.size() ? std::string_view(lines[i]) : std::string_view();
    // RFC 2034 §4: one status on each line. Who wrote the text may have thought of it, too.
    while (!prefix.empty() && !TakeStatus(&line).empty()) {
    }
    std::string text = prefix + PrintableAscii(line);
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
  const int klass = static_cast<int>(*code / 100);
  std::string_view rest = text;
  EnhancedStatus status = TakeStatus(&rest);
  if (any_class) {
    // What somebody has answered stays as it was, with all that it says.
    const bool fits = status.klass == klass;
    return Reply(static_cast<int>(*code), fits ? status : EnhancedStatus(),
                 std::string(fits ? rest : text));
  }
  // RFC 2034 §4: one status, of the code's class. The first of that class, else the first.
  for (EnhancedStatus next = status; !next.empty(); next = TakeStatus(&rest)) {
    if (status.klass != klass && next.klass == klass) status = next;
  }
  if (!status.empty()) status.klass = klass;
  return Reply(static_cast<int>(*code), status, std::string(rest));
}

}  // namespace postern::mail
