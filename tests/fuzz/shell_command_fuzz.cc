// A command, a wrapper and a stranger's local part, divided by newlines: what the stranger wrote is
// in no shell's text, whatever quotes stand around it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/policy/shell_command.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  constexpr std::string_view kCanary = "Canary9";
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto next = [&input] {
    const size_t cut = input.find('\n');
    const std::string_view line = input.substr(0, cut);
    input.remove_prefix(cut == std::string_view::npos ? input.size() : cut + 1);
    return line;
  };
  const std::string_view command = next();
  const std::string_view wrapper = next();
  if (command.find(kCanary) != std::string_view::npos ||
      wrapper.find(kCanary) != std::string_view::npos)
    return 0;
  FormatContext context;
  context.home = "/home/bob";
  context.user_name = kCanary;
  context.destination = {std::string(kCanary) + std::string(input), "example.org"};
  context.sender = context.recipient = context.destination;
  const auto made = MakeShellCommand(command, wrapper, context);
  if (!made.ok()) return 0;
  if (made->text().find(kCanary) != std::string::npos) abort();
  for (const std::string& each : made->environment()) {
    if (each.find('\0') != std::string::npos || each.rfind("POSTERN_", 0) != 0) abort();
  }
  return 0;
}
