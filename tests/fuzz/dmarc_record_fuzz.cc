// Any octets as a DMARC record: what is read prints as a record that reads the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/trust/dmarc_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::trust;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::optional<DmarcRecord> record = ParseDmarcRecord(text);
  if (record.has_value() != IsDmarcRecord(text)) std::abort();
  if (!record) return 0;
  for (const DmarcUri& uri : record->rua) uri.Host();
  const std::string printed = FormatDmarcRecord(*record);
  const std::optional<DmarcRecord> again = ParseDmarcRecord(printed);
  if (!again || FormatDmarcRecord(*again) != printed) std::abort();
  if (again->rua != record->rua || again->ruf != record->ruf || !(again->fo == record->fo))
    std::abort();
  // A policy that was broken by "sp" or "np" is not broken in print, where they are left out.
  if (!record->policy_broken && again->policy_broken) std::abort();
  return 0;
}
