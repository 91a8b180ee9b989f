// What a queue does when files of it are missing or another's, when somebody else has it, and when
// damage is met while it runs.
#include "tests/unit/store/queue/damage_test.h"
#include <iterator>

#include <sqlite3.h>

namespace postern::store {
namespace {

TEST_P(QueueDamageTest, AKilledServerIsNotTakenForADamagedOne) {
  Fill(40);
  for (int i = 0; i < 3; ++i) {
    const std::string whole = root_ + "/whole";
    Copy(Spool(), whole);
    CloseQueue();
    Copy(whole, Spool());
    Judge("killed");
    const Status opened = OpenSoon();
    ASSERT_TRUE(opened.ok()) << Text(opened);
    EXPECT_EQ(log_.All(), "");
  }
  EXPECT_EQ(lost_, 0u);
  EXPECT_EQ(rebuilt_, 0u);
}

TEST_P(QueueDamageTest, WithoutSharedMemoryNothingIsMissing) {
  Fill(30);
  const std::string whole = root_ + "/whole";
  Copy(Spool(), whole);
  CloseQueue();
  Copy(whole, Spool());
  fs::remove(Spool() + "/queue.db-shm");
  Judge("-shm deleted");
  EXPECT_EQ(lost_, 0u);
  EXPECT_EQ(rebuilt_, 0u);
}

TEST_P(QueueDamageTest, WithoutItsDatabaseTheQueueIsNotBegunAnewInSilence) {
  Fill(30);
  CloseQueue();
  fs::remove(Spool() + "/queue.db");
  fs::remove(Spool() + "/queue.db-wal");
  const Status opened = OpenSoon();
  ASSERT_TRUE(opened.ok()) << Text(opened);
  EXPECT_EQ(DamagedFolders(), 1);
  EXPECT_NE(log_.All().find("text without envelopes put aside"), std::string::npos) << log_.All();
}

// What may not be read is no damage: nothing is moved, and no queue is begun beside it.
TEST_P(QueueDamageTest, WhatIsNoFileOfOursIsLeftAlone) {
  Fill(30);
  CloseQueue();
  fs::rename(Spool() + "/queue.db", root_ + "/elsewhere");
  fs::create_symlink(root_ + "/elsewhere", Spool() + "/queue.db");
  EXPECT_FALSE(Open().ok());
  EXPECT_TRUE(fs::is_symlink(Spool() + "/queue.db"));
  EXPECT_EQ(DamagedFolders(), 0);
  fs::remove(Spool() + "/queue.db");
  fs::rename(root_ + "/elsewhere", Spool() + "/queue.db");
  Judge("the file is back");
  EXPECT_EQ(lost_ + rebuilt_, 0u);
}

TEST_P(QueueDamageTest, AnInterruptedRebuildIsFinishedByTheNextStart) {
  Fill(30);
  CloseQueue();
  Flip(Spool() + "/queue.db", 0, 1);
  // No room for a copy: the damaged queue is put aside, and no empty one stands in its place.
  fs::create_directory(Spool() + "/queue.db-new");
  const Status refused = OpenSoon();
  EXPECT_FALSE(refused.ok());
  EXPECT_FALSE(fs::exists(Spool() + "/queue.db"));
  fs::remove(Spool() + "/queue.db-new");
  Judge("the second start");
  EXPECT_EQ(lost_, 0u);
  EXPECT_EQ(DamagedFolders(), 1);
  Judge("the third start");
  EXPECT_EQ(DamagedFolders(), 1);
}

// Damage that is met while the server runs: whoever commits is refused, then the queue goes on.
TEST_P(QueueDamageTest, DamageWhileRunningIsToldAndMended) {
  options_.wal_autocheckpoint_pages = 10;
  options_.cache_kib = 16;
  Fill(60);
  CloseQueue();
  const Status opened = OpenSoon();
  ASSERT_TRUE(opened.ok()) << Text(opened);
  const uint64_t pages = fs::file_size(Spool() + "/queue.db") / 4096;
  for (uint64_t page = 2; page < pages; ++page) Flip(Spool() + "/queue.db", page * 4096, 6);
  int refused = 0, taken = 0;
  for (int i = 0; i < 200 && taken < 20; ++i) {
    const StatusOr<MessageId> id = Send("Subject: during\r\n\r\n", 1);
    if (id.ok()) {
      ++taken;
      continue;
    }
    ++refused;
    EXPECT_TRUE(id.status().code() == StatusCode::kDataLoss ||
                id.status().code() == StatusCode::kUnavailable)
        << Text(id.status());
    usleep(10'000);
  }
  EXPECT_GT(refused, 0);
  EXPECT_EQ(taken, 20);
  EXPECT_EQ(DamagedFolders(), 1);
  const std::string log = log_.All();
  EXPECT_NE(log.find("database damaged"), std::string::npos) << log;
  EXPECT_NE(log.find("damaged queue put aside and rebuilt"), std::string::npos) << log;
  size_t during = 0;
  for (const Envelope& envelope : ListAll()) during += expected_.contains(envelope.id) ? 0 : 1;
  EXPECT_EQ(during, 20u);
}

TEST_P(QueueDamageTest, AnothersLockIsWaitedForAndThenRefused) {
  Fill(10);
  CloseQueue();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((Spool() + "/queue.db").c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 5000);  // the last job of the queue may have it still
  ASSERT_EQ(sqlite3_exec(other,
                         "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; SELECT * FROM "
                         "sqlite_schema;",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  const absl::Time start = absl::Now();
  const Status refused = Open();
  const Duration waited = absl::Now() - start;
  EXPECT_EQ(refused.code(), StatusCode::kUnavailable) << Text(refused);
  EXPECT_LT(waited, absl::Seconds(30));
  sqlite3_close(other);
  Judge("after the other has gone");
  EXPECT_EQ(lost_, 0u);
  EXPECT_EQ(rebuilt_, 0u) << "a lock is no damage";
}

}  // namespace
}  // namespace postern::store
