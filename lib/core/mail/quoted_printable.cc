#include "lib/core/mail/quoted_printable.h"

#include <array>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "lib/core/base/strings.h"
#include "lib/core/mail/growing_output.h"

namespace postern::mail {
namespace {

constexpr size_t kMaxLineBytes = 76;  // RFC 2045 §6.7 rule 5, without the CRLF
constexpr char kHex[] = "0123456789ABCDEF";

constexpr std::array<int8_t, 256> MakeHexValues() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (int8_t i = 0; i < 10; ++i) values[static_cast<size_t>('0' + i)] = i;
  for (int8_t i = 0; i < 6; ++i) {
    values[static_cast<size_t>('A' + i)] = static_cast<int8_t>(10 + i);
    values[static_cast<size_t>('a' + i)] = static_cast<int8_t>(10 + i);
  }
  return values;
}
constexpr std::array<int8_t, 256> kHexValues = MakeHexValues();
int HexValue(char c) { return kHexValues[static_cast<unsigned char>(c)]; }

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

constexpr size_t kCopyStep = 32;

// CopyToSpecial copies from [p, end) to `*to` up to the first "=" or LF, or until `*to` has moved
// by `most` octets or more, and returns where it stopped. Behind `*to` + `most` it may write
// kCopyStep octets.
const char* CopyToSpecial(const char* p, const char* end, size_t most, char** to) {
  char* out = *to;
  const char* const stop = out + most;
#if defined(__SSE2__)
  const __m128i equals = _mm_set1_epi8('=');
  const __m128i lf = _mm_set1_epi8('\n');
  while (end - p >= static_cast<ptrdiff_t>(kCopyStep)) {
    if (out >= stop) {
      *to = out;
      return p;
    }
    // Most runs are shorter than two registers: one round, and one guess for the processor.
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16), high);
    const auto in_low = static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(low, equals), _mm_cmpeq_epi8(low, lf))));
    const auto in_high = static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(high, equals), _mm_cmpeq_epi8(high, lf))));
    const uint32_t special = in_low | in_high << 16;
    if (special != 0) {
      const int at = __builtin_ctz(special);
      *to = out + at;
      return p + at;
    }
    p += kCopyStep;
    out += kCopyStep;
  }
#endif
  while (p < end && *p != '=' && *p != '\n' && out < stop) *out++ = *p++;
  *to = out;
  return p;
}

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
  GrowingOutput room(out, text.size());  // the result is never longer
  char* to = room.begin();
  const char* p = text.data();
  const char* const end = p + text.size();
  const char* line = p;  // where the line begins that is being read
  bool correct = true;
  while (p < end) {
    size_t most = room.Ensure(to) - 2 * kCopyStep;
    p = CopyToSpecial(p, end, most, &to);
    if (p == end) break;
    if (*p == '\n') {
      // The blanks at the end of a line are not data (RFC 2045 §6.7 rule 3). They were copied as
      // they stand, so they go from both sides alike; an encoded blank ends in a digit.
      const char* line_end = p;
      const bool crlf = line_end > line && line_end[-1] == '\r';
      if (crlf) --line_end;
      const char* const stop = line_end;
      while (line_end > line && IsBlank(line_end[-1])) --line_end;
      to -= (stop - line_end) + (crlf ? 1 : 0);
      if (crlf) *to++ = '\r';
      *to++ = '\n';
      line = ++p;
      continue;
    }
    if (*p != '=') continue;  // there was no room for more
    most = room.Ensure(to);
    while (p < end && *p == '=' && most-- > 0) {
      if (end - p >= 3) {
        const int octet = HexValue(p[1]) * 16 | HexValue(p[2]);
        if (octet >= 0) {
          *to++ = static_cast<char>(octet);
          p += 3;
          continue;
        }
      }
      // A soft line break, or a sign that means nothing and stays.
      const char* next = p + 1;
      while (next < end && IsBlank(*next)) ++next;
      if (next < end && *next == '\r' && end - next >= 2 && next[1] == '\n') ++next;
      if (next == end || *next == '\n') {
        p = line = next == end ? end : next + 1;
        break;
      }
      correct = false;
      *to++ = *p++;
    }
  }
  room.Finish(to);
  return correct;
}

}  // namespace postern::mail
