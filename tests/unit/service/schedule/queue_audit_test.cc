// The job that looks whether the queue adds up, on the simulated machine, with rows lost on
// purpose.
#include "lib/service/schedule/queue_audit.h"

#include "tests/unit/text_log.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/store/sqlite/database.h"

namespace postern::schedule {
namespace {

using queue::Envelope;
using queue::MessageId;
using store::Change;

class QueueAuditTest : public ::testing::Test {
 protected:
  QueueAuditTest() : host_(simulation_.AddHost({})) { Start(); }
  ~QueueAuditTest() override { Stop(); }

  rt::Executor& loop() { return host_.main_loop(); }

  void Start() {
    StatusOr<std::unique_ptr<store::Queue>> opened =
        store::OpenSqliteQueue(host_.world(), log_, "/spool");
    ASSERT_TRUE(opened.ok()) << Text(opened.status());
    queue_ = *std::move(opened);
    QueueAuditOptions options;
    options.interval = absl::Minutes(10);
    options.rows_per_tick = 3;  // several ticks for a walk
    audit_ = std::make_unique<QueueAudit>(host_.world(), *queue_, log_, options);
    loop().Post([this] { group_.Spawn(audit_->Run()); });
  }

  void Stop() {
    loop().Post([this] { audit_->Stop(); });
    simulation_.RunFor(absl::Minutes(1));
    EXPECT_EQ(group_.running(), 0u);
    (void)simulation_.Await(loop(), queue_->Close(loop()));
    audit_.reset();
    queue_.reset();
  }

  // Plant changes the database behind the queue's back.
  void Plant(const std::string& sql) {
    Stop();
    {
      auto database = sqlite::Database::Open(host_.world().files(), "/spool/queue.db");
      ASSERT_TRUE(database.ok()) << Text(database.status());
      ASSERT_TRUE((*database)->Execute(sql).ok());
    }
    Start();
  }

  rt::Task<StatusOr<MessageId>> SendTask(int recipients, std::string body) {
    StatusOr<std::unique_ptr<store::MessageWriter>> writer = queue_->NewMessage(loop());
    if (!writer.ok()) co_return writer.status();
    const Status appended = co_await (*writer)->Append(body);
    if (!appended.ok()) co_return appended;
    std::vector<Envelope> envelopes(static_cast<size_t>(recipients));
    for (int i = 0; i < recipients; ++i) {
      Envelope& envelope = envelopes[static_cast<size_t>(i)];
      envelope.user = StrCat("u", i);
      envelope.destination = mail::Address{envelope.user, "example.com"};
    }
    StatusOr<MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
    co_return id;
  }
  MessageId Send(int recipients, std::string body = "Subject: m\r\n\r\n") {
    const StatusOr<MessageId> id = simulation_.Await(loop(), SendTask(recipients, std::move(body)));
    EXPECT_TRUE(id.ok()) << Text(id.status());
    return id.ok() ? *id : 0;
  }

  std::vector<Envelope> List() {
    StatusOr<std::vector<Envelope>> all =
        simulation_.Await(loop(), queue_->List(loop(), store::ListRequest()));
    return all.ok() ? *all : std::vector<Envelope>();
  }

  void Finish(const Envelope& envelope, Change::Fate fate) {
    std::vector<Change> changes(1);
    changes[0].id = envelope.id;
    changes[0].fate = fate;
    queue_->Record(std::move(changes));
  }

  rt::sim::Simulation simulation_{7};
  rt::sim::Host& host_;
  TextLog log_;
  std::unique_ptr<store::Queue> queue_;
  std::unique_ptr<QueueAudit> audit_;
  rt::TaskGroup group_;
};

TEST_F(QueueAuditTest, AHealthyQueueAddsUpWhateverHappensInIt) {
  for (int i = 0; i < 20; ++i) Send(1 + i % 3);
  // Walks go on while mail comes and goes.
  for (int round = 0; round < 40; ++round) {
    const std::vector<Envelope> all = List();
    for (size_t i = 0; i < all.size(); ++i) {
      if (i % 7 == static_cast<size_t>(round) % 7)
        Finish(all[i], i % 3 == 0   ? Change::Fate::kDelivered
                       : i % 3 == 1 ? Change::Fate::kFailed
                                    : Change::Fate::kRemoved);
    }
    Send(2);
    Send(1);
    simulation_.RunFor(absl::Milliseconds(round % 2 == 0 ? 250 : 400'000));
  }
  EXPECT_GT(audit_->counters().walks, 10u);
  EXPECT_GT(audit_->counters().rows, 300u);
  EXPECT_EQ(log_.text.find("ALARM"), std::string::npos) << log_.text;
}

TEST_F(QueueAuditTest, ARowThatVanishesIsTold) {
  for (int i = 0; i < 10; ++i) Send(2);
  // The next message takes one envelope of another with it, of which the message's others stay.
  Plant(
      "CREATE TRIGGER lose AFTER INSERT ON message WHEN NEW.size = 7 BEGIN DELETE FROM envelope "
      "WHERE evpid = (SELECT min(evpid) FROM envelope); END");
  simulation_.RunFor(absl::Minutes(5));
  ASSERT_EQ(audit_->counters().walks, 1u);
  ASSERT_EQ(log_.text.find("ALARM"), std::string::npos) << log_.text;
  Send(1, "7octets");
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_NE(log_.text.find("ALARM: the queue does not add up"), std::string::npos) << log_.text;
  EXPECT_NE(log_.text.find("queued-before=20 accepted=1 delivered=0 failed=0 removed=0 queued=20"),
            std::string::npos)
      << log_.text;
  EXPECT_EQ(audit_->counters().wrong_sums, 1u);
  simulation_.RunFor(absl::Minutes(30));
  EXPECT_EQ(audit_->counters().wrong_sums, 1u) << "it is told once";
}

TEST_F(QueueAuditTest, ALostMessageIsToldByItsEnvelopes) {
  Send(1);
  const MessageId lost = Send(2);
  Plant(
      StrCat("CREATE TRIGGER lose AFTER INSERT ON message WHEN NEW.size = 7 BEGIN DELETE FROM "
             "message WHERE msgid = ",
             lost, "; END"));
  Send(1, "7octets");
  simulation_.RunFor(absl::Minutes(5));
  EXPECT_NE(log_.text.find("ALARM: envelope without its message"), std::string::npos) << log_.text;
  EXPECT_NE(log_.text.find(queue::MessageIdText(lost)), std::string::npos) << log_.text;
}

TEST_F(QueueAuditTest, AMessageWithoutEnvelopesIsToldAtTheStart) {
  Send(1);
  const MessageId lost = Send(1);
  Plant(
      StrCat("CREATE TRIGGER lose AFTER INSERT ON message WHEN NEW.size = 7 BEGIN DELETE FROM "
             "envelope WHERE evpid >> 32 & 0xffffffff = ",
             lost, "; END"));
  Send(1, "7octets");
  simulation_.RunFor(absl::Minutes(5));
  EXPECT_NE(log_.text.find("ALARM: message without an envelope"), std::string::npos) << log_.text;
  EXPECT_NE(log_.text.find(queue::MessageIdText(lost)), std::string::npos) << log_.text;
}

}  // namespace
}  // namespace postern::schedule
