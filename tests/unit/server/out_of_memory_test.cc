// Memory that runs out while the server takes messages for a Maildir, and while it stops.

#include "tests/unit/server/out_of_memory.h"

namespace postern {
namespace {

using std::chrono::milliseconds;
using test::OutOfMemory;
using test::Way;

class OutOfMemoryTest : public OutOfMemory, public ::testing::WithParamInterface<bool> {
 protected:
  OutOfMemoryTest() : OutOfMemory(GetParam(), Way::kMaildir) {}
};

TEST_P(OutOfMemoryTest, EveryAllocationOfASessionAndItsDelivery) { DenyEach(0, 150, 9, 1); }

// One failure finds what undoes a step; many find what needs memory to undo it.
TEST_P(OutOfMemoryTest, FiftyInARow) { DenyEach(0, 20, 31, 50); }

INSTANTIATE_TEST_SUITE_P(, OutOfMemoryTest, ::testing::Values(false, true),
                         [](const ::testing::TestParamInfo<bool>& each) {
                           return each.param ? "WithThreads" : "OneThread";
                         });

// Memory that runs out while the server stops puts that off, and nothing is left behind that runs.
class StopOutOfMemoryTest : public OutOfMemory, public ::testing::WithParamInterface<int> {
 protected:
  StopOutOfMemoryTest() : OutOfMemory(GetParam() % 2 == 0, Way::kMaildir) {}
};

TEST_P(StopOutOfMemoryTest, Ends) {
  ASSERT_TRUE(Send("before"));
  ASSERT_TRUE(WaitForAll(milliseconds(10'000)));
  test::DenyMemory(GetParam(), 20);
  postern_server_stop(server_, 1000);
  thread_.join();
  (void)test::GrantMemory();
}

INSTANTIATE_TEST_SUITE_P(, StopOutOfMemoryTest, ::testing::Range(1, 100, 11));

}  // namespace
}  // namespace postern
