// What both queues promise, and what the one on disk promises beyond that.
#include "lib/store/queue/queue.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {
namespace {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;

class CollectingLog final : public LogSink {
 public:
  void Write(const LogRecord& record) override {
    const std::lock_guard lock(mutex_);
    lines_.push_back(FormatLogRecord(record));
  }
  std::string All() {
    const std::lock_guard lock(mutex_);
    return StrJoin(lines_, "\n");
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

Envelope To(std::string user) {
  Envelope e;
  e.sender.address = mail::Address{"sender", "example.org"};
  e.recipient = e.destination = mail::Address{user, "example.com"};
  e.user = user;
  e.action = "local";
  return e;
}

template <typename T>
rt::Task<void> Keep(rt::Task<T> task, std::optional<T>* result, rt::AsioWorld* world) {
  T value = co_await std::move(task);
  result->emplace(std::move(value));
  world->Stop();
}

class QueueTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-queue-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Start();
  }
  void TearDown() override {
    queue_.reset();
    std::filesystem::remove_all(root_);
  }

  // Start opens the queue in a new world, as a process that starts does.
  void Start() {
    queue_.reset();
    world_ = std::make_unique<rt::AsioWorld>();
    if (GetParam() >= 2) {
      options_.seal = *SpoolSeal::Make(
          true, GetParam() == 3 ? "0123456789abcdef0123456789abcdef" : "", world_->random());
    }
    if (GetParam() == 0) {
      queue_ = NewMemoryQueue(*world_);
      return;
    }
    StatusOr<std::unique_ptr<Queue>> opened =
        OpenSqliteQueue(*world_, log_, root_ + "/spool", options_);
    ASSERT_TRUE(opened.ok()) << Text(opened.status());
    queue_ = *std::move(opened);
  }

  template <typename T>
  T Run(rt::Task<T> task) {
    std::optional<T> result;
    rt::TaskGroup group;
    world_->main_loop().Post([&] { group.Spawn(Keep(std::move(task), &result, world_.get())); });
    world_->Run();
    return *std::move(result);
  }

  rt::Executor& loop() { return world_->main_loop(); }

  rt::Task<StatusOr<MessageId>> Send(std::string body, std::vector<Envelope> envelopes) {
    StatusOr<std::unique_ptr<MessageWriter>> writer = queue_->NewMessage(loop());
    if (!writer.ok()) co_return writer.status();
    for (size_t i = 0; i < body.size(); i += 10000) {
      const std::string part = body.substr(i, 10000);
      const Status status = co_await (*writer)->Append(part);
      if (!status.ok()) co_return status;
    }
    StatusOr<MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
    co_return id;
  }

  StatusOr<std::vector<Envelope>> Due() {
    DueRequest request;
    request.now = queue_->Now();
    return Run(queue_->LoadDue(loop(), request));
  }

  std::string ReadBody(MessageId id) {
    const StatusOr<std::shared_ptr<const Body>> body = Run(queue_->OpenBody(loop(), id));
    if (!body.ok()) return Text(body.status());
    std::string octets((*body)->size_bytes(), '\0');
    const StatusOr<size_t> got = (*body)->ReadAt(0, octets);
    EXPECT_EQ(*got, octets.size());
    return octets;
  }

  static Change Remove(EnvelopeId id) {
    Change change;
    change.id = id;
    return change;
  }

  QueueOptions options_;
  CollectingLog log_;
  std::string root_;
  std::unique_ptr<rt::AsioWorld> world_;
  std::unique_ptr<Queue> queue_;
};

std::string SettingName(const ::testing::TestParamInfo<int>& each) {
  constexpr const char* kSettings[] = {"Memory", "Disk", "Compressed", "Encrypted"};
  return kSettings[each.param];
}

INSTANTIATE_TEST_SUITE_P(All, QueueTest, ::testing::Range(0, 4), SettingName);

TEST_P(QueueTest, KeepsMessagesOfEverySizeUntilTheirLastEnvelopeIsDone) {
  for (const size_t size :
       {size_t{0}, size_t{5}, size_t{32768}, size_t{32769}, size_t{300000}, size_t{1000000}}) {
    std::string body(size, 'x');
    for (size_t i = 0; i < size; i += 7) body[i] = static_cast<char>('a' + i % 26);
    const StatusOr<MessageId> id = Run(Send(body, {To("a"), To("b")}));
    ASSERT_TRUE(id.ok()) << Text(id.status());
    EXPECT_EQ(ReadBody(*id), body) << size;
    const auto due = Due();
    ASSERT_EQ(due->size(), 2u);
    EXPECT_EQ((*due)[0].message_id(), *id);
    EXPECT_NE((*due)[0].id, (*due)[1].id);
    queue_->Record({Remove((*due)[0].id)});
    EXPECT_EQ(Due()->size(), 1u) << "a recorded change is seen at once";
    EXPECT_EQ(ReadBody(*id), body);
    queue_->Record({Remove((*due)[1].id)});
    ASSERT_TRUE(Run(queue_->Flush(loop())).ok());
    EXPECT_EQ(Run(queue_->OpenBody(loop(), *id)).status().code(), StatusCode::kNotFound);
    const auto counts = Run(queue_->Counts(loop()));
    EXPECT_EQ(counts->messages, 0u);
    EXPECT_EQ(counts->envelopes, 0u);
  }
  if (GetParam() != 0) {
    EXPECT_TRUE(std::filesystem::is_empty(root_ + "/spool/bodies"));
  }
}

TEST_P(QueueTest, AnUpdateMovesTheNextAttempt) {
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  Envelope envelope = Due()->front();
  envelope.attempts = 1;
  envelope.last_error = "try later";
  envelope.next_attempt = queue_->Now() + absl::Hours(1);
  Change change;
  change.kind = Change::Kind::kUpdate;
  change.envelope = envelope;
  queue_->Record({change});
  EXPECT_TRUE(Due()->empty());
  EXPECT_EQ(*Run(queue_->NextDue(loop(), queue_->Now())), envelope.next_attempt);
  ASSERT_TRUE(Run(queue_->Flush(loop())).ok());
  EXPECT_TRUE(Due()->empty());
  EXPECT_EQ(Run(queue_->Get(loop(), envelope.id))->last_error, "try later");
  EXPECT_EQ(*Run(queue_->NextDue(loop(), queue_->Now())), envelope.next_attempt);
  EXPECT_EQ(Run(queue_->LoadDeferred(loop(), queue::DestinationKey(envelope), 10))->size(), 1u);
  // What was held back from its first attempt waits for another one as well.
  envelope.attempts = 0;
  change.envelope = envelope;
  queue_->Record({change});
  ASSERT_TRUE(Run(queue_->Flush(loop())).ok());
  EXPECT_EQ(Run(queue_->LoadDeferred(loop(), queue::DestinationKey(envelope), 10))->size(), 1u);
  DueRequest later;
  later.now = envelope.next_attempt + absl::Seconds(1);
  EXPECT_EQ(Run(queue_->LoadDue(loop(), later))->size(), 1u);
  later.except_destinations = {queue::DestinationKey(envelope)};
  EXPECT_TRUE(Run(queue_->LoadDue(loop(), later))->empty());
}

TEST_P(QueueTest, AnAliasOfSeveralIsReportedOnce) {
  std::vector<Envelope> envelopes = {To("a"), To("b")};
  for (Envelope& envelope : envelopes) {
    envelope.recipient = mail::Address{"all", "example.com"};
    envelope.dsn_notify = mail::kNotifySuccess;
  }
  ASSERT_TRUE(Run(Send("m", envelopes)).ok());
  Start();
  if (GetParam() == 0) {  // it forgot
    ASSERT_TRUE(Run(Send("m", envelopes)).ok());
  }
  const auto due = Due();
  ASSERT_EQ(due->size(), 2u);
  EXPECT_NE(due->at(0).expanded, due->at(1).expanded);
  for (const Envelope& envelope : *due)
    EXPECT_EQ(envelope.dsn_notify, envelope.expanded ? mail::kNotifySuccess : mail::kNotifyNever);
}

TEST_P(QueueTest, HoldsAndReleases) {
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  const EnvelopeId id = Due()->front().id;
  Change change;
  change.id = id;
  change.kind = Change::Kind::kHold;
  queue_->Record({change});
  EXPECT_TRUE(Due()->empty());
  EXPECT_EQ(Run(queue_->Counts(loop()))->held, 1u);
  EXPECT_TRUE(Run(queue_->Get(loop(), id))->held);
  change.kind = Change::Kind::kRelease;
  queue_->Record({change});
  ASSERT_TRUE(Run(queue_->Flush(loop())).ok());
  EXPECT_EQ(Due()->size(), 1u);
}

TEST_P(QueueTest, ListsInOrderByPages) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Run(Send("m", {To("a"), To("b")})).ok());
  std::vector<EnvelopeId> ids;
  ListRequest request;
  request.limit = 7;
  while (true) {
    const auto page = Run(queue_->List(loop(), request));
    ASSERT_TRUE(page.ok());
    if (page->empty()) break;
    for (const Envelope& envelope : *page) ids.push_back(envelope.id);
    request.after = ids.back();
  }
  EXPECT_EQ(ids.size(), 40u);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  ListRequest one;
  one.message = queue::MessageIdOf(ids.front());
  EXPECT_EQ(Run(queue_->List(loop(), one))->size(), 2u);
}

TEST_P(QueueTest, TellsTheObserverAndCommitsChangesWithTheMessage) {
  std::vector<Envelope> seen;
  queue_->SetCommitObserver([&](const std::vector<Envelope>& envelopes) { seen = envelopes; });
  const StatusOr<MessageId> first = Run(Send("m", {To("a")}));
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].message_id(), *first);
  auto writer = *queue_->NewMessage(loop());
  const StatusOr<MessageId> second = Run(writer->Commit({To("notice")}, {Remove(seen[0].id)}));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*second, writer->message_id());
  const auto due = Due();
  ASSERT_EQ(due->size(), 1u);
  EXPECT_EQ((*due)[0].user, "notice");
  EXPECT_EQ(Run(queue_->OpenBody(loop(), *first)).status().code(), StatusCode::kNotFound);
}

TEST_P(QueueTest, AMessageWithoutDestinationsIsRefused) {
  EXPECT_EQ(Run(Send("m", {})).status().code(), StatusCode::kInvalidArgument);
}

class DiskQueueTest : public QueueTest {
 protected:
  // Damage changes the database behind the queue's back.
  void Damage(const std::string& sql) {
    queue_.reset();
    world_.reset();
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((root_ + "/spool/queue.db").c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
};
INSTANTIATE_TEST_SUITE_P(Disk, DiskQueueTest, ::testing::Values(1));

rt::Task<void> SendOne(Queue* queue, rt::AsioWorld* world, size_t* left) {
  StatusOr<std::unique_ptr<MessageWriter>> writer = queue->NewMessage(world->main_loop());
  const std::string body(4096, 'x');
  const Status appended = co_await (*writer)->Append(body);
  EXPECT_TRUE(appended.ok());
  std::vector<Envelope> envelopes;
  envelopes.push_back(To("a"));
  const StatusOr<MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
  EXPECT_TRUE(id.ok());
  if (--*left == 0) world->Stop();
}

TEST_P(DiskQueueTest, SessionsThatWaitTogetherShareOneSync) {
  constexpr size_t kSessions = 100;
  size_t left = kSessions;
  rt::TaskGroup group;
  world_->main_loop().Post([&] {
    for (size_t i = 0; i < kSessions; ++i) group.Spawn(SendOne(queue_.get(), world_.get(), &left));
  });
  world_->Run();
  EXPECT_EQ(queue_->statistics().commits, kSessions);
  EXPECT_LE(queue_->statistics().transactions, 10u);
}

TEST_P(DiskQueueTest, AnUrgentChangeThatComesDuringAWriteDoesNotWaitForCompany) {
  options_.lazy_delay = absl::Hours(1);
  Start();
  bool recorded = false;
  queue_->SetCommitObserver(
      [&](const std::vector<Envelope>& envelopes) {  // called by the job that writes
        if (recorded) return;
        recorded = true;
        Change change = Remove(envelopes[0].id);
        change.urgent = true;
        queue_->Record({change});
      });
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  ASSERT_TRUE(recorded);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (queue_->statistics().changes == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(queue_->statistics().changes, 1u);
}

TEST_P(DiskQueueTest, TheLogIsLengthenedAheadOfItsWrites) {
  const std::string log = root_ + "/spool/queue.db-wal";
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  const uint64_t size = std::filesystem::file_size(log);
  EXPECT_GE(size, options_.log_growth_bytes);
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  EXPECT_EQ(std::filesystem::file_size(log), size);
  // Not beyond the size at which it begins anew.
  options_.wal_autocheckpoint_pages = 20;
  Start();
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  EXPECT_LE(std::filesystem::file_size(log), 20u * 4120 + 32);
  options_.log_growth_bytes = 0;
  Start();
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  EXPECT_LE(std::filesystem::file_size(log), 10u * 4120);
}

TEST_P(DiskQueueTest, AStartFindsWhatWasCommittedAndNothingElse) {
  const std::string large(100000, 'l');
  const StatusOr<MessageId> small_id = Run(Send("small", {To("a")}));
  const StatusOr<MessageId> large_id = Run(Send(large, {To("b")}));
  {
    auto writer = *queue_->NewMessage(loop());
    ASSERT_TRUE(Run(writer->Append(std::string(400000, 'u'))).ok());
    std::ofstream(root_ + "/spool/bodies/0badcafe") << "left by a crash";
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_ + "/spool/bodies"), {}), 3);
  }
  Start();
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_ + "/spool/bodies"), {}), 1);
  EXPECT_EQ(Due()->size(), 2u);
  EXPECT_EQ(ReadBody(*small_id), "small");
  EXPECT_EQ(ReadBody(*large_id), large);
}

TEST_P(DiskQueueTest, ASecondServerIsToldThatTheQueueIsTaken) {
  ASSERT_TRUE(Run(Send("m", {To("a")})).ok());
  rt::AsioWorld other;
  const auto started = std::chrono::steady_clock::now();
  const auto second = OpenSqliteQueue(other, log_, root_ + "/spool", options_);
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable) << Text(second.status());
  EXPECT_NE(
      Text(second.status()).find(StrCat("another postern (pid ", ::getpid(), ") uses this spool")),
      std::string::npos)
      << Text(second.status());
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(4)) << "at once";
}

// The file of a server that is gone means nothing without its lock.
TEST_P(DiskQueueTest, TheLockOfAServerThatIsGoneHoldsNobodyUp) {
  queue_.reset();
  std::ofstream(root_ + "/spool/lock") << "4194303    \n";
  Start();
  std::string id;
  std::ifstream(root_ + "/spool/lock") >> id;
  EXPECT_EQ(id, StrCat(::getpid()));
}

TEST_P(DiskQueueTest, BitRotParksTheMessageAndTheOthersFlow) {
  const StatusOr<MessageId> bad_body = Run(Send("body one", {To("a")}));
  ASSERT_TRUE(Run(Send("body two", {To("b")})).ok());
  ASSERT_TRUE(Run(Send("body three", {To("c")})).ok());
  Damage(
      "UPDATE message SET body = 'body onf' WHERE body = CAST('body one' AS BLOB);"
      "UPDATE envelope SET data = replace(data, 'example.com', 'example.con') WHERE instr(data, "
      "CAST('b' || char(11) AS BLOB)) > 0;");
  Start();
  EXPECT_EQ(Run(queue_->OpenBody(loop(), *bad_body)).status().code(), StatusCode::kDataLoss);
  EXPECT_NE(log_.All().find("message damaged on disk, parked"), std::string::npos) << log_.All();
  const auto due = Due();
  ASSERT_TRUE(due.ok());
  EXPECT_EQ(due->size(), 1u);
  EXPECT_EQ(due->front().user, "c");
  const auto counts = Run(queue_->Counts(loop()));
  EXPECT_EQ(counts->parked, 2u);
  EXPECT_EQ(counts->envelopes, 3u) << "nothing is thrown away";
}

// What was parked is listed; once its message can be read again it is freed, and what cannot be
// read itself is only removed.
TEST_P(DiskQueueTest, ParkedMailIsListedFreedAndRemoved) {
  const StatusOr<MessageId> bad_body = Run(Send("body one", {To("a")}));
  ASSERT_TRUE(Run(Send("body two", {To("b")})).ok());
  Damage(
      "UPDATE message SET body = 'body onf' WHERE body = CAST('body one' AS BLOB);"
      "UPDATE envelope SET data = replace(data, 'example.com', 'example.con') WHERE instr(data, "
      "CAST('b' || char(11) AS BLOB)) > 0;");
  Start();
  ASSERT_FALSE(Run(queue_->OpenBody(loop(), *bad_body)).ok());
  ASSERT_TRUE(Due().ok());
  const auto parked = Run(queue_->Parked(loop(), 0, 10));
  ASSERT_TRUE(parked.ok()) << Text(parked.status());
  ASSERT_EQ(parked->size(), 2u);
  const bool first = queue::MessageIdOf((*parked)[0].id) == *bad_body;
  const ParkedEnvelope& readable = (*parked)[first ? 0 : 1];
  const ParkedEnvelope& unreadable = (*parked)[first ? 1 : 0];
  ASSERT_TRUE(readable.envelope.has_value());
  EXPECT_EQ(readable.envelope->user, "a");
  EXPECT_TRUE(readable.has_message);
  EXPECT_FALSE(unreadable.envelope.has_value());
  const auto rest = Run(queue_->Parked(loop(), (*parked)[0].id, 10));
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->size(), 1u);
  // Freed, the damaged one is parked again when it is tried.
  EXPECT_EQ(*Run(queue_->Free(loop(), {unreadable.id, readable.id})), 1u);
  EXPECT_EQ(Due()->size(), 1u);
  ASSERT_FALSE(Run(queue_->OpenBody(loop(), *bad_body)).ok());
  EXPECT_EQ(Due()->size(), 0u);
  const EnvelopeId gone = unreadable.id;
  Damage("UPDATE message SET body = 'body one' WHERE body = 'body onf';");
  Start();
  EXPECT_EQ(*Run(queue_->Free(loop(), {readable.id})), 1u);
  EXPECT_TRUE(Run(queue_->OpenBody(loop(), *bad_body)).ok());
  EXPECT_EQ(Due()->size(), 1u);
  std::vector<Change> changes(1);
  changes[0].id = gone;
  queue_->Record(std::move(changes));
  ASSERT_TRUE(Run(queue_->Flush(loop())).ok());
  EXPECT_TRUE(Run(queue_->Parked(loop(), 0, 10))->empty());
}

TEST_P(DiskQueueTest, ADamagedDatabaseIsRebuiltNotBegunAnew) {
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Run(Send(std::string(3000, 'x'), {To("a")})).ok());
  queue_.reset();
  world_ = std::make_unique<rt::AsioWorld>();
  const std::string path = root_ + "/spool/queue.db";
  const auto size = std::filesystem::file_size(path);
  ASSERT_GT(size, 40000u);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8192);
    file << std::string(16384, '\x5a');
  }
  Start();
  const auto counts = Run(queue_->Counts(loop()));
  ASSERT_TRUE(counts.ok()) << Text(counts.status());
  EXPECT_GT(counts->messages, 25u) << "four pages of a dozen and more are gone";
  EXPECT_NE(log_.All().find("damaged queue put aside and rebuilt"), std::string::npos)
      << log_.All();
  bool kept = false;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/spool")) {
    if (!entry.path().filename().string().starts_with("damaged-")) continue;
    kept = std::filesystem::file_size(entry.path() / "queue.db") == size;
  }
  EXPECT_TRUE(kept);
}

TEST_P(DiskQueueTest, BelowTheReserveNothingIsTaken) {
  options_.min_free_bytes = UINT64_MAX;
  Start();
  EXPECT_EQ(queue_->NewMessage(loop()).status().code(), StatusCode::kResourceExhausted);
}

// What was found long ago refuses nobody: the first message after it looks for itself.
TEST_P(DiskQueueTest, TheFirstMessageAfterAFullDiskIsCheckedAfresh) {
  options_.min_free_bytes = UINT64_MAX;
  Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  {
    const StatusOr<std::unique_ptr<MessageWriter>> trial = queue_->NewMessage(loop());
    ASSERT_TRUE(trial.ok()) << Text(trial.status());
  }
  EXPECT_EQ(queue_->NewMessage(loop()).status().code(), StatusCode::kResourceExhausted)
      << "one message at a time";
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  EXPECT_EQ(Run(Send("m", {To("a")})).status().code(), StatusCode::kResourceExhausted)
      << "there is still no room";
  EXPECT_EQ(Run(queue_->Counts(loop()))->messages, 0u);
}

}  // namespace
}  // namespace postern::store
