// Alias values and .forward files of any octets: what is accepted is a user name, an address, an
// absolute path, a command or a reply that refuses.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "lib/core/policy/expansion.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (ParseAliasValues(text).ok() && size > 0 &&
      text.find_first_not_of(" ,\t\r\n") == std::string_view::npos)
    return 0;
  const auto values = ParseForwardText(text);
  if (!values.ok()) return 0;
  for (const AliasValue& value : *values) {
    switch (value.kind) {
      case AliasValue::Kind::kFile:
      case AliasValue::Kind::kInclude:
        if (value.text.empty() || value.text[0] != '/') abort();
        break;
      case AliasValue::Kind::kCommand:
        if (value.text.empty()) abort();
        break;
      case AliasValue::Kind::kUser:
        if (value.text.empty() || value.text.find_first_of("/@|:\", ") != std::string::npos)
          abort();
        break;
      case AliasValue::Kind::kAddress:
        if (value.address.domain.empty()) abort();
        break;
      case AliasValue::Kind::kError:
        if (!postern::mail::Reply::FromText(value.text).ok()) abort();
        break;
    }
  }
  return 0;
}
