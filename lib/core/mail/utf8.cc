#include "lib/core/mail/utf8.h"

#include <cstring>

namespace postern::mail {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// AsciiPrefix is how many octets at the front of `text` are below 0x80, looked at eight at a time.
size_t AsciiPrefix(std::string_view text) {
  size_t i = 0;
  while (i + 8 <= text.size()) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080ull) != 0) break;
    i += 8;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

}  // namespace

int32_t DecodeUtf8(std::string_view text, size_t* length) {
  *length = 1;
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const uint32_t first = at(0);
  if (first < 0x80) return static_cast<int32_t>(first);
  size_t count = 0;
  uint32_t value = 0;
  uint32_t least = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    count = 2, value = first & 0x1F, least = 0x80;
  } else if (first >= 0xE0 && first <= 0xEF) {
    count = 3, value = first & 0x0F, least = 0x800;
  } else if (first >= 0xF0 && first <= 0xF4) {
    count = 4, value = first & 0x07, least = 0x10000;
  } else {
    return -1;
  }
  if (text.size() < count) return -1;
  for (size_t i = 1; i < count; ++i) {
    if (!IsContinuation(text[i])) return -1;
    value = value << 6 | (at(i) & 0x3F);
  }
  // RFC 3629 §3: neither overlong forms, nor surrogates, nor anything past U+10FFFF.
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return -1;
  *length = count;
  return static_cast<int32_t>(value);
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | code_point >> 6));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
    out.append(kReplacementCharacter);
  } else if (code_point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | code_point >> 12));
    out.push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | code_point >> 18));
    out.push_back(static_cast<char>(0x80 | (code_point >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  }
}

bool IsValidUtf8(std::string_view text) {
  while (true) {
    text.remove_prefix(AsciiPrefix(text));
    if (text.empty()) return true;
    size_t length;
    if (DecodeUtf8(text, &length) < 0) return false;
    text.remove_prefix(length);
  }
}

std::string ScrubUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t ascii = AsciiPrefix(text);
    out.append(text.substr(0, ascii));
    text.remove_prefix(ascii);
    if (text.empty()) break;
    size_t length;
    if (DecodeUtf8(text, &length) < 0) {
      out.append(kReplacementCharacter);
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string_view TruncateUtf8(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  // A character has at most three continuation octets; more than that is not UTF-8 and may be cut
  // anywhere.
  for (int back = 0; back < 3 && end > 0 && IsContinuation(text[end]); ++back) --end;
  if (IsContinuation(text[end])) end = max_bytes;
  return text.substr(0, end);
}

}  // namespace postern::mail
