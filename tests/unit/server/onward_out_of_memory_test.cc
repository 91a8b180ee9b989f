// Memory that runs out while the server hands messages on to programs and to other servers.

#include "tests/unit/server/out_of_memory.h"
#include <tuple>

namespace postern {
namespace {

using test::OutOfMemory;
using test::Way;

// Where the sessions of these tests come to their last allocations.
constexpr int64_t kFrom = 240;

// The sessions are those of out_of_memory_test.cc: it begins with their last allocations.
class OnwardOutOfMemoryTest : public OutOfMemory,
                              public ::testing::WithParamInterface<std::tuple<bool, Way>> {
 protected:
  OnwardOutOfMemoryTest() : OutOfMemory(std::get<bool>(GetParam()), std::get<Way>(GetParam())) {}
};

TEST_P(OnwardOutOfMemoryTest, EveryAllocationOfADelivery) { DenyEach(kFrom, 0, 19, 1); }
TEST_P(OnwardOutOfMemoryTest, FiftyInARow) { DenyEach(kFrom, 0, 37, 50); }

INSTANTIATE_TEST_SUITE_P(, OnwardOutOfMemoryTest,
                         ::testing::Combine(::testing::Values(false, true),
                                            ::testing::Values(Way::kProgram, Way::kRelay)),
                         [](const ::testing::TestParamInfo<std::tuple<bool, Way>>& each) {
                           return StrCat(
                               std::get<Way>(each.param) == Way::kProgram ? "Program" : "Relay",
                               std::get<bool>(each.param) ? "WithThreads" : "OneThread");
                         });

}  // namespace
}  // namespace postern
