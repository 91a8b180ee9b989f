#include "lib/core/mail/date.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::mail {
namespace {

TEST(Date, ReadsWhatMailHas) {
  // What is read, printed again by FormatDate in the zone that was written; "" for what is refused.
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"Tue, 1 Jul 2003 10:52:37 +0200", "Tue, 1 Jul 2003 10:52:37 +0200"},
      {"Mon, 24 Nov 1997 14:22:01 -0800", "Mon, 24 Nov 1997 14:22:01 -0800"},
      {"Tue, 30 Dec 1969 23:32:54 -0330", "Tue, 30 Dec 1969 23:32:54 -0330"},
      {"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 "
       "(Newfoundland Time)",
       "Thu, 13 Feb 1969 23:32:00 -0330"},
      {"21 Nov 97 09:55:06 GMT", "Fri, 21 Nov 1997 09:55:06 +0000"},
      {"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "Fri, 21 Nov 1997 09:55:06 -0600"},
      {"Tue, 1 Jul 2003 ((tricky)\n comment) 10:52:37 +0200", "Tue, 1 Jul 2003 10:52:37 +0200"},
      {"1 jan 2021 09:55:06 +0200", "Fri, 1 Jan 2021 09:55:06 +0200"},
      {"1 Jan 49 00:00 Z", "Fri, 1 Jan 2049 00:00:00 +0000"},
      {"1 Jan 50 00:00 Z", "Sun, 1 Jan 1950 00:00:00 +0000"},
      {"1 Jan 102 00:00 Z", "Tue, 1 Jan 2002 00:00:00 +0000"},
      {"Sun, 27 Oct 2002 23:57:07 EST", "Sun, 27 Oct 2002 23:57:07 -0500"},
      {"Mon, 6 Sep 1999 11:12:13 PDT", "Mon, 6 Sep 1999 11:12:13 -0700"},
      {"Mon, 6 September 1999 1:02:03 +02:00", "Mon, 6 Sep 1999 01:02:03 +0200"},
      {"Mon, 6 Sept 1999 1:02:03 GMT+0200", "Mon, 6 Sep 1999 01:02:03 +0200"},
      {"Mon Sep  6 11:12:13 1999", "Mon, 6 Sep 1999 11:12:13 +0000"},
      {"Mon Sep  6 11:12:13 PDT 1999", "Mon, 6 Sep 1999 11:12:13 -0700"},
      {"Mon Sep  6 11:12:13 1999 +0200", "Mon, 6 Sep 1999 11:12:13 +0200"},
      {"Mittwoch, 6 Sep 1999 11:12:13 +0200", "Mon, 6 Sep 1999 11:12:13 +0200"},
      {"06-Sep-1999 11:12:13 +0200", "Mon, 6 Sep 1999 11:12:13 +0200"},
      {"1999-09-06T11:12:13Z", "Mon, 6 Sep 1999 11:12:13 +0000"},
      {"Mon, 6 Sep 1999 11:12:13 +0200 (CEST) and more", "Mon, 6 Sep 1999 11:12:13 +0200"},
      {"Mon, 6 Sep 1999 11:12:60 +0200", "Mon, 6 Sep 1999 11:13:00 +0200"},
      {"Mon, 6 Sep 1999 1:12:13 PM +0200", "Mon, 6 Sep 1999 13:12:13 +0200"},
      {"29 Feb 2000 00:00:00 +0000", "Tue, 29 Feb 2000 00:00:00 +0000"},
      {"29 Feb 1999 00:00:00 +0000", ""},
      {"Tue, 7 Sjj 2026 19:14:51 +0000", ""},
      {"32 Jan 2021 00:00:00 +0000", ""},
      {"1 Jan 2021 24:00:00 +0000", ""},
      {"1 Jan 2021", ""},
      {"1 Jan 99999 00:00:00 +0000", ""},
      {"Whenever", ""},
      {"", ""},
      {"(((((", ""},
  };
  for (const auto& [text, expected] : cases) {
    const StatusOr<MailDate> date = ParseDate(text);
    ASSERT_EQ(date.ok(), !expected.empty()) << text;
    if (!date.ok()) continue;
    EXPECT_EQ(FormatDate(date->time, date->offset_minutes), expected) << text;
  }
}

TEST(Date, KnowsWhenTheZoneIsNotKnown) {
  EXPECT_TRUE(ParseDate("1 Jan 2021 00:00:00 -0000")->zone_unknown);
  EXPECT_TRUE(ParseDate("1 Jan 2021 00:00:00 A")->zone_unknown);
  EXPECT_TRUE(ParseDate("1 Jan 2021 00:00:00 XYZT")->zone_unknown);
  EXPECT_TRUE(ParseDate("1 Jan 2021 00:00:00")->zone_unknown);
  EXPECT_FALSE(ParseDate("1 Jan 2021 00:00:00 +0000")->zone_unknown);
  EXPECT_FALSE(ParseDate("1 Jan 2021 00:00:00 Z")->zone_unknown);
}

TEST(Date, LocalDayIsTheDayAsWritten) {
  EXPECT_EQ(ParseDate("2 Jan 1970 00:30:00 +0200")->LocalDay(), 1);
  EXPECT_EQ(ParseDate("31 Dec 1969 23:30:00 -0200")->LocalDay(), -1);
}

TEST(Date, FormatHoldsItsRange) {
  EXPECT_EQ(FormatDate(absl::InfiniteFuture(), 0), "Fri, 31 Dec 9999 23:59:59 +0000");
  EXPECT_EQ(FormatDate(absl::InfinitePast(), -60), "Mon, 1 Jan 0001 00:00:00 -0100");
  // Each shows its own day, also at the ends.
  for (const std::string_view text :
       {"Mon, 1 Jan 1900 00:00:00 +0000", "Mon, 1 Jan 1900 00:00:00 +1400",
        "Fri, 31 Dec 9999 23:59:59 +0000", "Fri, 31 Dec 9999 23:59:59 -1200",
        "Mon, 2 Mar 0026 10:00:00 +0000"}) {
    const StatusOr<MailDate> date = ParseDate(text);
    ASSERT_TRUE(date.ok()) << text;
    EXPECT_EQ(FormatDate(date->time, date->offset_minutes), text);
  }
  EXPECT_EQ(FormatDate(absl::UnixEpoch(), 330), "Thu, 1 Jan 1970 05:30:00 +0530");
}

TEST(Date, LongInputsAreLinear) {
  const std::string comments = std::string(1 << 20, '(');
  EXPECT_FALSE(ParseDate(comments).ok());
  EXPECT_FALSE(ParseDate(std::string(1 << 20, '9')).ok());
}

}  // namespace
}  // namespace postern::mail
