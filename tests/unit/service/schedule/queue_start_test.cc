// A start with a long queue, a tenth of it for one dead host: how long until mail is taken, how
// much memory it needs, and whether the other hosts get theirs.
//
// POSTERN_START_ENVELOPES=1000000 in the environment is the specification's size (row F18), with
// its bounds; without it the queue is as long as every run of the tests can afford. The queue is
// made by a process of its own, so that its memory is not counted.
#include "tests/unit/text_log.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/service/schedule/queue_audit.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/sqlite/database.h"

// Its shadow and its quarantine are resident, too.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kWithAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kWithAddressSanitizer = true;
#else
constexpr bool kWithAddressSanitizer = false;
#endif
#else
constexpr bool kWithAddressSanitizer = false;
#endif

namespace postern {
namespace {

constexpr int64_t kHosts = 1000;  // beside the dead one
constexpr const char* kDead = "dead.example";

// Make writes the queue: all of it is due, what is for the dead host the longest.
Status Make(const std::string& spool, int64_t count) {
  rt::AsioWorld world;
  POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(world.files(), spool, 0700));
  auto opened = sqlite::Database::Open(world.files(), spool + "/queue.db", {.exclusive = true});
  if (!opened.ok()) return opened.status();
  sqlite::Database& database = **opened;
  POSTERN_RETURN_IF_ERROR(database.Execute("PRAGMA synchronous=OFF"));
  POSTERN_RETURN_IF_ERROR(database.Migrate(store::kSpoolSchema));
  auto message = database.Prepare(store::kInsertMessage);
  auto envelope = database.Prepare(store::kInsertEnvelope);
  if (!message.ok() || !envelope.ok()) return Internal("prepare");
  const WallTime now = world.clock().WallNow();
  const std::string body = StrCat("Subject: waits\r\n\r\n", std::string(300, 'x'), "\r\n");
  POSTERN_RETURN_IF_ERROR(database.Begin());
  // The ids rise, as nothing in a real queue does; the database is filled faster so and is the
  // same.
  const auto step = static_cast<uint64_t>(UINT32_MAX / count);
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<queue::MessageId>(1 + static_cast<uint64_t>(i) * step);
    queue::Envelope e;
    const bool dead = i % 10 == 0;
    e.kind = queue::Envelope::Kind::kRelay;
    e.action = "relay";
    e.sender.address = mail::Address{"sender", "example.org"};
    e.destination = mail::Address{
        StrCat("u", i), dead ? std::string(kDead) : StrCat("host", i % kHosts, ".example")};
    e.recipient = e.destination;
    e.created = now - absl::Hours(dead ? 20 : 1);
    e.ttl = absl::Hours(96);
    e.attempts = dead ? 3 : 0;
    const std::string data = queue::EncodeEnvelope(e);
    message->Bind(1, store::RowOf(id)).Bind(2, store::Micros(e.created));
    message->Bind(3, static_cast<int64_t>(body.size())).Bind(4, store::Checksum(body));
    POSTERN_RETURN_IF_ERROR(message->BindBlob(5, body).Run());
    envelope->Bind(1, store::Signed(queue::MakeEnvelopeId(id, 7)));
    envelope->Bind(2, store::Micros(now - absl::Hours(dead ? 2 : 1) + absl::Microseconds(i)));
    envelope->Bind(3, store::kScheduled).Bind(4, store::Tries(e));
    envelope->Bind(5, store::Signed(queue::DestinationKey(e))).Bind(6, store::Checksum(data));
    POSTERN_RETURN_IF_ERROR(envelope->BindBlob(7, data).Run());
    if (i % 20'000 != 0) continue;
    POSTERN_RETURN_IF_ERROR(database.Commit());
    POSTERN_RETURN_IF_ERROR(database.Begin());
  }
  POSTERN_RETURN_IF_ERROR(database.Commit());
  return database.Checkpoint();
}

class NoNotices final : public schedule::NoticeRouter {
 public:
  rt::Task<StatusOr<std::vector<queue::Envelope>>> Route(mail::Address) override {
    co_return NotFound("nobody");
  }
};

// Hosts stands for the relay: the dead host keeps a connection attempt for thirty seconds, every
// other takes a message in ten milliseconds.
class Hosts final : public schedule::Deliverer {
 public:
  explicit Hosts(rt::World& world) : world_(world), stop_(&world.main_loop()) {}
  queue::ReadyQueue::BatchRule Batching() const override {
    return {.max_batch = 100, .same_message = true};
  }
  size_t max_batches() const override { return 100; }
  rt::Task<std::vector<schedule::DeliveryResult>> Deliver(
      std::vector<queue::Envelope> batch) override {
    const bool dead = batch.front().destination.domain == kDead;
    const Instant until =
        world_.main_loop().Now() + (dead ? absl::Seconds(30) : absl::Milliseconds(10));
    co_await stop_.Wait(until);
    std::vector<schedule::DeliveryResult> results;
    for (const queue::Envelope& envelope : batch) {
      schedule::DeliveryResult result;
      result.id = envelope.id;
      result.text = dead ? "451 no answer" : "250 ok";
      if (!dead) result.outcome = schedule::DeliveryResult::Outcome::kDelivered;
      ++(dead ? dead_attempts : delivered);
      results.push_back(std::move(result));
    }
    co_return results;
  }
  void Stop() override { stop_.Set(); }
  uint64_t delivered = 0, dead_attempts = 0;

 private:
  rt::World& world_;
  rt::Event stop_;
};

rt::Task<void> SendOne(store::Queue* queue, rt::AsioWorld* world) {
  StatusOr<std::unique_ptr<store::MessageWriter>> writer = queue->NewMessage(world->main_loop());
  const Status appended = co_await (*writer)->Append("Subject: new\r\n\r\n");
  std::vector<queue::Envelope> envelopes(1);
  envelopes[0].kind = queue::Envelope::Kind::kRelay;
  envelopes[0].action = "relay";
  envelopes[0].destination = mail::Address{"u", "host1.example"};
  const StatusOr<queue::MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
  if (!appended.ok() || !id.ok()) std::abort();
  world->Stop();
}

double ResidentMib() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  long total = 0, resident = 0;
  if (file == nullptr || std::fscanf(file, "%ld %ld", &total, &resident) != 2) return 0;
  std::fclose(file);
  return static_cast<double>(resident) * 4096 / (1 << 20);
}

void Measure(const std::string& spool, int64_t count) {
  TextLog log;
  rt::AsioWorld world;
  const Instant start = world.clock().Now();
  const auto since = [&] { return absl::ToDoubleSeconds(world.clock().Now() - start); };
  auto opened = store::OpenSqliteQueue(world, log, spool);
  ASSERT_TRUE(opened.ok()) << Text(opened.status());
  store::Queue& queue = **opened;
  const double open_s = since();
  NoNotices notices;
  Hosts hosts(world);
  NullLogSink quiet;
  auto scheduler =
      std::make_unique<schedule::Scheduler>(world, queue, quiet, notices, nullptr, &hosts);
  schedule::QueueAudit audit(world, queue, log);
  rt::TaskGroup group;
  world.main_loop().Post([&] {
    group.Spawn(scheduler->Run());
    group.Spawn(audit.Run());
    group.Spawn(SendOne(&queue, &world));
  });
  world.Run();
  const double accepted_s = since();
  double peak = ResidentMib();
  const double seconds = count >= 1'000'000 ? 20 : 3;
  double first_s = 0;
  while (since() < accepted_s + seconds) {
    world.Poll(absl::Milliseconds(20));
    peak = std::max(peak, ResidentMib());
    if (first_s == 0 && hosts.delivered > 0) first_s = since();
  }
  const auto delivered = static_cast<double>(hosts.delivered);
  std::printf(
      "%lld envelopes: open %.2f s, first message accepted %.2f s, first delivery %.2f s, resident "
      "at most %.0f MiB, others %.0f/s, attempts at the dead host %llu\n",
      static_cast<long long>(count), open_s, accepted_s, first_s, peak, delivered / seconds,
      static_cast<unsigned long long>(hosts.dead_attempts));
  EXPECT_LT(accepted_s, 2);
  if (!kWithAddressSanitizer) {
    EXPECT_LT(peak, 200);
  }
  EXPECT_GT(delivered / seconds, 100) << "other hosts starve behind the dead one";
  EXPECT_EQ(log.text, "");
  world.main_loop().Post([&] {
    scheduler->Stop();
    audit.Stop();
  });
  while (group.running() > 0) world.Poll(absl::Milliseconds(10));
  scheduler.reset();
  opened->reset();
}

TEST(QueueStart, IsSoonReadySmallAndFair) {
  const char* wanted = std::getenv("POSTERN_START_ENVELOPES");
  const int64_t count = wanted != nullptr ? std::atoll(wanted) : 30'000;
  ASSERT_GE(count, 1000);
  const char* base = std::getenv("TMPDIR");
  std::string folder = StrCat(base != nullptr ? base : "/tmp", "/postern-start-XXXXXX");
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string spool = folder + "/spool";
  const pid_t child = fork();
  if (child == 0) {
    const Status made = Make(spool, count);
    if (!made.ok()) std::fprintf(stderr, "make: %s\n", Text(made).c_str());
    _exit(made.ok() ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  if (status == 0) Measure(spool, count);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace postern
