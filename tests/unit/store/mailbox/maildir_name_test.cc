#include "lib/store/mailbox/maildir_name.h"

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

TEST(MaildirNameTest, TakesNamesApart) {
  struct Row {
    const char* name;
    const char* base;
    SystemFlags flags;
    KeywordBits keywords;
    int64_t size;  // -1: none
  };
  const Row rows[] = {
      {"1463941010.5f7fa6", "1463941010.5f7fa6", 0, 0, -1},
      {"1.M2.h:2,", "1.M2.h", 0, 0, -1},
      {"1.M2.h:2,FS", "1.M2.h", kFlagged | kSeen, 0, -1},
      {"1.M2.h:2,DFRST", "1.M2.h", kAllSystemFlags, 0, -1},
      {"1.M2.h:2,PSac", "1.M2.h", kSeen, 5, -1},
      {"1.M2.h,S=10,W=12:2,S", "1.M2.h,S=10,W=12", kSeen, 0, 12},
      {"1.h,W=x:2,S", "1.h,W=x", kSeen, 0, -1},
      {"1.h,S=1000,W=1030;2,RDF,", "1.h,S=1000,W=1030", kAnswered | kDraft | kFlagged, 0, 1030},
      {"1.h:1,junk", "1.h", 0, 0, -1},
      {"1.h:", "1.h", 0, 0, -1},
  };
  for (const Row& row : rows) {
    const auto name = ParseMaildirName(row.name);
    ASSERT_TRUE(name.has_value()) << row.name;
    EXPECT_EQ(name->base, row.base);
    EXPECT_EQ(FlagsOfLetters(name->letters), row.flags) << row.name;
    EXPECT_EQ(LowKeywordsOfLetters(name->letters), row.keywords) << row.name;
    EXPECT_EQ(name->crlf_size ? static_cast<int64_t>(*name->crlf_size) : -1, row.size) << row.name;
  }
  for (const char* name : {"", ".gitkeep", ":2,S"})
    EXPECT_FALSE(ParseMaildirName(name).has_value()) << name;
}

TEST(MaildirNameTest, WritesLettersInOrderAndKeepsWhatItDoesNotKnow) {
  EXPECT_EQ(FormatSuffix("", kSeen | kFlagged, 0, 0), ":2,FS");
  EXPECT_EQ(FormatSuffix(":2,PSz", kDeleted, 1, 1), ":2,PTaz");
  EXPECT_EQ(FormatSuffix(":2,Sa", kSeen, 0, 1), ":2,S");
  EXPECT_EQ(FormatSuffix(";2,", kSeen, 0, 0), ";2,S");
}

TEST(MaildirNameTest, FoldersAndNames) {
  EXPECT_EQ(FolderOfName("INBOX"), "");
  EXPECT_EQ(FolderOfName("Work.K\xc3\xa4se"), ".Work.K&AOQ-se");
  EXPECT_EQ(NameOfFolder(".Work.K&AOQ-se"), "Work.K\xc3\xa4se");
  EXPECT_EQ(NameOfFolder(".INBOX.x"), "INBOX.x");
  for (const char* folder : {".", "..", "...", ".INBOX", ".inbox.x", "cur", ".a..b", ".a.",
                             ".K&AOQ", "..postern-deleted-1"}) {
    EXPECT_FALSE(NameOfFolder(folder).has_value()) << folder;
  }
}

}  // namespace
}  // namespace postern::mailbox
