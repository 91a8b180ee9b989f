// An SPF record, and the macros of its parts.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/trust/spf_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  using namespace postern::trust;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // A record that can be read is written as one that reads as the same record.
  const StatusOr<SpfRecord> record = ParseSpfRecord(text);
  if (record.ok()) {
    const std::string written = record->ToString();
    const StatusOr<SpfRecord> again = ParseSpfRecord(written);
    POSTERN_CHECK(again.ok() && again->ToString() == written);
    POSTERN_CHECK(again->mechanisms.size() == record->mechanisms.size());
  }
  SpfMacroValues values;
  values.client = *IpAddress::Parse(size % 2 == 0 ? "192.0.2.1" : "2001:db8::1");
  values.local_part = text.substr(0, 64);
  values.sender_domain = "example.org";
  values.domain = "mail.example.org";
  for (const SpfMacroUse use :
       {SpfMacroUse::kDomain, SpfMacroUse::kModifierValue, SpfMacroUse::kExplanation}) {
    const StatusOr<SpfMacroString> macros = ParseSpfMacroString(text, use);
    if (!macros.ok()) continue;
    POSTERN_CHECK(ExpandSpfDomain(*macros, values).size() <= 253);
    POSTERN_CHECK(ExpandSpfText(*macros, values, 500).size() <= 500);
  }
  return 0;
}
