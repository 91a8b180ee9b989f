#include "lib/core/message/notice_text.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/encoded_word.h"

namespace postern::message {
namespace {

// Longer strings from outside are cut: a reply of a thousand lines tells no more than its first
// ones.
constexpr size_t kMaxOutsideBytes = 2'000;

}  // namespace

std::string NoticeText(std::string_view text) {
  const std::string valid = mail::ScrubUtf8(mail::TruncateUtf8(text, kMaxOutsideBytes));
  std::string out;
  out.reserve(valid.size());
  std::string_view left = valid;
  while (!left.empty()) {
    size_t length;
    const int32_t c = mail::DecodeUtf8(left, &length);
    if (c == '\r' || c == '\n' || c == '\t') {
      out.push_back(' ');
    } else if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
      out.push_back('?');
    } else {
      out.append(left.substr(0, length));
    }
    left.remove_prefix(length);
  }
  return out;
}

std::string NoticeField(std::string_view text, bool utf8) {
  const std::string line = NoticeText(text);
  if (utf8 || IsAscii(line)) return line;
  std::string out;
  std::string_view left = line;
  while (!left.empty()) {
    size_t length;
    const int32_t c = mail::DecodeUtf8(left, &length);
    if (c < 0x80) {
      out.push_back(left.front());
    } else {
      out += mail::Utf8AddressEncode(left.substr(0, length));
    }
    left.remove_prefix(length);
  }
  return out;
}

std::string NoticeHost(std::string_view name) {
  if (IsAscii(name)) return NoticeField(name, false);
  const StatusOr<std::string> ascii = mail::DomainToAscii(name);
  return NoticeField(ascii.ok() ? *ascii : name, false);
}

std::optional<std::string> AsciiAddress(const mail::Address& address) {
  std::string text = address.ToString();
  if (IsAscii(text)) return text;
  if (!IsAscii(address.local_part)) return std::nullopt;
  StatusOr<std::string> domain = mail::DomainToAscii(address.domain);
  if (!domain.ok()) return std::nullopt;
  return mail::Address{address.local_part, *std::move(domain)}.ToString();
}

std::string NoticeMailbox(const mail::Address& address, bool utf8) {
  const std::string text = address.ToString();
  if (utf8 && mail::IsValidUtf8(text)) return StrCat("<", NoticeText(text), ">");
  if (const std::optional<std::string> ascii = AsciiAddress(address); ascii.has_value())
    return StrCat("<", NoticeText(*ascii), ">");
  return StrCat(EncodeText(NoticeText(text), WordContext::kPhrase, 4), ":;");
}

std::string TypedAddress(const mail::Address& address, bool utf8) {
  const std::string text = address.ToString();
  if (utf8 && !IsAscii(text) && mail::IsValidUtf8(text)) return "utf-8; " + NoticeText(text);
  if (const std::optional<std::string> ascii = AsciiAddress(address); ascii.has_value())
    return "rfc822; " + NoticeText(*ascii);
  return "utf-8; " + mail::Utf8AddressEncode(NoticeText(text));
}

std::string TypedAddress(std::string_view address, bool utf8) {
  if (const StatusOr<mail::Address> parsed = mail::ParseAddress(address); parsed.ok())
    return TypedAddress(*parsed, utf8);
  if (IsAscii(address)) return "rfc822; " + NoticeText(address);
  return "utf-8; " + (utf8 ? NoticeText(address) : mail::Utf8AddressEncode(NoticeText(address)));
}

std::string TypedOriginal(std::string_view orcpt, bool utf8) {
  const size_t semicolon = orcpt.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0 || semicolon + 1 == orcpt.size())
    return "";
  const std::string type = AsciiLower(Trim(orcpt.substr(0, semicolon)));
  if (type.empty() ||
      !std::all_of(type.begin(), type.end(), [](char c) { return IsAsciiAlnum(c) || c == '-'; }))
    return "";
  const std::string_view address = Trim(orcpt.substr(semicolon + 1));
  if (type != "utf-8") return StrCat(type, "; ", NoticeField(address, false));
  // RFC 6533 §3: what came in one of its forms is written in the other, not once more.
  const std::string plain =
      NoticeText(mail::Utf8AddressDecode(address).value_or(std::string(address)));
  return StrCat("utf-8; ", utf8 ? plain : mail::Utf8AddressEncode(plain));
}

}  // namespace postern::message
