// Any octets as flowed text: reading ends and never grows much, and what we write reads back to the
// same paragraphs.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/message/flowed.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool delsp : {false, true}) Require(UnflowText(text, delsp).size() <= 2 * size + 1);
  // A CR before a line end becomes part of it when it is read again.
  if (text.find('\r') != std::string_view::npos) return 0;
  for (const size_t width : {0, 10, 72}) {
    // What was flowed once has no blanks at the ends of its paragraphs: it comes back as it was.
    const std::string once = UnflowText(FlowText(text, width), false);
    Require(UnflowText(FlowText(once, width), false) == once);
  }
  return 0;
}
