// The SMTP server session alone, without sockets: a message of 4 KiB on a session of its own, and
// many on one.
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "lib/core/smtp/server_session.h"

namespace postern::smtp {
namespace {

// Talk feeds `in` and says yes to everything; it returns how many octets of message came out.
size_t Talk(ServerSession& session, std::string_view in) {
  using Kind = ServerEvent::Kind;
  size_t octets = 0;
  do {
    in.remove_prefix(session.Feed(in));
    for (;;) {
      const ServerEvent event = session.NextEvent(Instant{1});
      if (event.kind == Kind::kBodyChunk) octets += event.text.size();
      if (event.WantsDecision()) session.Decide(Decision::Accept());
      if (event.kind == Kind::kNeedInput || event.kind == Kind::kNeedOutput ||
          event.kind == Kind::kClosed) {
        session.Wrote(session.PendingOutput().size());
        if (event.kind != Kind::kNeedOutput) break;
      }
    }
  } while (!in.empty());
  return octets;
}

std::string MakeText() {
  std::string text = "Subject: bench\r\n\r\n";
  while (text.size() < 4096)
    text += "This is a line of text of about seventy-six characters, as mail often has it.\r\n";
  return text + ".\r\n";
}

constexpr char kEnvelope[] =
    "MAIL FROM:<alice@example.net> SIZE=4096\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n";

void BM_MessageOnItsOwnSession(benchmark::State& state) {
  const auto options = std::make_shared<ServerOptions>();
  const std::string text = MakeText();
  for (auto _ : state) {
    ServerSession session(options, "[127.0.0.1]", false, Instant{1});
    Talk(session, "");
    Talk(session, "EHLO client.example.net\r\n");
    Talk(session, kEnvelope);
    benchmark::DoNotOptimize(Talk(session, text));
    Talk(session, "QUIT\r\n");
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(BM_MessageOnItsOwnSession);

void BM_MessageOnAnOpenSession(benchmark::State& state) {
  auto options = std::make_shared<ServerOptions>();
  options->max_messages = 0;
  const std::string text = MakeText();
  ServerSession session(options, "[127.0.0.1]", false, Instant{1});
  Talk(session, "");
  Talk(session, "EHLO client.example.net\r\n");
  for (auto _ : state) {
    Talk(session, kEnvelope);
    benchmark::DoNotOptimize(Talk(session, text));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(BM_MessageOnAnOpenSession);

}  // namespace
}  // namespace postern::smtp

BENCHMARK_MAIN();
