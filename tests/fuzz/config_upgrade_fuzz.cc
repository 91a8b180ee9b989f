// A configuration of any octets in today's words: what was changed once needs no second change, and
// what is said of it is one printable line each. A file with a string that goes over the end of a
// line, which nobody writes, is cut into statements elsewhere once one before it has changed.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/policy/upgrade.h"

namespace {

bool StringsEndInTheirLines(std::string_view text) {
  bool inside = false;
  for (const char c : text) {
    if (c == '"') inside = !inside;
    if (c == '\n' && inside) return false;
  }
  return !inside;
}

}  // namespace

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
  if (!StringsEndInTheirLines(text)) return 0;
  const Upgrade again = UpgradeConfig("f", upgrade.text);
  if (!again.diff.empty()) abort();
  return 0;
}
