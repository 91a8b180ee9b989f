#include "lib/rt/asio/asio_executor.h"

#include "tests/unit/rt/function_job.h"
#include <atomic>
#include <chrono>
#include <list>
#include <new>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace postern::rt {
namespace {

struct FunctionTimer : Timer {
  explicit FunctionTimer(std::function<void()> what) : work(std::move(what)) {
    run = [](Timer* timer) { static_cast<FunctionTimer*>(timer)->work(); };
  }
  std::function<void()> work;
};

// Whatever other threads post arrives, in the order of each, however the loop sleeps and wakes.
TEST(AsioExecutor, JobsOfOtherThreadsWakeTheLoop) {
  constexpr int kThreads = 4;
  constexpr int kEach = 20'000;
  AsioExecutor loop(nullptr);
  std::vector<int> last(kThreads, -1);
  int ran = 0;
  bool in_order = true;
  std::vector<std::list<FunctionJob>> jobs(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kEach; ++i) {
      jobs[t].emplace_back([&, t, i] {
        in_order = in_order && last[t] == i - 1 && loop.IsCurrent();
        last[t] = i;
        ++ran;
      });
    }
    threads.emplace_back([&loop, own = &jobs[t]] {
      int n = 0;
      for (FunctionJob& job : *own) {
        loop.PostJob(&job);
        // Now and then the loop gets the time to fall asleep.
        if (++n % 997 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
      }
    });
  }
  // A wake-up that was lost would cost the whole wait.
  const auto begun = std::chrono::steady_clock::now();
  while (ran < kThreads * kEach) loop.RunOnce(absl::Seconds(30));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(25));
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(in_order);
}

// A descriptor that stays ready (the end of a stream, say) is told of once a turn: what it woke has
// its turns as well.
TEST(AsioExecutor, ADescriptorThatStaysReadyLeavesTheOthersTheirTurns) {
  AsioExecutor loop(nullptr);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[1]);
  int told = 0;
  bool woken = false;
  FunctionJob wake([&] { woken = true; });
  std::unique_ptr<FdWatch> watch = loop.WatchFd(ends[0], {.read = true}, [&](FdInterest) {
    // The turn itself must not be endless: what comes after it is what is tested.
    if (++told == 1) loop.PostJob(&wake);
    if (told == 1000) watch.reset();
  });
  for (int turn = 0; turn < 50 && !woken; ++turn) loop.RunOnce(absl::Seconds(1));
  EXPECT_TRUE(woken);
  EXPECT_LT(told, 10);
  watch.reset();
  ::close(ends[0]);
}

TEST(AsioExecutor, AJobOfTheLoopRunsInALaterTurnAndBeforeASleep) {
  AsioExecutor loop(nullptr);
  std::string order;
  FunctionJob second([&] { order += 'b'; });
  FunctionJob first([&] {
    loop.PostJob(&second);
    order += 'a';
  });
  loop.PostJob(&first);
  const auto begun = std::chrono::steady_clock::now();
  while (order.size() < 2) loop.RunOnce(absl::Seconds(30));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(25));
  EXPECT_EQ(order, "ab");
}

TEST(AsioExecutor, WorkWithoutAThreadIsDoneOnTheLoop) {
  AsioExecutor loop(nullptr);
  std::string order;
  FunctionJob work([&] { order += loop.IsCurrent() ? 'w' : '?'; },
                   [&] { order += loop.IsCurrent() ? 'd' : '?'; });
  loop.PostBlocking(&work);
  EXPECT_EQ(order, "");
  while (order.size() < 2) loop.RunOnce(absl::Seconds(30));
  EXPECT_EQ(order, "wd");
}

TEST(AsioExecutor, WorkOfThePoolReturnsToTheLoop) {
  ThreadPool pool(3);
  AsioExecutor loop(&pool);
  std::atomic<int> worked = 0;
  int done = 0;
  std::list<FunctionJob> jobs;
  for (int i = 0; i < 500; ++i) {
    FunctionJob& job = jobs.emplace_back(
        [&] {
          EXPECT_FALSE(loop.IsCurrent());
          ++worked;
        },
        [&] { ++done; });
    if (i % 3 == 0) {
      loop.PostOutside(&job);
    } else {
      loop.PostBlocking(&job);
    }
  }
  while (done < 500) loop.RunOnce(absl::Seconds(30));
  EXPECT_EQ(worked, 500);
  pool.Stop();
}

Task<void> WorkAndNote(Executor* loop, bool* on_loop, bool* ended) {
  co_await loop->RunBlocking([&] { *on_loop = loop->IsCurrent(); });
  *ended = true;
}

// EAGAIN of pthread_create. As an exit of its own process, which gives up the rights of root: they
// are above this limit.
TEST(AsioExecutorDeathTest, WithoutAThreadTheLoopDoesTheWorkOfThePool) {
  const auto without_threads = [] {
    const rlimit none{0, 0};
    if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0) _exit(3);
    if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(4);
    ThreadPool pool(3);
    AsioExecutor loop(&pool);
    bool on_loop = false;
    bool ended = false;
    TaskGroup group;
    group.Spawn(WorkAndNote(&loop, &on_loop, &ended));
    for (int i = 0; i < 100 && !ended; ++i) loop.RunOnce(absl::Milliseconds(100));
    _exit(!ended ? 1 : on_loop ? 0 : 2);
  };
  EXPECT_EXIT(without_threads(), ::testing::ExitedWithCode(0), "");
}

// What a callback throws ends that one.
TEST(AsioExecutor, JobsBehindOneThatThrowsRunInTheNextTurn) {
  AsioExecutor loop(nullptr);
  int ran = 0;
  FunctionJob throws([] { throw std::bad_alloc(); });
  FunctionJob next([&] { ++ran; });
  loop.PostJob(&throws);
  loop.PostJob(&next);
  EXPECT_THROW(loop.RunOnce(absl::ZeroDuration()), std::bad_alloc);
  EXPECT_FALSE(loop.IsCurrent());
  loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(ran, 1);
}

TEST(AsioExecutor, TimersComeInTheirOrderAndMayBeTakenBack) {
  AsioExecutor loop(nullptr);
  std::string order;
  FunctionTimer a([&] { order += 'a'; });
  FunctionTimer b([&] { order += 'b'; });
  FunctionTimer c([&] { order += 'c'; });
  FunctionTimer d([&] { order += 'd'; });
  loop.Arm(&a, loop.Now() + absl::Milliseconds(30));
  loop.Arm(&b, loop.Now() + absl::Milliseconds(10));
  loop.Arm(&c, loop.Now() + absl::Milliseconds(20));
  loop.Arm(&d, loop.Now() + absl::Milliseconds(1));
  loop.Arm(&a, loop.Now() + absl::Milliseconds(5));  // anew
  loop.Disarm(&d);
  loop.Disarm(&d);
  EXPECT_FALSE(d.armed());
  const Executor::TimerId id =
      loop.CallAt(loop.Now() + absl::Milliseconds(15), [&] { order += 'x'; });
  const Executor::TimerId gone =
      loop.CallAt(loop.Now() + absl::Milliseconds(2), [&] { order += 'y'; });
  loop.CancelTimer(gone);
  while (order.size() < 4) loop.RunOnce(absl::Seconds(30));
  loop.CancelTimer(id);
  EXPECT_EQ(order, "abxc");
}

// A loop that goes tells those who wait in its queue, for what they own.
TEST(AsioExecutor, WhatNeverRanIsDropped) {
  int dropped = 0;
  struct Counted : Job {
    int* count = nullptr;
  } job;
  job.count = &dropped;
  job.run = [](Job*) { FAIL(); };
  job.drop = [](Job* self) { ++*static_cast<Counted*>(self)->count; };
  {
    AsioExecutor loop(nullptr);
    loop.PostJob(&job);
  }
  EXPECT_EQ(dropped, 1);
}

}  // namespace
}  // namespace postern::rt
