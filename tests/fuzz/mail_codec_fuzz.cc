// Any octets through the codecs: coding reads back, decoding stays inside its bounds, strict and
// lenient agree.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace mail = postern::mail;
  const std::string_view octets(reinterpret_cast<const char*>(data), size);
  std::string out;
  Require(mail::Base64Decode(mail::Base64Encode(octets)) == std::string(octets));
  Require(mail::Base64DecodeLenient(mail::Base64EncodeLines(octets), out) && out == octets);
  if (const std::optional<std::string> strict = mail::Base64Decode(octets); strict.has_value()) {
    out.clear();
    Require(mail::Base64DecodeLenient(octets, out) && out == *strict);
  }
  out.clear();
  mail::Base64DecodeLenient(octets, out);
  out.clear();
  Require(mail::QuotedPrintableDecode(mail::QuotedPrintableEncode(octets, true), out) &&
          out == octets);
  out.clear();
  mail::QuotedPrintableDecode(octets, out);
  Require(out.size() <= size);
  Require(mail::XtextDecode(mail::XtextEncode(octets)) == std::string(octets));
  mail::XtextDecode(octets);
  mail::Utf8AddressDecode(octets);
  Require(mail::IsValidUtf8(mail::ScrubUtf8(octets)));
  Require((mail::ScrubUtf8(octets) == octets) == mail::IsValidUtf8(octets));
  const size_t cut = size / 2;
  if (mail::IsValidUtf8(octets)) Require(mail::IsValidUtf8(mail::TruncateUtf8(octets, cut)));
  // The first line names a charset, the rest is text in it.
  const size_t line = octets.find('\n');
  if (line != std::string_view::npos) {
    out.clear();
    postern::message::AppendAsUtf8(octets.substr(0, line), octets.substr(line + 1), out);
    Require(mail::IsValidUtf8(out));
  }
  return 0;
}
