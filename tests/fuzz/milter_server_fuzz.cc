// A mail server that says anything to a filter.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/milter/server.h"

using namespace postern::milter;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t piece_bytes = 1 + data[0];
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto options = std::make_shared<ServerOptions>();
  options->actions = kAllActions;
  options->steps = kNoReplyHeader | kCanSkip;
  options->max_packet_bytes = 512;
  Server server(options);
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, piece_bytes);
    input.remove_prefix(server.Feed(piece));
    for (;;) {
      const ServerEvent event = server.NextEvent();
      if (event.kind == ServerEvent::Kind::kFailed) return 0;
      if (event.kind == ServerEvent::Kind::kNeedInput) break;
      if (event.wants_response && !server.Respond(Response::kContinue)) std::abort();
      if (event.args != nullptr && event.args->empty()) std::abort();
    }
    server.Wrote(server.PendingOutput().size());
  }
  return 0;
}
