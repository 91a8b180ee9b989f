// The queue on a simulated disk that fills up and is freed again.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/rt/sim/disk.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/store/queue/queue.h"

namespace postern::store {
namespace {

// Lines keeps what the queue says of its health.
class Lines final : public LogSink {
 public:
  void Write(const LogRecord& record) override { said.push_back(record.event); }
  std::vector<std::string> said;
};

rt::Task<Status> Send(Queue& queue, rt::Executor& loop) {
  StatusOr<std::unique_ptr<MessageWriter>> writer = queue.NewMessage(loop);
  if (!writer.ok()) co_return writer.status();
  const std::string body = "Subject: x\r\n\r\nbody\r\n";
  const Status appended = co_await (*writer)->Append(body);
  if (!appended.ok()) co_return appended;
  std::vector<queue::Envelope> envelopes(1);
  envelopes[0].recipient = envelopes[0].destination = mail::Address{"a", "example.com"};
  StatusOr<queue::MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
  co_return id.status();
}

TEST(FullDisk, TheFirstMessageAfterItWasFreedIsTaken) {
  rt::sim::Simulation simulation(1);
  rt::sim::Host& host = simulation.AddHost({});
  rt::Executor& loop = host.main_loop();
  Lines log;
  StatusOr<std::unique_ptr<Queue>> opened = OpenSqliteQueue(host.world(), log, "/spool");
  ASSERT_TRUE(opened.ok()) << Text(opened.status());
  Queue& queue = **opened;
  ASSERT_TRUE(simulation.Await(loop, Send(queue, loop)).ok());

  host.disk().SetSpace(1 << 20);  // below the reserve
  EXPECT_EQ(simulation.Await(loop, Send(queue, loop)).code(), StatusCode::kResourceExhausted);
  for (int i = 0; i < 5; ++i) {
    simulation.RunFor(absl::Seconds(1));
    EXPECT_EQ(simulation.Await(loop, Send(queue, loop)).code(), StatusCode::kResourceExhausted);
  }
  host.disk().SetSpace(uint64_t{1} << 34);
  simulation.RunFor(absl::Seconds(1));
  const Status first = simulation.Await(loop, Send(queue, loop));
  EXPECT_TRUE(first.ok()) << Text(first);
  EXPECT_TRUE(simulation.Await(loop, queue.Close(loop)).ok());
  opened->reset();
  simulation.RunFor(absl::Seconds(1));
}

// Seen before: green at each look while each message was refused, and "writes again" with a disk
// that had no room at all.
TEST(FullDisk, TheHealthIsRedForAsLongAsMailIsRefused) {
  rt::sim::Simulation simulation(1);
  rt::sim::Host& host = simulation.AddHost({});
  rt::Executor& loop = host.main_loop();
  Lines log;
  StatusOr<std::unique_ptr<Queue>> opened = OpenSqliteQueue(host.world(), log, "/spool");
  ASSERT_TRUE(opened.ok()) << Text(opened.status());
  Queue& queue = **opened;
  ASSERT_TRUE(simulation.Await(loop, Send(queue, loop)).ok());
  EXPECT_TRUE(queue.health().healthy);
  const std::vector<std::string> red = {"cannot write"}, both = {"cannot write", "writes again"};

  host.disk().SetSpace(1 << 20);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(simulation.Await(loop, Send(queue, loop)).code(), StatusCode::kResourceExhausted);
    EXPECT_FALSE(queue.health().healthy) << i;
    // As the control socket does for each look; and deliveries that go on meanwhile.
    EXPECT_TRUE(simulation.Await(loop, queue.Counts(loop)).ok());
    EXPECT_FALSE(queue.health().healthy) << i;
    EXPECT_NE(queue.health().error.find("no room"), std::string::npos) << queue.health().error;
    simulation.RunFor(absl::Milliseconds(170));
  }
  EXPECT_EQ(log.said, red);

  // Freed, and nobody sends anything.
  host.disk().SetSpace(uint64_t{1} << 34);
  simulation.RunFor(absl::Seconds(5));
  EXPECT_TRUE(queue.health().healthy) << queue.health().error;
  EXPECT_EQ(log.said, both);
  const Status first = simulation.Await(loop, Send(queue, loop));
  EXPECT_TRUE(first.ok()) << Text(first);
  EXPECT_EQ(log.said, both);
  EXPECT_TRUE(simulation.Await(loop, queue.Close(loop)).ok());
  opened->reset();
  simulation.RunFor(absl::Seconds(1));
}

}  // namespace
}  // namespace postern::store
