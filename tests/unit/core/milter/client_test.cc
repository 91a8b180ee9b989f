#include "lib/core/milter/client.h"

#include "tests/unit/core/milter/packets.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::milter {
namespace {

using EventKind = ClientEvent::Kind;

constexpr uint32_t kOfferedSteps = 0x301fffff;

// A client, and a filter that says what the test says.
class MilterClient : public testing::Test {
 protected:
  void Start(uint32_t actions = 0, uint32_t steps = 0, uint32_t version = 6) {
    client_ = std::make_unique<Client>(options_, now_);
    EXPECT_EQ(Sent(), Optneg(6, 0x1ff, kOfferedSteps));
    EXPECT_EQ(Next().kind, EventKind::kNeedInput);
    Hear(Optneg(version, actions, steps));
    ASSERT_EQ(Next().kind, EventKind::kReady) << Next().reason;
  }
  // Sent takes what the client has written.
  std::string Sent() {
    std::string out(client_->PendingOutput());
    client_->Wrote(out.size());
    return out;
  }
  void Hear(std::string_view octets) { EXPECT_EQ(client_->Feed(octets), octets.size()); }
  ClientEvent Next() { return client_->NextEvent(now_); }
  // Answered hears `wire` and expects a verdict.
  Verdict Answered(std::string_view wire) {
    Hear(wire);
    const ClientEvent event = Next();
    EXPECT_EQ(event.kind, EventKind::kVerdict) << event.reason;
    Verdict verdict = event.verdict == nullptr ? Verdict() : *event.verdict;
    EXPECT_EQ(Next().kind, EventKind::kReady) << Next().reason;
    return verdict;
  }
  // At once expects the verdict of a step that was not sent.
  Verdict AtOnce() { return Answered(""); }
  std::string Failure(std::string_view wire) {
    Hear(wire);
    const ClientEvent event = Next();
    EXPECT_EQ(event.kind, EventKind::kFailed);
    return std::string(event.reason);
  }
  void Message() {
    client_->Mail("<s@a.test>", {}, now_);
    Answered(Pk('c'));
    client_->Rcpt("<r@b.test>", {}, now_);
    Answered(Pk('c'));
    Sent();
  }

  std::shared_ptr<ClientOptions> options_ = std::make_shared<ClientOptions>();
  std::unique_ptr<Client> client_;
  Instant now_{1'000'000'000};
};

TEST_F(MilterClient, ASessionToTheByte) {
  Start();
  MacroTable& macros = client_->macros();
  macros.Set("j", "mx.test");
  macros.Set("{daemon_name}", "smtp");
  macros.Set("_", "a.test [192.0.2.1]");
  ASSERT_TRUE(client_->Connect("a.test", Family::kInet, 40'000, "192.0.2.1", now_));
  EXPECT_EQ(Sent(), Pk('D', "Cj\0mx.test\0_\0a.test [192.0.2.1]\0{daemon_name}\0smtp\0"s) +
                        Pk('C',
                           "a.test\0004\x9c\x40"
                           "192.0.2.1\0"s));
  EXPECT_EQ(Next().kind, EventKind::kNeedInput);
  EXPECT_EQ(Answered(Pk('c')).kind, Verdict::Kind::kContinue);

  macros.Set("{tls_version}", "TLSv1.3");
  ASSERT_TRUE(client_->Helo("client.test", now_));
  EXPECT_EQ(Sent(), Pk('D', "H{tls_version}\0TLSv1.3\0"s) + Pk('H', "client.test\0"s));
  Answered(Pk('c'));

  macros.Set("i", "1f");
  ASSERT_TRUE(client_->Mail("<s@a.test>", {"SIZE=10", "BODY=8BITMIME"}, now_));
  EXPECT_EQ(Sent(), Pk('D', "Mi\0001f\0"s) + Pk('M', "<s@a.test>\0SIZE=10\0BODY=8BITMIME\0"s));
  Answered(Pk('c'));

  ASSERT_TRUE(client_->Rcpt("<r@b.test>", {}, now_));
  EXPECT_EQ(Sent(), Pk('D', "Ri\0001f\0"s) + Pk('R', "<r@b.test>\0"s));
  Answered(Pk('c'));

  ASSERT_TRUE(client_->Data(now_));
  EXPECT_EQ(Sent(), Pk('D', "Ti\0001f\0"s) + Pk('T'));
  Answered(Pk('c'));

  ASSERT_TRUE(client_->Header("Subject", " hi", now_));
  EXPECT_EQ(Sent(), Pk('L', "Subject\0hi\0"s));
  Answered(Pk('c'));

  ASSERT_TRUE(client_->EndOfHeaders(now_));
  EXPECT_EQ(Sent(), Pk('D', "Ni\0001f\0"s) + Pk('N'));
  Answered(Pk('c'));

  ASSERT_TRUE(client_->Body("hello\r\n", now_));
  EXPECT_EQ(Sent(), Pk('B', "hello\r\n"));
  Answered(Pk('c'));

  ASSERT_TRUE(client_->EndOfMessage(now_));
  EXPECT_EQ(Sent(), Pk('D', "Ei\0001f\0"s) + Pk('E'));
  Answered(Pk('c'));
  EXPECT_FALSE(client_->in_message());

  ASSERT_TRUE(client_->Abort());
  EXPECT_EQ(Sent(), "");
  ASSERT_TRUE(client_->Quit(false));
  EXPECT_EQ(Sent(), Pk('Q'));
}

TEST_F(MilterClient, ClientsOfEachFamily) {
  Start();
  client_->Connect("localhost", Family::kUnix, 0, "/run/s", now_);
  EXPECT_EQ(Sent(), Pk('C', "localhost\0L\0\0/run/s\0"s));
  Answered(Pk('c'));
  client_->Connect("unknown", Family::kUnknown, 0, "", now_);
  EXPECT_EQ(Sent(), Pk('C', "unknown\0U"s));
  Answered(Pk('c'));
  client_->Connect("unknown", Family::kInet6, 25, "2001:db8::1", now_);
  EXPECT_EQ(Sent(), Pk('C',
                       "unknown\0006\0\x19"
                       "2001:db8::1\0"s));
}

// Each bit of a step that the filter does not want, or will not answer.
TEST_F(MilterClient, StepsThatAreNotWantedAreNotSent) {
  struct Row {
    uint32_t unwanted;
    uint32_t unanswered;
    Step step;
    char code;
  };
  const Row rows[] = {
      {kNoConnect, kNoReplyConnect, Step::kConnect, 'C'},
      {kNoHelo, kNoReplyHelo, Step::kHelo, 'H'},
      {kNoMail, kNoReplyMail, Step::kMail, 'M'},
      {kNoRcpt, kNoReplyRcpt, Step::kRcpt, 'R'},
      {kNoData, kNoReplyData, Step::kData, 'T'},
      {kNoUnknown, kNoReplyUnknown, Step::kUnknown, 'U'},
      {kNoHeaders, kNoReplyHeader, Step::kHeader, 'L'},
      {kNoEoh, kNoReplyEoh, Step::kEndOfHeaders, 'N'},
      {kNoBody, kNoReplyBody, Step::kBody, 'B'},
  };
  const auto take = [this](Step step) {
    switch (step) {
      case Step::kConnect: return client_->Connect("a", Family::kUnknown, 0, "", now_);
      case Step::kHelo: return client_->Helo("a", now_);
      case Step::kMail: return client_->Mail("<>", {}, now_);
      case Step::kRcpt: return client_->Rcpt("<a@b>", {}, now_);
      case Step::kData: return client_->Data(now_);
      case Step::kUnknown: return client_->Unknown("X", now_);
      case Step::kHeader: return client_->Header("A", " b", now_);
      case Step::kEndOfHeaders: return client_->EndOfHeaders(now_);
      case Step::kBody: return client_->Body("a\r\n", now_);
      default: return client_->EndOfMessage(now_);
    }
  };
  for (const Row& row : rows) {
    for (const bool unwanted : {true, false}) {
      SCOPED_TRACE(StepName(row.step));
      Start(0, unwanted ? row.unwanted : row.unanswered);
      if (row.step >= Step::kRcpt && row.step != Step::kUnknown) {
        client_->Mail("<>", {}, now_);
        Answered(Pk('c'));
        Sent();
      }
      EXPECT_EQ(client_->Wants(row.step), !unwanted);
      ASSERT_TRUE(take(row.step));
      const std::string sent = Sent();
      EXPECT_EQ(sent.empty(), unwanted);
      if (!unwanted) {
        EXPECT_EQ(sent[4], row.code);
      }
      EXPECT_EQ(AtOnce().kind, Verdict::Kind::kContinue);
      // Whoever said that it will not answer, and does, is out of step.
      EXPECT_EQ(Failure(Pk('c')), "it spoke without being asked");
    }
  }
}

TEST_F(MilterClient, MacrosGoAlsoBeforeAStepThatIsNotWanted) {
  Start(0, kNoConnect);
  client_->macros().Set("j", "mx.test");
  client_->Connect("a", Family::kUnknown, 0, "", now_);
  EXPECT_EQ(Sent(), Pk('D', "Cj\0mx.test\0"s));
  AtOnce();
}

TEST_F(MilterClient, OldFiltersAreNotToldOfNewSteps) {
  Start(0, 0, 2);
  EXPECT_FALSE(client_->CanReuse());
  client_->Mail("<>", {}, now_);
  Answered(Pk('c'));
  Sent();
  client_->macros().Set("i", "1");
  client_->Data(now_);
  AtOnce();
  client_->Unknown("X", now_);
  AtOnce();
  EXPECT_EQ(Sent(), "");
  EXPECT_FALSE(client_->Quit(true));
}

struct VerdictRow {
  std::string wire;
  Verdict::Kind kind;
  std::string_view reply;
};

TEST_F(MilterClient, VerdictsOfAMessage) {
  const VerdictRow rows[] = {
      {Pk('c'), Verdict::Kind::kContinue, ""},
      {Pk('a'), Verdict::Kind::kAccept, ""},
      {Pk('r'), Verdict::Kind::kRefuse, "550 5.7.1 Command rejected"},
      {Pk('t'), Verdict::Kind::kRefuse, "451 4.7.1 Service unavailable - try again later"},
      {Pk('d'), Verdict::Kind::kDiscard, ""},
      {Pk('y', "552 5.3.4 100%% too big\0"s), Verdict::Kind::kRefuse, "552 5.3.4 100% too big"},
      {Pk('y', "552 no NUL"), Verdict::Kind::kRefuse, "552 no NUL"},
      {Pk('y', "421 4.7.0 bye\0"s), Verdict::Kind::kShutdown, "421 4.7.0 bye"},
      {Pk('4'), Verdict::Kind::kShutdown, "421 4.7.0 Service closing"},
      {Pk('f'), Verdict::Kind::kShutdown, "421 4.7.0 Service closing"},
  };
  for (const VerdictRow& row : rows) {
    SCOPED_TRACE(Escape(row.wire));
    Start();
    Message();
    client_->Data(now_);
    Sent();
    const Verdict verdict = Answered(row.wire);
    EXPECT_EQ(verdict.kind, row.kind);
    if (!row.reply.empty()) {
      EXPECT_EQ(verdict.reply.ToString(), row.reply);
    }
    // What comes behind anything but "go on" is not sent any more.
    client_->Header("A", " b", now_);
    EXPECT_EQ(Sent().empty(), row.kind != Verdict::Kind::kContinue);
    const Verdict after = Answered(row.kind == Verdict::Kind::kContinue ? Pk('c') : "");
    EXPECT_EQ(after.kind, row.kind == Verdict::Kind::kShutdown ? Verdict::Kind::kShutdown
                                                               : Verdict::Kind::kContinue);
    // The next message is a new one, and the old one is aborted, unless the session is over.
    client_->Mail("<>", {}, now_);
    EXPECT_EQ(Sent(), row.kind == Verdict::Kind::kShutdown ? "" : Pk('A') + Pk('M', "<>\0"s));
  }
}

TEST_F(MilterClient, AVerdictAtConnectOrHeloIsOfTheSession) {
  for (const bool helo : {false, true}) {
    for (const std::string& wire : {Pk('r'), Pk('t'), Pk('a'), Pk('y', "550 no\0"s)}) {
      Start();
      if (helo) {
        client_->Helo("a", now_);
      } else {
        client_->Connect("a", Family::kUnknown, 0, "", now_);
      }
      const Verdict verdict = Answered(wire);
      Sent();
      EXPECT_FALSE(client_->Wants(Step::kMail));
      client_->Mail("<>", {}, now_);
      EXPECT_EQ(Sent(), "");
      const Verdict later = AtOnce();
      EXPECT_EQ(later.kind, wire[4] == 'a' ? Verdict::Kind::kContinue : Verdict::Kind::kRefuse);
      EXPECT_EQ(later.reply.ToString(), verdict.reply.ToString());
      client_->Rcpt("<a@b>", {}, now_);
      AtOnce();
      EXPECT_TRUE(client_->Quit(false));
      EXPECT_EQ(Sent(), Pk('Q'));
    }
  }
}

TEST_F(MilterClient, ARecipientIsRefusedAlone) {
  Start();
  Message();
  client_->Rcpt("<x@b.test>", {}, now_);
  EXPECT_EQ(Answered(Pk('r')).kind, Verdict::Kind::kRefuse);
  Sent();
  client_->Rcpt("<y@b.test>", {}, now_);
  EXPECT_EQ(Sent(), Pk('R', "<y@b.test>\0"s));
  EXPECT_EQ(Answered(Pk('a')).kind, Verdict::Kind::kAccept);
  client_->Rcpt("<z@b.test>", {}, now_);
  EXPECT_EQ(Sent(), "");
  AtOnce();
}

TEST_F(MilterClient, EnoughOfTheBody) {
  Start(0, kCanSkip);
  Message();
  client_->Body("1\r\n", now_);
  Answered(Pk('s'));
  Sent();
  EXPECT_FALSE(client_->Wants(Step::kBody));
  client_->Body("2\r\n", now_);
  AtOnce();
  EXPECT_EQ(Sent(), "");
  client_->EndOfMessage(now_);
  EXPECT_EQ(Sent(), Pk('E'));
  Answered(Pk('c'));
  // of that message
  Message();
  client_->Body("1\r\n", now_);
  EXPECT_EQ(Sent(), Pk('B', "1\r\n"));
}

TEST_F(MilterClient, PiecesOfTheBodyAreBounded) {
  Start();
  Message();
  EXPECT_FALSE(client_->Body(std::string(65'536, 'x'), now_));
  EXPECT_TRUE(client_->Body(std::string(65'535, 'x'), now_));
  EXPECT_EQ(Sent().size(), 65'535u + 5);
  Start(0, kChunks1M);
  Message();
  EXPECT_TRUE(client_->Body(std::string(1'048'575, 'x'), now_));
}

TEST_F(MilterClient, AFieldFitsAPacket) {
  Start();
  Message();
  client_->Header("Long", " " + std::string(70'000, 'x'), now_);
  EXPECT_EQ(Sent(), Pk('L', "Long\0"s + std::string(65'535 - 7, 'x') + '\0'));
}

TEST_F(MilterClient, ChangesAtTheEnd) {
  Start(kAllActions);
  Message();
  client_->EndOfMessage(now_);
  Hear(Pk('h', "X-A\0b\0"s) + Pk('b', "one") + Pk('b', "two") + Pk('p') + Pk('q', "why\0"s) +
       Pk('a'));
  std::string seen;
  for (;;) {
    const ClientEvent event = Next();
    if (event.kind == EventKind::kVerdict) {
      EXPECT_EQ(event.verdict->kind, Verdict::Kind::kAccept);
      break;
    }
    ASSERT_EQ(event.kind, EventKind::kChange) << event.reason;
    EXPECT_EQ(event.step, Step::kEndOfMessage);
    StrAppend(seen, event.change->name, event.change->value, event.change->body,
              event.change->reason, "|");
  }
  EXPECT_EQ(seen, "X-A b|one|two|why|");
}

TEST_F(MilterClient, LiesEndTheConnection) {
  struct Row {
    Step at;
    std::string wire;
    std::string_view reason;
  };
  const Row rows[] = {
      {Step::kData, Pk('Z'), "it answered data with 'Z'"},
      {Step::kData, Pk('\1'), "it answered data with 0x01"},
      {Step::kData, Pk('c', "x"), "it sent data with 'c'"},
      {Step::kData, Pk('h', "A\0b\0"s),
       "it asked for a change ('h') before the end of the message"},
      {Step::kData, Pk('s'), "it skipped at data"},
      {Step::kBody, Pk('s'), "it skipped at body"},
      {Step::kData, Pk('y', "250 ok\0"s),
       "its reply is none: \"250 ok\" does not start with a code of 4xx or 5xx"},
      {Step::kData, Pk('O', ""), "it answered data with 'O'"},
      {Step::kData, Be32(0), "it sent an empty packet"},
      {Step::kData, Be32(0x7fffffff), "it sent a packet that is too long"},
      {Step::kData, Pk('c') + Pk('c'), "it spoke without being asked"},
      {Step::kEndOfMessage, Pk('m', Be32(1) + "A\0b\0"s),
       "it asked for a change ('m') that was not agreed"},
      {Step::kEndOfMessage, Pk('h', "A"),
       "it asked for a change ('h') that is wrong: a change that is cut off"},
      {Step::kUnknown, Pk('d'), "it discarded a message at unknown"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.reason);
    Start(kMayAddHeaders);
    Message();
    switch (row.at) {
      case Step::kData: client_->Data(now_); break;
      case Step::kBody: client_->Body("x", now_); break;
      case Step::kUnknown: client_->Unknown("x", now_); break;
      default: client_->EndOfMessage(now_); break;
    }
    Hear(row.wire);
    ClientEvent event = Next();
    if (event.kind == EventKind::kVerdict) event = Next();
    EXPECT_EQ(event.kind, EventKind::kFailed);
    EXPECT_EQ(event.reason, row.reason);
    EXPECT_FALSE(event.timed_out);
    // It stays so, whatever else is asked and said.
    EXPECT_FALSE(client_->Data(now_));
    Hear(Pk('c'));
    EXPECT_EQ(Next().kind, EventKind::kFailed);
  }
}

TEST_F(MilterClient, ANegotiationThatLeadsNowhere) {
  struct Row {
    std::string wire;
    std::string_view reason;
  };
  const Row rows[] = {
      {Pk('c'), "it answered the negotiation with 'c'"},
      {Pk('O', "short"), "a negotiation that is cut off"},
      {Optneg(7, 0, 0), "it wants protocol version 7, where 6 was offered"},
      {Optneg(6, 0x200, 0), "it wants actions 0x200, where 0x1ff were offered"},
  };
  for (const Row& row : rows) {
    client_ = std::make_unique<Client>(options_, now_);
    EXPECT_EQ(Failure(row.wire), row.reason);
  }
}

TEST_F(MilterClient, AFloodOfChangesIsBounded) {
  options_->max_changes = 3;
  options_->max_change_bytes = 100;
  options_->max_body_pieces = 2;
  options_->max_body_bytes = 10;
  const std::string rows[] = {
      Pk('h', "A\0b\0"s) + Pk('h', "A\0b\0"s) + Pk('h', "A\0b\0"s) + Pk('h', "A\0b\0"s),
      Pk('h', "A\0"s + std::string(100, 'x') + '\0'),
      Pk('b') + Pk('b') + Pk('b'),
      Pk('b', "01234567890"),
  };
  for (const std::string& wire : rows) {
    Start(kAllActions);
    Message();
    client_->EndOfMessage(now_);
    Hear(wire);
    ClientEvent event = Next();
    while (event.kind == EventKind::kChange) event = Next();
    EXPECT_EQ(event.reason, "it asked for too many changes");
  }
}

TEST_F(MilterClient, TimesOfEachStep) {
  Start();
  EXPECT_TRUE(client_->NextDeadline().IsNever());
  client_->Helo("a", now_);
  EXPECT_EQ(client_->NextDeadline(), now_ + options_->command_timeout);
  Answered(Pk('c'));
  Message();
  client_->Body("x", now_);
  EXPECT_EQ(client_->NextDeadline(), now_ + options_->content_timeout);
  client_->OnDeadline(now_ + options_->content_timeout + absl::Nanoseconds(-1));
  EXPECT_EQ(Next().kind, EventKind::kNeedInput);
  client_->OnDeadline(now_ + options_->content_timeout);
  const ClientEvent event = Next();
  EXPECT_EQ(event.kind, EventKind::kFailed);
  EXPECT_TRUE(event.timed_out);
  EXPECT_EQ(event.step, Step::kBody);
}

TEST_F(MilterClient, ProgressGivesTimeButNotForEver) {
  options_->content_timeout = absl::Seconds(10);
  options_->max_progress = absl::Seconds(25);
  Start();
  Message();
  const Instant begin = now_;
  client_->EndOfMessage(now_);
  for (const int seconds : {9, 18, 24}) {
    now_ = begin + absl::Seconds(seconds);
    Hear(Pk('p'));
    EXPECT_EQ(Next().kind, EventKind::kNeedInput);
  }
  EXPECT_EQ(client_->NextDeadline(), begin + absl::Seconds(25));
}

TEST_F(MilterClient, ProgressElsewhereGivesNoTimeAndAFloodOfItEnds) {
  options_->max_progress_packets = 3;
  Start();
  client_->Helo("a", now_);
  const Instant deadline = client_->NextDeadline();
  now_ = now_ + absl::Seconds(1);
  Hear(Pk('p') + Pk('p') + Pk('p'));
  EXPECT_EQ(Next().kind, EventKind::kNeedInput);
  EXPECT_EQ(client_->NextDeadline(), deadline);
  EXPECT_EQ(Failure(Pk('p')), "it floods us");
  EXPECT_TRUE(client_->NextDeadline().IsNever());
}

TEST_F(MilterClient, ACloseIsTold) {
  Start();
  client_->Helo("a", now_);
  client_->FeedEnd();
  const ClientEvent event = Next();
  EXPECT_EQ(event.kind, EventKind::kFailed);
  EXPECT_TRUE(event.closed);
  // and between steps
  Start();
  client_->FeedEnd();
  EXPECT_EQ(Next().kind, EventKind::kFailed);
}

TEST_F(MilterClient, AnotherSessionOnTheSameConnection) {
  Start();
  client_->Connect("a", Family::kUnknown, 0, "", now_);
  Answered(Pk('r'));
  Sent();
  client_->macros().Set("j", "mx");
  ASSERT_TRUE(client_->CanReuse());
  ASSERT_TRUE(client_->Quit(true));
  EXPECT_EQ(Sent(), Pk('K'));
  client_->Connect("b", Family::kUnknown, 0, "", now_);
  EXPECT_EQ(Sent(), Pk('C', "b\0U"s));
  EXPECT_EQ(Answered(Pk('c')).kind, Verdict::Kind::kContinue);
}

TEST_F(MilterClient, AMessageThatIsBrokenOffIsAborted) {
  Start();
  Message();
  EXPECT_TRUE(client_->in_message());
  EXPECT_TRUE(client_->Abort());
  EXPECT_EQ(Sent(), Pk('A'));
  EXPECT_TRUE(client_->Abort());
  EXPECT_EQ(Sent(), "");
  EXPECT_FALSE(client_->Data(now_));
}

}  // namespace
}  // namespace postern::milter
