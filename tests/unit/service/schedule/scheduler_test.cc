#include "lib/service/schedule/scheduler.h"

#include "tests/unit/text_log.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/service/schedule/delivery_log.h"

namespace postern::schedule {
namespace {

using queue::Envelope;
using Outcome = DeliveryResult::Outcome;

// Scripted answers each envelope by its destination's local part: "ok…", "perm…", "later"
// (temporary, temporary, ok), "sender" (takes notices and keeps them), "once" (a server's "later",
// then held back), "apart" (held back), anything else is temporary.
class Scripted final : public Deliverer {
 public:
  Scripted(rt::World& world, store::Queue& queue) : world_(world), queue_(queue) {}
  queue::ReadyQueue::BatchRule Batching() const override {
    return {.max_batch = 10, .across_destinations = true};
  }
  size_t max_batches() const override { return 2; }
  Duration batch_interval(size_t previous) const override { return interval * previous; }
  bool keeps_back() const override { return true; }
  void Recorded(queue::EnvelopeId first) override { recorded.push_back(first); }
  rt::Task<std::vector<DeliveryResult>> Deliver(std::vector<Envelope> batch) override {
    ++batches;
    std::vector<DeliveryResult> results;
    for (const Envelope& envelope : batch) {
      const std::string who = envelope.destination.local_part;
      ++attempts[who];
      if (who == "throws" && attempts[who] == 1) throw std::bad_alloc();
      DeliveryResult result;
      result.id = envelope.id;
      if (who.starts_with("ok") || who == "sender" || who == "throws" ||
          (who == "later" && attempts[who] > 2)) {
        result.outcome = Outcome::kDelivered;
      }
      if (who.starts_with("perm")) {
        result.outcome = Outcome::kPermanent;
        result.status = {5, 1, 1};
        result.reply = "550 5.1.1 no such user";
      }
      result.text = result.outcome == Outcome::kDelivered ? "Delivered" : "550 no\r\nsuch";
      if (who == "once" && attempts[who] == 1) {
        result.text = result.reply = "450 4.2.0 come back";
        result.status = {4, 2, 0};
        result.remote_host = "mx.example.com";
      } else if (who == "auth" && attempts[who] == 1) {
        result.reply = "535 5.7.8 bad password";
        result.text = "454 4.7.0 AUTH failed: the server mx.example.com answered: " + result.reply;
        result.status = {4, 7, 0};
        result.remote_host = "mx.example.com";
        result.before_message = true;
      } else if (who == "auth" || who == "once" || who == "apart") {
        result.text = "451 4.4.1 Connection refused";
        result.status = {4, 4, 1};
        result.held_back = "All routes to destination blocked";
      }
      if (who == "sender") {
        StatusOr<std::shared_ptr<const store::Body>> body =
            co_await queue_.OpenBody(world_.main_loop(), envelope.message_id());
        notices.push_back(std::string(*(*body)->InMemory()));
        needs_utf8 = envelope.sender.smtputf8;
        EXPECT_TRUE(envelope.sender.address.empty());
        EXPECT_TRUE(envelope.bounce);
      }
      results.push_back(std::move(result));
    }
    co_return results;
  }
  void Stop() override {}
  std::map<std::string, int> attempts;
  int batches = 0;
  Duration interval;  // for each envelope of the batch before
  std::vector<queue::EnvelopeId> recorded;
  std::vector<std::string> notices;
  bool needs_utf8 = false;  // the last of them

 private:
  rt::World& world_;
  store::Queue& queue_;
};

class ToSender final : public NoticeRouter {
 public:
  rt::Task<StatusOr<std::vector<Envelope>>> Route(mail::Address recipient) override {
    ++asked;
    if (away) co_return Unavailable("cannot be read now");
    std::vector<Envelope> envelopes(1);
    envelopes[0].recipient = envelopes[0].destination = recipient;
    co_return envelopes;
  }
  int asked = 0;
  bool away = false;
};

class SchedulerTest : public ::testing::Test {
 protected:
  explicit SchedulerTest(SchedulerOptions options = {})
      : host_(simulation_.AddHost({})),
        queue_(store::NewMemoryQueue(host_.world())),
        deliverer_(host_.world(), *queue_),
        scheduler_(host_.world(), *queue_, log_, router_, &deliverer_, nullptr,
                   std::move(options)) {
    host_.main_loop().Post([this] { group_.Spawn(scheduler_.Run()); });
  }
  ~SchedulerTest() override {
    host_.main_loop().Post([this] { scheduler_.Stop(); });
    simulation_.RunFor(absl::Minutes(1));
    EXPECT_EQ(group_.running(), 0u);
  }

  static Envelope To(std::string who, uint8_t notify = mail::kNotifyUnset) {
    Envelope e;
    e.sender.address = mail::Address{"sender", "example.org"};
    e.recipient = e.destination = mail::Address{who, "example.com"};
    e.user = who;
    e.dsn_notify = notify;
    return e;
  }
  void Send(std::vector<Envelope> envelopes) {
    auto writer = *queue_->NewMessage(host_.main_loop());
    const std::string body = "Subject: original\r\n\r\nbody\r\n";
    ASSERT_TRUE(simulation_.Await(host_.main_loop(), writer->Append(body)).ok());
    ASSERT_TRUE(
        simulation_.Await(host_.main_loop(), writer->Commit(std::move(envelopes), {})).ok());
  }
  Envelope Only() {
    return simulation_.Await(host_.main_loop(), queue_->List(host_.main_loop(), {}))->at(0);
  }
  uint64_t Left() {
    return simulation_.Await(host_.main_loop(), queue_->Counts(host_.main_loop()))->envelopes;
  }

  rt::sim::Simulation simulation_{1};
  rt::sim::Host& host_;
  TextLog log_;
  ToSender router_;
  std::unique_ptr<store::Queue> queue_;
  Scripted deliverer_;
  Scheduler scheduler_;
  rt::TaskGroup group_;
};

TEST_F(SchedulerTest, AFreshMessageIsDeliveredAtOnceAndLogged) {
  Send({To("ok")});
  simulation_.RunFor(absl::Seconds(1));
  EXPECT_EQ(deliverer_.attempts["ok"], 1);
  EXPECT_EQ(Left(), 0u);
  EXPECT_NE(log_.text.find("mda delivery evpid="), std::string::npos) << log_.text;
  EXPECT_NE(log_.text.find("result=Ok stat=Delivered"), std::string::npos) << log_.text;
}

TEST_F(SchedulerTest, ATemporaryFailureIsTriedAgainLater) {
  Send({To("later")});
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(deliverer_.attempts["later"], 1);
  simulation_.RunFor(absl::Seconds(10));
  EXPECT_EQ(deliverer_.attempts["later"], 2);
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(deliverer_.attempts["later"], 3);
  EXPECT_EQ(Left(), 0u);
}

TEST_F(SchedulerTest, AfterAFailureThatNobodyForesawItBeginsAgainFromTheStore) {
  Send({To("throws"), To("ok"), To("later")});
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(deliverer_.attempts["throws"], 2);
  EXPECT_NE(log_.text.find("failed and begins again"), std::string::npos) << log_.text;
  Send({To("ok2")});
  simulation_.RunFor(absl::Minutes(2));
  EXPECT_EQ(deliverer_.attempts["throws"], 2);
  EXPECT_EQ(deliverer_.attempts["ok2"], 1);
  EXPECT_EQ(deliverer_.attempts["later"], 3);
  EXPECT_EQ(Left(), 0u);
}

TEST_F(SchedulerTest, RecipientsOfOneMessageShareOneNotice) {
  Send({To("perm1"), To("perm2"), To("ok")});
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  const std::string& notice = deliverer_.notices[0];
  EXPECT_NE(notice.find("perm1@example.com"), std::string::npos) << notice;
  EXPECT_NE(notice.find("perm2@example.com"), std::string::npos);
  EXPECT_NE(notice.find("Subject: original"), std::string::npos);
  EXPECT_NE(notice.find("Status: 5.1.1"), std::string::npos);
  EXPECT_EQ(notice.find("ok@example.com"), std::string::npos);
  EXPECT_EQ(Left(), 0u);
}

// A sender whose own address is ASCII need not be reachable with SMTPUTF8.
TEST_F(SchedulerTest, ARecipientInUtf8IsToldToAnAsciiSenderInAscii) {
  Envelope envelope = To("perm\xc3\xbc");
  envelope.sender.smtputf8 = true;
  Send({envelope});
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  EXPECT_FALSE(deliverer_.needs_utf8);
  EXPECT_NE(deliverer_.notices[0].find("Final-Recipient: utf-8; perm\\x{FC}@example.com\r\n"),
            std::string::npos)
      << deliverer_.notices[0];
  envelope.sender.address = mail::Address{"sender", "ex\xc3\xa4mple.org"};
  Send({envelope});
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(deliverer_.notices.size(), 2u);
  EXPECT_TRUE(deliverer_.needs_utf8);
  EXPECT_NE(deliverer_.notices[1].find("Final-Recipient: utf-8; perm\xc3\xbc@example.com\r\n"),
            std::string::npos)
      << deliverer_.notices[1];
}

TEST_F(SchedulerTest, ANoticeWithoutAWayIsTriedLessAndLessOften) {
  router_.away = true;
  Send({To("ok", mail::kNotifySuccess)});
  simulation_.RunFor(absl::Hours(10));
  EXPECT_GT(router_.asked, 10);
  EXPECT_LT(router_.asked, 40);
  router_.away = false;
  simulation_.RunFor(absl::Hours(1));
  EXPECT_EQ(deliverer_.notices.size(), 1u);
}

TEST_F(SchedulerTest, NobodyIsToldWhereNobodyMayBe) {
  Envelope null_sender = To("perm");
  null_sender.sender.address = {};
  Send({null_sender});
  Send({To("perm", mail::kNotifyNever)});
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(deliverer_.notices.empty());
  EXPECT_EQ(Left(), 0u);
  EXPECT_EQ(scheduler_.counters().dropped, 2u);
}

TEST_F(SchedulerTest, SuccessIsToldWhenAskedFor) {
  Send({To("ok", mail::kNotifySuccess)});
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  EXPECT_NE(deliverer_.notices[0].find("Action: delivered"), std::string::npos);
  EXPECT_NE(deliverer_.notices[0].find("Subject: original"), std::string::npos);
}

TEST_F(SchedulerTest, TheSuccessOfAnAliasOfSeveralIsToldOnceAsExpanded) {
  std::vector<Envelope> envelopes = {To("ok", mail::kNotifySuccess),
                                     To("ok2", mail::kNotifySuccess),
                                     To("later", mail::kNotifySuccess)};
  for (Envelope& envelope : envelopes) envelope.recipient = mail::Address{"all", "example.com"};
  Send(envelopes);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(Left(), 0u);
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  const std::string& notice = deliverer_.notices[0];
  EXPECT_NE(notice.find("Action: expanded"), std::string::npos) << notice;
  const size_t first = notice.find("Final-Recipient: rfc822; all@example.com");
  ASSERT_NE(first, std::string::npos) << notice;
  EXPECT_EQ(notice.find("Final-Recipient:", first + 1), std::string::npos) << notice;
}

TEST_F(SchedulerTest, TheSuccessOfAnAliasOfOneIsADelivery) {
  Envelope envelope = To("ok", mail::kNotifySuccess);
  envelope.recipient = mail::Address{"all", "example.com"};
  Send({envelope, To("ok2", mail::kNotifySuccess)});
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  EXPECT_EQ(deliverer_.notices[0].find("expanded"), std::string::npos) << deliverer_.notices[0];
  EXPECT_NE(deliverer_.notices[0].find("Final-Recipient: rfc822; all@example.com"),
            std::string::npos)
      << deliverer_.notices[0];
}

TEST_F(SchedulerTest, ADelayIsToldOnceAndTheExpiryEndsIt) {
  Envelope envelope = To("temp");
  envelope.ttl = absl::Hours(12);
  Send({envelope});
  simulation_.RunFor(absl::Hours(3));
  EXPECT_TRUE(deliverer_.notices.empty());
  simulation_.RunFor(absl::Hours(3));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  EXPECT_NE(deliverer_.notices[0].find("Action: delayed"), std::string::npos);
  simulation_.RunFor(absl::Hours(5));
  EXPECT_EQ(deliverer_.notices.size(), 1u);
  simulation_.RunFor(absl::Hours(2));
  ASSERT_EQ(deliverer_.notices.size(), 2u);
  EXPECT_NE(deliverer_.notices[1].find("Action: failed"), std::string::npos);
  EXPECT_EQ(Left(), 0u);
}

TEST_F(SchedulerTest, WhatIsHeldBackKeepsTheErrorAndTheDateOfTheLastAttempt) {
  Envelope envelope = To("once");
  envelope.ttl = absl::Minutes(1);
  Send({envelope});
  simulation_.RunFor(absl::Seconds(1));
  const Envelope tried = Only();
  EXPECT_EQ(tried.last_error, "450 4.2.0 come back");
  EXPECT_EQ(tried.last_host, "mx.example.com");
  simulation_.RunFor(absl::Seconds(29));
  ASSERT_GT(deliverer_.attempts["once"], 1);
  const Envelope held = Only();
  EXPECT_EQ(held.last_error, tried.last_error);
  EXPECT_EQ(held.last_host, tried.last_host);
  EXPECT_EQ(held.last_attempt, tried.last_attempt);
  EXPECT_EQ(held.attempts, 1u);
  EXPECT_NE(log_.text.find("stat=\"All routes to destination blocked: 450 4.2.0 come back"),
            std::string::npos)
      << log_.text;
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_NE(log_.text.find("stat=\"Envelope expired: 450 4.2.0 come back"), std::string::npos)
      << log_.text;
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  const std::string& notice = deliverer_.notices[0];
  EXPECT_NE(notice.find("Action: failed"), std::string::npos) << notice;
  EXPECT_NE(notice.find("Diagnostic-Code: smtp; 450 4.2.0 come back\r\n"), std::string::npos)
      << notice;
  EXPECT_NE(notice.find("Remote-MTA: dns; mx.example.com\r\n"), std::string::npos) << notice;
  EXPECT_NE(notice.find(StrCat("Last-Attempt-Date: ", mail::FormatDate(tried.last_attempt, 0))),
            std::string::npos)
      << notice;
  EXPECT_EQ(notice.find("blocked"), std::string::npos) << notice;
  EXPECT_EQ(notice.find("refused"), std::string::npos) << notice;
}

TEST_F(SchedulerTest, TheReplyWithinAnErrorIsStillKnownWhenItExpires) {
  Envelope envelope = To("auth");
  envelope.ttl = absl::Minutes(1);
  Send({envelope});
  simulation_.RunFor(absl::Minutes(2));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  const std::string& notice = deliverer_.notices[0];
  EXPECT_NE(notice.find("Diagnostic-Code: smtp; 535 5.7.8 bad password\r\n"), std::string::npos)
      << notice;
  EXPECT_NE(notice.find("Remote-MTA: dns; mx.example.com\r\n"), std::string::npos) << notice;
  EXPECT_NE(notice.find("    AUTH failed: the server mx.example.com answered: 535 5.7.8 bad"),
            std::string::npos)
      << notice;
  EXPECT_EQ(notice.find("    The server mx.example.com answered"), std::string::npos) << notice;
}

TEST_F(SchedulerTest, WhatWasNeverTriedIsToldTheCauseAndNoDate) {
  Envelope envelope = To("apart");
  envelope.ttl = absl::Minutes(1);
  Send({envelope});
  simulation_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Only().attempts, 0u);
  EXPECT_EQ(Only().last_error, "451 4.4.1 Connection refused");
  EXPECT_EQ(simulation_
                .Await(host_.main_loop(),
                       queue_->LoadDeferred(host_.main_loop(), queue::DestinationKey(Only()), 9))
                ->size(),
            1u)
      << "it is found when its destination answers again";
  simulation_.RunFor(absl::Minutes(2));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  const std::string& notice = deliverer_.notices[0];
  EXPECT_NE(notice.find("Connection refused"), std::string::npos) << notice;
  EXPECT_EQ(notice.find("Last-Attempt-Date"), std::string::npos) << notice;
  EXPECT_EQ(notice.find("the last one was made"), std::string::npos) << notice;
  EXPECT_EQ(notice.find("blocked"), std::string::npos) << notice.substr(notice.find("blocked"));
}

class WarnsSoonTest : public SchedulerTest {
 protected:
  static SchedulerOptions Options() {
    SchedulerOptions options;
    options.retry.local_base = absl::Minutes(1);
    options.warn_intervals = {absl::Seconds(12), absl::Minutes(10)};
    return options;
  }
  WarnsSoonTest() : SchedulerTest(Options()) {}
};

TEST_F(WarnsSoonTest, ADelayIsToldWhenTheIntervalIsOverAndNotBefore) {
  Envelope envelope = To("temp");
  envelope.ttl = absl::Hours(1);
  Send({envelope});
  simulation_.RunFor(absl::Seconds(11));
  EXPECT_TRUE(deliverer_.notices.empty()) << deliverer_.notices[0];
  simulation_.RunFor(absl::Seconds(4));
  ASSERT_EQ(deliverer_.notices.size(), 1u);
  EXPECT_EQ(deliverer_.attempts["temp"], 2) << "it is tried before anybody is told";
  simulation_.RunFor(absl::Seconds(55));
  EXPECT_EQ(deliverer_.attempts["temp"], 3) << "and the attempt after a minute is made as well";
  simulation_.RunFor(absl::Minutes(8) + absl::Seconds(45));
  EXPECT_EQ(deliverer_.notices.size(), 1u) << "once for the interval";
  simulation_.RunFor(absl::Seconds(10));
  EXPECT_EQ(deliverer_.notices.size(), 2u);
  simulation_.RunFor(absl::Minutes(45));
  EXPECT_EQ(deliverer_.notices.size(), 2u);
}

TEST_F(WarnsSoonTest, WhatGoesAtTheEndOfTheIntervalIsNoDelay) {
  Send({To("later")});  // the third attempt is taken
  simulation_.RunFor(absl::Seconds(5));
  ASSERT_EQ(deliverer_.attempts["later"], 1);
  deliverer_.attempts["later"] = 2;
  simulation_.RunFor(absl::Seconds(15));
  EXPECT_EQ(deliverer_.attempts["later"], 3);
  EXPECT_TRUE(deliverer_.notices.empty());
  EXPECT_EQ(Left(), 0u);
}

TEST_F(SchedulerTest, AClockThatJumpsTenYearsNeitherStormsNorBounces) {
  for (int i = 0; i < 20; ++i) Send({To("temp")});
  simulation_.RunFor(absl::Seconds(1));
  const int before = deliverer_.attempts["temp"];
  EXPECT_EQ(before, 20);
  host_.JumpWallClock(absl::Hours(24 * 3650));
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_LE(deliverer_.attempts["temp"], before + 20);
  EXPECT_TRUE(deliverer_.notices.empty());
  host_.JumpWallClock(-absl::Hours(24 * 3650 + 1));
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(deliverer_.notices.empty());
}

TEST_F(SchedulerTest, AHeldEnvelopeWaitsForItsRelease) {
  Envelope held = To("ok");
  held.held = true;
  Send({held});
  simulation_.RunFor(absl::Minutes(5));
  EXPECT_EQ(deliverer_.attempts["ok"], 0);
  const store::ListRequest all;
  const auto id =
      simulation_.Await(host_.main_loop(), queue_->List(host_.main_loop(), all))->front().id;
  host_.main_loop().Post([this, id] { scheduler_.Release(id); });
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(deliverer_.attempts["ok"], 1);
}

TEST(DeliveryLog, HasTheFormOfOpenSmtpd) {
  Envelope e;
  e.id = queue::MakeEnvelopeId(1, 2);
  e.kind = Envelope::Kind::kRelay;
  e.session = "00000000000000aa";
  e.sender.address = mail::Address{"a", "x.org"};
  e.recipient = e.destination = mail::Address{"b", "y.org"};
  e.created = absl::FromUnixSeconds(1000);
  DeliveryResult result;
  result.text = "451 later";
  result.remote_address = "192.0.2.1";
  result.remote_host = "mx.y.org";
  const std::string line =
      FormatLogRecord(DeliveryRecord(e, result, absl::FromUnixSeconds(1000 + 16 * 3600 + 2)));
  EXPECT_EQ(line,
            "00000000000000aa mta delivery evpid=0000000100000002 from=<a@x.org> to=<b@y.org> "
            "rcpt=<-> source=\"-\" "
            "relay=\"192.0.2.1 (mx.y.org)\" delay=16h2s result=\"TempFail\" stat=\"451 later\"");
}

// A stream of single messages is delivered in a few batches; the first of it does not wait, and a
// full batch does not either.
TEST_F(SchedulerTest, GathersAStreamIntoBatches) {
  deliverer_.interval = absl::Seconds(1);
  simulation_.RunFor(absl::Milliseconds(10));
  Send({To("ok-first")});
  simulation_.RunFor(absl::Milliseconds(10));
  EXPECT_EQ(deliverer_.attempts["ok-first"], 1);
  for (int i = 0; i < 5; ++i) Send({To(StrCat("ok-next", i))});
  simulation_.RunFor(absl::Milliseconds(500));
  EXPECT_EQ(deliverer_.attempts["ok-next0"], 0);
  EXPECT_EQ(deliverer_.batches, 1);
  simulation_.RunFor(absl::Milliseconds(600));
  EXPECT_EQ(deliverer_.attempts["ok-next4"], 1);
  EXPECT_EQ(deliverer_.batches, 2);
  std::vector<Envelope> many;
  for (int i = 0; i < 10; ++i) many.push_back(To(StrCat("ok-many", i)));
  Send(std::move(many));
  simulation_.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(deliverer_.attempts["ok-many9"], 1);
  EXPECT_EQ(Left(), 0u);
}

TEST_F(SchedulerTest, TellsOfEachBatchWhenItIsRecorded) {
  Send({To("ok-a"), To("ok-b")});
  simulation_.RunFor(absl::Milliseconds(10));
  ASSERT_EQ(deliverer_.recorded.size(), 1u);
  Send({To("perm")});
  simulation_.RunFor(absl::Milliseconds(10));
  ASSERT_EQ(deliverer_.recorded.size(), 2u);
  EXPECT_NE(queue::MessageIdOf(deliverer_.recorded[0]), queue::MessageIdOf(deliverer_.recorded[1]));
}

}  // namespace
}  // namespace postern::schedule
