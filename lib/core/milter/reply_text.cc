#include "lib/core/milter/reply_text.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::milter {
namespace {

// "%%" is "%", and a lone one is left out, as Postfix does.
std::string Unescape(std::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '%' && (++i == line.size() || line[i] != '%')) {
      if (i < line.size()) out.push_back(line[i]);
      continue;
    }
    out.push_back(line[i]);
  }
  return out;
}

}  // namespace

StatusOr<mail::Reply> ReadReplyText(std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) return InvalidArgument("a reply that is too long");
  mail::Reply reply;
  for (std::string_view line : Split(text, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() && reply.code != 0) continue;
    const std::optional<uint64_t> code = ParseUint(line.substr(0, 3), 599);
    if (line.size() < 3 || !code.has_value() || *code < 400 ||
        (line.size() > 3 && line[3] != ' ' && line[3] != '-')) {
      return InvalidArgument(
          StrCat("\"", Escape(line, 80), "\" does not start with a code of 4xx or 5xx"));
    }
    const int value = static_cast<int>(*code);
    if (reply.code != 0 && reply.code != value)
      return InvalidArgument(StrCat("a reply of two codes, ", reply.code, " and ", value));
    std::string_view rest = line.substr(std::min<size_t>(4, line.size()));
    const size_t blank = rest.find(' ');
    const mail::EnhancedStatus status = mail::EnhancedStatus::Parse(rest.substr(0, blank));
    if (!status.empty() && status.klass == value / 100 &&
        (reply.code == 0 || status == reply.status)) {
      if (reply.code == 0) reply.status = status;
      rest = blank == std::string_view::npos ? std::string_view() : rest.substr(blank + 1);
    }
    reply.code = value;
    reply.lines.push_back(Unescape(rest));
  }
  return reply;
}

std::string WriteReplyText(const mail::Reply& reply) {
  std::string out;
  for (size_t i = 0; i < reply.lines.size() || i == 0; ++i) {
    const bool last = i + 1 >= reply.lines.size();
    StrAppend(out, reply.code, last ? " " : "-");
    if (!reply.status.empty()) StrAppend(out, reply.status.ToString(), " ");
    if (i < reply.lines.size()) {
      for (const char c : reply.lines[i]) {
        if (c == '%') out.push_back('%');
        if (c != '\r' && c != '\n' && c != '\0') out.push_back(c);
      }
    }
    if (!last) out.append("\r\n");
  }
  return out;
}

}  // namespace postern::milter
