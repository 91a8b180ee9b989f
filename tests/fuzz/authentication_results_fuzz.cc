// Any octets as Authentication-Results, and as a message with such fields: what is read and written
// reads the same, and what is removed leaves nothing to remove.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/trust/authentication_results.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::trust;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const postern::StatusOr<AuthenticationResults> results = ParseAuthenticationResults(text);
  if (results.ok()) {
    const std::string printed = FormatAuthenticationResults(*results);
    for (size_t i = 0; i < printed.size(); ++i) {
      if (printed[i] == '\n' && (i == 0 || printed[i - 1] != '\r' || printed[i + 1] != '\t'))
        std::abort();
    }
    const postern::StatusOr<AuthenticationResults> again = ParseAuthenticationResults(printed);
    if (!again.ok() || FormatAuthenticationResults(*again) != printed) std::abort();
  }
  ForgedOptions options;
  options.authserv_ids = {"mx.example.org"};
  size_t body = 0;
  const std::string header = RemoveForgedAuthenticationResults(text, options, &body);
  if (body > text.size() || header.size() > body) std::abort();
  if (!FindForgedAuthenticationResults(header, options).empty()) std::abort();
  return 0;
}
