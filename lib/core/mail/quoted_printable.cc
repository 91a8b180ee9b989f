#include "lib/core/mail/quoted_printable.h"

#include <cstring>

#include "lib/core/base/strings.h"

namespace postern::mail {
namespace {

constexpr size_t kMaxLineBytes = 76;  // RFC 2045 §6.7 rule 5, without the CRLF
constexpr char kHex[] = "0123456789ABCDEF";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// EncodeLine writes one line of the text without its line end.
void EncodeLine(std::string_view line, std::string& out) {
  size_t column = 0;
  const bool from = line.substr(0, 5) == "From ";
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool last = i + 1 == line.size();
    bool literal = (c > ' ' && c < 0x7f && c != '=') || (IsBlank(c) && !last);
    if (i == 0 && (from || line == ".")) literal = false;
    const size_t width = literal ? 1 : 3;
    // All but the last character leave room for the "=" of a soft line break.
    if (column + width > kMaxLineBytes - (last ? 0 : 1)) {
      out.append("=\r\n");
      column = 0;
      // A line that begins with a dot or with "From " because it was cut there is guarded as well.
      if (literal && (c == '.' || c == 'F')) literal = false;
    }
    if (literal) {
      out.push_back(c);
      column += 1;
    } else {
      const auto octet = static_cast<unsigned char>(c);
      out.push_back('=');
      out.push_back(kHex[octet >> 4]);
      out.push_back(kHex[octet & 15]);
      column += 3;
    }
  }
}

}  // namespace

std::string QuotedPrintableEncode(std::string_view octets, bool binary) {
  std::string out;
  out.reserve(octets.size() + octets.size() / 16 + 16);
  if (binary) {
    EncodeLine(octets, out);
    return out;
  }
  while (!octets.empty()) {
    const size_t lf = octets.find('\n');
    if (lf == std::string_view::npos) {
      EncodeLine(octets, out);
      break;
    }
    std::string_view line = octets.substr(0, lf);
    octets.remove_prefix(lf + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    EncodeLine(line, out);
    out.append("\r\n");
  }
  return out;
}

bool QuotedPrintableDecode(std::string_view text, std::string& out) {
  const size_t before = out.size();
  out.resize(before + text.size());  // the result is never longer
  char* to = out.data() + before;
  const char* p = text.data();
  const char* const end = p + text.size();
  bool correct = true;
  while (p < end) {
    // One line at a time: the blanks at its end are not data.
    const char* lf = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
    const char* const next = lf != nullptr ? lf + 1 : end;
    const char* line_end = lf != nullptr ? lf : end;
    const bool crlf = lf != nullptr && line_end > p && line_end[-1] == '\r';
    if (crlf) --line_end;
    const char* const stop = line_end;
    while (line_end > p && IsBlank(line_end[-1])) --line_end;
    if (lf == nullptr && line_end != stop && (line_end == p || line_end[-1] != '=')) {
      line_end = stop;  // no line end, so these blanks may be followed by more in another piece
    }
    bool soft = false;
    while (p < line_end) {
      const char* equals =
          static_cast<const char*>(std::memchr(p, '=', static_cast<size_t>(line_end - p)));
      const char* const run_end = equals != nullptr ? equals : line_end;
      const auto run = static_cast<size_t>(run_end - p);
      std::memcpy(to, p, run);
      to += run;
      p = run_end;
      if (equals == nullptr) break;
      if (p + 1 == line_end) {
        soft = true;
        p = line_end;
        break;
      }
      const int high = HexValue(p[1]);
      const int low = p + 2 < line_end ? HexValue(p[2]) : -1;
      if (high >= 0 && low >= 0) {
        *to++ = static_cast<char>(high << 4 | low);
        p += 3;
      } else {
        correct = false;
        *to++ = *p++;
      }
    }
    if (lf != nullptr && !soft) {
      if (crlf) *to++ = '\r';
      *to++ = '\n';
    }
    p = next;
  }
  out.resize(static_cast<size_t>(to - out.data()));
  return correct;
}

}  // namespace postern::mail
