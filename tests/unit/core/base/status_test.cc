#include "lib/core/base/status.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(ErrnoError, KeepsTheNumberThroughAnnotate) {
  const Status status = Annotate(ErrnoError(ENOSPC, "write /spool/queue.db"), "commit");
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoOf(status), ENOSPC);
  EXPECT_EQ(Message(status), "commit: write /spool/queue.db: No space left on device");
  EXPECT_EQ(ErrnoOf(InvalidArgument("x")), 0);
  EXPECT_TRUE(Annotate(OkStatus(), "anything").ok());
}

}  // namespace
}  // namespace postern
