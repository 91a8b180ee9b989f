// What a queue does when octets of its files are not what it wrote.
#include "tests/unit/store/queue/damage_test.h"

#include <iterator>

#include <sqlite3.h>

namespace postern::store {
namespace {

INSTANTIATE_TEST_SUITE_P(Settings, QueueDamageTest, ::testing::Bool(), [](const auto& each) {
  return std::string(each.param ? "Sealed" : "Plain");
});

TEST_P(QueueDamageTest, ABitInAnyPageOfTheDatabase) {
  for (uint64_t i = 0; i < SeedCount() && !HasFailure(); ++i) {
    SCOPED_TRACE(StrCat("POSTERN_DAMAGE_SEED=", seed_ + i));
    BeginAnew(seed_ + i);
    DamageEachPage(seed_ + i);
  }
}

TEST_P(QueueDamageTest, ABitInAnyFrameOfTheLog) {
  options_.wal_autocheckpoint_pages = 60;
  Fill(30);
  const std::string whole = root_ + "/whole";
  Copy(Spool(), whole);  // as a kill leaves it
  CloseQueue();
  const uint64_t frames = (fs::file_size(whole + "/queue.db-wal") - 32) / 4120;
  ASSERT_GT(frames, 20u);
  gone_stays_gone_ = false;  // a removal may be what was damaged
  for (uint64_t frame = 0; frame < frames; ++frame) {
    for (const uint64_t offset : {0, 5, 9, 17, 27, 1200, 4119}) {
      Copy(whole, Spool());
      Flip(Spool() + "/queue.db-wal", 32 + frame * 4120 + offset,
           static_cast<int>((frame + offset) % 8));
      Judge(StrCat("frame ", frame + 1, " octet ", offset));
      if (HasFatalFailure()) return;
    }
  }
  for (uint64_t offset = 0; offset < 32; ++offset) {
    Copy(whole, Spool());
    Flip(Spool() + "/queue.db-wal", offset, static_cast<int>(offset % 8));
    Judge(StrCat("log header octet ", offset));
    if (HasFatalFailure()) return;
  }
  std::printf("%zu judged, %zu rebuilt, %zu envelopes named\n", judged_, rebuilt_, lost_);
}

TEST_P(QueueDamageTest, ALogThatIsCutShort) {
  options_.wal_autocheckpoint_pages = 150;
  // With some seeds the last change is the one that empties the log.
  for (uint64_t seed = 1; seed <= 10 && lost_ == 0; ++seed) {
    if (seed > 1) BeginAnew(seed);
    Fill(60);
    const std::string whole = root_ + "/whole";
    Copy(Spool(), whole);  // as a kill leaves it
    CloseQueue();
    const uint64_t bytes = fs::file_size(whole + "/queue.db-wal");
    gone_stays_gone_ = false;
    for (uint64_t size = 0; size < bytes; size += 6180) {
      Copy(whole, Spool());
      fs::resize_file(Spool() + "/queue.db-wal", size);
      Judge(StrCat("log cut to ", size));
      if (HasFatalFailure()) return;
    }
    Copy(whole, Spool());
    fs::remove(Spool() + "/queue.db-wal");
    Judge("log removed");
    if (HasFatalFailure()) return;
    std::printf("%zu judged, %zu rebuilt, %zu envelopes named\n", judged_, rebuilt_, lost_);
  }
  EXPECT_GT(lost_, 0u) << "nothing was in the log";
}

// A message of which one recipient is gone, from the table and from all indexes, is still there:
// the witness knows that it had more.
TEST_P(QueueDamageTest, ARecipientThatIsGoneIsMissed) {
  Fill(12);
  CloseQueue();
  const auto gone = std::adjacent_find(
      expected_.begin(), expected_.end(), [](const auto& one, const auto& other) {
        return queue::MessageIdOf(one.first) == queue::MessageIdOf(other.first);
      });
  ASSERT_TRUE(gone != expected_.end());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((Spool() + "/queue.db").c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 5000);
  ASSERT_EQ(
      sqlite3_exec(
          other,
          StrCat("DELETE FROM envelope WHERE evpid = ", static_cast<int64_t>(gone->first)).c_str(),
          nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(other);
  Judge("a row is gone");
  EXPECT_EQ(lost_, 1u);
  EXPECT_NE(log_.All().find(StrCat("message has lost recipients msgid=",
                                   queue::MessageIdText(queue::MessageIdOf(gone->first)),
                                   " error=\"DATA_LOSS: 1 of")),
            std::string::npos)
      << log_.All();
  log_.Clear();
  const Status again = OpenSoon();
  ASSERT_TRUE(again.ok()) << Text(again);
  EXPECT_EQ(log_.All(), "") << "told once";
}

// The state of an envelope has no checksum; the indexes know it too.
TEST_P(QueueDamageTest, WhatWasOnHoldStaysOnHold) {
  Fill(12);
  CloseQueue();
  const auto held = std::find_if(expected_.begin(), expected_.end(),
                                 [](const auto& each) { return each.second; });
  ASSERT_TRUE(held != expected_.end());
  const std::string path = Spool() + "/queue.db";
  std::ifstream before(path, std::ios::binary);
  const std::string indexes = [&] {
    std::string octets(3 * 4096, '\0');
    before.seekg(3 * 4096);
    before.read(octets.data(), static_cast<std::streamsize>(octets.size()));
    return octets;
  }();
  ASSERT_TRUE(before.good());
  ASSERT_EQ(indexes[0], '\x0a') << "the index of what is due is more than its root";
  ASSERT_EQ(indexes[2 * 4096], '\x0a') << "the index of what is aside is more than its root";
  // The row changes, and the indexes are put back.
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  sqlite3_busy_timeout(other, 5000);
  ASSERT_EQ(
      sqlite3_exec(other,
                   StrCat("UPDATE envelope SET state = 0 WHERE evpid = ",
                          static_cast<int64_t>(held->first), "; PRAGMA wal_checkpoint(TRUNCATE)")
                       .c_str(),
                   nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(other);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3 * 4096);
  file << indexes;
  file.close();
  Judge("a row that says it is due");
  EXPECT_EQ(rebuilt_, 1u);
  EXPECT_NE(log_.All().find(StrCat("envelope's state damaged, on hold evpid=",
                                   queue::EnvelopeIdText(held->first))),
            std::string::npos)
      << log_.All();
}

// Who wrote to whom is known of an envelope whose text is lost.
TEST_P(QueueDamageTest, TheReportNamesSenderAndRecipient) {
  if (GetParam()) GTEST_SKIP() << "a text that is encrypted cannot be found to be damaged";
  Fill(12);
  CloseQueue();
  const std::string path = Spool() + "/queue.db";
  std::string octets(fs::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(octets.data(), std::ssize(octets));
  const auto named = std::find_if(expected_.begin(), expected_.end(), [this](const auto& each) {
    return bodies_[queue::MessageIdOf(each.first)].size() < 1000;
  });
  ASSERT_TRUE(named != expected_.end());
  const std::string& body = bodies_[queue::MessageIdOf(named->first)];
  ASSERT_NE(octets.find(body), std::string::npos);
  for (size_t at = octets.find(body); at != std::string::npos; at = octets.find(body, at + 1))
    Flip(path, at + 100, 1);
  // A text is measured when it is read, or in a rebuild: the header asks for one.
  Flip(path, 0, 1);
  Judge("a text and the header");
  std::string report;
  for (const auto& entry : fs::recursive_directory_iterator(Spool())) {
    if (entry.path().filename() != "report.txt") continue;
    std::ifstream file(entry.path());
    report.assign(std::istreambuf_iterator<char>(file), {});
  }
  EXPECT_NE(report.find("message damaged on disk, parked: "), std::string::npos) << report;
  const std::string id = queue::EnvelopeIdText(named->first);
  EXPECT_NE(report.find(StrCat("envelope parked: ", id, " from=<sender@example.org> to=<user")),
            std::string::npos)
      << report;
  EXPECT_NE(log_.All().find(StrCat("evpid=", id, " from=<sender@example.org> to=<user")),
            std::string::npos)
      << log_.All();
}

}  // namespace
}  // namespace postern::store
