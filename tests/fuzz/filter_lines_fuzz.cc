// Both sides of the filter protocol: nothing crashes, and what is understood is understood again
// when it is printed.
#include <cstdlib>

#include "lib/core/filter/filter_lines.h"

using namespace postern;

namespace {

void Check(bool holds) {
  if (!holds) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  filter::LineReader whole(4096);
  whole.Feed(input);
  size_t lines = 0;
  while (const std::optional<std::string_view> line = whole.Next()) {
    ++lines;
    (void)filter::ParseServerLine(*line);
    const std::optional<std::string_view> text = filter::UnstuffDataLine(*line);
    if (text.has_value()) {
      std::string stuffed;
      filter::AppendDataLine("", *text, &stuffed);
      stuffed.pop_back();
      Check(filter::UnstuffDataLine(stuffed) == text);
    }
    const StatusOr<filter::ProgramLine> parsed = filter::ParseProgramLine(*line);
    if (!parsed.ok()) continue;
    std::string printed;
    filter::AppendProgramLine(*parsed, &printed);
    Check(!printed.empty() && printed.back() == '\n');
    printed.pop_back();
    const StatusOr<filter::ProgramLine> again = filter::ParseProgramLine(printed);
    Check(again.ok() && again->kind == parsed->kind && again->session == parsed->session &&
          again->token == parsed->token && again->text == parsed->text);
  }
  // Cut anywhere, the lines are the same.
  filter::LineReader cut(4096);
  size_t again = 0;
  for (size_t i = 0; i < size; i += 7) {
    cut.Feed(input.substr(i, 7));
    while (cut.Next()) ++again;
  }
  Check(again == lines);
  Check(cut.overflowed() == whole.overflowed());
  return 0;
}
