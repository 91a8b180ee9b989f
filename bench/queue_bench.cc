// The queue and the delivery behind it, without network: messages of 4 KiB by so many sessions at
// once, committed (durable) and delivered to a Maildir (durable). The figures are those of the disk
// under TMPDIR (default /tmp).
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/service/deliver/local_deliverer.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/store/queue/queue.h"

namespace postern {
namespace {

class OneMaildir final : public deliver::TargetResolver {
 public:
  explicit OneMaildir(std::string root) : root_(std::move(root)) {}
  StatusOr<deliver::LocalTarget> ResolveTarget(const queue::Envelope& envelope) override {
    deliver::LocalTarget target;
    target.path = StrCat(root_, "/", envelope.user);
    return target;
  }

 private:
  std::string root_;
};

class Nobody final : public schedule::NoticeRouter {
 public:
  rt::Task<StatusOr<std::vector<queue::Envelope>>> Route(mail::Address) override {
    co_return NotFound("nobody");
  }
};

struct Load {
  rt::AsioWorld* world;
  store::Queue* queue;
  int64_t left;
  int64_t open;
};

rt::Task<void> Session(Load* load) {
  rt::Executor& loop = load->world->main_loop();
  const std::string body = std::string("Subject: bench\r\n\r\n") + std::string(4096, 'x') + "\r\n";
  while (load->left > 0) {
    --load->left;
    StatusOr<std::unique_ptr<store::MessageWriter>> writer = load->queue->NewMessage(loop);
    const Status appended = co_await (*writer)->Append(body);
    std::vector<queue::Envelope> envelopes(1);
    envelopes[0].sender.address = mail::Address{"sender", "example.org"};
    envelopes[0].user = StrCat("u", load->left % 10);
    envelopes[0].destination = mail::Address{envelopes[0].user, "example.com"};
    const StatusOr<queue::MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
    if (!appended.ok() || !id.ok()) std::abort();
  }
  if (--load->open == 0) load->world->Stop();
}

rt::Task<void> StopWhenDelivered(schedule::Scheduler* scheduler, rt::AsioWorld* world,
                                 uint64_t wanted) {
  rt::Event never(&world->main_loop());
  while (scheduler->counters().delivered < wanted) {
    const Instant soon = world->main_loop().Now() + absl::Milliseconds(1);
    co_await never.Wait(soon);
  }
  world->Stop();
}

std::string MakeRoot() {
  const char* base = std::getenv("TMPDIR");
  std::string name = StrCat(base != nullptr ? base : "/tmp", "/postern-bench-XXXXXX");
  if (mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

void Accept(benchmark::State& state, bool deliver_too) {
  NullLogSink log;
  const int64_t sessions = state.range(0);
  const int64_t messages = sessions == 1 ? 1000 : 5000;
  for (auto _ : state) {
    state.PauseTiming();
    const std::string root = MakeRoot();
    auto world = std::make_unique<rt::AsioWorld>();
    auto queue = *store::OpenSqliteQueue(*world, log, root + "/spool");
    OneMaildir targets(root);
    Nobody nobody;
    deliver::LocalDeliverer local(*world, *queue, targets);
    auto scheduler =
        std::make_unique<schedule::Scheduler>(*world, *queue, log, nobody, &local, nullptr);
    rt::TaskGroup group;
    Load load{world.get(), queue.get(), messages, sessions};
    state.ResumeTiming();
    world->main_loop().Post([&] {
      if (deliver_too) group.Spawn(scheduler->Run());
      for (int64_t i = 0; i < sessions; ++i) group.Spawn(Session(&load));
    });
    const Instant start = world->clock().Now();
    world->Run();
    const Instant accepted = world->clock().Now();
    state.counters["accepted/s"] =
        static_cast<double>(messages) / absl::ToDoubleSeconds(accepted - start);
    state.counters["per_sync"] =
        static_cast<double>(messages) / static_cast<double>(queue->statistics().transactions);
    if (deliver_too) {
      world->main_loop().Post([&] {
        group.Spawn(
            StopWhenDelivered(scheduler.get(), world.get(), static_cast<uint64_t>(messages)));
      });
      world->Run();
      state.counters["delivered/s"] =
          static_cast<double>(messages) / absl::ToDoubleSeconds(world->clock().Now() - start);
    }
    state.PauseTiming();
    if (deliver_too) {
      world->main_loop().Post([&] { scheduler->Stop(); });
      while (group.running() > 0) world->Poll(absl::Milliseconds(10));
    }
    scheduler.reset();
    queue.reset();
    world.reset();
    std::filesystem::remove_all(root);
    state.ResumeTiming();
  }
}

void BM_Accept(benchmark::State& state) { Accept(state, false); }
void BM_AcceptAndDeliver(benchmark::State& state) { Accept(state, true); }
BENCHMARK(BM_Accept)->Arg(1)->Arg(10)->Arg(100)->UseRealTime()->Iterations(1)->Repetitions(3);
BENCHMARK(BM_AcceptAndDeliver)
    ->Arg(1)
    ->Arg(10)
    ->Arg(100)
    ->UseRealTime()
    ->Iterations(1)
    ->Repetitions(3);

}  // namespace
}  // namespace postern

BENCHMARK_MAIN();
