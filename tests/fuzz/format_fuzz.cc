// A format and a stranger's local part, divided by a newline: the path never leaves, the command
// never gets a shell's marks.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/policy/format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::policy;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\n');
  const std::string_view format = input.substr(0, cut);
  FormatContext context;
  context.home = "/home/bob";
  context.user_name = "bob";
  context.mda = "inner";
  context.destination.local_part =
      cut == std::string_view::npos ? "x" : std::string(input.substr(cut + 1));
  context.destination.domain = "example.org";
  context.sender = context.destination;
  context.recipient = context.destination;
  const auto path = ExpandFormat(format, context, FormatUse::kPath);
  if (path.ok() && (("/" + *path + "/").find("/../") != std::string::npos ||
                    path->size() > kMaxFormatResultBytes))
    abort();
  if (path.ok() != ExpandFormat(format, context, FormatUse::kPath).ok()) abort();
  const auto command = ExpandFormat("%{dest.user:raw}", context, FormatUse::kCommand);
  if (command.ok() && command->find_first_of(" \t\n;()<>\"\\") != std::string::npos) abort();
  if (path.ok() && !CheckFormat(format, true).ok()) abort();
  return 0;
}
