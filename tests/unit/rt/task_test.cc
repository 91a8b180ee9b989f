#include "lib/rt/task.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace postern::rt {
namespace {

// Gate suspends whoever awaits it until Open.
struct Gate {
  std::coroutine_handle<> waiter;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
  void await_resume() const {}
  void Open() { std::exchange(waiter, nullptr).resume(); }
};

Task<int> Ready(int value) { co_return value; }
Task<int> AfterGate(Gate* gate, int value) {
  co_await *gate;
  co_return value;
}
Task<int> Fails() {
  throw std::runtime_error("broken");
  co_return 0;
}

Task<void> AddUp(int rounds, long* sum) {
  for (int i = 0; i < rounds; ++i) *sum += co_await Ready(1);
}

TEST(Task, AMillionReadyChildrenDoNotGrowTheStack) {
  long sum = 0;
  TaskGroup group;
  group.Spawn(AddUp(1'000'000, &sum));
  EXPECT_EQ(sum, 1'000'000);
  EXPECT_EQ(group.running(), 0u);
}

Task<void> Collect(Gate* gate, std::vector<int>* out) {
  out->push_back(co_await Ready(1));
  out->push_back(co_await AfterGate(gate, 2));
  out->push_back(co_await Ready(3));
}

TEST(Task, WaitsForAChildThatSuspends) {
  Gate gate;
  std::vector<int> out;
  TaskGroup group;
  group.Spawn(Collect(&gate, &out));
  EXPECT_EQ(out, std::vector<int>({1}));
  EXPECT_EQ(group.running(), 1u);
  gate.Open();
  EXPECT_EQ(out, std::vector<int>({1, 2, 3}));
  EXPECT_EQ(group.running(), 0u);
}

Task<void> JoinAndNote(TaskGroup* group, bool* joined) {
  co_await group->Join();
  *joined = true;
}

TEST(TaskGroup, JoinWaitsForTheLast) {
  Gate first, second;
  std::vector<int> out;
  bool joined = false;
  TaskGroup group, outer;
  group.Spawn(Collect(&first, &out));
  group.Spawn(Collect(&second, &out));
  outer.Spawn(JoinAndNote(&group, &joined));
  first.Open();
  EXPECT_FALSE(joined);
  second.Open();
  EXPECT_TRUE(joined);
}

Task<void> CallsFails() { (void)co_await Fails(); }

TEST(TaskGroup, ReportsAnExceptionAndGoesOn) {
  std::string what;
  TaskGroup group([&](std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      what = e.what();
    }
  });
  group.Spawn(CallsFails());
  EXPECT_EQ(what, "broken");
  EXPECT_EQ(group.running(), 0u);
}

}  // namespace
}  // namespace postern::rt
