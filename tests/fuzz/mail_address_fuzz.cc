// Any octets as an SMTP address or path: what is taken prints as something that reads back the
// same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/mail/address.h"
#include "lib/core/mail/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace mail = postern::mail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool utf8 : {false, true}) {
    for (const bool no_domain : {false, true}) {
      mail::AddressOptions options;
      options.allow_utf8 = utf8;
      options.allow_no_domain = no_domain;
      const postern::StatusOr<mail::Address> address = mail::ParseAddress(text, options);
      if (address.ok()) {
        const std::string printed = address->ToString();
        if (!mail::IsValidUtf8(printed)) std::abort();
        for (const char c : printed) {
          if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
        }
        const postern::StatusOr<mail::Address> again = mail::ParseAddress(printed, options);
        if (!again.ok() || *again != *address) std::abort();
      }
      std::string_view rest;
      const postern::StatusOr<mail::Address> path = mail::ParsePath(text, true, options, &rest);
      if (path.ok() && rest.size() >= size) std::abort();
    }
  }
  mail::DomainToUnicode(text);
  const postern::StatusOr<std::string> ascii = mail::DomainToAscii(text);
  if (ascii.ok() && !mail::IsValidDomainName(*ascii, false)) std::abort();
  return 0;
}
