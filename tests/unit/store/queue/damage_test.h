// QueueDamageTest has a queue whose files are damaged, and judges what is left of it: each message
// is there afterwards, whole, or named in the log as lost or parked.
#pragma once

#include "tests/unit/store/queue/seeded_world.h"
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_lock.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {

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
inline uint64_t FirstSeed() {
  const char* const given = std::getenv("POSTERN_DAMAGE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

inline uint64_t SeedCount() {
  const char* const given = std::getenv("POSTERN_DAMAGE_SEEDS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// Offsets into a page at which a bit is flipped: its head, the pointers, and the rows; two of them
// wander with the seed.
inline std::vector<uint64_t> Offsets(uint64_t page, uint64_t seed) {
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

}  // namespace postern::store
