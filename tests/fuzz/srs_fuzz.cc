// SRS addresses: what a bounce of a stranger names, and what a sender of any shape is made into.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/policy/srs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const StatusOr<mail::Address> address = mail::ParseAddress(text);
  if (!address.ok()) return 0;
  policy::SrsSettings settings;
  settings.key = "key";
  settings.backup_key = "backup";
  constexpr int64_t kDay = 20'000;
  // What is taken for ours is an address; what we make, we take, and it leads back.
  const std::optional<mail::Address> decoded = policy::DecodeSrs(settings, *address, kDay);
  if (decoded.has_value() && !mail::ParseAddress(decoded->ToString()).ok()) std::abort();
  const mail::Address made = policy::EncodeSrs(settings, *address, "fwd.example", kDay);
  if (made == *address) return 0;
  const std::optional<mail::Address> back = policy::DecodeSrs(settings, made, kDay);
  if (!policy::IsSrs(*address) && (!back.has_value() || *back != *address)) std::abort();
  return 0;
}
