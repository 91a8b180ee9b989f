// A configuration of any octets in today's words: what is said of it is one printable line each,
// there is a diff exactly when something changes, and what was changed once needs no second change.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/policy/upgrade.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Upgrade upgrade = UpgradeConfig("f", text);
  for (const Diagnostic& d : upgrade.diagnostics) {
    if (d.location.line < 1) abort();
    for (const char c : d.message) {
      if (c == '\n' || c == '\0') abort();
    }
  }
  if (upgrade.diff.empty() != (upgrade.text == text)) abort();
  const Upgrade again = UpgradeConfig("f", upgrade.text);
  if (!again.diff.empty() || again.text != upgrade.text) abort();
  return 0;
}
