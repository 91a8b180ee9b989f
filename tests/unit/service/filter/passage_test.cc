#include "lib/service/filter/passage.h"

#include <functional>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::service {
namespace {

using Kind = FilterVerdict::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// FakeFilter answers by `answers` and writes down what it sees.
class FakeFilter final : public SessionFilter {
 public:
  uint32_t events() const override { return kAllEvents; }
  bool wants_content() const override { return content; }
  std::string_view name() const override { return "fake"; }
  rt::Task<FilterVerdict> Ask(FilterQuestion question) override {
    seen.push_back(StrCat("? ", SmtpPhaseName(question.phase)));
    FilterVerdict verdict;
    if (answers) answers(question, &verdict);
    if (verdict.filter.empty()) verdict.filter = "fake";
    co_return verdict;
  }
  void Report(const FilterReport& report) override {
    seen.emplace_back(SessionEventName(report.event));
    if (report.event == SessionEvent::kTxEnvelope) envelopes.push_back(report.number);
  }
  void BeginContent(const FilterQuestion&, ContentSink* next) override { next_ = next; }
  rt::Task<Status> Content(std::string_view piece) override {
    Status written = co_await next_->Write(piece);
    co_return written;
  }
  rt::Task<FilterVerdict> EndContent() override {
    const std::string more = "more\r\n";
    const Status written = co_await next_->Write(more);
    (void)written;
    co_return end;
  }

  bool content = false;
  std::function<void(const FilterQuestion&, FilterVerdict*)> answers;
  FilterVerdict end;
  std::vector<std::string> seen;
  std::vector<uint64_t> envelopes;  // that it was told of

 private:
  ContentSink* next_ = nullptr;
};

class TextSource final : public ContentSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  rt::Task<StatusOr<std::string_view>> Next() override {
    if (!failure.ok()) co_return failure;
    const std::string_view piece = std::string_view(text_).substr(at_, 5);
    at_ += piece.size();
    co_return piece;
  }
  void Rewind() { at_ = 0; }
  Status failure;

 private:
  const std::string text_;
  size_t at_ = 0;
};

class PassageTest : public ::testing::Test {
 protected:
  PassageTest() : simulation_(3), host_(simulation_.AddHost({.name = "us.example"})) {
    auto options = std::make_shared<smtp::ServerOptions>();
    options->hostname = "us.example";
    auto listener = std::make_shared<SmtpListener>();
    listener->options = options;
    facts_.listener = listener;
    facts_.extended = true;
    facts_.helo = "client.example";
    NewSpool(64 << 20);
  }
  void NewSpool(uint64_t limit) {
    ContentSpoolOptions options;
    options.limit_bytes = limit;
    spool_ =
        std::make_unique<ContentSpool>(&host_.main_loop(), &host_.world().files(), options, "x");
  }

  PassageResult Pass() {
    source_.Rewind();
    PassageRequest request;
    request.facts = &facts_;
    request.message_id = "0badcafe";
    request.sender.address = {"from", "us.example"};
    for (const char* local : {"one", "two"})
      request.recipients.push_back({.address = {local, "far.example"}});
    request.envelopes = {0x0badcafe'9e5f1203, 0x0badcafe'00c0ffee};
    return simulation_.Await(host_.main_loop(),
                             PassMessage(&filter_, std::move(request), &source_, spool_.get()));
  }
  std::string Kept() { return std::string(spool_->InMemory().value_or("")); }

  rt::sim::Simulation simulation_;
  rt::sim::Host& host_;
  SmtpSessionFacts facts_;
  FakeFilter filter_;
  TextSource source_{"Subject: x\r\n\r\nbody\r\n"};
  std::unique_ptr<ContentSpool> spool_;
};

void Reject(int code, FilterVerdict* verdict) {
  verdict->kind = Kind::kReject;
  verdict->reply = mail::Reply(code, {code / 100, 7, 1}, "no");
}

TEST_F(PassageTest, IsASessionOfOneMessage) {
  filter_.content = true;
  facts_.auth_user = "joe";
  const PassageResult result = Pass();
  EXPECT_THAT(filter_.seen,
              ElementsAre("link-connect", "? connect", "link-greeting", "? ehlo", "link-identify",
                          "link-auth", "? mail-from", "tx-begin", "tx-mail", "? rcpt-to",
                          "tx-envelope", "tx-rcpt", "? rcpt-to", "tx-envelope", "tx-rcpt", "? data",
                          "tx-data", "? commit", "tx-commit", "tx-reset", "link-disconnect"));
  EXPECT_TRUE(result.content_passed);
  EXPECT_FALSE(result.eight_bit);
  EXPECT_EQ(Kept(), "Subject: x\r\n\r\nbody\r\nmore\r\n");
  for (const PassageRecipient& each : result.recipients) EXPECT_FALSE(each.fate.has_value());
}

TEST_F(PassageTest, FiltersAreToldTheQueuesEnvelopes) {
  Pass();
  EXPECT_THAT(filter_.envelopes, ElementsAre(0x9e5f1203, 0x00c0ffee));
  // Each has his own, whoever stands before him.
  filter_.envelopes.clear();
  filter_.answers = [](const FilterQuestion& question, FilterVerdict* verdict) {
    if (question.phase == SmtpPhase::kRcptTo && question.recipient->local_part == "one")
      Reject(550, verdict);
  };
  Pass();
  EXPECT_THAT(filter_.envelopes, ElementsAre(0x00c0ffee));
}

TEST_F(PassageTest, ARefusalIsEverybodysOrOneRecipients) {
  for (const SmtpPhase at : {SmtpPhase::kConnect, SmtpPhase::kEhlo, SmtpPhase::kMailFrom,
                             SmtpPhase::kData, SmtpPhase::kCommit}) {
    filter_.answers = [at](const FilterQuestion& question, FilterVerdict* verdict) {
      if (question.phase == at) Reject(550, verdict);
    };
    const PassageResult result = Pass();
    EXPECT_EQ(result.decided_by, "fake");
    for (const PassageRecipient& each : result.recipients) {
      ASSERT_TRUE(each.fate.has_value()) << SmtpPhaseName(at);
      EXPECT_EQ(each.fate->code, 550);
    }
  }
  filter_.answers = [](const FilterQuestion& question, FilterVerdict* verdict) {
    if (question.phase == SmtpPhase::kRcptTo && question.recipient->local_part == "one")
      Reject(451, verdict);
  };
  const PassageResult result = Pass();
  EXPECT_EQ(result.recipients[0].fate->code, 451);
  EXPECT_FALSE(result.recipients[1].fate.has_value());
}

TEST_F(PassageTest, WhatIsRewritten) {
  std::string to = "<other@far.example>";
  filter_.answers = [&to](const FilterQuestion& question, FilterVerdict* verdict) {
    verdict->kind = Kind::kRewrite;
    switch (question.phase) {
      case SmtpPhase::kEhlo: verdict->argument = "elsewhere.example"; break;
      case SmtpPhase::kMailFrom: verdict->argument = "<>"; break;
      case SmtpPhase::kRcptTo: verdict->argument = to; break;
      default: verdict->kind = Kind::kProceed;
    }
  };
  PassageResult result = Pass();
  EXPECT_TRUE(result.sender.address.empty());
  EXPECT_EQ(result.recipients[1].path.address.ToString(), "other@far.example");
  for (const char* wrong : {"other@elsewhere.example", "not an address"}) {
    to = wrong;
    result = Pass();
    EXPECT_EQ(result.recipients[0].fate->code, 451) << wrong;
  }
}

TEST_F(PassageTest, TheMarkOfJunkStandsOnTop) {
  filter_.answers = [](const FilterQuestion& question, FilterVerdict* verdict) {
    verdict->junk = question.phase == SmtpPhase::kRcptTo;
  };
  EXPECT_TRUE(Pass().content_passed);
  EXPECT_EQ(Kept(), "X-Spam: Yes\r\nSubject: x\r\n\r\nbody\r\n");
  spool_->Clear();
  filter_.content = true;
  Pass();
  EXPECT_EQ(Kept(), "X-Spam: Yes\r\nSubject: x\r\n\r\nbody\r\nmore\r\n");
}

TEST_F(PassageTest, WhatStandsAtTheEndOfContent) {
  filter_.content = true;
  filter_.end.filter = "fake";
  filter_.end.changes.remove_recipients = {{"ONE", "FAR.example"}, {"two", "FAR.example"}};
  PassageResult result = Pass();
  EXPECT_FALSE(result.recipients[0].fate.has_value());
  EXPECT_EQ(result.recipients[1].fate->code, 250);
  filter_.end.changes = {};
  filter_.end.changes.change_sender = true;
  filter_.end.changes.sender.address = {"new", "us.example"};
  EXPECT_EQ(Pass().sender.address.ToString(), "new@us.example");
  filter_.end.changes = {};
  filter_.end.changes.add_recipients.push_back({.address = {"three", "far.example"}});
  EXPECT_THAT(Pass().recipients[0].fate->ToString(),
              HasSubstr("451 4.7.1 The filter fake wants to add"));
  filter_.end.changes = {};
  filter_.end.changes.quarantine = true;
  EXPECT_EQ(Pass().recipients[0].fate->code, 451);
  filter_.end = {};
  filter_.end.kind = Kind::kDiscard;
  EXPECT_EQ(Pass().recipients[0].fate->code, 250);
}

TEST_F(PassageTest, WhatCannotBeReadOrKeptWaits) {
  filter_.content = true;
  NewSpool(10);
  EXPECT_EQ(Pass().recipients[0].fate->code, 451);
  NewSpool(1000);
  source_.failure = DataLoss("gone");
  EXPECT_THAT(Pass().recipients[1].fate->ToString(), HasSubstr("gone"));
}

}  // namespace
}  // namespace postern::service
