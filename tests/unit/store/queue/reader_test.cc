// The queue of a server that does not run, read without it.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_reader.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using queue::Envelope;
using queue::MessageId;

constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";

class NoLog final : public LogSink {
 public:
  void Write(const LogRecord&) override {}
};

class ReaderTest : public ::testing::TestWithParam<bool> {  // whether the queue is encrypted
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-reader-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    spool_ = root_ + "/spool";
    if (GetParam()) options_.seal = *SpoolSeal::Make(true, kKey, world_.random());
  }
  void TearDown() override { fs::remove_all(root_); }

  template <typename T>
  static rt::Task<void> Keep(rt::Task<T> task, std::optional<T>* result, rt::AsioWorld* world) {
    *result = co_await std::move(task);
    world->Stop();
  }
  template <typename T>
  T Run(rt::Task<T> task) {
    std::optional<T> result;
    rt::TaskGroup group;
    world_.main_loop().Post([&] { group.Spawn(Keep(std::move(task), &result, &world_)); });
    world_.Run();
    return *std::move(result);
  }

  rt::Task<StatusOr<MessageId>> Send(Queue* queue, std::string body, size_t destinations) {
    std::vector<Envelope> envelopes(destinations);
    for (size_t i = 0; i < destinations; ++i) {
      envelopes[i].recipient = *mail::ParseAddress(StrCat("r", i, "@example.org"));
      envelopes[i].destination = envelopes[i].recipient;
    }
    StatusOr<std::unique_ptr<MessageWriter>> writer = queue->NewMessage(world_.main_loop());
    if (!writer.ok()) co_return writer.status();
    const Status status = co_await (*writer)->Append(body);
    if (!status.ok()) co_return status;
    StatusOr<MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
    co_return id;
  }

  std::unique_ptr<Queue> Open() {
    StatusOr<std::unique_ptr<Queue>> opened = OpenSqliteQueue(world_, log_, spool_, options_);
    EXPECT_TRUE(opened.ok()) << Text(opened.status());
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  std::vector<Envelope> ListAll(SpoolReader& reader, size_t limit,
                                std::optional<MessageId> message = std::nullopt) {
    std::vector<Envelope> all;
    ListRequest request;
    request.limit = limit;
    request.message = message;
    for (;;) {
      const StatusOr<SpoolReader::Page> page = reader.List(request);
      EXPECT_TRUE(page.ok()) << Text(page.status());
      if (!page.ok()) return all;
      EXPECT_LE(page->envelopes.size(), limit);
      EXPECT_TRUE(page->unreadable.empty());
      all.insert(all.end(), page->envelopes.begin(), page->envelopes.end());
      request.after = page->last;
      if (page->end) return all;
    }
  }

  static std::string TextOf(const StatusOr<std::shared_ptr<const Body>>& body) {
    if (!body.ok()) return Text(body.status());
    std::string octets((*body)->size_bytes(), '\0');
    const StatusOr<size_t> got = (*body)->ReadAt(0, octets);
    octets.resize(got.ok() ? *got : 0);
    return octets;
  }

  // What is there, but for the index of a log, which SQLite makes where a log was left.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& each : fs::recursive_directory_iterator(root_)) {
      if (!each.path().string().ends_with("-shm")) names.push_back(each.path().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  rt::AsioWorld world_;
  NoLog log_;
  QueueOptions options_;
  std::string root_, spool_;
};

TEST_P(ReaderTest, SeesWhatTheQueueHasAndChangesNothing) {
  const std::string small = "Subject: small\r\n\r\nx\r\n", large(100'000, 'L');
  std::unique_ptr<Queue> queue = Open();
  const StatusOr<MessageId> one = Run(Send(queue.get(), small, 3));
  const StatusOr<MessageId> two = Run(Send(queue.get(), large, 1));
  ASSERT_TRUE(one.ok() && two.ok());
  const StatusOr<std::vector<Envelope>> wanted = Run(queue->List(world_.main_loop(), {}));
  ASSERT_TRUE(Run(queue->Close(world_.main_loop())).ok());
  queue.reset();

  const std::vector<std::string> names = Names();
  SpoolReader reader(world_.files(), spool_, options_);
  for (const size_t limit : {1, 2, 3, 500}) {
    const std::vector<Envelope> found = ListAll(reader, limit);
    ASSERT_EQ(found.size(), wanted->size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].id, (*wanted)[i].id);
      EXPECT_EQ(queue::EncodeEnvelope(found[i]), queue::EncodeEnvelope((*wanted)[i]));
    }
  }
  EXPECT_EQ(ListAll(reader, 500, *one).size(), 3u);
  EXPECT_EQ(ListAll(reader, 500, *two).size(), 1u);
  EXPECT_TRUE(ListAll(reader, 500, *two + 1 == *one ? *two + 2 : *two + 1).empty());
  EXPECT_EQ(reader.Get(wanted->front().id)->recipient.ToString(),
            wanted->front().recipient.ToString());
  EXPECT_EQ(reader.Get(wanted->front().id ^ 1).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(TextOf(reader.OpenBody(*one)), small);
  EXPECT_EQ(TextOf(reader.OpenBody(*two)), large);
  EXPECT_EQ(reader.OpenBody(*one ^ *two ^ 1).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Names(), names);
  // The server finds everything.
  queue = Open();
  EXPECT_EQ(Run(queue->List(world_.main_loop(), {}))->size(), wanted->size());
  ASSERT_TRUE(Run(queue->Close(world_.main_loop())).ok());
}

// A server that died left its log, which has what the file lacks.
TEST_P(ReaderTest, SeesWhatIsInTheLogAlone) {
  std::unique_ptr<Queue> queue = Open();
  ASSERT_TRUE(Run(Send(queue.get(), "one\r\n", 1)).ok());
  const StatusOr<MessageId> last = Run(Send(queue.get(), "two\r\n", 2));
  ASSERT_TRUE(last.ok());
  ASSERT_TRUE(Run(queue->Flush(world_.main_loop())).ok());
  // As it stands on the disk now: what a power cut leaves.
  const std::string dead = root_ + "/dead";
  fs::copy(spool_, dead, fs::copy_options::recursive);
  ASSERT_GT(fs::file_size(dead + "/queue.db-wal"), 0u);
  SpoolReader reader(world_.files(), dead, options_);
  EXPECT_EQ(ListAll(reader, 2).size(), 3u);
  EXPECT_EQ(TextOf(reader.OpenBody(*last)), "two\r\n");
  ASSERT_TRUE(Run(queue->Close(world_.main_loop())).ok());
  queue.reset();
  spool_ = dead;
  queue = Open();
  EXPECT_EQ(Run(queue->List(world_.main_loop(), {}))->size(), 3u);
  ASSERT_TRUE(Run(queue->Close(world_.main_loop())).ok());
}

TEST_P(ReaderTest, SaysWhatItCannotRead) {
  SpoolReader none(world_.files(), spool_, options_);
  EXPECT_EQ(none.List({}).status().code(), StatusCode::kNotFound);
  std::unique_ptr<Queue> queue = Open();
  const StatusOr<MessageId> id = Run(Send(queue.get(), std::string(100'000, 'x'), 1));
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(Run(queue->Close(world_.main_loop())).ok());
  queue.reset();
  if (GetParam()) {
    SpoolReader keyless(world_.files(), spool_, QueueOptions());
    EXPECT_EQ(keyless.List({}).status().code(), StatusCode::kFailedPrecondition);
  }
  SpoolReader reader(world_.files(), spool_, options_);
  fs::remove(StrCat(spool_, "/bodies/", queue::MessageIdText(*id)));
  EXPECT_EQ(reader.OpenBody(*id).status().code(), StatusCode::kDataLoss);
  {
    StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(world_.files(), spool_ + "/queue.db");
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)->Execute("UPDATE envelope SET data = x'00'").ok());
    ASSERT_TRUE((*database)->Checkpoint().ok());
  }
  const StatusOr<SpoolReader::Page> page = reader.List({});
  ASSERT_TRUE(page.ok());
  EXPECT_TRUE(page->envelopes.empty());
  ASSERT_EQ(page->unreadable.size(), 1u);
  EXPECT_EQ(queue::MessageIdOf(page->unreadable[0]), *id);
}

INSTANTIATE_TEST_SUITE_P(All, ReaderTest, ::testing::Bool(),
                         [](const auto& made) { return made.param ? "Encrypted" : "Plain"; });

}  // namespace
}  // namespace postern::store
