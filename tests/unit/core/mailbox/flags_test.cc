#include "lib/core/mailbox/flags.h"

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

TEST(FlagsTest, AListTakesFlagsAndKeywords) {
  FlagList list;
  EXPECT_TRUE(list.Add("\\sEEN").ok());
  EXPECT_TRUE(list.Add("$Junk").ok());
  EXPECT_TRUE(list.Add("$JUNK").ok());
  EXPECT_EQ(list.system, kSeen);
  EXPECT_EQ(list.keywords, std::vector<std::string>{"$Junk"});
  for (const char* bad :
       {"\\Recent", "\\Other", "\\", "", "a b", "a(b", "a\\b", "a]", "\x80", "a\"", "*", "%"}) {
    EXPECT_EQ(list.Add(bad).code(), StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(list.Add(std::string(kMaxKeywordBytes + 1, 'x')).ok());
  for (size_t i = 1; i < kMaxKeywords; ++i) EXPECT_TRUE(list.Add("k" + std::to_string(i)).ok());
  EXPECT_EQ(list.Add("onemore").code(), StatusCode::kResourceExhausted);
}

TEST(FlagsTest, TheTableGivesBits) {
  KeywordTable table;
  EXPECT_EQ(table.FindOrAdd("A"), 0);
  table.Set(3, "D");
  EXPECT_EQ(table.Find("d"), 3);
  EXPECT_EQ(table.Find(""), -1);
  EXPECT_EQ(table.FindOrAdd("E"), 4);
  EXPECT_EQ(FormatFlags(kSeen | kAnswered, 0b11001, table, true),
            "(\\Answered \\Seen A D E \\Recent)");
  EXPECT_EQ(FormatFlags(0, 0b00110, table, false), "()");
}

}  // namespace
}  // namespace postern::mailbox
