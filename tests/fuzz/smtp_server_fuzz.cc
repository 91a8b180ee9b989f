// A client that says anything. Whatever it says and however the network cuts it, the session keeps
// its promises (the harness checks them), and the replies and messages are the same.
#include "tests/dialog/smtp_server_harness.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/base/strings.h"

namespace {

using postern::smtp::Decision;
using postern::smtp::ServerEvent;
using postern::smtp::ServerHarness;
using postern::smtp::ServerOptions;

struct Outcome {
  std::string replies;
  std::vector<std::string> log;
  std::vector<std::string> messages;
};

Decision Judge(const ServerEvent& event) {
  // An address decides its own fate, so that every path can be reached from the input.
  std::string_view name;
  if (event.kind == ServerEvent::Kind::kMailFrom) name = event.reverse_path->address.local_part;
  if (event.kind == ServerEvent::Kind::kRcptTo) name = event.forward_path->address.local_part;
  if (event.kind == ServerEvent::Kind::kAuthenticate) name = event.credentials->authentication_id;
  if (name.substr(0, 2) == "no") return Decision::Refuse({550, {5, 7, 1}, "no"});
  if (name.substr(0, 3) == "out") return Decision::Disconnect({421, {4, 7, 1}, "out"});
  return Decision::Accept();
}

Outcome RunSession(uint8_t flags, std::string_view input, size_t piece_bytes) {
  ServerOptions options;
  options.tls_available = (flags & 1) != 0;
  options.auth_available = (flags & 2) != 0;
  options.auth_without_tls = (flags & 4) != 0;
  options.refuse_bare_line_ends = (flags & 8) == 0;
  options.close_after_bare_line_ends = (flags & 16) == 0;
  options.max_message_bytes = (flags & 32) != 0 ? 256 : 0;
  options.max_text_line_bytes = 512;
  options.max_command_line_bytes = 256;
  options.max_overlong_line_bytes = 1024;
  options.max_discard_bytes = 2048;
  options.input_buffer_bytes = 1024;
  options.output_buffer_bytes = 256;
  ServerHarness harness(options);
  harness.set_decider(Judge);
  harness.Run();
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, piece_bytes);
    harness.Send(piece);
    if (harness.awaiting_tls()) harness.EstablishTls();
    input.remove_prefix(piece.size());
  }
  harness.End();
  if (!harness.fault().empty() || !harness.closed()) {
    std::fprintf(stderr, "fault: %s\n", harness.fault().c_str());
    std::abort();
  }
  return {harness.TakeReplies(), harness.log(), harness.messages()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t flags = data[0];
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece_bytes = 1 + (flags >> 6) * 7;
  const Outcome pieces = RunSession(flags, input, piece_bytes);
  // What stands behind STARTTLS in one piece is dropped, so there the cuts matter.
  if ((flags & 1) != 0) return 0;
  const Outcome whole = RunSession(flags, input, input.size() + 1);
  if (whole.messages != pieces.messages || whole.replies != pieces.replies ||
      whole.log != pieces.log) {
    std::fprintf(stderr, "the cuts matter:\n%s\n---\n%s\n",
                 postern::Escape(whole.replies, 4000).c_str(),
                 postern::Escape(pieces.replies, 4000).c_str());
    std::abort();
  }
  return 0;
}
