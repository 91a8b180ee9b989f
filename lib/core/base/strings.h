// Strings as the protocols see them: octets, ASCII case, no locale. Debian's Abseil has a
// string_view of its own that std::string_view does not convert to, so these few functions stand in
// for absl/strings throughout the project.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace postern {

constexpr char AsciiToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr char AsciiToUpper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsAsciiAlpha(char c) { return AsciiToLower(c) >= 'a' && AsciiToLower(c) <= 'z'; }
constexpr bool IsAsciiAlnum(char c) { return IsAsciiDigit(c) || IsAsciiAlpha(c); }
constexpr bool IsAsciiPrintable(char c) { return c >= 0x20 && c < 0x7f; }
constexpr bool IsAscii(char c) { return static_cast<unsigned char>(c) < 0x80; }
bool IsAscii(std::string_view s);

std::string AsciiLower(std::string_view s);
std::string AsciiUpper(std::string_view s);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
bool StartsWithIgnoreCase(std::string_view s, std::string_view prefix);
bool EndsWithIgnoreCase(std::string_view s, std::string_view suffix);

// Trim returns `s` without blanks, tabs, CR and LF at both ends; a view into `s`.
std::string_view Trim(std::string_view s);

// Split cuts `s` at each `separator`; "" gives one empty piece. The pieces are views into `s`.
std::vector<std::string_view> Split(std::string_view s, char separator);
// SplitWords cuts `s` at runs of blanks and tabs, without empty pieces. The pieces are views into
// `s`.
std::vector<std::string_view> SplitWords(std::string_view s);

// ParseUint reads all of `s` as a decimal number: digits only, no sign, no blanks; nullopt when it
// is anything else or > max.
std::optional<uint64_t> ParseUint(std::string_view s, uint64_t max = UINT64_MAX);

// HexEncode writes lower-case hexadecimal; HexDecode takes either case and returns nullopt for
// anything else.
std::string HexEncode(std::string_view octets);
std::optional<std::string> HexDecode(std::string_view hex);

// Hex writes `value` in lower-case hexadecimal with leading zeros to `width` digits.
std::string Hex(uint64_t value, int width);

// Escape makes octets from outside fit for one line of a log or an error: printable ASCII stays,
// backslash is doubled, all else becomes \n, \r, \t or \xNN; past `max_bytes` of input it ends in
// "…".
std::string Escape(std::string_view octets, size_t max_bytes = 256);

// EditDistance is the Levenshtein distance, for "did you mean". Cost is |a|*|b|: for short words
// only.
size_t EditDistance(std::string_view a, std::string_view b);

namespace strings_internal {
inline void Append(std::string& out, std::string_view s) { out.append(s); }
inline void Append(std::string& out, const std::string& s) { out.append(s); }
inline void Append(std::string& out, const char* s) { out.append(s); }
inline void Append(std::string& out, char c) { out.push_back(c); }
template <std::integral T>
requires(!std::same_as<T, char> && !std::same_as<T, bool>) void Append(std::string& out, T value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}
}  // namespace strings_internal

// StrCat joins strings, characters and integers.
template <typename... Args>
std::string StrCat(const Args&... args) {
  std::string out;
  (strings_internal::Append(out, args), ...);
  return out;
}

// StrAppend adds strings, characters and integers to `out`.
template <typename... Args>
void StrAppend(std::string& out, const Args&... args) {
  (strings_internal::Append(out, args), ...);
}

// StrJoin puts `separator` between the strings of `parts`.
template <typename Range>
std::string StrJoin(const Range& parts, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& part : parts) {
    if (!first) out.append(separator);
    first = false;
    out.append(part);
  }
  return out;
}

// CaseInsensitiveLess orders strings by ASCII lower case, for maps of header names and keywords.
struct CaseInsensitiveLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};

}  // namespace postern
