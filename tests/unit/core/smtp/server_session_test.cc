// What dialogues cannot show: promises of the handle, properties over many sessions, memory. The
// conversations themselves are in tests/dialog/smtp.
#include "lib/core/smtp/server_session.h"

#include "tests/dialog/smtp_server_harness.h"
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

using Kind = ServerEvent::Kind;

constexpr Instant kNow{1'000'000'000};

std::unique_ptr<ServerSession> Session(ServerOptions options = {}) {
  return std::make_unique<ServerSession>(std::make_shared<const ServerOptions>(std::move(options)),
                                         "[192.0.2.1]", false, kNow);
}

TEST(ServerSession, AsksOnceAndWaits) {
  auto session = Session();
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kConnected);
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kAwaitingDecision);
  EXPECT_TRUE(session->NextDeadline().IsNever());
  session->Decide(Decision::Accept());
  session->Decide(Decision::Disconnect({421, {}, "nobody asked"}));
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kNeedOutput);
  EXPECT_EQ(session->PendingOutput(), "220 localhost ESMTP Postern\r\n");
  session->Wrote(4);
  EXPECT_EQ(session->PendingOutput(), "localhost ESMTP Postern\r\n");
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kNeedOutput);
  session->Wrote(1000);
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kNeedInput);
  EXPECT_EQ(session->NextDeadline(), kNow + absl::Minutes(5));
}

// Not asking for events is back-pressure: Feed takes no more than its bound.
TEST(ServerSession, FeedIsBounded) {
  ServerOptions options;
  options.input_buffer_bytes = 20'000;
  auto session = Session(options);
  EXPECT_EQ(session->Feed(std::string(50'000, 'x')), 20'000u);
  EXPECT_EQ(session->Feed("y"), 0u);
}

// Replies to a flood of commands do not pile up.
TEST(ServerSession, OutputIsBounded) {
  ServerOptions options;
  options.output_buffer_bytes = 1000;
  options.max_idle_commands = 0;
  auto session = Session(options);
  session->NextEvent(kNow);
  session->Decide(Decision::Accept());
  session->Wrote(1000);
  std::string flood;
  for (int i = 0; i < 5000; ++i) flood += "NOOP\r\n";
  session->Feed(flood);
  size_t most = 0;
  while (session->NextEvent(kNow).kind == Kind::kNeedOutput) {
    most = std::max(most, session->PendingOutput().size());
    session->Wrote(session->PendingOutput().size());
  }
  EXPECT_GE(most, 1000u);
  EXPECT_LT(most, 1100u);
}

// A peer that does not read is given up.
TEST(ServerSession, UnreadOutputTimesOut) {
  auto session = Session();
  session->NextEvent(kNow);
  session->Decide(Decision::Accept());
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kNeedOutput);
  const Instant deadline = session->NextDeadline();
  EXPECT_EQ(deadline, kNow + absl::Minutes(5));
  session->OnDeadline(deadline);
  EXPECT_EQ(session->NextEvent(deadline).kind, Kind::kClosed);
  EXPECT_EQ(session->PendingOutput(), "");
}

// A connection that can neither be read nor written does not make its driver spin.
TEST(ServerSession, ALostConnectionEnds) {
  auto session = Session();
  session->NextEvent(kNow);
  session->Decide(Decision::Accept());
  EXPECT_EQ(session->NextEvent(kNow).kind, Kind::kNeedOutput);
  session->FeedEnd();
  const ServerEvent event = session->NextEvent(kNow);
  EXPECT_EQ(event.kind, Kind::kClosed);
  EXPECT_EQ(event.close_reason, CloseReason::kPeerClosed);
  EXPECT_EQ(session->PendingOutput(), "");
}

// One that was only closed for writing by the peer gets all its replies.
TEST(ServerSession, AHalfClosedConnectionIsAnswered) {
  ServerHarness harness(ServerOptions{});
  harness.session().Feed("HELO c\r\nNOOP\r\nQUIT\r\n");
  harness.session().FeedEnd();
  harness.Run();
  EXPECT_EQ(harness.TakeReplyLines().size(), 4u);
  EXPECT_EQ(harness.log().back(), "closed quit");
}

// The reply to a whole message goes out although the next commands are there already.
TEST(ServerSession, TheReplyToAMessageDoesNotWait) {
  auto session = Session();
  session->Feed("HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n.\r\nMAIL FROM:<c@x>\r\n");
  bool ended = false;
  while (true) {
    const ServerEvent event = session->NextEvent(kNow);
    if (event.kind == Kind::kNeedOutput && ended) break;
    if (event.kind == Kind::kNeedOutput) session->Wrote(session->PendingOutput().size());
    ASSERT_FALSE(ended && event.kind == Kind::kMailFrom);
    if (event.kind == Kind::kMessageEnd) ended = true;
    if (event.WantsDecision()) session->Decide(Decision::Accept());
  }
  EXPECT_EQ(session->PendingOutput(), "250 2.0.0 Message accepted for delivery\r\n");
}

// Wherever a message is refused, nothing of it is carried over: random decisions over random
// pipelines, and no MessageEnd ever comes for recipients of an earlier MAIL.
TEST(ServerSession, NothingIsCarriedOver) {
  for (unsigned seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    std::mt19937 random(seed);
    ServerOptions options;
    options.max_message_bytes = 60;
    options.close_after_bare_line_ends = false;
    options.max_errors = 0;
    options.max_refused_recipients = 0;
    ServerHarness harness(options);
    std::string sender;
    std::vector<std::string> recipients;
    bool wrong = false;
    harness.set_decider([&](const ServerEvent& event) {
      const bool accept =
          random() % 3 != 0 || event.kind == Kind::kConnected || event.kind == Kind::kHello;
      if (event.kind == Kind::kMailFrom) {
        sender = event.reverse_path->address.local_part;
        recipients.clear();
      }
      // The recipients of message N are named N-something.
      if (event.kind == Kind::kRcptTo &&
          event.forward_path->address.local_part.substr(0, sender.size()) != sender)
        wrong = true;
      if (event.kind == Kind::kRcptTo && accept)
        recipients.push_back(event.forward_path->address.local_part);
      if ((event.kind == Kind::kDataBegin || event.kind == Kind::kMessageEnd) && recipients.empty())
        wrong = true;
      return accept ? Decision::Accept()
                    : Decision::Refuse({random() % 2 == 0 ? 450 : 550, {}, "no"});
    });
    harness.Run();
    std::string input = "EHLO c\r\n";
    for (int message = 10; message < 20; ++message) {
      // The texts look like commands of another message; the client sends them only when it sees
      // the 354, as clients do.
      StrAppend(input, "MAIL FROM:<", message, "@x>\r\nRCPT TO:<", message, "-a@x>\r\nRCPT TO:<",
                message, "-b@x>\r\n");
      harness.Send(input);
      harness.TakeReplies();
      input.clear();
      const std::string text = random() % 3 == 0   ? "RCPT TO:<99@x>\n.\nMAIL FROM:<99@x>\r\n"
                               : random() % 2 == 0 ? std::string(80, 'x') + "\r\n"
                                                   : "short\r\n";
      if (random() % 2 == 0) {
        harness.Send(StrCat("BDAT ", text.size(), " LAST\r\n", text));
      } else {
        harness.Send("DATA\r\n");
        if (harness.TakeReplies().substr(0, 3) == "354")
          harness.SendInPieces(text + ".\r\n", 1 + random() % 9);
      }
      if (random() % 4 == 0) harness.Send(StrCat("RCPT TO:<", message, "-c@x>\r\nDATA\r\n.\r\n"));
      if (random() % 2 == 0) harness.Send("RSET\r\n");
      // Whatever is left open is ended, so that the next MAIL is the first of its transaction.
      harness.Send("RSET\r\n");
    }
    ASSERT_EQ(harness.fault(), "");
    ASSERT_FALSE(wrong);
    for (const std::string& line : harness.log()) {
      ASSERT_EQ(line.find("<99@"), std::string::npos) << line;
    }
  }
}

TEST(ServerSession, AgreementIsForgottenAtTls) {
  ServerOptions options;
  options.tls_available = options.auth_available = options.auth_without_tls = true;
  ServerHarness harness(options);
  harness.Run();
  harness.Send("EHLO c\r\nAUTH PLAIN AGEAYg==\r\n");
  EXPECT_TRUE(harness.session().authenticated());
  EXPECT_EQ(harness.session().helo_name(), "c");
  harness.Send("STARTTLS\r\n");
  harness.EstablishTls();
  EXPECT_TRUE(harness.session().in_tls());
  EXPECT_FALSE(harness.session().authenticated());
  EXPECT_EQ(harness.session().helo_name(), "");
  EXPECT_FALSE(harness.session().extended());
}

TEST(ServerSession, Names) {
  EXPECT_EQ(CloseReasonName(CloseReason::kNotSmtp), "not-smtp");
  EXPECT_EQ(ResetReasonName(ResetReason::kTooBig), "too-big");
  EXPECT_EQ(EventKindName(Kind::kBodyChunk), "body-chunk");
}

}  // namespace
}  // namespace postern::smtp
