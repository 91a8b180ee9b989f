// Any octets as a header value: encoded words, address lists, types with parameters; what we write
// of it reads back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/imap_section.h"
#include "lib/core/message/parser.h"

namespace {

using namespace postern::message;

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view value(reinterpret_cast<const char*>(data), size);
  const std::string text = DecodeText(value);
  Require(postern::mail::IsValidUtf8(text));
  for (const char c : text) Require(c != '\r' && c != '\n' && c != '\0');
  // What is encoded reads back as it was.
  const std::string coded = EncodeText(text);
  Require(postern::IsAscii(coded));
  if (coded != text) {
    std::string expected = text;
    for (char& c : expected) {
      if (c == '\t') c = ' ';
    }
    if (coded.compare(0, 2, "=?") == 0) Require(DecodeText(coded) == expected);
  }
  for (const Mailbox& mailbox : ParseAddressList(value)) {
    Require(postern::mail::IsValidUtf8(mailbox.DisplayName()));
    mailbox.Address();
  }
  const ContentType type = ParseContentType(value);
  Require(type.parameters.list.size() <= kMaxParameters);
  for (const Parameter& parameter : type.parameters.list)
    Require(postern::mail::IsValidUtf8(parameter.value));
  ParseContentDisposition(value);
  const postern::StatusOr<SectionSpec> section = ParseSection(value);
  if (section.ok()) Require(ParseSection(section->ToString()).ok());
  // A header written from anything is one header (header injection).
  std::string header;
  AppendHeader("X", value, header);
  const MessageView view = ParseMessage(header);
  Require(view.all_headers().size() == 1 && view.BodyBytes(view.root()).empty());
  return 0;
}
