#include "lib/core/mail/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "lib/core/mail/base64_groups.h"
#include "lib/core/mail/growing_output.h"

namespace postern::mail {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// ValueOf gives the six bits of a character of the alphabet, 64 for anything else.
constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = 64;
  for (uint8_t i = 0; i < 64; ++i) values[static_cast<unsigned char>(kAlphabet[i])] = i;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = MakeValues();
uint32_t ValueOf(unsigned char c) { return kValues[c]; }

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
  std::string out(text.size() / 4 * 3 + GrowingOutput::kSlack, '\0');
  char* to = out.data();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const last = p + text.size() - (padding > 0 ? 4 : 0);
  // A CRLF would be passed over: then too few octets come out.
  DecodeGroups(p, last, text.size(), &to);
  if (to - out.data() != (last - p) / 4 * 3) return std::nullopt;
  p = last;
  if (padding > 0) {
    const uint32_t third = padding == 2 ? 0 : ValueOf(p[2]);
    const uint32_t first = ValueOf(p[0]);
    const uint32_t second = ValueOf(p[1]);
    if (first > 63 || second > 63 || third > 63) return std::nullopt;
    const uint32_t value = first << 18 | second << 12 | third << 6;
    // RFC 4648 §3.5: the bits that the padding leaves over are zero, or two texts would mean the
    // same.
    if ((value & (padding == 2 ? 0xFFFFu : 0xFFu)) != 0) return std::nullopt;
    Put3(to, value);
    to += 3 - padding;
  }
  out.resize(static_cast<size_t>(to - out.data()));
  return out;
}

void Base64Decoder::Decode(std::string_view text, std::string& out) {
  GrowingOutput room(out, (text.size() / 4 + 2) * 3);
  char* to = room.begin();
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p < end) {
    const size_t most = room.Ensure(to) - kGroupsSlack;
    if (count_ == 0) {
      const char* const before = to;
      p = DecodeGroups(p, end, most, &to);
      if (to != before) {
        // RFC 2045 §6.8: padding ends the data; more after it is another value glued on, which
        // people want to see.
        if (padded_) clean_ = padded_ = false;
        continue;
      }
      if (p == end) break;
    }
    const unsigned char c = *p++;
    const uint32_t value = ValueOf(c);
    if (value < 64) {
      if (padded_) clean_ = padded_ = false;
      bits_ = bits_ << 6 | value;
      if (++count_ == 4) {
        Put3(to, bits_);
        to += 3;
        bits_ = 0;
        count_ = 0;
      }
    } else if (c == '=') {
      if (count_ >= 2) {
        *to++ = static_cast<char>(count_ == 2 ? bits_ >> 4 : bits_ >> 10);
        if (count_ == 3) *to++ = static_cast<char>(bits_ >> 2);
      } else if (count_ == 1) {
        clean_ = false;
      }
      padded_ = true;
      bits_ = 0;
      count_ = 0;
    } else if (c != '\r' && c != '\n' && c != ' ' && c != '\t') {
      clean_ = false;
    }
  }
  room.Finish(to);
}

bool Base64Decoder::Finish(std::string& out) {
  if (count_ > 0) {
    clean_ = false;  // the text was cut
    if (count_ >= 2) {
      out.push_back(static_cast<char>(count_ == 2 ? bits_ >> 4 : bits_ >> 10));
      if (count_ == 3) out.push_back(static_cast<char>(bits_ >> 2));
    }
  }
  return clean_;
}

bool Base64DecodeLenient(std::string_view text, std::string& out) {
  Base64Decoder decoder;
  decoder.Decode(text, out);
  return decoder.Finish(out);
}

}  // namespace postern::mail
