// Any octets through the codecs: coding reads back, decoding stays inside its bounds, strict and
// lenient agree.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/mail/base64.h"
#include "lib/core/mail/base64_groups.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

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
  const bool correct = mail::QuotedPrintableDecode(octets, out);
  Require(out.size() <= size);
  // Pieces give the same as the whole, in both encodings.
  for (const char* const encoding : {"base64", "quoted-printable"}) {
    const std::string raw =
        std::string("Content-Transfer-Encoding: ") + encoding + "\n\n" + std::string(octets);
    const postern::message::MessageView view = postern::message::ParseMessage(raw);
    std::string whole, pieces;
    const bool good = postern::message::DecodeBody(view, view.root(), whole);
    Require(encoding[0] == 'b' || (whole == out && good == correct));
    postern::message::BodyReader reader(view, view.root(), 64 + size % 7);
    for (std::string_view piece; reader.Next(&piece);) pieces += piece;
    Require(pieces == whole && reader.correct() == good);
  }
  // Both forms of the inner loop stop at the same place with the same octets.
  std::string fast(size + 128, 'x'), portable(size + 128, 'x');
  char* fast_to = fast.data();
  char* portable_to = portable.data();
  const unsigned char* const fast_at = mail::DecodeGroups(data, data + size, size + 1, &fast_to);
  const unsigned char* const portable_at =
      mail::DecodeGroupsPortable(data, data + size, size + 1, &portable_to);
  fast.resize(static_cast<size_t>(fast_to - fast.data()));
  portable.resize(static_cast<size_t>(portable_to - portable.data()));
  Require(fast_at == portable_at && fast == portable);
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
