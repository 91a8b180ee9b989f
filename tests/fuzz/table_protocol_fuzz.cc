// What a table program says, in pieces of any size: the pieces must not matter, and an answer is
// never one that the lines do not have.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/table_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  TableProtocolOptions options;
  options.max_line_bytes = 256;
  options.max_services = 8;
  TableReader whole(options);
  std::vector<TableAnswer> answers;
  const bool whole_ok = whole.Feed(text, &answers).ok();

  TableReader piecewise(options);
  std::vector<TableAnswer> again;
  bool ok = true;
  for (size_t at = 0, step = 1; ok && at < text.size(); at += step, step = step % 7 + 1) {
    step = std::min(step, text.size() - at);
    ok = piecewise.Feed(text.substr(at, step), &again).ok();
  }
  if (ok != whole_ok || again.size() != answers.size()) abort();
  if (whole.ready() != piecewise.ready()) abort();
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].id != again[i].id || answers[i].text != again[i].text) abort();
    if (answers[i].text.find('\n') != std::string::npos) abort();
    if (answers[i].text.size() > options.max_line_bytes) abort();
  }
  return 0;
}
