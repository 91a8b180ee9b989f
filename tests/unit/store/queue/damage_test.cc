// What a queue does when its files are not what it wrote: each message is there afterwards, whole,
// or named in the log as lost or parked.
#include "tests/unit/store/queue/seeded_world.h"
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "lib/core/base/strings.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_lock.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;

class CollectingLog final : public LogSink {
 public:
  void Write(const LogRecord& record) override {
    const std::lock_guard lock(mutex_);
    StrAppend(text_, FormatLogRecord(record), "\n");
  }
  std::string All() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    text_.clear();
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

template <typename T>
rt::Task<void> Keep(rt::Task<T> task, std::optional<T>* result, SeededWorld* world) {
  T value = co_await std::move(task);
  result->emplace(std::move(value));
  world->Stop();
}

// FirstSeed is POSTERN_DAMAGE_SEED, or another one at each run; a failure names it. With
// POSTERN_DAMAGE_SEEDS the test of the database goes through so many from there.
uint64_t FirstSeed() {
  const char* const given = std::getenv("POSTERN_DAMAGE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

uint64_t SeedCount() {
  const char* const given = std::getenv("POSTERN_DAMAGE_SEEDS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// Offsets into a page at which a bit is flipped: its head, the pointers, and the rows; two of them
// wander with the seed.
std::vector<uint64_t> Offsets(uint64_t page, uint64_t seed) {
  const uint64_t far = seed * 7919 + page * 131;
  return {0, 3, 5, 9, 2000 + page * 37 % 1000, 40 + far % 4050, 3200 + far % 890, 4090};
}

// The parameter: texts are compressed, and they and the envelopes encrypted.
class QueueDamageTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    // Hundreds of starts sync a dozen files each: memory will do.
    std::string name =
        fs::exists("/dev/shm") ? "/dev/shm/postern-damage-XXXXXX" : "/tmp/postern-damage-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    std::printf("POSTERN_DAMAGE_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    options_.min_free_bytes = 1 << 20;
    options_.log_growth_bytes = 64 * 1024;
    if (GetParam())
      options_.seal = *SpoolSeal::Make(true, "0123456789abcdef0123456789abcdef", world_.random());
  }
  void TearDown() override {
    queue_.reset();
    fs::remove_all(root_);
  }

  std::string Spool() const { return root_ + "/spool"; }

  Status Open() {
    StatusOr<std::unique_ptr<Queue>> opened = OpenSqliteQueue(world_, log_, Spool(), options_);
    if (!opened.ok()) return opened.status();
    queue_ = *std::move(opened);
    return OkStatus();
  }

  // CloseQueue ends the queue and waits until its last job has let go of the files.
  void CloseQueue() {
    if (queue_ != nullptr) {
      ASSERT_TRUE(Run(queue_->Close(loop())).ok());
    }
    queue_.reset();
    for (int i = 0; i < 1000; ++i) {
      const StatusOr<SpoolLock> lock = SpoolLock::Take(world_.files(), Spool());
      if (lock.ok()) return;
      usleep(1000);
    }
    FAIL() << "somebody has the queue";
  }

  // OpenSoon opens the queue once the last job of the one before has let go of its lock.
  Status OpenSoon() {
    Status status = Open();
    for (int i = 0; i < 500 && status.code() == StatusCode::kUnavailable; ++i) {
      usleep(10'000);
      status = Open();
    }
    return status;
  }

  template <typename T>
  T Run(rt::Task<T> task) {
    std::optional<T> result;
    rt::TaskGroup group;
    world_.main_loop().Post([&] { group.Spawn(Keep(std::move(task), &result, &world_)); });
    world_.Run();
    return *std::move(result);
  }

  rt::Executor& loop() { return world_.main_loop(); }

  rt::Task<StatusOr<MessageId>> SendTask(std::string body, std::vector<Envelope> envelopes) {
    StatusOr<std::unique_ptr<MessageWriter>> writer = queue_->NewMessage(loop());
    if (!writer.ok()) co_return writer.status();
    const Status status = co_await (*writer)->Append(body);
    if (!status.ok()) co_return status;
    StatusOr<MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
    co_return id;
  }

  StatusOr<MessageId> Send(std::string body, int recipients) {
    std::vector<Envelope> envelopes;
    for (int i = 0; i < recipients; ++i) {
      Envelope e;
      e.sender.address = mail::Address{"sender", "example.org"};
      e.user = StrCat("user", i);
      e.recipient = e.destination = mail::Address{e.user, "example.com"};
      e.action = "local";
      e.ttl = absl::Hours(48);
      envelopes.push_back(std::move(e));
    }
    return Run(SendTask(std::move(body), std::move(envelopes)));
  }

  std::vector<Envelope> ListAll() {
    ListRequest request;
    request.limit = 100'000;
    StatusOr<std::vector<Envelope>> all = Run(queue_->List(loop(), request));
    EXPECT_TRUE(all.ok()) << Text(all.status());
    return all.ok() ? *all : std::vector<Envelope>();
  }

  // Fill puts messages of all kinds into the queue: short and long ones, in the database, over many
  // pages of it and in files; some with several recipients, on hold, tried before, and gone.
  void Fill(int messages) {
    ASSERT_TRUE(Open().ok());
    for (int i = 0; i < messages; ++i) {
      const size_t size = i % 10 == 9 ? 40'000 : i % 5 == 4 ? 20'000 : 300 + 100 * (i % 7);
      std::string body = StrCat("Subject: ", i, "\r\n\r\n");
      for (size_t n = 0; body.size() < size; ++n) StrAppend(body, "line ", n, " of ", i, "\r\n");
      world_.Advance(absl::Milliseconds(3 + i % 5));
      const StatusOr<MessageId> id = Send(body, 1 + i % 3);
      ASSERT_TRUE(id.ok()) << Text(id.status());
      bodies_[*id] = body;
    }
    std::vector<Change> changes;
    int n = 0;
    for (const Envelope& envelope : ListAll()) {
      Change change;
      change.id = envelope.id;
      switch (n++ % 6) {
        case 0: change.kind = Change::Kind::kHold; break;
        case 1:
          change.kind = Change::Kind::kUpdate;
          change.envelope = envelope;
          change.envelope.attempts = 2;
          change.envelope.last_error = "no answer";
          break;
        case 2: change.kind = Change::Kind::kRemove; break;
        default: continue;
      }
      changes.push_back(std::move(change));
    }
    queue_->Record(std::move(changes));
    ASSERT_TRUE(Run(queue_->Flush(loop())).ok());
    for (const Envelope& envelope : ListAll()) expected_[envelope.id] = envelope.held;
    ASSERT_GT(expected_.size(), 10u);
  }

  void Copy(const std::string& from, const std::string& to) {
    fs::remove_all(to);
    fs::create_directories(to);
    for (const auto& entry : fs::recursive_directory_iterator(from)) {
      const fs::path target = to / fs::relative(entry.path(), from);
      if (entry.is_directory()) {
        fs::create_directories(target);
        continue;
      }
      // (Not fs::copy, for which an empty file is an error in some releases.)
      std::ifstream in(entry.path(), std::ios::binary);
      std::ofstream out(target, std::ios::binary);
      if (entry.file_size() > 0) out << in.rdbuf();
    }
  }

  static void Flip(const std::string& path, uint64_t offset, int bit) {
    SCOPED_TRACE(path);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int octet = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(octet ^ (1 << bit)));
    ASSERT_TRUE(file.good());
  }

  int DamagedFolders() const {
    int found = 0;
    for (const auto& entry : fs::directory_iterator(Spool())) {
      if (!entry.path().filename().string().starts_with("damaged-")) continue;
      ++found;
      EXPECT_TRUE(fs::exists(entry.path() / "report.txt")) << entry.path();
    }
    return found;
  }

  // Judge opens the queue and looks for each message. `what` says what was damaged.
  void Judge(const std::string& what) {
    log_.Clear();
    const Status opened = OpenSoon();
    ASSERT_TRUE(opened.ok()) << what << ": " << Text(opened);
    std::map<EnvelopeId, bool> found;
    DueRequest request;
    request.now = queue_->Now() + absl::Hours(25);
    request.limit = 100'000;
    StatusOr<std::vector<Envelope>> due = Run(queue_->LoadDue(loop(), request));
    // What was not seen at the start is met here; then the queue is rebuilt.
    for (int i = 0; i < 100 && !due.ok(); ++i) {
      usleep(10'000);
      due = Run(queue_->LoadDue(loop(), request));
    }
    ASSERT_TRUE(due.ok()) << what << ": " << Text(due.status());
    for (const Envelope& envelope : *due) found[envelope.id] = false;
    for (const Envelope& envelope : ListAll()) {
      if (envelope.held) found[envelope.id] = true;
    }
    std::set<EnvelopeId> whole;
    for (const auto& [id, held] : found) {
      const StatusOr<std::shared_ptr<const Body>> body =
          Run(queue_->OpenBody(loop(), queue::MessageIdOf(id)));
      if (!body.ok()) continue;
      std::string octets((*body)->size_bytes(), '\0');
      ASSERT_TRUE((*body)->ReadAt(0, octets).ok());
      const auto original = bodies_.find(queue::MessageIdOf(id));
      ASSERT_TRUE(original != bodies_.end()) << what << ": out of nothing";
      ASSERT_TRUE(octets == original->second) << what << ": another text";
      whole.insert(id);
    }
    const std::string log = log_.All();
    for (const auto& [id, held] : expected_) {
      lost_ += whole.contains(id) ? 0 : 1;
      // With the end of the log goes also what was said last of a message: that it is on hold.
      if (whole.contains(id) && (!held || found[id] || !gone_stays_gone_)) continue;
      EXPECT_NE(log.find(queue::MessageIdText(queue::MessageIdOf(id))), std::string::npos)
          << what << ": " << queue::EnvelopeIdText(id) << " is lost without a word\n"
          << log;
    }
    // What is a torn transaction's is not undone by chance: nothing else may come back.
    for (const EnvelopeId id : whole) {
      EXPECT_TRUE(expected_.contains(id) || !gone_stays_gone_ || queue::MessageIdOf(id) == 0 ||
                  log.find(queue::MessageIdText(queue::MessageIdOf(id))) != std::string::npos)
          << what << ": " << queue::EnvelopeIdText(id) << " came back\n"
          << log;
    }
    rebuilt_ += DamagedFolders() > 0 ? 1 : 0;
    ++judged_;
    CloseQueue();
  }

  // BeginAnew forgets all that was queued, and gives the ids of another seed.
  void BeginAnew(uint64_t seed) {
    fs::remove_all(Spool());
    bodies_.clear();
    expected_.clear();
    lost_ = rebuilt_ = judged_ = 0;
    world_.Reseed(seed);
  }

  void DamageEachPage(uint64_t seed) {
    Fill(40);
    CloseQueue();
    const std::string whole = root_ + "/whole";
    Copy(Spool(), whole);
    const uint64_t pages = fs::file_size(whole + "/queue.db") / 4096;
    ASSERT_GT(pages, 15u);
    for (uint64_t page = 0; page < pages; ++page) {
      for (const uint64_t offset : Offsets(page, seed)) {
        Copy(whole, Spool());
        Flip(Spool() + "/queue.db", page * 4096 + offset,
             static_cast<int>((page + offset + seed) % 8));
        Judge(StrCat("page ", page + 1, " octet ", offset));
        if (HasFatalFailure()) return;
      }
    }
    for (uint64_t offset = 0; offset < 100; ++offset) {
      Copy(whole, Spool());
      Flip(Spool() + "/queue.db", offset, static_cast<int>(offset % 8));
      Judge(StrCat("header octet ", offset));
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(rebuilt_, judged_ / 4);
    std::printf("%zu judged, %zu rebuilt, %zu envelopes named\n", judged_, rebuilt_, lost_);
  }

  const uint64_t seed_ = FirstSeed();
  std::string root_;
  SeededWorld world_{seed_};
  CollectingLog log_;
  QueueOptions options_;
  std::unique_ptr<Queue> queue_;
  std::map<MessageId, std::string> bodies_;
  std::map<EnvelopeId, bool> expected_;  // held or not
  bool gone_stays_gone_ = true;
  size_t lost_ = 0, rebuilt_ = 0, judged_ = 0;
};

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
  EXPECT_GT(lost_, 0u) << "nothing was in the log";
  std::printf("%zu judged, %zu rebuilt, %zu envelopes named\n", judged_, rebuilt_, lost_);
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
  EXPECT_LT(waited, absl::Seconds(7));
  sqlite3_close(other);
  Judge("after the other has gone");
  EXPECT_EQ(lost_, 0u);
  EXPECT_EQ(rebuilt_, 0u) << "a lock is no damage";
}

}  // namespace
}  // namespace postern::store
