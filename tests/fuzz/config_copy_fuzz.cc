// The copy of a configuration of any octets: what is taken is written as it was, but for its
// numbers' zeros in front.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/policy/config_copy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  const auto copy = DecodeConfigCopy(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!copy.ok()) return 0;
  const auto again = DecodeConfigCopy(EncodeConfigCopy(*copy));
  if (!again.ok() || !(*again == *copy)) abort();
  return 0;
}
