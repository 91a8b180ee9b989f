// Any octets as a date: what is read prints as a date that reads the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/mail/date.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace mail = postern::mail;
  const postern::StatusOr<mail::MailDate> date =
      mail::ParseDate(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!date.ok()) return 0;
  date->LocalDay();
  // The formatter holds years to 1900..9999, so only dates inside are compared.
  const postern::WallTime low = absl::FromUnixSeconds(-2'200'000'000);
  const postern::WallTime high = absl::FromUnixSeconds(250'000'000'000);
  if (date->time < low || date->time > high) return 0;
  const postern::StatusOr<mail::MailDate> again =
      mail::ParseDate(mail::FormatDate(date->time, date->offset_minutes));
  if (!again.ok() || again->time != date->time || again->offset_minutes != date->offset_minutes)
    std::abort();
  return 0;
}
