#include "lib/core/base/log.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(FormatLogRecord, IsOneLineWhateverAClientSends) {
  LogRecord record;
  record.subsystem = "smtp";
  record.session = "00000000deadbeef";
  record.event = "failed-command";
  record.fields = {{"command", "HELO \x1b]0;pwned\x07\r\nsmtp ok=\"1\""}, {"result", "501"}};
  EXPECT_EQ(FormatLogRecord(record),
            "00000000deadbeef smtp failed-command command=\"HELO \\x1b]0;pwned\\x07\\r\\nsmtp "
            "ok=\\\"1\\\"\" result=\"501\"");
}

}  // namespace
}  // namespace postern
