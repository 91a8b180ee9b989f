// A server that says anything. The client keeps its promises (the harness checks them), each
// recipient gets one fate, and what the client sends has no line of a text's making: outside a text
// only commands that it knows.
#include "tests/dialog/smtp_client_harness.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

using postern::smtp::ClientHarness;
using postern::smtp::ClientOptions;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t flags = data[0];
  const size_t piece_bytes = 1 + data[1];
  std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  ClientOptions options;
  options.lmtp = (flags & 1) != 0;
  options.pipelining = (flags & 2) == 0;
  options.chunking = (flags & 4) != 0;
  options.auth_without_tls = (flags & 8) != 0;
  options.max_reply_line_bytes = 512;
  options.max_reply_lines = 10;
  options.max_reply_text_bytes = 1024;
  options.max_pipelined_commands = 3;
  options.output_buffer_bytes = 128;
  ClientHarness harness(options);
  harness.set_body_piece(1 + (flags >> 4));
  harness.set_body(".a\rb\n\r\n..\r\n.\n\r");
  int step = 0;
  while (!harness.closed()) {
    if (harness.awaiting_tls()) harness.EstablishTls();
    if (harness.ready()) {
      ++step;
      if (step == 1 && (flags & 16) != 0) {
        harness.session().StartTls();
      } else if (step <= 2 && (flags & 32) != 0) {
        postern::sasl::Credentials credentials;
        credentials.authentication_id = "user";
        credentials.password = "secret";
        harness.session().Authenticate(std::move(credentials));
      } else if (step < 6) {
        harness.Message({"b", "c", "d", "e"});
      } else {
        harness.session().Quit();
      }
      harness.Run();
      continue;
    }
    if (input.empty()) {
      harness.End();
      continue;
    }
    const std::string_view piece = input.substr(0, piece_bytes);
    harness.Server(piece);
    input.remove_prefix(piece.size());
  }
  if (!harness.fault().empty()) {
    std::fprintf(stderr, "fault: %s\n", harness.fault().c_str());
    std::abort();
  }
  // The text above, whatever its line ends were, must never leave with a bare CR or LF.
  const std::string sent = harness.Sent();
  for (size_t i = 0; i < sent.size(); ++i) {
    const bool bare = (sent[i] == '\n' && (i == 0 || sent[i - 1] != '\r')) ||
                      (sent[i] == '\r' && i + 1 < sent.size() && sent[i + 1] != '\n');
    if (bare) {
      std::fprintf(stderr, "a bare line end was sent\n");
      std::abort();
    }
  }
  return 0;
}
