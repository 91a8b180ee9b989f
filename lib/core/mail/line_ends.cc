#include "lib/core/mail/line_ends.h"

namespace postern::mail {

std::string CrlfLines(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 32 + 2);
  char before = '\n';
  for (const char c : text) {
    if (c == '\n' && before != '\r') out += '\r';
    out += c;
    before = c;
  }
  return out;
}

std::string WithCrlf(std::string_view text) {
  std::string out = CrlfLines(text);
  if (!out.empty() && out.back() != '\n') out += "\r\n";
  return out;
}

}  // namespace postern::mail
