// Either end of the control socket sends anything, in pieces of any size.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/control/frames.h"
#include "lib/core/control/verbs.h"

using postern::control::FrameReader;
using postern::control::Request;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 16;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  FrameReader reader;
  bool ended = false;
  while (!ended && !input.empty()) {
    reader.Feed(input.substr(0, piece));
    input.remove_prefix(std::min(piece, input.size()));
    for (;;) {
      const auto next = reader.Next();
      ended = !next.ok();
      if (ended || !next->has_value()) break;
      const auto request = postern::control::DecodeRequest((*next)->payload);
      if (!request.ok()) continue;
      // What was read is written again, and read the same.
      const auto again = postern::control::EncodeRequest(*request);
      if (!again.ok()) std::abort();
      const auto same = postern::control::DecodeRequest(*again);
      if (!same.ok() || !(*same == *request)) std::abort();
      std::string help;
      const auto command = postern::control::MatchVerb(request->words, &help);
      if (command.has_value() != help.empty()) std::abort();
      if (command.has_value() && command->operands.size() > request->words.size()) std::abort();
    }
  }
  return 0;
}
