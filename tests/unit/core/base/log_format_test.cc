#include "lib/core/base/log_format.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern {
namespace {

LogRecord Record() {
  LogRecord record;
  record.level = LogLevel::kWarning;
  record.subsystem = "smtp";
  record.session = "00000000deadbeef";
  record.event = "failed-command";
  record.fields = {{"command", "HELO \x1b]0;x\x07\r\n\xff"}, {"result", "501"}};
  return record;
}

LogStamp Stamp() {
  LogStamp stamp;
  stamp.time = absl::FromUnixMicros(1795301648123456);
  stamp.host = "mx.example.org";
  stamp.tag = "smtpd";
  stamp.process_id = 77;
  return stamp;
}

constexpr char kText[] =
    "00000000deadbeef smtp failed-command command=\"HELO \\x1b]0;x\\x07\\r\\n\\xff\" "
    "result=\"501\"";

TEST(LogFormat, EachFormHoldsOneRecordInOneLine) {
  EXPECT_EQ(PlainLogLine(Record(), Stamp()), StrCat("Nov 21 22:54:08 warn: ", kText));
  EXPECT_EQ(LocalSyslog(Record(), Stamp(), false),
            StrCat("<20>Nov 21 22:54:08 smtpd[77]: ", kText));
  EXPECT_EQ(Syslog5424(Record(), Stamp(), false),
            StrCat("<20>1 2026-11-21T22:54:08.123456Z mx.example.org smtpd 77 - - ", kText));
  EXPECT_EQ(
      JsonLogLine(Record(), Stamp()),
      "{\"time\":\"2026-11-21T22:54:08.123456Z\",\"level\":\"warning\",\"subsystem\":\"smtp\","
      "\"session\":\"00000000deadbeef\",\"event\":\"failed-command\","
      "\"command\":\"HELO \\u001b]0;x\\u0007\\r\\n\xef\xbf\xbd\",\"result\":\"501\"}");
}

TEST(LogFormat, TheJournalGetsValuesWithLineEndsByTheirLength) {
  LogRecord record = Record();
  record.fields = {{"command", "a\nPRIORITY=0"}, {"x-y", "1"}};
  const std::string entry = JournalEntry(record, Stamp());
  const std::string tail("POSTERN_COMMAND\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nPOSTERN_X_Y=1\n", 51);
  EXPECT_EQ(entry,
            "MESSAGE=00000000deadbeef smtp failed-command command=\"a\\nPRIORITY=0\" x-y=1\n"
            "PRIORITY=4\nSYSLOG_IDENTIFIER=smtpd\nSYSLOG_FACILITY=2\nSYSLOG_PID=77\n"
            "POSTERN_SUBSYSTEM=smtp\nPOSTERN_SESSION=00000000deadbeef\n"
            "POSTERN_EVENT=failed-command\n" +
                tail);
}

TEST(LogFormat, DatagramsHaveABound) {
  LogRecord record = Record();
  for (int i = 0; i < 200; ++i) record.fields.push_back({"f", std::string(1000, 'x')});
  EXPECT_EQ(LocalSyslog(record, Stamp(), false).size(), kMaxLogDatagramBytes);
  EXPECT_EQ(Syslog5424(record, Stamp(), false).size(), kMaxLogDatagramBytes);
  // The text of all of it stands in front of the fields that had room.
  record.fields.resize(20);
  EXPECT_LE(JournalEntry(record, Stamp()).size(), 2 * kMaxLogDatagramBytes);
}

TEST(FormatLogRecord, QuotesWhatOpenSmtpdQuotes) {
  LogRecord record;
  record.subsystem = "mta";
  record.event = "delivery";
  record.fields = {{"delay", "1s"}, {"result", "Ok"}, {"stat", "250"}};
  EXPECT_EQ(FormatLogRecord(record), "mta delivery delay=1s result=\"Ok\" stat=\"250\"");
  record.subsystem = "mda";
  EXPECT_EQ(FormatLogRecord(record), "mda delivery delay=1s result=Ok stat=250");
}

}  // namespace
}  // namespace postern
