// The witness of the last commits: believed after a kill, and not when its file forgot.
#include "lib/store/queue/commit_witness.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <gtest/gtest.h>

#include "lib/rt/asio/asio_world.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<queue::MessageId>;

class WitnessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/postern-witness-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    spool_ = name;
  }
  void TearDown() override { fs::remove_all(spool_); }

  CommitWitness Open(uint32_t mark) { return CommitWitness::Open(world_.files(), spool_, mark); }
  void Keep() {
    fs::copy_file(spool_ + "/recent", spool_ + "/kept", fs::copy_options::overwrite_existing);
  }
  void Forget() {
    fs::copy_file(spool_ + "/kept", spool_ + "/recent", fs::copy_options::overwrite_existing);
  }

  rt::AsioWorld world_;
  std::string spool_;
};

TEST_F(WitnessTest, AKilledProcessLeavesItExact) {
  uint32_t mark = 0;
  {
    CommitWitness witness = Open(0);
    witness.Accepted({1, 2, 3});
    witness.Leaving({2});
    mark = witness.Mark();
    witness.Accepted({4});
  }
  EXPECT_EQ(Open(mark).promised(), (Ids{1, 3, 4}));
}

TEST_F(WitnessTest, ADatabaseThatIsBehindIsNamed) {
  uint32_t mark = 0;
  {
    CommitWitness witness = Open(0);
    witness.Accepted({1});
    mark = witness.Mark();
    for (queue::MessageId id = 2; id < 100; ++id) witness.Accepted({id});
  }
  EXPECT_EQ(Open(mark).promised().size(), 99u);
  EXPECT_EQ(Open(0).promised().size(), 99u) << "a database that was made anew";
}

// Seen before: a volume that was cut off under the server came back with an older ring in the same
// boot, and ninety delivered messages were called lost.
TEST_F(WitnessTest, ARingThatForgotIsNotBelieved) {
  uint32_t mark = 0;
  {
    CommitWitness witness = Open(0);
    witness.Accepted({1, 2, 3});
    Keep();
    witness.Leaving({1, 2, 3});
    mark = witness.Mark();
  }
  Forget();
  {
    CommitWitness witness = Open(mark);
    EXPECT_EQ(witness.promised(), Ids());
    // It begins anew, and is of use again.
    witness.Accepted({7});
    mark = witness.Mark();
  }
  EXPECT_EQ(Open(mark).promised(), Ids{7});
}

TEST_F(WitnessTest, ARingWithAHoleIsNotBelieved) {
  uint32_t mark = 0;
  {
    CommitWitness witness = Open(0);
    for (queue::MessageId id = 1; id <= 1000; ++id) witness.Accepted({id});
    mark = witness.Mark();
  }
  {
    std::fstream file(spool_ + "/recent", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(4096, '\0');
  }
  EXPECT_EQ(Open(mark).promised(), Ids());
}

TEST_F(WitnessTest, TheRingGoesRound) {
  uint32_t mark = 0;
  {
    CommitWitness witness = Open(0);
    for (queue::MessageId id = 1; id <= 40'000; ++id) {
      witness.Accepted({id});
      if (id > 5) witness.Leaving({id - 5});
    }
    mark = witness.Mark();
  }
  EXPECT_EQ(Open(mark).promised(), (Ids{39'996, 39'997, 39'998, 39'999, 40'000}));
}

}  // namespace
}  // namespace postern::store
