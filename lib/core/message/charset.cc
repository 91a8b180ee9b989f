#include "lib/core/message/charset.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include <unicode/bytestream.h>
#include <unicode/normlzr.h>
#include <unicode/ucnv.h>
#include <unicode/ucnv_cb.h>
#include <unicode/unistr.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::message {
namespace {

constexpr size_t kMaxNameBytes = 60;  // of ICU's UCNV_MAX_CONVERTER_NAME_LENGTH

struct Alias {
  std::string_view name;
  std::string_view icu;
};
// What mail calls charsets and ICU does not know, or knows as something narrower than what senders
// write. The wider ones are those of the WHATWG encoding standard, which is how the same octets
// look in a browser.
constexpr Alias kAliases[] = {
    {"ascii", "windows-1252"},
    {"ansi_x3.4-1968", "windows-1252"},
    {"us-ascii", "windows-1252"},
    {"iso-8859-1", "windows-1252"},
    {"iso8859-1", "windows-1252"},
    {"latin1", "windows-1252"},
    {"iso-8859-1-windows-3.1-latin-1", "windows-1252"},
    {"latin-1", "windows-1252"},
    {"8859-1", "windows-1252"},
    {"iso_8859-1", "windows-1252"},
    {"ansi", "windows-1252"},
    {"unknown-8bit", ""},
    {"x-unknown", ""},
    {"unknown", ""},
    {"default", ""},
    {"8bit", ""},
    {"binary", ""},
    {"default_charset", ""},
    {"_autodetect_all", ""},
    {"iso-8859-8-i", "iso-8859-8"},
    {"iso-8859-8-e", "iso-8859-8"},
    {"iso-8859-6-i", "iso-8859-6"},
    {"iso-8859-6-e", "iso-8859-6"},
    {"iso-8859-9", "windows-1254"},
    {"iso_8859-16", "iso-8859-16"},
    {"iso_8859-16:2001", "iso-8859-16"},
    {"iso8859-16", "iso-8859-16"},
    {"iso-ir-226", "iso-8859-16"},
    {"latin10", "iso-8859-16"},
    {"l10", "iso-8859-16"},
    {"iso-8859-11", "windows-874"},
    {"tis-620", "windows-874"},
    {"gb2312", "gb18030"},
    {"gb_2312-80", "gb18030"},
    {"gbk", "gb18030"},
    {"x-gbk", "gb18030"},
    {"euc-cn", "gb18030"},
    {"cp936", "gb18030"},
    {"936", "gb18030"},
    {"ks_c_5601-1987", "windows-949"},
    {"ks_c_5601", "windows-949"},
    {"ksc_5601", "windows-949"},
    {"ksc5601", "windows-949"},
    {"euc-kr", "windows-949"},
    {"korean", "windows-949"},
    {"x-windows-949", "windows-949"},
    {"cp949", "windows-949"},
    {"949", "windows-949"},
    {"shift-jis", "windows-31j"},
    {"shift_jis", "windows-31j"},
    {"sjis", "windows-31j"},
    {"x-sjis", "windows-31j"},
    {"cp932", "windows-31j"},
    {"ms_kanji", "windows-31j"},
    {"iso-2022-jp-ms", "iso-2022-jp"},
    {"cp50220", "iso-2022-jp"},
    {"cp50221", "iso-2022-jp"},
    {"x-mac-roman", "macintosh"},
    {"macroman", "macintosh"},
    {"x-macroman", "macintosh"},
    {"mac", "macintosh"},
    {"x-mac-cyrillic", "x-mac-cyrillic"},
    {"cp-850", "ibm850"},
    {"cp850", "ibm850"},
    {"dos-850", "ibm850"},
    {"cp-1250", "windows-1250"},
    {"cp-1251", "windows-1251"},
    {"cp-1252", "windows-1252"},
    {"x-cp1250", "windows-1250"},
    {"x-cp1251", "windows-1251"},
    {"x-cp1252", "windows-1252"},
    {"win-1251", "windows-1251"},
    {"win1251", "windows-1251"},
    {"koi8", "koi8-r"},
    {"koi", "koi8-r"},
    {"koi8r", "koi8-r"},
    {"koi8u", "koi8-u"},
    {"koi8-ru", "koi8-u"},
    {"big5", "ibm-1375"},
    {"big5-eten", "ibm-1375"},
    {"big5-hkscs", "ibm-1375"},
    {"x-x-big5", "ibm-1375"},
    {"cn-big5", "ibm-1375"},
    {"utf", "utf-8"},
    {"utf8", "utf-8"},
    {"utf8mb4", "utf-8"},
    {"unicode-1-1-utf-8", "utf-8"},
    {"unicode-2-0-utf-8", "utf-8"},
    {"x-unicode-2-0-utf-8", "utf-8"},
    {"cp65001", "utf-8"},
    {"65001", "utf-8"},
    {"unicode-1-1-utf-7", "utf-7"},
    {"unicode", "utf-16"},
    {"ucs-2", "utf-16"},
};

// The 32 characters of windows-1252 that are not Latin-1; 0 has no meaning.
constexpr std::array<uint16_t, 32> kWindows1252 = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

bool AppendWindows1252(std::string_view octets, std::string& out) {
  bool clean = true;
  out.reserve(out.size() + octets.size());
  for (const char c : octets) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x80) {
      out.push_back(c);
    } else if (octet >= 0xA0) {
      mail::AppendUtf8(octet, out);
    } else {
      const uint32_t mapped = kWindows1252[octet - 0x80];
      // The five holes are C1 controls in Latin-1 and stay so (as WHATWG has it).
      if (mapped == 0) clean = false;
      mail::AppendUtf8(mapped == 0 ? octet : mapped, out);
    }
  }
  return clean;
}

// ISO 8859-16 (Romanian) from 0xA0 on, which ICU does not have.
constexpr std::array<uint16_t, 96> kIso8859Part16 = {
    0x00A0, 0x0104, 0x0105, 0x0141, 0x20AC, 0x201E, 0x0160, 0x00A7, 0x0161, 0x00A9, 0x0218, 0x00AB,
    0x0179, 0x00AD, 0x017A, 0x017B, 0x00B0, 0x00B1, 0x010C, 0x0142, 0x017D, 0x201D, 0x00B6, 0x00B7,
    0x017E, 0x010D, 0x0219, 0x00BB, 0x0152, 0x0153, 0x0178, 0x017C, 0x00C0, 0x00C1, 0x00C2, 0x0102,
    0x00C4, 0x0106, 0x00C6, 0x00C7, 0x00C8, 0x00C9, 0x00CA, 0x00CB, 0x00CC, 0x00CD, 0x00CE, 0x00CF,
    0x0110, 0x0143, 0x00D2, 0x00D3, 0x00D4, 0x0150, 0x00D6, 0x015A, 0x0170, 0x00D9, 0x00DA, 0x00DB,
    0x00DC, 0x0118, 0x021A, 0x00DF, 0x00E0, 0x00E1, 0x00E2, 0x0103, 0x00E4, 0x0107, 0x00E6, 0x00E7,
    0x00E8, 0x00E9, 0x00EA, 0x00EB, 0x00EC, 0x00ED, 0x00EE, 0x00EF, 0x0111, 0x0144, 0x00F2, 0x00F3,
    0x00F4, 0x0151, 0x00F6, 0x015B, 0x0171, 0x00F9, 0x00FA, 0x00FB, 0x00FC, 0x0119, 0x021B, 0x00FF};

bool AppendIso8859Part16(std::string_view octets, std::string& out) {
  out.reserve(out.size() + octets.size());
  for (const char c : octets) {
    const auto octet = static_cast<unsigned char>(c);
    mail::AppendUtf8(octet < 0xA0 ? octet : kIso8859Part16[octet - 0xA0], out);
  }
  return true;
}

bool AppendUnknown(std::string_view octets, std::string& out) {
  if (mail::IsValidUtf8(octets)) {
    out.append(octets);
  } else {
    AppendWindows1252(octets, out);
  }
  return false;
}

// Canonical is the name that we look for: lower case, without quotes and blanks; "" when it cannot
// be one.
std::string Canonical(std::string_view charset) {
  charset = Trim(charset);
  while (!charset.empty() &&
         (charset.front() == '"' || charset.front() == '\'' || charset.front() == '='))
    charset.remove_prefix(1);
  while (!charset.empty() &&
         (charset.back() == '"' || charset.back() == '\'' || charset.back() == ';'))
    charset.remove_suffix(1);
  if (charset.size() > kMaxNameBytes) return "";
  for (const char c : charset) {
    // ICU reads options after a comma; no charset of mail has one.
    if (!IsAsciiPrintable(c) || c == ',' || c == ' ') return "";
  }
  std::string name = AsciiLower(charset);
  for (const Alias& alias : kAliases) {
    if (alias.name == name) return std::string(alias.icu);
  }
  return name;
}

struct CloseConverter {
  void operator()(UConverter* converter) const { ucnv_close(converter); }
};
using Converter = std::unique_ptr<UConverter, CloseConverter>;

// OnBadOctets writes U+FFFD for octets without meaning. An ASCII octet behind the lead of a pair
// that means nothing stays what it is, as the WHATWG encoding standard has it: otherwise a stray
// octet would swallow the quote or the "<" behind it.
void OnBadOctets(const void*, UConverterToUnicodeArgs* args, const char* octets, int32_t length,
                 UConverterCallbackReason reason, UErrorCode* error) {
  if (reason > UCNV_IRREGULAR) return;  // the converter is reset, closed or copied
  *error = U_ZERO_ERROR;
  UChar units[2] = {0xFFFD, 0};
  int32_t count = 1;
  if (length == 2 && static_cast<unsigned char>(octets[0]) >= 0x80 &&
      static_cast<unsigned char>(octets[1]) < 0x80)
    units[count++] = static_cast<UChar>(octets[1]);
  ucnv_cbToUWriteUChars(args, units, count, 0, error);
}

Converter Open(const std::string& name) {
  if (name.empty()) return nullptr;
  UErrorCode error = U_ZERO_ERROR;
  Converter converter(ucnv_open(name.c_str(), &error));
  if (U_FAILURE(error)) return nullptr;
  ucnv_setToUCallBack(converter.get(), OnBadOctets, nullptr, nullptr, nullptr, &error);
  if (U_FAILURE(error)) return nullptr;
  return converter;
}

bool AppendByIcu(UConverter* converter, std::string_view octets, std::string& out) {
  // UTF-16 in pieces: memory stays small whatever the size of the text.
  std::array<UChar, 4096> units;
  const char* source = octets.data();
  const char* const end = source + octets.size();
  bool clean = true;
  char16_t high = 0;
  UErrorCode error;
  do {
    error = U_ZERO_ERROR;
    UChar* target = units.data();
    ucnv_toUnicode(converter, &target, units.data() + units.size(), &source, end, nullptr, true,
                   &error);
    for (const UChar* u = units.data(); u < target; ++u) {
      const char16_t unit = *u;
      if (unit == 0xFFFD) clean = false;
      if (unit >= 0xD800 && unit < 0xDC00) {
        if (high != 0) out.append(mail::kReplacementCharacter);
        high = unit;
      } else if (unit >= 0xDC00 && unit < 0xE000) {
        mail::AppendUtf8(high == 0 ? 0xFFFD : 0x10000 + ((high - 0xD800u) << 10) + (unit - 0xDC00u),
                         out);
        high = 0;
      } else {
        if (high != 0) out.append(mail::kReplacementCharacter);
        high = 0;
        mail::AppendUtf8(unit, out);
      }
    }
  } while (error == U_BUFFER_OVERFLOW_ERROR);
  if (high != 0) out.append(mail::kReplacementCharacter);
  return clean && !U_FAILURE(error);
}

}  // namespace

bool AppendAsUtf8(std::string_view charset, std::string_view octets, std::string& out) {
  const std::string name = Canonical(charset);
  if (name == "utf-8") {
    if (mail::IsValidUtf8(octets)) {
      out.append(octets);
      return true;
    }
    out.append(mail::ScrubUtf8(octets));
    return false;
  }
  if (name == "windows-1252") {
    if (IsAscii(octets)) {
      out.append(octets);
      return true;
    }
    // ASCII with 8-bit octets is most often UTF-8 whose sender did not say so.
    if (!EqualsIgnoreCase(Trim(charset), "windows-1252") &&
        StartsWithIgnoreCase(Trim(charset), "us-ascii")) {
      return AppendUnknown(octets, out);
    }
    return AppendWindows1252(octets, out);
  }
  if (name == "iso-8859-16") return AppendIso8859Part16(octets, out);
  const Converter converter = Open(name);
  if (converter == nullptr) return AppendUnknown(octets, out);
  return AppendByIcu(converter.get(), octets, out);
}

bool IsKnownCharset(std::string_view charset) {
  const std::string name = Canonical(charset);
  return name == "utf-8" || name == "windows-1252" || name == "iso-8859-16" ||
         Open(name) != nullptr;
}

bool EncodeFromUtf8(std::string_view charset, std::string_view text, std::string& out) {
  // A wider charset than the name says is fine for reading; what is written in Latin-1 is Latin-1.
  const std::string canonical = Canonical(charset);
  const Converter converter =
      Open(canonical == "windows-1252" ? AsciiLower(Trim(charset)) : canonical);
  if (converter == nullptr || !mail::IsValidUtf8(text)) return false;
  UErrorCode error = U_ZERO_ERROR;
  ucnv_setFromUCallBack(converter.get(), UCNV_FROM_U_CALLBACK_STOP, nullptr, nullptr, nullptr,
                        &error);
  const icu::UnicodeString units = icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  std::string coded(static_cast<size_t>(UCNV_GET_MAX_BYTES_FOR_STRING(
                        units.length(), ucnv_getMaxCharSize(converter.get()))),
                    '\0');
  const int32_t size =
      ucnv_fromUChars(converter.get(), coded.data(), static_cast<int32_t>(coded.size()),
                      units.getBuffer(), units.length(), &error);
  if (U_FAILURE(error)) return false;
  out.append(coded, 0, static_cast<size_t>(size));
  return true;
}

std::string FoldCase(std::string_view text) {
  // In pieces: most are ASCII, and ICU's UTF-16 stays small. Default folding looks at one character
  // at a time, so a piece may end behind any.
  constexpr size_t kPieceBytes = 4096;
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const std::string_view piece = mail::TruncateUtf8(text, kPieceBytes);
    text.remove_prefix(piece.size());
    if (IsAscii(piece)) {
      const size_t before = out.size();
      out.append(piece);
      for (size_t i = before; i < out.size(); ++i) out[i] = AsciiToLower(out[i]);
      continue;
    }
    icu::UnicodeString units = icu::UnicodeString::fromUTF8(
        icu::StringPiece(piece.data(), static_cast<int32_t>(piece.size())));
    units.foldCase();
    units.toUTF8String(out);
  }
  return out;
}

}  // namespace postern::message
