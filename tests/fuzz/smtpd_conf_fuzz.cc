// A configuration of any octets: it is parsed or refused with a place and a printable sentence, and
// what is accepted can be looked through.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  MemoryLoader loader("f", std::string(reinterpret_cast<const char*>(data), size));
  loader.Add("/inc", "action \"inc\" mbox\n");
  ParseOptions options;
  options.max_total_bytes = 1 << 20;
  options.max_table_entries = 1000;
  const ParseResult result = Parse("f", loader, options);
  if ((result.config == nullptr) != HasErrors(result.diagnostics)) abort();
  for (const Diagnostic& d : result.diagnostics) {
    for (const char c : d.message) {
      if (c == '\n' || c == '\0') abort();
    }
  }
  if (result.readable != nullptr) {
    UnsupportedFeatures(*result.readable);
    IneffectiveSettings(*result.readable);
  }
  return 0;
}
