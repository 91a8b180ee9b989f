// A milter in a session: what it is told, what becomes of what it says, and what becomes of mail
// when it does not do its part.
#include "lib/service/filter/milter_filter.h"

#include "tests/unit/service/filter/session_fixture.h"

#include "lib/core/milter/server.h"
#include "lib/service/filter/filter_chain.h"

namespace postern::service {
namespace {

using milter::Command;
using milter::Response;

// What a milter does wrong, when it comes to `at`.
enum class Misdeed { kNone, kDies, kHangs, kTalksNonsense, kFloods, kLies };

// Milter is one over the simulated network. It notes what it is told.
class Milter {
 public:
  Misdeed misdeed = Misdeed::kNone;
  char at = 0;
  int misdeeds_left = 1'000'000;
  std::map<char, Response> answers;
  std::map<char, mail::Reply> replies;
  std::vector<milter::Change> changes;
  uint32_t steps = 0;
  uint32_t actions = milter::kAllActions;
  std::string told;
  int connections = 0;
  bool all_args = false;

  rt::Task<void> Listen(rt::Listener* listener, rt::World* world, rt::TaskGroup* tasks) {
    for (;;) {
      StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener->Accept(world->main_loop());
      if (!stream.ok()) co_return;
      ++connections;
      tasks->Spawn(Serve(*std::move(stream)));
    }
  }

 private:
  rt::Task<void> Serve(std::unique_ptr<rt::Stream> stream) {
    auto options = std::make_shared<milter::ServerOptions>();
    options->steps = steps;
    options->actions = actions;
    milter::Server server(options);
    char buffer[4096];
    for (;;) {
      const StatusOr<size_t> got =
          co_await rt::ReadSome(*stream, std::span<char>(buffer), Instant::Never());
      if (!got.ok() || *got == 0) co_return;
      std::string_view input(buffer, *got);
      while (!input.empty()) {
        input.remove_prefix(server.Feed(input));
        std::string raw;
        if (!Hear(&server, &raw)) co_return;
        raw.insert(0, server.PendingOutput());
        server.Wrote(server.PendingOutput().size());
        (void)co_await stream->Write(raw, Instant::Never());
      }
    }
  }

  // Hear answers what has come; false: the milter dies.
  bool Hear(milter::Server* server, std::string* raw) {
    for (;;) {
      const milter::ServerEvent event = server->NextEvent();
      if (event.kind != milter::ServerEvent::Kind::kCommand) return true;
      const char code = static_cast<char>(event.command);
      if (code == at && misdeeds_left > 0 && misdeed != Misdeed::kNone) {
        --misdeeds_left;
        switch (misdeed) {
          case Misdeed::kDies: return false;
          case Misdeed::kTalksNonsense: *raw = "HTTP/1.1 400 Bad Request\r\n\r\n"; break;
          case Misdeed::kFloods:
            for (int i = 0; i < 20'000; ++i) raw->append("\0\0\0\1p", 5);
            break;
          case Misdeed::kLies: raw->assign("\0\0\0\1Z", 5); break;
          default: break;
        }
        server->Wrote(server->PendingOutput().size());
        return true;
      }
      Note(*server, event);
      if (!event.wants_response) continue;
      if (event.command == Command::kEndOfMessage) {
        for (const milter::Change& change : changes) EXPECT_TRUE(server->Modify(change));
      }
      if (const auto reply = replies.find(code); reply != replies.end()) {
        server->RespondReply(reply->second);
      } else {
        const auto answer = answers.find(code);
        server->Respond(answer == answers.end() ? Response::kContinue : answer->second);
      }
    }
  }

  void Note(const milter::Server& server, const milter::ServerEvent& event) {
    StrAppend(told, static_cast<char>(event.command));
    if (event.command == Command::kHeader) StrAppend(told, event.name, ":", event.value, ";");
    if (event.command == Command::kBody) StrAppend(told, event.text.size(), ";");
    if (event.command == Command::kConnect)
      StrAppend(told, event.text, " ", event.address, " ", *server.macros().Find("j"), ";");
    if (event.args != nullptr) {
      StrAppend(told, (*event.args)[0]);
      for (size_t i = 1; i < event.args->size() && (i < 2 || all_args); ++i)
        StrAppend(told, " ", (*event.args)[i]);
      if (const std::string* id = server.macros().Find("i")) StrAppend(told, " ", *id);
      StrAppend(told, ";");
    }
  }
};

class MilterFilterTest : public SessionFixture {
 protected:
  MilterFilterTest() {
    EXPECT_TRUE(server_.world().files().MakeDirectory("/held", 0700).ok());
    options_->name = "m";
    options_->endpoint = Endpoint{IpAddress::V4(192, 0, 2, 1), 8891, ""};
    options_->protocol = protocol_;
    backend_.new_filter = [this] { return New(); };
    milter_listener_ =
        *server_.world().network().Listen(server_.main_loop(), options_->endpoint, {});
    tasks_.Spawn(milter_.Listen(milter_listener_.get(), &server_.world(), &milters_));
  }
  ~MilterFilterTest() override {
    milter_listener_->Close();
    simulation_.RunFor(absl::Seconds(1));
  }
  std::unique_ptr<SessionFilter> New() {
    std::vector<std::unique_ptr<SessionFilter>> members;
    ContentSpoolOptions spool;
    spool.directory = "/held";
    spool.memory_bytes = 1000;
    members.push_back(std::make_unique<MilterFilter>(&server_.main_loop(), &server_.world(),
                                                     options_, spool, &log_));
    return std::make_unique<FilterChain>(std::move(members));
  }
  static std::string Session(std::string_view middle) {
    return StrCat("EHLO client.example\r\n", middle, "QUIT\r\n");
  }

  std::shared_ptr<MilterOptions> options_ = std::make_shared<MilterOptions>();
  std::shared_ptr<milter::ClientOptions> protocol_ = std::make_shared<milter::ClientOptions>();
  rt::TaskGroup milters_;
  Milter milter_;
  std::unique_ptr<rt::Listener> milter_listener_;
};

TEST_F(MilterFilterTest, IsToldOfAllOfASession) {
  EXPECT_EQ(Says(Session(Mail("Subject: x\r\nTo: y\r\n z\r\n\r\nbody\r\n"))),
            "220 250 250 250 354 250 221");
  EXPECT_EQ(milter_.told,
            "OC[192.0.2.2] 192.0.2.2 mx.example.org;HM<a@b.example> 0badcafe;"
            "R<c@x.example> 0badcafe;TLSubject:x;LTo:y\n z;NB6;EQ");
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_NE(backend_.kept[0].content.find("Subject: x\r\nTo: y\r\n z\r\n\r\nbody\r\n"),
            std::string::npos);
}

TEST_F(MilterFilterTest, ChangesWhatItWants) {
  using Kind = milter::Change::Kind;
  const auto add = [this](Kind kind, uint32_t index, std::string_view name, std::string value,
                          std::string_view address = "", std::string_view body = "") {
    milter::Change change;
    change.kind = kind;
    change.index = index;
    change.name = name;
    change.value = std::move(value);
    change.address = address;
    change.body = body;
    change.reason = "why";
    milter_.changes.push_back(change);
  };
  add(Kind::kInsertHeader, 1, "X-First", " 1");
  add(Kind::kAddHeader, 0, "X-Last", " 2");
  add(Kind::kChangeHeader, 1, "Subject", " other");
  add(Kind::kChangeHeader, 1, "To", "");
  add(Kind::kAddRcpt, 0, "", "", "<d@x.example>");
  add(Kind::kDeleteRcpt, 0, "", "", "<c@x.example>");
  add(Kind::kChangeFrom, 0, "", "", "<new@b.example>");
  add(Kind::kReplaceBody, 0, "", "", "", "new ");
  add(Kind::kReplaceBody, 0, "", "", "", "body\r\n");
  add(Kind::kQuarantine, 0, "", "");
  EXPECT_EQ(Says(Session(Mail("Subject: x\r\nTo: y\r\n\r\nbody\r\n"))),
            "220 250 250 250 354 250 221");
  ASSERT_EQ(backend_.kept.size(), 1u);
  const FilteredBackend::Kept& kept = backend_.kept[0];
  EXPECT_TRUE(kept.content.starts_with("Received: ")) << kept.content;
  EXPECT_TRUE(
      kept.content.ends_with("\r\nX-First: 1\r\nSubject: other\r\nX-Last: 2\r\n\r\nnew body\r\n"))
      << kept.content;
  EXPECT_EQ(kept.recipients, "d@x.example");
  EXPECT_EQ(kept.sender, "new@b.example");
  EXPECT_EQ(kept.quarantine, "why");
}

TEST_F(MilterFilterTest, ALargeMessageGoesThroughAFile) {
  std::string text = "Subject: x\r\n\r\n";
  for (int i = 0; i < 20'000; ++i) StrAppend(text, "line ", i, " of many\r\n");
  EXPECT_EQ(Says(Session(Mail(text))), "220 250 250 250 354 250 221");
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_TRUE(backend_.kept[0].content.ends_with(text));
  EXPECT_NE(milter_.told.find("B65535;B65535;"), std::string::npos) << milter_.told;
  EXPECT_TRUE(server_.world().files().List("/held")->empty());
}

TEST_F(MilterFilterTest, OneThatChangesNothingHoldsNothing) {
  milter_.actions = 0;
  EXPECT_EQ(Says(Session(Mail())), "220 250 250 250 354 250 221");
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_TRUE(backend_.kept[0].content.ends_with("Subject: x\r\n\r\nbody\r\n"));
}

struct VerdictCase {
  char at;
  Response response;
  std::string_view codes;
  size_t kept;
};

TEST_F(MilterFilterTest, VerdictsAtEachStep) {
  const VerdictCase cases[] = {
      {'C', Response::kAccept, "220 250 250 250 354 250 221", 1},
      {'C', Response::kTemporary, "220 250 451 503 503", 0},
      {'H', Response::kReject, "220 550", 0},
      {'H', Response::kTemporary, "220 250 451 503 503", 0},
      {'M', Response::kReject, "220 250 550 503 503", 0},
      {'M', Response::kTemporary, "220 250 451 503 503", 0},
      {'M', Response::kAccept, "220 250 250 250 354 250 221", 1},
      {'M', Response::kDiscard, "220 250 250 250 354 250 221", 0},
      {'M', Response::kShutdown, "220 250 421", 0},
      {'R', Response::kReject, "220 250 250 550", 0},
      {'R', Response::kDiscard, "220 250 250 250 354 250 221", 0},
      {'T', Response::kReject, "220 250 250 250 550", 0},
      {'L', Response::kReject, "220 250 250 250 354 550 221", 0},
      {'L', Response::kDiscard, "220 250 250 250 354 250 221", 0},
      {'N', Response::kTemporary, "220 250 250 250 354 451 221", 0},
      {'B', Response::kReject, "220 250 250 250 354 550 221", 0},
      {'B', Response::kFail, "220 250 250 250 354 421", 0},
      {'E', Response::kReject, "220 250 250 250 354 550 221", 0},
      {'E', Response::kTemporary, "220 250 250 250 354 451 221", 0},
      {'E', Response::kDiscard, "220 250 250 250 354 250 221", 0},
      {'E', Response::kAccept, "220 250 250 250 354 250 221", 1},
  };
  for (const VerdictCase& each : cases) {
    SCOPED_TRACE(StrCat(each.at, static_cast<char>(each.response)));
    milter_.answers = {{each.at, each.response}};
    backend_.kept.clear();
    const std::string codes = Says(Session(Mail()));
    EXPECT_TRUE(codes.starts_with(each.codes)) << codes;
    EXPECT_EQ(backend_.kept.size(), each.kept);
  }
}

TEST_F(MilterFilterTest, ItsOwnWordsAreHeard) {
  mail::Reply reply(552, {5, 3, 4}, "100% too big");
  reply.lines.push_back("really");
  milter_.replies = {{'E', reply}};
  Says(Session(Mail()));
  EXPECT_NE(heard_.find("552-5.3.4 100% too big\r\n552 5.3.4 really\r\n"), std::string::npos)
      << heard_;
}

// The table of outcomes: each misdeed at each step, with each default. Whatever it does, the
// session ends in order and in time, and mail that may not pass is not kept.
TEST_F(MilterFilterTest, MisdeedsAtEachStep) {
  using WhenAway = MilterOptions::WhenAway;
  for (const Misdeed misdeed : {Misdeed::kDies, Misdeed::kHangs, Misdeed::kTalksNonsense,
                                Misdeed::kFloods, Misdeed::kLies}) {
    for (const char at : std::string_view("OCHMRTLNBE")) {
      for (const WhenAway away : {WhenAway::kTempFail, WhenAway::kReject, WhenAway::kAccept}) {
        SCOPED_TRACE(StrCat(static_cast<int>(misdeed), " at ", at, " ", static_cast<int>(away)));
        milter_.misdeed = misdeed;
        milter_.at = at;
        milter_.misdeeds_left = 1'000'000;
        options_->when_away = away;
        backend_.kept.clear();
        const std::string codes = Says(Session(Mail()), absl::Minutes(40));
        if (away == WhenAway::kAccept) {
          EXPECT_EQ(codes, "220 250 250 250 354 250 221");
          ASSERT_EQ(backend_.kept.size(), 1u);
          EXPECT_TRUE(backend_.kept[0].content.ends_with("Subject: x\r\n\r\nbody\r\n"))
              << backend_.kept[0].content;
          continue;
        }
        EXPECT_TRUE(backend_.kept.empty());
        EXPECT_NE(codes.find(away == WhenAway::kReject ? " 550" : " 451"), std::string::npos)
            << codes;
        EXPECT_EQ(codes.find(away == WhenAway::kReject ? " 451" : " 550"), std::string::npos)
            << codes;
      }
    }
  }
}

TEST_F(MilterFilterTest, OneThatIsNotThereRefusesMailAndNotTheSession) {
  milter_listener_->Close();
  EXPECT_EQ(Says("EHLO a\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n"), "220 250 451 221");
  options_->when_away = MilterOptions::WhenAway::kAccept;
  EXPECT_EQ(Says(Session(Mail())), "220 250 250 250 354 250 221");
}

TEST_F(MilterFilterTest, TheNextMessageTriesItAnew) {
  milter_.misdeed = Misdeed::kDies;
  milter_.at = 'M';
  milter_.misdeeds_left = 1;
  const std::string codes =
      Says(StrCat("EHLO a\r\nMAIL FROM:<a@b.example>\r\n", Mail(), "QUIT\r\n"));
  EXPECT_EQ(codes, "220 250 451 250 250 354 250 221");
  EXPECT_EQ(milter_.connections, 2);
  EXPECT_EQ(backend_.kept.size(), 1u);
}

TEST_F(MilterFilterTest, OneThatHangsIsLeftInTime) {
  milter_.misdeed = Misdeed::kHangs;
  milter_.at = 'M';
  const Instant before = server_.main_loop().Now();
  std::string codes = Says("EHLO a\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n", absl::Seconds(31));
  EXPECT_EQ(codes, "220 250 451 221");
  EXPECT_LE(server_.main_loop().Now() - before, absl::Seconds(31));
}

TEST_F(MilterFilterTest, OnlyOneSessionWaitsForOneThatDoesNotAnswer) {
  options_->rest = std::make_shared<MilterRest>();
  protocol_->negotiation_timeout = absl::Seconds(30);
  milter_.misdeed = Misdeed::kHangs;
  milter_.at = 'O';
  const std::string script = "EHLO a\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n";
  // The first one waits, once, though it would have tried again with its mail.
  EXPECT_EQ(Says(script, absl::Seconds(30.3)), "220 250 451 221");
  EXPECT_EQ(milter_.connections, 1);
  // For a second nobody does.
  EXPECT_EQ(Says(script, absl::Milliseconds(200)), "220 250 451 221");
  EXPECT_EQ(milter_.connections, 1);
  // It is back, and found by the next one.
  milter_.misdeed = Misdeed::kNone;
  simulation_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Says(script, absl::Seconds(1)), "220 250 250 221");
  EXPECT_EQ(milter_.connections, 2);
}

TEST_F(MilterFilterTest, IsToldTheParametersOfMailAndRcpt) {
  milter_.all_args = true;
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\n"
                 "RCPT TO:<c@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Bc@x.example\r\n"
                 "DATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n"),
            "220 250 250 250 354 250 221");
  EXPECT_NE(milter_.told.find(
                "M<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=a+2Bb 0badcafe;"
                "R<c@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Bc@x.example 0badcafe;"),
            std::string::npos)
      << milter_.told;
}

TEST_F(MilterFilterTest, RecipientsThatOthersRefusedAreToldToWhomAsks) {
  const std::string script = Session(
      "MAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@x.example>\r\nRCPT TO:<c@x.example>\r\n"
      "DATA\r\nSubject: x\r\n\r\n.\r\n");
  EXPECT_EQ(Says(script), "220 250 250 550 250 354 250 221");
  EXPECT_EQ(milter_.told.find("R<nobody@x.example> 0badcafe;R<nobody"), std::string::npos);
  milter_.told.clear();
  milter_.steps = milter::kWantsRejectedRcpt;
  EXPECT_EQ(Says(script), "220 250 250 550 250 354 250 221");
  EXPECT_NE(milter_.told.find("R<nobody@x.example> 0badcafe;R<nobody@x.example> 0badcafe;R<c@"),
            std::string::npos)
      << milter_.told;
}

TEST_F(MilterFilterTest, AMessageThatIsBrokenOffIsAborted) {
  Says(StrCat("EHLO a\r\nMAIL FROM:<a@b.example>\r\nRSET\r\n", Mail(), "QUIT\r\n"));
  EXPECT_NE(milter_.told.find("M<a@b.example> 0badcafe;AM<a@b.example> 0badcafe;"),
            std::string::npos)
      << milter_.told;
}

TEST_F(MilterFilterTest, WhatItMayNotGiveIsRefused) {
  for (const std::string_view address : {"nonsense", "<a b@c>"}) {
    milter::Change change;
    change.kind = milter::Change::Kind::kAddRcpt;
    change.address = address;
    milter_.changes = {change};
    EXPECT_EQ(Says(Session(Mail())), "220 250 250 250 354 451 221");
  }
  EXPECT_TRUE(backend_.kept.empty());
}

}  // namespace
}  // namespace postern::service
