#include "lib/core/base/status.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "lib/core/base/same_cause.h"

namespace postern {
namespace {

TEST(SameCause, KeepsTheNumberUnderAnotherCode) {
  const Status status = SameCause(ErrnoError(ENOENT, "open /spool"), StatusCode::kUnavailable,
                                  "the spool cannot be had");
  EXPECT_EQ(Text(status), "UNAVAILABLE: the spool cannot be had");
  EXPECT_EQ(ErrnoOf(status), ENOENT);
  EXPECT_EQ(ErrnoOf(SameCause(NotFound("x"), StatusCode::kUnavailable, "y")), 0);
}

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
