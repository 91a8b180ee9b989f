// Records of texts and envelopes: what they hide, what is noticed, and a queue whose setting
// changes.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";
constexpr std::string_view kOther = "fedcba9876543210fedcba9876543210";

std::shared_ptr<const SpoolSeal> Make(bool compress, std::string_view key, rt::Random& random) {
  return *SpoolSeal::Make(compress, key, random);
}

class SealTest : public ::testing::Test {
 protected:
  StatusOr<std::string> Open(const SpoolSeal& seal, std::string_view stored, uint64_t id = 7,
                             SealedKind kind = SealedKind::kText) {
    return seal.Open(kind, id, stored, 1 << 20);
  }
  rt::AsioWorld world_;
};

TEST_F(SealTest, GivesBackWhatItTook) {
  std::string noise(200'000, '\0');
  world_.random().Fill(std::span<uint8_t>(reinterpret_cast<uint8_t*>(noise.data()), noise.size()));
  std::string like_a_record = std::string(kSealMagic) + "and so on";
  for (const std::string& text : {std::string(), std::string("x"), std::string(63, 'a'),
                                  std::string(64, 'a'), std::string(kSealChunkOctets, 'b'),
                                  std::string(kSealChunkOctets + 1, 'b'), noise, like_a_record}) {
    for (const bool compress : {false, true}) {
      for (const std::string_view key : {std::string_view(), kKey}) {
        const auto seal = Make(compress, key, world_.random());
        const std::string stored = seal->SealText(7, text);
        const StatusOr<std::string> back = Open(*seal, stored);
        ASSERT_TRUE(back.ok()) << Text(back.status());
        EXPECT_TRUE(*back == text);
        if (key.empty()) {
          // What takes no key is read with any setting.
          EXPECT_TRUE(*Open(SpoolSeal::Plain(), stored) == text);
        } else {
          EXPECT_TRUE(IsSealed(stored));
          EXPECT_EQ(Open(SpoolSeal::Plain(), stored).status().code(),
                    StatusCode::kFailedPrecondition);
          EXPECT_EQ(Open(*Make(false, kOther, world_.random()), stored).status().code(),
                    StatusCode::kFailedPrecondition);
        }
      }
    }
  }
}

TEST_F(SealTest, SmallIsSmallerAndSecretIsSecret) {
  std::string text;
  for (int i = 0; i < 1000; ++i) StrAppend(text, "a line of the letter, number ", i, "\r\n");
  const std::string packed = Make(true, "", world_.random())->SealText(1, text);
  EXPECT_LT(packed.size(), text.size() / 3);
  // What gains nothing stays as it is.
  EXPECT_EQ(Make(true, "", world_.random())->SealText(1, "short"), "short");
  const auto locked = Make(false, kKey, world_.random());
  const std::string once = locked->SealText(1, text), twice = locked->SealText(1, text);
  EXPECT_EQ(once.find("letter"), std::string::npos);
  // No two records share their key: the same text is other octets.
  EXPECT_NE(once.substr(kSealHeadOctets), twice.substr(kSealHeadOctets));
  const std::string envelope = locked->SealEnvelope(9, "to bob@example.org");
  EXPECT_EQ(envelope.find("bob"), std::string::npos);
  EXPECT_EQ(*Open(*locked, envelope, 9, SealedKind::kEnvelope), "to bob@example.org");
  EXPECT_EQ(locked->key_id().size(), 16u);
  EXPECT_EQ(std::string(kKey).find(locked->key_id()), std::string::npos);
  EXPECT_FALSE(SpoolSeal::Make(false, "short", world_.random()).ok());
}

TEST_F(SealTest, EveryChangeIsNoticed) {
  std::string text;
  for (int i = 0; i < 40; ++i) StrAppend(text, "line ", i, "\r\n");
  const auto seal = Make(true, kKey, world_.random());
  const std::string stored = seal->SealText(7, text);
  for (size_t i = 0; i < stored.size(); ++i) {
    std::string changed = stored;
    changed[i] = static_cast<char>(changed[i] ^ 4);
    const StatusOr<std::string> back = Open(*seal, changed);
    if (i < kSealMagic.size()) continue;  // no record any more: its checksum in the table tells
    EXPECT_EQ(back.status().code(), StatusCode::kInvalidArgument) << i;
  }
  for (size_t n = kSealMagic.size(); n < stored.size(); ++n)
    EXPECT_FALSE(Open(*seal, std::string_view(stored).substr(0, n)).ok()) << n;
  EXPECT_FALSE(Open(*seal, stored + "x").ok());
  // Another message's, and another kind.
  EXPECT_FALSE(Open(*seal, stored, 8).ok());
  EXPECT_FALSE(Open(*seal, stored, 7, SealedKind::kEnvelope).ok());
  // Without a key damage to what is not packed is the checksum's to find; lengths are checked.
  const std::string open = Make(true, "", world_.random())->SealText(7, text);
  for (size_t n = kSealMagic.size(); n < open.size(); ++n)
    EXPECT_FALSE(Open(*seal, std::string_view(open).substr(0, n)).ok()) << n;
}

TEST_F(SealTest, AChunkFromElsewhereIsRefused) {
  const auto seal = Make(false, kKey, world_.random());
  std::string record;
  SealWriter writer(*seal, SealedKind::kText, 7);
  writer.Append(std::string(100, 'a'), false, &record);
  writer.Append(std::string(100, 'b'), false, &record);
  writer.Append("", true, &record);
  ASSERT_EQ(*Open(*seal, record), std::string(100, 'a') + std::string(100, 'b'));
  const size_t chunk = kSealChunkHeadOctets + 100 + kSealTagOctets;
  std::string swapped =
      record.substr(0, kSealHeadOctets) + record.substr(kSealHeadOctets + chunk, chunk) +
      record.substr(kSealHeadOctets, chunk) + record.substr(kSealHeadOctets + 2 * chunk);
  EXPECT_FALSE(Open(*seal, swapped).ok());
  // The last chunk cannot be left out by who marks another as the last.
  std::string cut = record.substr(0, kSealHeadOctets + chunk);
  cut[kSealHeadOctets + 7] = static_cast<char>(cut[kSealHeadOctets + 7] | 0x80);
  EXPECT_FALSE(Open(*seal, cut).ok());
}

// --- a queue ---

template <typename T>
rt::Task<void> Keep(rt::Task<T> task, std::optional<T>* result, rt::AsioWorld* world) {
  T value = co_await std::move(task);
  result->emplace(std::move(value));
  world->Stop();
}

class SealedQueueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-seal-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    options_.min_free_bytes = 1 << 20;
  }
  void TearDown() override {
    queue_.reset();
    fs::remove_all(root_);
  }

  Status Start(bool compress, std::string_view key) {
    queue_.reset();
    world_ = std::make_unique<rt::AsioWorld>();
    options_.seal = Make(compress, key, world_->random());
    StatusOr<std::unique_ptr<Queue>> opened =
        OpenSqliteQueue(*world_, log_, root_ + "/spool", options_);
    if (!opened.ok()) return opened.status();
    queue_ = *std::move(opened);
    return OkStatus();
  }
  void Stop() {
    ASSERT_TRUE(Run(queue_->Close(world_->main_loop())).ok());
    queue_.reset();
  }

  template <typename T>
  T Run(rt::Task<T> task) {
    std::optional<T> result;
    rt::TaskGroup group;
    world_->main_loop().Post([&] { group.Spawn(Keep(std::move(task), &result, world_.get())); });
    world_->Run();
    return *std::move(result);
  }

  rt::Task<StatusOr<queue::MessageId>> SendTask(std::string body) {
    StatusOr<std::unique_ptr<MessageWriter>> writer = queue_->NewMessage(world_->main_loop());
    if (!writer.ok()) co_return writer.status();
    for (size_t i = 0; i < body.size(); i += 10'000) {
      const std::string part = body.substr(i, 10'000);
      const Status status = co_await (*writer)->Append(part);
      if (!status.ok()) co_return status;
    }
    std::vector<queue::Envelope> envelopes(1);
    envelopes[0].user = "secretuser";
    envelopes[0].ttl = absl::Hours(48);
    StatusOr<queue::MessageId> id = co_await (*writer)->Commit(std::move(envelopes));
    co_return id;
  }

  std::string Read(queue::MessageId id) {
    const StatusOr<std::shared_ptr<const Body>> body =
        Run(queue_->OpenBody(world_->main_loop(), id));
    if (!body.ok()) return Text(body.status());
    std::string octets((*body)->size_bytes(), '\0');
    // From the end, in pieces that no chunk ends with.
    for (size_t end = octets.size(); end > 0;) {
      const size_t begin = end > 7777 ? end - 7777 : 0;
      EXPECT_EQ(*(*body)->ReadAt(begin, std::span<char>(octets.data() + begin, end - begin)),
                end - begin);
      end = begin;
    }
    return octets;
  }

  void SendAll(std::string_view what) {
    for (const size_t size : {100, 20'000, 40'000, 200'000, 1'000'000}) {
      std::string body = StrCat("Subject: ", what, "\r\n\r\n");
      for (size_t n = 0; body.size() < size; ++n) StrAppend(body, "secretline ", n, "\r\n");
      const StatusOr<queue::MessageId> id = Run(SendTask(body));
      ASSERT_TRUE(id.ok()) << Text(id.status());
      bodies_[*id] = body;
    }
  }
  void ExpectAll() {
    for (const auto& [id, body] : bodies_)
      EXPECT_TRUE(Read(id) == body) << queue::MessageIdText(id);
    ListRequest request;
    const StatusOr<std::vector<queue::Envelope>> all =
        Run(queue_->List(world_->main_loop(), request));
    ASSERT_TRUE(all.ok()) << Text(all.status());
    EXPECT_EQ(all->size(), bodies_.size());
    for (const queue::Envelope& envelope : *all) EXPECT_EQ(envelope.user, "secretuser");
  }

  bool SpoolSays(std::string_view what) const {
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      if (!entry.is_regular_file()) continue;
      std::ostringstream text;
      text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      if (text.str().find(what) != std::string::npos) return true;
    }
    return false;
  }

  std::string root_;
  QueueOptions options_;
  NullLogSink log_;
  std::unique_ptr<rt::AsioWorld> world_;
  std::unique_ptr<Queue> queue_;
  std::map<queue::MessageId, std::string> bodies_;
};

TEST_F(SealedQueueTest, NothingLegibleIsOnTheDisk) {
  ASSERT_TRUE(Start(true, kKey).ok());
  SendAll("locked");
  EXPECT_FALSE(SpoolSays("secretline"));
  EXPECT_FALSE(SpoolSays("secretuser"));
  EXPECT_FALSE(SpoolSays(kKey));
  Stop();
  ASSERT_TRUE(Start(false, kKey).ok());
  ExpectAll();
}

TEST_F(SealedQueueTest, WhatOneSettingWroteIsReadWithAnother) {
  ASSERT_TRUE(Start(false, "").ok());
  SendAll("plain");
  EXPECT_TRUE(SpoolSays("secretline"));
  Stop();
  ASSERT_TRUE(Start(true, "").ok());
  SendAll("packed");
  Stop();
  ASSERT_TRUE(Start(false, "").ok());
  ExpectAll();
  Stop();
  ASSERT_TRUE(Start(false, kKey).ok());
  SendAll("locked");
  ExpectAll();
}

TEST_F(SealedQueueTest, AnotherKeyIsRefusedAndNothingIsLost) {
  ASSERT_TRUE(Start(false, kKey).ok());
  SendAll("locked");
  Stop();
  for (const std::string_view key : {std::string_view(), kOther}) {
    const Status refused = Start(false, key);
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition) << Text(refused);
    EXPECT_NE(Text(refused).find(Make(false, kKey, world_->random())->key_id()), std::string::npos)
        << Text(refused);
  }
  // Nor when the note about the key is gone: then whoever asks is told, and nothing is parked.
  fs::remove(root_ + "/spool/key-id");
  ASSERT_TRUE(Start(false, kOther).ok());
  EXPECT_EQ(Run(queue_->List(world_->main_loop(), ListRequest())).status().code(),
            StatusCode::kFailedPrecondition);
  Stop();
  fs::remove(root_ + "/spool/key-id");
  ASSERT_TRUE(Start(false, kKey).ok());
  ExpectAll();
  // An empty queue takes any key, and none.
  std::vector<Change> changes;
  const auto all = Run(queue_->List(world_->main_loop(), ListRequest()));
  for (const queue::Envelope& envelope : *all) changes.emplace_back().id = envelope.id;
  queue_->Record(std::move(changes));
  Stop();
  bodies_.clear();
  EXPECT_TRUE(Start(false, kOther).ok());
  SendAll("locked anew");
  ExpectAll();
}

}  // namespace
}  // namespace postern::store
