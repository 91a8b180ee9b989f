#include "lib/core/mail/base64_groups.h"

#include <array>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#define POSTERN_BASE64_AVX2 1
#include <immintrin.h>
#endif

namespace postern::mail {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint32_t kBad = 0xFF000000;

// Four tables, one for each place in a group, give the bits of a character where they belong in the
// 24-bit value; kBad marks what is not in the alphabet, so one OR over four look-ups tells both the
// value and whether it is one.
struct DecodeTables {
  std::array<std::array<uint32_t, 256>, 4> place;
};

constexpr DecodeTables MakeTables() {
  DecodeTables tables{};
  for (auto& table : tables.place) {
    for (uint32_t& entry : table) entry = kBad;
  }
  for (uint32_t i = 0; i < 64; ++i) {
    const auto c = static_cast<unsigned char>(kAlphabet[i]);
    tables.place[0][c] = i << 18;
    tables.place[1][c] = i << 12;
    tables.place[2][c] = i << 6;
    tables.place[3][c] = i;
  }
  return tables;
}

constexpr DecodeTables kTables = MakeTables();

#if defined(POSTERN_BASE64_AVX2)

// Between gives 0xFF where first <= octet <= last. Octets above 0x7F are negative here and lie in
// no range.
__attribute__((target("avx2"))) inline __m256i Between(__m256i octets, char first, char last) {
  return _mm256_and_si256(_mm256_cmpgt_epi8(octets, _mm256_set1_epi8(static_cast<char>(first - 1))),
                          _mm256_cmpgt_epi8(_mm256_set1_epi8(static_cast<char>(last + 1)), octets));
}

// 32 characters at a time. Which of the five ranges a character lies in decides what is added to
// make its six bits of it; two multiplications then join the bits of each group.
__attribute__((target("avx2"))) const unsigned char* DecodeGroupsAvx2(const unsigned char* p,
                                                                      const unsigned char* end,
                                                                      size_t most, char** to) {
  char* out = *to;
  const char* const stop = out + most;
  // In each half, the three octets of a group stand in the wrong order with a zero above them.
  const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,  //
                                         2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
  while (end - p >= 32 && out < stop) {
    const __m256i in = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i upper = Between(in, 'A', 'Z');
    const __m256i lower = Between(in, 'a', 'z');
    const __m256i digit = Between(in, '0', '9');
    const __m256i plus = _mm256_cmpeq_epi8(in, _mm256_set1_epi8('+'));
    const __m256i slash = _mm256_cmpeq_epi8(in, _mm256_set1_epi8('/'));
    const __m256i letters = _mm256_or_si256(upper, lower);
    const __m256i others = _mm256_or_si256(digit, _mm256_or_si256(plus, slash));
    const auto good = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_or_si256(letters, others)));
    __m256i add = _mm256_and_si256(upper, _mm256_set1_epi8(0 - 'A'));
    add = _mm256_or_si256(add, _mm256_and_si256(lower, _mm256_set1_epi8(26 - 'a')));
    add = _mm256_or_si256(add, _mm256_and_si256(digit, _mm256_set1_epi8(52 - '0')));
    add = _mm256_or_si256(add, _mm256_and_si256(plus, _mm256_set1_epi8(62 - '+')));
    add = _mm256_or_si256(add, _mm256_and_si256(slash, _mm256_set1_epi8(63 - '/')));
    const __m256i six = _mm256_add_epi8(in, add);
    const __m256i twelve = _mm256_maddubs_epi16(six, _mm256_set1_epi32(0x01400140));
    const __m256i whole = _mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000));
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(whole, order), join);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), packed);
    if (good != 0xFFFFFFFFu) {
      const int groups = __builtin_ctz(~good) / 4;
      p += groups * 4;
      out += groups * 3;
      if (p[0] == '\r' && p[1] == '\n') {
        p += 2;
        continue;
      }
      *to = out;
      return p;
    }
    p += 32;
    out += 24;
  }
  *to = out;
  return p;
}

#endif

}  // namespace

const unsigned char* DecodeGroupsPortable(const unsigned char* p, const unsigned char* end,
                                          size_t most, char** to) {
  char* out = *to;
  const char* const stop = out + most;
  while (end - p >= 4 && out < stop) {
    const uint32_t value = kTables.place[0][p[0]] | kTables.place[1][p[1]] |
                           kTables.place[2][p[2]] | kTables.place[3][p[3]];
    if ((value & kBad) != 0) {
      if (p[0] != '\r' || p[1] != '\n') break;
      p += 2;
      continue;
    }
    out[0] = static_cast<char>(value >> 16);
    out[1] = static_cast<char>(value >> 8);
    out[2] = static_cast<char>(value);
    out += 3;
    p += 4;
  }
  *to = out;
  return p;
}

const unsigned char* DecodeGroups(const unsigned char* p, const unsigned char* end, size_t most,
                                  char** to) {
#if defined(POSTERN_BASE64_AVX2)
  // A flag that the C run time set when the process began; clang and GCC both have it.
  if (end - p >= 32 && __builtin_cpu_supports("avx2")) {
    const unsigned char* const at = DecodeGroupsAvx2(p, end, most, to);
    // With that much left, what stopped it stops the portable form too.
    if (end - at >= 34) return at;
    most = 32;
    p = at;
  }
#endif
  return DecodeGroupsPortable(p, end, most, to);
}

}  // namespace postern::mail
