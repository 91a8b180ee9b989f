#include "lib/core/message/scan.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace postern::message {

size_t FindDashLine(std::string_view text, size_t from, const OctetSet& third) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* p = begin + from;
  const auto begins = [&](const char* line) {
    return end - line >= 3 && line[0] == '-' && line[1] == '-' &&
           third[static_cast<unsigned char>(line[2])];
  };
  if ((from == 0 || (from <= text.size() && p[-1] == '\n')) && begins(p)) return from;
#if defined(__SSE2__)
  // Sixteen places at a time are compared with "\n-"; the octets behind are looked at only where
  // that stands.
  const __m128i lf = _mm_set1_epi8('\n');
  const __m128i dash = _mm_set1_epi8('-');
  while (end - p >= 19) {
    const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 1));
    auto mask = static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(here, lf), _mm_cmpeq_epi8(next, dash))));
    while (mask != 0) {
      const char* const line = p + __builtin_ctz(mask) + 1;
      if (line[1] == '-' && third[static_cast<unsigned char>(line[2])])
        return static_cast<size_t>(line - begin);
      mask &= mask - 1;
    }
    p += 16;
  }
#endif
  while (end - p >= 4) {
    p = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p - 3)));
    if (p == nullptr) break;
    ++p;
    if (begins(p)) return static_cast<size_t>(p - begin);
  }
  return text.size();
}

size_t CountLf(std::string_view text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

OctetFacts Examine(std::string_view text) {
  OctetFacts facts;
  size_t at = 0;
  while (at < text.size()) {
    const size_t lf = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, lf - at);
    if (lf < text.size()) {
      ++facts.lf_count;
      if (!line.empty() && line.back() == '\r') {
        line.remove_suffix(1);
      } else {
        facts.bare_lf = true;
      }
    }
    if (!facts.bare_cr && line.find('\r') != std::string_view::npos) facts.bare_cr = true;
    facts.longest_line_bytes = std::max(facts.longest_line_bytes, line.size());
    at = lf + 1;
  }
  facts.nul = text.find('\0') != std::string_view::npos;
  // An OR over everything, which the compiler makes wide.
  unsigned char any = 0;
  for (const char c : text) any = static_cast<unsigned char>(any | static_cast<unsigned char>(c));
  facts.eight_bit = any >= 0x80;
  return facts;
}

}  // namespace postern::message
