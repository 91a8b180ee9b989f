#include "lib/core/mail/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

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

uint32_t Group(const unsigned char* p) {
  return kTables.place[0][p[0]] | kTables.place[1][p[1]] | kTables.place[2][p[2]] |
         kTables.place[3][p[3]];
}

void Put3(char* to, uint32_t value) {
  to[0] = static_cast<char>(value >> 16);
  to[1] = static_cast<char>(value >> 8);
  to[2] = static_cast<char>(value);
}

char* EncodeInto(std::string_view octets, char* to) {
  const auto* p = reinterpret_cast<const unsigned char*>(octets.data());
  size_t left = octets.size();
  for (; left >= 3; left -= 3, p += 3) {
    const uint32_t value = uint32_t{p[0]} << 16 | uint32_t{p[1]} << 8 | p[2];
    *to++ = kAlphabet[value >> 18];
    *to++ = kAlphabet[value >> 12 & 63];
    *to++ = kAlphabet[value >> 6 & 63];
    *to++ = kAlphabet[value & 63];
  }
  if (left > 0) {
    const uint32_t value = uint32_t{p[0]} << 16 | (left == 2 ? uint32_t{p[1]} << 8 : 0);
    *to++ = kAlphabet[value >> 18];
    *to++ = kAlphabet[value >> 12 & 63];
    *to++ = left == 2 ? kAlphabet[value >> 6 & 63] : '=';
    *to++ = '=';
  }
  return to;
}

}  // namespace

std::string Base64Encode(std::string_view octets) {
  std::string out((octets.size() + 2) / 3 * 4, '\0');
  EncodeInto(octets, out.data());
  return out;
}

std::string Base64EncodeLines(std::string_view octets, size_t line_bytes) {
  const size_t octets_per_line = std::max<size_t>(line_bytes / 4, 1) * 3;
  const size_t lines = (octets.size() + octets_per_line - 1) / octets_per_line;
  std::string out((octets.size() + 2) / 3 * 4 + lines * 2, '\0');
  char* to = out.data();
  while (!octets.empty()) {
    const std::string_view line = octets.substr(0, octets_per_line);
    octets.remove_prefix(line.size());
    to = EncodeInto(line, to);
    *to++ = '\r';
    *to++ = '\n';
  }
  return out;
}

std::optional<std::string> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  if (text.empty()) return std::string();
  size_t padding = 0;
  if (text.back() == '=') padding = text[text.size() - 2] == '=' ? 2 : 1;
  std::string out(text.size() / 4 * 3, '\0');
  char* to = out.data();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* last = p + text.size() - (padding > 0 ? 4 : 0);
  for (; p < last; p += 4, to += 3) {
    const uint32_t value = Group(p);
    if ((value & kBad) != 0) return std::nullopt;
    Put3(to, value);
  }
  if (padding > 0) {
    const unsigned char tail[4] = {p[0], p[1],
                                   padding == 2 ? static_cast<unsigned char>('A') : p[2], 'A'};
    const uint32_t value = Group(tail);
    if ((value & kBad) != 0) return std::nullopt;
    // RFC 4648 §3.5: the bits that the padding leaves over are zero, or two texts would mean the
    // same.
    if ((value & (padding == 2 ? 0xFFFFu : 0xFFu)) != 0) return std::nullopt;
    Put3(to, value);
    out.resize(out.size() - padding);
  }
  return out;
}

bool Base64DecodeLenient(std::string_view text, std::string& out) {
  const size_t before = out.size();
  out.resize(before + text.size() / 4 * 3 + 3);
  char* to = out.data() + before;
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  bool clean = true;
  bool padded = false;  // padding was seen, and nothing of the alphabet after it
  uint32_t bits = 0;
  int count = 0;  // characters of the group so far
  while (p < end) {
    if (count == 0) {
      uint32_t value;
      while (end - p >= 4 && ((value = Group(p)) & kBad) == 0) {
        if (padded) clean = padded = false;
        Put3(to, value);
        to += 3;
        p += 4;
      }
      if (p == end) break;
    }
    const unsigned char c = *p++;
    const uint32_t value = kTables.place[3][c];
    if ((value & kBad) == 0) {
      // RFC 2045 §6.8: padding ends the data; more after it is another value glued on, which people
      // want to see.
      if (padded) clean = padded = false;
      bits = bits << 6 | value;
      if (++count == 4) {
        Put3(to, bits);
        to += 3;
        bits = 0;
        count = 0;
      }
    } else if (c == '=') {
      if (count >= 2) {
        *to++ = static_cast<char>(count == 2 ? bits >> 4 : bits >> 10);
        if (count == 3) *to++ = static_cast<char>(bits >> 2);
      } else if (count == 1) {
        clean = false;
      }
      padded = true;
      bits = 0;
      count = 0;
    } else if (c != '\r' && c != '\n' && c != ' ' && c != '\t') {
      clean = false;
    }
  }
  if (count > 0) {
    clean = false;  // the text was cut
    if (count >= 2) {
      *to++ = static_cast<char>(count == 2 ? bits >> 4 : bits >> 10);
      if (count == 3) *to++ = static_cast<char>(bits >> 2);
    }
  }
  out.resize(static_cast<size_t>(to - out.data()));
  return clean;
}

}  // namespace postern::mail
