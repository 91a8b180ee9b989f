// Zone text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/dns/zone.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  StatusOr<dns::ZoneData> zone = dns::ZoneData::Parse(text);
  if (zone.ok()) {
    for (const std::string_view asked :
         {"example.com", "a.wild.example.com", "alias.example.com", "."}) {
      StatusOr<dns::Name> name = dns::Name::Parse(asked);
      for (const dns::Type type : {dns::Type::kA, dns::Type::kMx, dns::Type::kTxt})
        zone->Query(*name, type);
    }
  }
  // A name that can be read prints as text that reads as the same name.
  StatusOr<dns::Name> name = dns::Name::Parse(text.substr(0, 600));
  if (name.ok()) {
    StatusOr<dns::Name> again = dns::Name::Parse(name->ToString());
    POSTERN_CHECK(again.ok() && again->wire() == name->wire());
  }
  return 0;
}
