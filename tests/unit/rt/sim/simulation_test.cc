#include "lib/rt/sim/simulation.h"

#include "tests/unit/rt/function_job.h"
#include <list>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "lib/rt/sim/host.h"

namespace postern::rt::sim {
namespace {

TEST(Simulation, TimeJumpsToTheNextEventAndOrderIsTimeThenSequence) {
  Simulation simulation(1);
  const Instant start = simulation.now();
  std::string order;
  simulation.After(absl::Hours(2), nullptr, [&] { order += 'c'; });
  simulation.After(absl::Seconds(1), nullptr, [&] { order += 'a'; });
  simulation.After(absl::Seconds(1), nullptr, [&] { order += 'b'; });
  EXPECT_EQ(simulation.RunUntilIdle(), RunResult::kIdle);
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(simulation.now() - start, absl::Hours(2));
}

TEST(Simulation, ACancelledEventNeitherRunsNorMovesTime) {
  Simulation simulation(1);
  const Instant start = simulation.now();
  bool ran = false;
  const Simulation::EventId id = simulation.After(absl::Hours(1), nullptr, [&] { ran = true; });
  simulation.Cancel(id);
  simulation.Cancel(id);
  EXPECT_EQ(simulation.pending(), 0u);
  EXPECT_EQ(simulation.RunUntilIdle(), RunResult::kIdle);
  EXPECT_FALSE(ran);
  EXPECT_EQ(simulation.now(), start);
}

TEST(Simulation, ManyCancelledTimersDoNotPileUp) {
  Simulation simulation(1);
  for (int i = 0; i < 100000; ++i)
    simulation.Cancel(simulation.After(absl::Hours(1), nullptr, [] {}));
  int ran = 0;
  simulation.After(absl::Seconds(1), nullptr, [&] { ++ran; });
  simulation.RunUntilIdle();
  EXPECT_EQ(ran, 1);
}

TEST(Simulation, RunStopsAtATimeAPredicateOrTheStepLimit) {
  Simulation simulation(SimulationOptions{.seed = 1, .step_limit = 1000});
  int ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    simulation.After(absl::Seconds(1), nullptr, tick);
  };
  tick();
  const Instant start = simulation.now();
  EXPECT_EQ(simulation.RunFor(absl::Milliseconds(10500)), RunResult::kTime);
  EXPECT_EQ(ticks, 11);
  EXPECT_EQ(simulation.now() - start, absl::Milliseconds(10500));
  EXPECT_EQ(simulation.RunUntil([&] { return ticks == 20; }), RunResult::kPredicate);
  EXPECT_EQ(ticks, 20);
  EXPECT_EQ(simulation.RunUntilIdle(), RunResult::kStepLimit);
}

TEST(Simulation, TheWallClockJumpsAndTheMonotonicOneDoesNot) {
  Simulation simulation(1);
  Host& one = simulation.AddHost({.name = "one"});
  Host& two = simulation.AddHost({.name = "two"});
  const Instant now = one.world().clock().Now();
  const WallTime wall = one.world().clock().WallNow();
  simulation.JumpWallClock(absl::Hours(24 * 365));
  one.JumpWallClock(-absl::Hours(1));
  EXPECT_EQ(one.world().clock().WallNow() - wall, absl::Hours(24 * 365 - 1));
  EXPECT_EQ(two.world().clock().WallNow() - wall, absl::Hours(24 * 365));
  EXPECT_EQ(one.world().clock().Now(), now);
}

TEST(Simulation, RandomRepeatsFromTheSeed) {
  Simulation a(7), b(7), c(8);
  Host& ha = a.AddHost({});
  Host& hb = b.AddHost({});
  Host& hc = c.AddHost({});
  const uint64_t first = ha.world().random().Next();
  EXPECT_EQ(first, hb.world().random().Next());
  EXPECT_NE(first, hc.world().random().Next());
}

Task<int> SleepAndAdd(Executor& loop, int a, int b) {
  Event never(&loop);
  const bool woken = co_await never.Wait(loop.Now() + absl::Minutes(5));
  EXPECT_FALSE(woken);
  co_return a + b;
}

TEST(Simulation, AwaitRunsACoroutineThroughVirtualTime) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  const Instant start = simulation.now();
  EXPECT_EQ(simulation.Await(host.main_loop(), SleepAndAdd(host.main_loop(), 2, 3)), 5);
  EXPECT_EQ(simulation.now() - start, absl::Minutes(5));
}

Task<int> Throws() {
  throw std::runtime_error("as asked");
  co_return 0;
}

TEST(Simulation, AwaitRethrowsWhatTheTaskThrows) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  EXPECT_THROW(simulation.Await(host.main_loop(), Throws()), std::runtime_error);
}

TEST(SimExecutor, PostsOfTheLoopItselfRunInOrderInTheSameInstant) {
  Simulation simulation(3);
  Host& host = simulation.AddHost({});
  Executor& loop = host.main_loop();
  std::string order;
  Instant at;
  loop.Post([&] {
    at = loop.Now();
    EXPECT_TRUE(loop.IsCurrent());
    loop.Post([&] { order += 'b'; });
    loop.Post([&] {
      order += 'c';
      EXPECT_EQ(loop.Now(), at);
    });
    order += 'a';
  });
  EXPECT_FALSE(loop.IsCurrent());
  simulation.RunUntilIdle();
  EXPECT_EQ(order, "abc");
}

TEST(SimExecutor, PostsFromOutsideKeepTheirOrder) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Simulation simulation(seed);
    Host& host = simulation.AddHost({});
    std::vector<int> seen;
    for (int i = 0; i < 20; ++i) host.main_loop().Post([&seen, i] { seen.push_back(i); });
    simulation.RunUntilIdle();
    for (int i = 0; i < 20; ++i) ASSERT_EQ(seen[static_cast<size_t>(i)], i);
  }
}

TEST(SimExecutor, WorkOfThePoolComesInAnyOrderAndNeverOnTheLoop) {
  std::set<std::string> orders;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Simulation simulation(seed);
    Host& host = simulation.AddHost({});
    Executor& loop = host.main_loop();
    std::string order;
    int ended = 0;
    std::list<FunctionJob> jobs;
    for (const char name : {'a', 'b', 'c'}) {
      jobs.emplace_back(
          [&order, &loop, name] {
            EXPECT_FALSE(loop.IsCurrent());
            order += name;
          },
          [&loop, &ended] {
            EXPECT_TRUE(loop.IsCurrent());
            ++ended;
          });
      loop.PostBlocking(&jobs.back());
    }
    simulation.RunUntilIdle();
    EXPECT_EQ(ended, 3);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 6u);
}

TEST(SimExecutor, ATimerThatNeverComesHoldsNothingUp) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  const Executor::TimerId id = host.main_loop().CallAt(Instant::Never(), [] { FAIL(); });
  EXPECT_NE(id, 0u);
  EXPECT_EQ(simulation.RunUntilIdle(), RunResult::kIdle);
  host.main_loop().CancelTimer(id);
}

}  // namespace
}  // namespace postern::rt::sim
