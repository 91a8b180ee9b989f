// Feeds a ServerSession anything at all, cut anywhere, with a driver that agrees to everything: it
// must neither crash, nor hang, nor keep more than its bounds. The first octet chooses the state
// and the size of the pieces.
#include <cstdint>
#include <string_view>

#include "lib/core/base/check.h"
#include "lib/core/imap/search_criteria.h"
#include "lib/core/imap/server_session.h"

namespace postern::imap {
namespace {

constexpr Instant kNow{1};

void Answer(ServerSession& session, const Event& event) {
  switch (event.kind) {
    case Event::Kind::kCredentials:
      session.Decide(
          event.credentials->password == "no" ? AuthDecision::kReject : AuthDecision::kAccept,
          kNow);
      break;
    case Event::Kind::kCommand:
      if (event.command->kind == CommandKind::kIdle) break;
      if (event.command->kind == CommandKind::kFetch) {
        for (const FetchItem& item : std::get<FetchArguments>(event.command->arguments).items)
          item.ResponseName();
      }
      if (event.command->kind == CommandKind::kSearch) {
        SearchContext context;
        context.largest_number = 7;
        context.largest_uid = 70;
        (void)ParseSearchCriteria(std::get<SearchArguments>(event.command->arguments).criteria,
                                  context);
      }
      session.Finish(Completion::Ok("done"));
      break;
    case Event::Kind::kIdleDone:
    case Event::Kind::kAppendEnd: session.Finish(Completion::Ok("done")); break;
    case Event::Kind::kAppend: {
      AppendDecision decision;
      decision.accept = event.append_size_bytes % 2 == 0;
      decision.refusal = Completion::No("odd");
      session.Decide(decision);
      break;
    }
    case Event::Kind::kSecret: {
      sasl::ScramSecret secret;
      secret.iterations = 1;
      secret.salt = "salt";
      secret.stored_key = std::string(32, 'k');
      secret.server_key = std::string(32, 'k');
      session.GiveSecret(std::move(secret), "nonce", kNow);
      break;
    }
    case Event::Kind::kStartTls: session.TlsStarted(kNow); break;
    default: break;
  }
}

void Run(std::string_view input) {
  const uint8_t choice = input.empty() ? 0 : static_cast<uint8_t>(input[0]);
  if (!input.empty()) input.remove_prefix(1);
  ServerOptions options;
  options.bad_command_limit = 1000000;
  options.append_limit_bytes = 100000;
  options.mechanisms =
      sasl::kPasswordMechanisms | sasl::kScramSha256Mechanisms | sasl::kTokenMechanisms;
  ServerSession session(options, choice % 2 == 0, kNow);
  const size_t piece_bytes = choice < 64 ? 1 : choice < 128 ? 7 : 4096;
  if (choice % 4 == 0) session.Feed("a LOGIN u p\r\nb SELECT x\r\n", kNow);
  for (;;) {
    const Event event = session.NextEvent(kNow);
    POSTERN_CHECK(event.kind != Event::Kind::kAwaitingDecision);
    if (event.kind == Event::Kind::kClosed) return;
    session.Wrote(session.PendingOutput().size());
    if (event.kind != Event::Kind::kNeedInput) {
      Answer(session, event);
      continue;
    }
    if (input.empty()) return;
    const size_t taken = session.Feed(input.substr(0, piece_bytes), kNow);
    POSTERN_CHECK(taken > 0);
    input.remove_prefix(taken);
  }
}

}  // namespace
}  // namespace postern::imap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  postern::imap::Run(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
