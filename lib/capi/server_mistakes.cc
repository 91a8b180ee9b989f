#include "lib/capi/server_mistakes.h"

#include "lib/core/base/strings.h"

namespace postern::capi {
namespace {

// So many mistakes (and so many warnings) are told one by one: a file that was made wrongly can
// have one in each line.
constexpr size_t kMaxToldMistakes = 100;

}  // namespace

std::string AllErrors(const policy::Diagnostics& diagnostics) {
  std::string text;
  size_t count = 0;
  for (const policy::Diagnostic& each : diagnostics) {
    if (each.severity != policy::Severity::kError || ++count > kMaxToldMistakes) continue;
    if (!text.empty()) text += '\n';
    text += each.ToString();
  }
  if (count > kMaxToldMistakes) StrAppend(text, "\nand ", count - kMaxToldMistakes, " errors more");
  return text;
}

void LogWarnings(LogSink* log, const policy::Diagnostics& diagnostics) {
  const auto write = [log](std::string text) {
    log->Write(LogRecord{.level = LogLevel::kWarning,
                         .subsystem = "config",
                         .session = "",
                         .event = "warning",
                         .fields = {{"text", std::move(text)}}});
  };
  size_t count = 0;
  for (const policy::Diagnostic& each : diagnostics) {
    if (each.severity != policy::Severity::kWarning || ++count > kMaxToldMistakes) continue;
    write(each.ToString());
  }
  if (count > kMaxToldMistakes) write(StrCat("and ", count - kMaxToldMistakes, " warnings more"));
}

}  // namespace postern::capi
