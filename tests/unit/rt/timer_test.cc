#include "lib/rt/timer.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace postern::rt {
namespace {

struct Numbered : Timer {
  int number = 0;
  int64_t at = 0;
  int64_t inserted = 0;
};

TEST(TimerHeap, ThoseOfOneInstantComeInTheOrderTheyWereSet) {
  TimerHeap heap;
  std::vector<Numbered> timers(5);
  for (size_t i = 0; i < timers.size(); ++i) {
    timers[i].number = static_cast<int>(i);
    heap.Insert(&timers[i], Instant{i == 3 ? 5 : 10});
  }
  EXPECT_EQ(heap.next(), Instant{5});
  EXPECT_EQ(heap.TakeDue(Instant{4}), nullptr);
  std::vector<int> order;
  while (Timer* const due = heap.TakeDue(Instant{10})) {
    EXPECT_FALSE(due->armed());
    order.push_back(static_cast<Numbered*>(due)->number);
  }
  EXPECT_EQ(order, (std::vector<int>{3, 0, 1, 2, 4}));
  EXPECT_TRUE(heap.empty());
  EXPECT_TRUE(heap.next().IsNever());
}

// Against a list that is searched.
TEST(TimerHeap, DoesWhatASortedListDoes) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    std::vector<Numbered> timers(60);
    std::vector<Numbered*> armed;
    TimerHeap heap;
    int64_t now = 0;
    int64_t inserted = 0;
    for (int step = 0; step < 3000; ++step) {
      Numbered& timer = timers[random() % timers.size()];
      switch (random() % 8) {
        case 0: {
          now += random() % 20;
          const auto first = std::min_element(armed.begin(), armed.end(), [](auto* a, auto* b) {
            return a->at != b->at ? a->at < b->at : a->inserted < b->inserted;
          });
          Timer* const due = heap.TakeDue(Instant{now});
          if (first == armed.end() || (*first)->at > now) {
            ASSERT_EQ(due, nullptr);
          } else {
            ASSERT_EQ(due, *first);
            armed.erase(first);
          }
          break;
        }
        case 1:
        case 2:
        case 3:
          ASSERT_EQ(timer.armed(), std::count(armed.begin(), armed.end(), &timer) == 1);
          if (!timer.armed()) break;
          heap.Remove(&timer);
          std::erase(armed, &timer);
          break;
        default:
          if (timer.armed()) break;
          timer.at = now + random() % 100;
          timer.inserted = ++inserted;
          heap.Insert(&timer, Instant{timer.at});
          armed.push_back(&timer);
      }
      ASSERT_EQ(heap.empty(), armed.empty());
    }
  }
}

}  // namespace
}  // namespace postern::rt
