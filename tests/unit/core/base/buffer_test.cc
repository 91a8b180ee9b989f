#include "lib/core/base/buffer.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(ByteQueue, TakesNoMoreThanItsBound) {
  ByteQueue queue(8);
  EXPECT_EQ(queue.Append("abcdef"), 6u);
  EXPECT_EQ(queue.Append("ghij"), 2u);
  EXPECT_EQ(queue.View(), "abcdefgh");
  EXPECT_TRUE(queue.full());
  queue.Consume(3);
  EXPECT_EQ(queue.Append("XYZW"), 3u);
  EXPECT_EQ(queue.View(), "defghXYZ");
}

TEST(ByteQueue, IsEmptyOnceAllIsConsumed) {
  ByteQueue queue(4096);
  queue.Append(std::string(4096, 'x'));
  queue.Consume(4096);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.View(), "");
  EXPECT_EQ(queue.Append("again"), 5u);
  EXPECT_EQ(queue.View(), "again");
}

}  // namespace
}  // namespace postern
