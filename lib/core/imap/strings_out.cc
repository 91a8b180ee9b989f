#include "lib/core/imap/strings_out.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/imap/scanner.h"

namespace postern::imap {
namespace {

constexpr size_t kMaxQuotedBytes = 1000;  // RFC 2683 §3.2.1.5: lines stay within about 1,000 octets

bool FitsQuoted(std::string_view s) {
  if (s.size() > kMaxQuotedBytes) return false;
  return std::all_of(s.begin(), s.end(),
                     [](char c) { return IsAscii(c) && c != '\0' && c != '\r' && c != '\n'; });
}

}  // namespace

void AppendString(std::string& out, std::string_view s) {
  if (FitsQuoted(s)) {
    out.push_back('"');
    for (char c : s) {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    out.push_back('"');
    return;
  }
  StrAppend(out, "{", s.size(), "}\r\n");
  for (char c : s) out.push_back(c == '\0' ? '?' : c);
}

void AppendAString(std::string& out, std::string_view s) {
  const bool word = !s.empty() && s.size() <= kMaxQuotedBytes && !EqualsIgnoreCase(s, "NIL") &&
                    std::all_of(s.begin(), s.end(), IsAStringChar);
  if (word) {
    out.append(s);
  } else {
    AppendString(out, s);
  }
}

void AppendNString(std::string& out, const std::optional<std::string>& s) {
  if (s) {
    AppendString(out, *s);
  } else {
    out.append("NIL");
  }
}

void AppendText(std::string& out, std::string_view s) {
  for (char c : s.substr(0, kMaxQuotedBytes)) out.push_back(IsAsciiPrintable(c) ? c : '?');
}

}  // namespace postern::imap
