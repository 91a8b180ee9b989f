#include "lib/service/filter/content_spool.h"

#include <gtest/gtest.h>

#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::service {
namespace {

class Collected final : public ContentSink {
 public:
  rt::Task<Status> Write(std::string_view octets) override {
    text.append(octets);
    ++pieces;
    co_return OkStatus();
  }
  std::string text;
  int pieces = 0;
};

class ContentSpoolTest : public ::testing::Test {
 protected:
  ContentSpoolTest() { EXPECT_TRUE(host_.world().files().MakeDirectory("/held", 0700).ok()); }
  ContentSpool Make(size_t memory, uint64_t limit, bool folder = true) {
    ContentSpoolOptions options;
    if (folder) options.directory = "/held";
    options.memory_bytes = memory;
    options.limit_bytes = limit;
    options.piece_bytes = 7;
    return ContentSpool(&host_.main_loop(), &host_.world().files(), std::move(options), "1");
  }
  Status Add(ContentSpool& spool, const std::string& text) {
    return simulation_.Await(host_.main_loop(), spool.Append(text));
  }
  std::string Copy(ContentSpool& spool, uint64_t offset = 0) {
    Collected sink;
    const Status copied = simulation_.Await(host_.main_loop(), spool.CopyTo(&sink, offset));
    EXPECT_TRUE(copied.ok()) << Text(copied);
    return sink.text;
  }

  rt::sim::Simulation simulation_{3};
  rt::sim::Host& host_ = simulation_.AddHost({.name = "mx", .addresses = {}});
};

TEST_F(ContentSpoolTest, KeepsInMemoryAndThenInAFileWithoutAName) {
  ContentSpool spool = Make(10, 1000);
  std::string all;
  for (int i = 0; i < 40; ++i) {
    const std::string piece = "piece " + std::to_string(i) + ";";
    ASSERT_TRUE(Add(spool, piece).ok());
    all += piece;
    ASSERT_EQ(spool.size_bytes(), all.size());
    ASSERT_EQ(Copy(spool), all);
  }
  EXPECT_TRUE(host_.world().files().List("/held")->empty());
  for (const size_t offset : {size_t{1}, size_t{100}, all.size() - 1, all.size()})
    EXPECT_EQ(Copy(spool, offset), all.substr(offset));
  spool.Clear();
  EXPECT_EQ(spool.size_bytes(), 0u);
  ASSERT_TRUE(Add(spool, "a new one, long enough for the file").ok());
  EXPECT_EQ(Copy(spool), "a new one, long enough for the file");
}

TEST_F(ContentSpoolTest, ItsBoundsHold) {
  ContentSpool spool = Make(10, 20);
  EXPECT_TRUE(Add(spool, "0123456789abcdefghij").ok());
  EXPECT_EQ(Add(spool, "k").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Copy(spool), "0123456789abcdefghij");
  ContentSpool small = Make(10, 1000, /*folder=*/false);
  EXPECT_TRUE(Add(small, "0123456789").ok());
  EXPECT_EQ(Add(small, "x").code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace postern::service
