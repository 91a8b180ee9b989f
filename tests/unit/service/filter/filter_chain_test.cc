// Chains of filters in real sessions over the simulated network.
#include "lib/service/filter/filter_chain.h"

#include "tests/unit/service/filter/session_fixture.h"

#include <gmock/gmock.h>

namespace postern::service {
namespace {

using Kind = FilterVerdict::Kind;
using ::testing::HasSubstr;

// Script is what a test filter does; it is shared by the sessions.
struct Script {
  std::string name;
  uint32_t phases = 0;
  uint32_t events = 0;
  std::map<SmtpPhase, FilterVerdict> verdicts;
  bool content = false;
  std::string prefix;   // written before the content
  std::string suffix;   // … and behind it
  std::string swallow;  // content that has this is refused at the end
  FilterVerdict end;    // of the content
  std::vector<std::string>* told = nullptr;
  std::string seen;  // the content that came
  int aborted = 0;
};

class ScriptedFilter final : public SessionFilter {
 public:
  explicit ScriptedFilter(Script* script) : script_(script) {}
  uint32_t phases() const override { return script_->phases; }
  uint32_t events() const override { return script_->events; }
  bool wants_content() const override { return script_->content; }
  std::string_view name() const override { return script_->name; }

  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    Tell(StrCat(script_->name, "?", SmtpPhaseName(question.phase), "(", question.argument,
                question.recipient != nullptr ? question.recipient->ToString() : "", ")"));
    const auto it = script_->verdicts.find(question.phase);
    if (it == script_->verdicts.end()) co_return FilterVerdict();
    FilterVerdict verdict = it->second;
    verdict.filter = script_->name;
    co_return verdict;
  }
  void Report(const FilterReport& report) override {
    std::string text = StrCat(SessionEventName(report.event), "(", report.message_id);
    if (!report.text.empty()) StrAppend(text, " ", report.text);
    if (report.address != nullptr) StrAppend(text, " ", report.address->ToString());
    if (report.result != StepResult::kOk) text += " refused";
    if (report.number != 0) StrAppend(text, " ", report.number);
    Tell(text + ")");
  }
  void BeginContent(const FilterQuestion&, ContentSink* next) override {
    next_ = next;
    script_->seen.clear();
    begun_ = false;
  }
  rt::Task<Status> Content(std::string_view piece) override {
    script_->seen.append(piece);
    if (!begun_ && !script_->prefix.empty()) {
      const Status written = co_await next_->Write(script_->prefix);
      if (!written.ok()) co_return written;
    }
    begun_ = true;
    Status written = co_await next_->Write(piece);
    co_return written;
  }
  rt::Task<FilterVerdict> EndContent() override {
    if (!script_->suffix.empty()) (void)co_await next_->Write(script_->suffix);
    FilterVerdict verdict = script_->end;
    verdict.filter = script_->name;
    co_return verdict;
  }
  void AbortContent() override { ++script_->aborted; }

 private:
  void Tell(std::string what) {
    if (script_->told != nullptr) script_->told->push_back(std::move(what));
  }
  Script* script_;
  ContentSink* next_ = nullptr;
  bool begun_ = false;
};

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) StrAppend(text, text.empty() ? "" : "\n", line);
  return text;
}

FilterVerdict Refusal(int code, std::string text) {
  FilterVerdict verdict;
  verdict.kind = Kind::kReject;
  verdict.reply = mail::Reply(code, {}, std::move(text));
  return verdict;
}

class FilterChainTest : public SessionFixture {
 protected:
  FilterChainTest() {
    backend_.new_filter = [this] {
      std::vector<std::unique_ptr<SessionFilter>> members;
      for (Script& script : scripts_) {
        script.told = &told_;
        members.push_back(std::make_unique<ScriptedFilter>(&script));
      }
      return std::make_unique<FilterChain>(std::move(members));
    };
  }
  std::string Told() const { return Joined(told_); }

  std::vector<Script> scripts_;
  std::vector<std::string> told_;
};

TEST_F(FilterChainTest, EachPhaseIsAskedOfThoseThatCareInOrder) {
  scripts_ = {{.name = "a", .phases = kAllPhases},
              {.name = "b", .phases = PhaseBit(SmtpPhase::kRcptTo)},
              {.name = "c", .phases = kAllPhases}};
  EXPECT_EQ(Says(StrCat("EHLO c.example\r\nNOOP\r\nVRFY me\r\n", Mail(), "RSET\r\nQUIT\r\n")),
            "220 250 250 252 250 250 354 250 250 221");
  EXPECT_EQ(Told(),
            "a?connect()\nc?connect()\na?ehlo(c.example)\nc?ehlo(c.example)\na?noop()\nc?noop()\n"
            "a?other(VRFY me)\nc?other(VRFY me)\na?mail-from()\nc?mail-from()\n"
            "a?rcpt-to(c@x.example)\nb?rcpt-to(c@x.example)\nc?rcpt-to(c@x.example)\n"
            "a?data()\nc?data()\na?commit()\nc?commit()\na?rset()\nc?rset()\na?quit()\nc?quit()");
}

TEST_F(FilterChainTest, AnyDecisionEndsThePhaseAndNoOther) {
  FilterVerdict junk;
  junk.junk = true;
  FilterVerdict bypass;
  bypass.last = true;
  scripts_ = {{.name = "a",
               .phases = kAllPhases,
               .verdicts = {{SmtpPhase::kMailFrom, junk}, {SmtpPhase::kRcptTo, bypass}}},
              {.name = "b",
               .phases = kAllPhases,
               .verdicts = {{SmtpPhase::kMailFrom, Refusal(550, "no")},
                            {SmtpPhase::kRcptTo, Refusal(550, "no")}}}};
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", Mail(), "QUIT\r\n")), "220 250 250 250 354 250 221");
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_THAT(backend_.kept[0].content, ::testing::StartsWith("X-Spam: Yes\r\nReceived: "));
}

TEST_F(FilterChainTest, EachPhaseMayBeRefused) {
  const struct {
    SmtpPhase phase;
    const char* codes;
  } rows[] = {
      {SmtpPhase::kConnect, "550 503 503 503 503 503 503 221"},
      {SmtpPhase::kEhlo, "220 550 250 250 503 503 503 221"},
      {SmtpPhase::kNoop, "220 250 550 250 250 250 354 250 221"},
      {SmtpPhase::kRset, "220 250 250 550 250 250 354 250 221"},
      {SmtpPhase::kMailFrom, "220 250 250 250 550 503 503 221"},
      {SmtpPhase::kRcptTo, "220 250 250 250 250 550 503 221"},
      {SmtpPhase::kData, "220 250 250 250 250 250 550 221"},
      {SmtpPhase::kCommit, "220 250 250 250 250 250 354 550 221"},
      {SmtpPhase::kQuit, "220 250 250 250 250 250 354 250 550 421"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(SmtpPhaseName(row.phase));
    scripts_ = {{.name = "a",
                 .phases = PhaseBit(row.phase),
                 .verdicts = {{row.phase, Refusal(550, "no")}}}};
    backend_.kept.clear();
    const bool data = row.phase >= SmtpPhase::kCommit;
    const std::string script =
        StrCat("EHLO c\r\nNOOP\r\nRSET\r\n",
               data ? Mail() : "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "QUIT\r\n");
    EXPECT_EQ(Says(script), row.codes);
    EXPECT_EQ(backend_.kept.size(), data && row.phase != SmtpPhase::kCommit ? 1u : 0u);
  }
}

TEST_F(FilterChainTest, TheContentFlowsThroughThemInTurn) {
  scripts_ = {{.name = "a", .content = true, .prefix = "A: 1\r\n", .suffix = "tail of a\r\n"},
              {.name = "b", .phases = PhaseBit(SmtpPhase::kCommit)},
              {.name = "c", .content = true, .prefix = "C: 1\r\n"}};
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", Mail("Bcc: x\r\nSubject: s\r\n\r\n..dot\r\n"), "QUIT\r\n")),
            "220 250 250 250 354 250 221");
  EXPECT_THAT(scripts_[0].seen, ::testing::StartsWith("Received: from c "));
  EXPECT_THAT(scripts_[0].seen, ::testing::EndsWith("Bcc: x\r\nSubject: s\r\n\r\n.dot\r\n"));
  EXPECT_EQ(scripts_[2].seen, StrCat("A: 1\r\n", scripts_[0].seen, "tail of a\r\n"));
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_THAT(backend_.kept[0].content, ::testing::StartsWith("C: 1\r\nA: 1\r\nReceived: from c "));
  EXPECT_THAT(backend_.kept[0].content,
              ::testing::EndsWith("\r\nSubject: s\r\n\r\n.dot\r\ntail of a\r\n"));
  EXPECT_THAT(backend_.kept[0].content, ::testing::Not(HasSubstr("Bcc")));
}

TEST_F(FilterChainTest, WhoRefusesAtTheEndHasTheWord) {
  scripts_ = {{.name = "a", .content = true, .end = Refusal(554, "virus")},
              {.name = "b", .phases = PhaseBit(SmtpPhase::kCommit), .content = true}};
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", Mail(), Mail(), "QUIT\r\n")),
            "220 250 250 250 354 554 250 250 354 554 221");
  EXPECT_EQ(backend_.kept.size(), 0u);
  EXPECT_EQ(scripts_[1].aborted, 2);
  EXPECT_EQ(Told(), "") << "commit is asked of no message that was refused";
  scripts_[0].end = FilterVerdict();
  scripts_[0].end.kind = Kind::kDiscard;
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", Mail(), "QUIT\r\n")), "220 250 250 250 354 250 221");
  EXPECT_EQ(backend_.kept.size(), 0u);
}

TEST_F(FilterChainTest, TheEnvelopeMayBeChanged) {
  scripts_ = {{.name = "a", .content = true}, {.name = "b", .content = true}};
  FilterChanges& first = scripts_[0].end.changes;
  first.add_recipients.resize(1);
  first.add_recipients[0].address = *mail::ParseAddress("archive@x.example");
  first.remove_recipients = {*mail::ParseAddress("c@X.example")};
  FilterChanges& second = scripts_[1].end.changes;
  second.change_sender = true;
  second.sender.address = *mail::ParseAddress("new@b.example");
  second.quarantine = true;
  second.quarantine_reason = "odd";
  const std::string two =
      "EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@x.example>\r\nRCPT "
      "TO:<d@x.example>\r\nDATA\r\n\r\nx\r\n.\r\nQUIT\r\n";
  EXPECT_EQ(Says(two), "220 250 250 250 250 354 250 221");
  ASSERT_EQ(backend_.kept.size(), 1u);
  EXPECT_EQ(backend_.kept[0].sender, "new@b.example");
  EXPECT_EQ(backend_.kept[0].recipients, "d@x.example archive@x.example");
  EXPECT_EQ(backend_.kept[0].quarantine, "odd");
  // An added recipient that cannot be had keeps the message out for now.
  first.add_recipients[0].address = *mail::ParseAddress("nobody@x.example");
  EXPECT_EQ(Says(two), "220 250 250 250 250 354 451 221");
  // Without recipients there is nobody to keep it for.
  first.add_recipients.clear();
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", Mail(), "QUIT\r\n")), "220 250 250 250 354 250 221");
  EXPECT_EQ(backend_.kept.size(), 1u);
}

TEST_F(FilterChainTest, WhatHappensIsTold) {
  scripts_ = {{.name = "a", .phases = PhaseBit(SmtpPhase::kEhlo), .events = kAllEvents}};
  // "\0alice\0secret" in the second line.
  EXPECT_EQ(Says(StrCat("EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nMAIL FROM:<a@b>\r\n"
                        "RCPT TO:<nobody@d>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\n.\r\n"
                        "MAIL FROM:<>\r\nQUIT\r\n")),
            "220 250 235 250 550 250 354 250 250 221");
  // The second half of an envelope's id is of chance.
  constexpr std::string_view kEnvelope = "tx-envelope(0badcafe ";
  std::vector<std::string> told;
  for (std::string& each : told_) {
    if (each.rfind(kEnvelope, 0) == 0) {
      EXPECT_GT(each.size(), kEnvelope.size() + 1) << each;
      each = StrCat(kEnvelope, "ID)");
    }
    if (each.rfind("protocol-server( 250-", 0) != 0) told.push_back(each);
  }
  EXPECT_EQ(
      Joined(told),
      "link-connect()\nprotocol-server( 220 mx.example.org ESMTP Postern)\n"
      "link-greeting( mx.example.org)\nprotocol-client( EHLO c)\na?ehlo(c)\n"
      "filter-response( proceed)\nlink-identify( c)\nprotocol-server( 250 HELP)\n"
      "protocol-client( AUTH PLAIN ********)\nlink-auth( alice)\n"
      "protocol-server( 235 2.7.0 Authentication succeeded)\nprotocol-client( MAIL FROM:<a@b>)\n"
      "protocol-server( 250 2.0.0 Ok)\ntx-begin(0badcafe)\ntx-mail(0badcafe a@b)\n"
      "protocol-client( RCPT TO:<nobody@d>)\nprotocol-server( 550 5.1.1 Invalid recipient)\n"
      "tx-rcpt(0badcafe nobody@d refused)\nprotocol-client( RCPT TO:<c@d>)\n"
      "tx-envelope(0badcafe ID)\nprotocol-server( 250 2.1.5 Destination address valid: Recipient "
      "ok)\ntx-rcpt(0badcafe c@d)\nprotocol-client( DATA)\n"
      "protocol-server( 354 Enter mail, end with \".\" on a line by itself)\ntx-data(0badcafe)\n"
      "protocol-client( .)\nprotocol-server( 250 2.0.0 kept)\ntx-commit(0badcafe 8)\n"
      "tx-reset(0badcafe)\nprotocol-client( MAIL FROM:<>)\nprotocol-server( 250 2.0.0 Ok)\n"
      "tx-begin(0badcafe)\ntx-mail(0badcafe )\nprotocol-client( QUIT)\n"
      "protocol-server( 221 2.0.0 Bye)\ntx-rollback(0badcafe)\ntx-reset(0badcafe)\n"
      "link-disconnect()");
}

TEST_F(FilterChainTest, WhoLeavesInTheMiddleIsTold) {
  scripts_ = {{.name = "a",
               .events = EventBit(SessionEvent::kTxRollback) | EventBit(SessionEvent::kTimeout) |
                         EventBit(SessionEvent::kLinkDisconnect),
               .content = true}};
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n"),
            "220 250 250 250 354 421");
  EXPECT_EQ(Told(), "tx-rollback(0badcafe)\ntimeout()\nlink-disconnect()");
  EXPECT_EQ(scripts_[0].aborted, 1);
}

}  // namespace
}  // namespace postern::service
