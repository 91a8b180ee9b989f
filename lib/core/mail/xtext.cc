#include "lib/core/mail/xtext.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::mail {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = AsciiToUpper(c);
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

std::string XtextEncode(std::string_view octets) {
  std::string out;
  out.reserve(octets.size());
  for (const char c : octets) {
    if (c > ' ' && c < 0x7f && c != '+' && c != '=') {
      out.push_back(c);
    } else {
      StrAppend(out, '+', AsciiUpper(Hex(static_cast<unsigned char>(c), 2)));
    }
  }
  return out;
}

std::optional<std::string> XtextDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexValue(text[i + 1]);
      const int low = HexValue(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    } else if (c > ' ' && c < 0x7f && c != '=') {
      out.push_back(c);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<std::string> Utf8AddressDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '\\') {
      if (c <= ' ' && IsAscii(c)) return std::nullopt;
      if (c == 0x7f) return std::nullopt;
      out.push_back(c);
      continue;
    }
    // RFC 6533 §3: EmbeddedUnicodeChar = "\x" "{" EmbeddedHex "}", two to six digits.
    const size_t close = text.find('}', i);
    if (text.substr(i, 3) != "\\x{" || close == std::string_view::npos || close - i < 5 ||
        close - i > 9) {
      return std::nullopt;
    }
    uint32_t value = 0;
    for (size_t k = i + 3; k < close; ++k) {
      const int digit = HexValue(text[k]);
      if (digit < 0) return std::nullopt;
      value = value << 4 | static_cast<uint32_t>(digit);
    }
    if (value < 0x20 || value == 0x7f || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      return std::nullopt;
    }
    AppendUtf8(value, out);
    i = close;
  }
  if (!IsValidUtf8(out)) return std::nullopt;
  return out;
}

std::string Utf8AddressEncode(std::string_view address) {
  std::string out;
  while (!address.empty()) {
    size_t length;
    const int32_t c = DecodeUtf8(address, &length);
    if (c > ' ' && c < 0x7f && c != '\\' && c != '+' && c != '=') {
      out.push_back(static_cast<char>(c));
    } else {
      const auto value = static_cast<uint32_t>(c < 0 ? 0xFFFD : c);
      const int width = value > 0xFFFFF  ? 6
                        : value > 0xFFFF ? 5
                        : value > 0xFFF  ? 4
                        : value > 0xFF   ? 3
                                         : 2;
      StrAppend(out, "\\x{", AsciiUpper(Hex(value, width)), "}");
    }
    address.remove_prefix(length);
  }
  return out;
}

}  // namespace postern::mail
