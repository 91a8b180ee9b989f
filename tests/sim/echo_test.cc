// Two hosts echo under latency, partitions, resets and crashes: the smallest world, and what to
// copy for a larger one.

#include "tests/sim/world.h"
#include <memory>
#include <string>
#include <vector>

#include "lib/core/base/strings.h"

namespace postern::sim_test {
namespace {

using rt::Executor;
using rt::Listener;
using rt::Stream;
using rt::Task;
using rt::TaskGroup;
using rt::World;
using rt::sim::CrashKind;
using rt::sim::Host;

constexpr uint16_t kPort = 7;

Endpoint EchoEndpoint() { return {IpAddress::V4(192, 0, 2, 7), kPort, ""}; }

// EchoServer answers what it reads, on every worker in turn.
class EchoServer : public Program {
 public:
  explicit EchoServer(World& world) : world_(world) {
    StatusOr<std::unique_ptr<Listener>> made =
        world.network().Listen(world.main_loop(), EchoEndpoint(), {});
    POSTERN_CHECK(made.ok());
    listener_ = std::move(*made);
    world.main_loop().Post([this] { tasks_.Spawn(Serve()); });
  }

  Task<void> Stop() override {
    listener_->Close();
    for (Stream* stream : open_) stream->Close();
    co_await tasks_.Join();
  }

 private:
  Task<void> Serve() {
    for (;;) {
      StatusOr<std::unique_ptr<Stream>> stream = co_await listener_->Accept(world_.main_loop());
      if (!stream.ok()) co_return;
      tasks_.Spawn(Echo(std::move(*stream)));
    }
  }

  Task<void> Echo(std::unique_ptr<Stream> stream) {
    open_.push_back(stream.get());
    char octets[2048];
    for (;;) {
      const Instant patience = world_.main_loop().Now() + absl::Minutes(1);
      StatusOr<size_t> got = co_await ReadSome(*stream, octets, patience);
      if (!got.ok() || *got == 0) break;
      const Status written = co_await stream->Write(std::string_view(octets, *got), patience);
      if (!written.ok()) break;
    }
    std::erase(open_, stream.get());
  }

  World& world_;
  std::unique_ptr<Listener> listener_;
  std::vector<Stream*> open_;
  TaskGroup tasks_;
};

// EchoClient sends `rounds` texts and wants each back, trying again on a new connection whenever
// one fails.
class EchoClient {
 public:
  EchoClient(World& world, uint64_t rounds) : world_(world), rounds_(rounds) {}

  Task<void> Work() {
    uint64_t done = 0;
    while (done < rounds_) {
      const std::string text = StrCat("round ", done, std::string(done * 97 % 5000, '.'));
      const bool echoed = co_await Once(text);
      if (echoed) {
        ++done;
      } else {
        ++failures;
      }
      rt::Event never(&world_.main_loop());
      const Duration pause = absl::Milliseconds(static_cast<int64_t>(world_.random().Below(3000)));
      co_await never.Wait(world_.main_loop().Now() + pause);
    }
    finished = true;
  }

  uint64_t failures = 0;
  bool finished = false;
  bool wrong = false;

 private:
  Task<bool> Once(std::string text) {
    Executor& loop = world_.main_loop();
    const Instant deadline = loop.Now() + absl::Seconds(20);
    StatusOr<std::unique_ptr<Stream>> opened =
        co_await world_.network().Connect(loop, EchoEndpoint(), {}, deadline);
    if (!opened.ok()) co_return false;
    std::unique_ptr<Stream> stream = std::move(*opened);
    const Status written = co_await stream->Write(text, deadline);
    if (!written.ok()) co_return false;
    std::string back;
    char octets[777];
    while (back.size() < text.size()) {
      StatusOr<size_t> got = co_await ReadSome(*stream, octets, deadline);
      if (!got.ok() || *got == 0) co_return false;
      back.append(octets, *got);
    }
    if (back != text) wrong = true;
    co_return true;
  }

  World& world_;
  uint64_t rounds_;
};

struct Trouble {
  bool partitions = false;
  bool crashes = false;
  double reset_chance = 0;
};

void Echo(Run& run, const Trouble& trouble) {
  rt::sim::Simulation& simulation = run.simulation();
  simulation.network().options().reset_chance = trouble.reset_chance;
  Host& server =
      simulation.AddHost({.name = "echo.example", .addresses = {EchoEndpoint().address}});
  Host& client =
      simulation.AddHost({.name = "client.example", .addresses = {IpAddress::V4(192, 0, 2, 1)}});

  const Instant start = simulation.now();
  const Instant calm = start + absl::Minutes(5);
  for (int i = 0; i < 6; ++i) {
    const Duration when = run.random().Between(absl::ZeroDuration(), absl::Minutes(4));
    const bool power = run.random().Chance(0.5);
    if (trouble.partitions) {
      simulation.After(when, nullptr, [&] { simulation.network().Partition(server, client); });
      simulation.After(when + run.random().Between(absl::Seconds(1), absl::Seconds(50)), nullptr,
                       [&] { simulation.network().Heal(server, client); });
    }
    if (trouble.crashes) {
      simulation.After(when, nullptr, [&server, power] {
        server.Crash(power ? CrashKind::kPowerLoss : CrashKind::kKill);
      });
    }
  }
  Keeper keeper(&server, [](World& world) { return std::make_unique<EchoServer>(world); }, {});
  EchoClient echo(client.world(), 200);
  TaskGroup work;
  client.main_loop().Post([&] { work.Spawn(echo.Work()); });
  simulation.RunUntil([&] { return echo.finished; }, calm + absl::Hours(1));
  const bool finished = echo.finished;
  // Whatever the outcome, the coroutine must end before what it uses goes.
  if (!finished) client.Crash(CrashKind::kKill);
  keeper.Shutdown();
  run.Require(finished, "the client did not finish once the troubles were over");
  run.Require(!echo.wrong, "an echo came back altered");
  const bool calm_world = !trouble.partitions && !trouble.crashes && trouble.reset_chance == 0;
  run.Require(!calm_world || echo.failures == 0, "a connection failed in a calm world");
  run.Require(!trouble.crashes || keeper.starts() > 1, "no crash came");
}

Scenario Of(const char* name, const Trouble& trouble, uint64_t seeds) {
  return {.name = name, .run = [trouble](Run& run) { Echo(run, trouble); }, .seeds = seeds};
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  return RunScenarios(
      argc, argv,
      {Of("calm", {}, 200), Of("partitions", {.partitions = true}, 300),
       Of("resets", {.reset_chance = 0.02}, 200), Of("crashes", {.crashes = true}, 300),
       Of("everything", {.partitions = true, .crashes = true, .reset_chance = 0.01}, 500)});
}
