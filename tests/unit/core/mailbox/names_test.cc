#include "lib/core/mailbox/names.h"

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

TEST(NamesTest, CanonicalNames) {
  EXPECT_EQ(*CanonicalName("iNbOx", '.'), "INBOX");
  EXPECT_EQ(*CanonicalName("inbox.Work", '.'), "INBOX.Work");
  EXPECT_EQ(*CanonicalName("Work.", '.'), "Work");
  EXPECT_EQ(*CanonicalName("inboxes", '.'), "inboxes");
  for (const char* bad : {"", ".", "a..b", ".a", "../x", "/a", "a/b", "~x", "a\n", "a\x7f",
                          "\xc2\x80", "\xff", "a*", "%"}) {
    EXPECT_FALSE(CanonicalName(bad, '.').ok()) << bad;
  }
  EXPECT_FALSE(CanonicalName("..", '/').ok());
  EXPECT_FALSE(CanonicalName("a/../b", '/').ok());
  EXPECT_FALSE(CanonicalName(std::string("a\0b", 3), '.').ok());
  EXPECT_FALSE(CanonicalName(std::string(241, 'x'), '.').ok());
  std::string umlauts;
  for (int i = 0; i < 110; ++i) umlauts += "\xc3\xa4";
  EXPECT_FALSE(CanonicalName(umlauts, '.').ok());
}

TEST(NamesTest, ModifiedUtf7) {
  struct Row {
    const char* wire;
    const char* name;
  };
  const Row rows[] = {{"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
                       "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
                      {"a&-b", "a&b"},
                      {"&2D3cqQ-", "\xf0\x9f\x92\xa9"}};
  for (const Row& row : rows) {
    EXPECT_EQ(DecodeMailboxUtf7(row.wire), row.name);
    EXPECT_EQ(EncodeMailboxUtf7(row.name), row.wire);
  }
  for (const char* bad :
       {"&", "&AC8-", "&AGE-", "&AAA-", "&U,BTFw-&ZeVnLIqe-", "\x80", "&2D0-", "&!!-", "&AOQ"}) {
    EXPECT_FALSE(DecodeMailboxUtf7(bad).has_value()) << bad;
  }
}

TEST(NamesTest, ListPatterns) {
  EXPECT_TRUE(MatchesListPattern("*", "a.b", '.'));
  EXPECT_FALSE(MatchesListPattern("%", "a.b", '.'));
  EXPECT_TRUE(MatchesListPattern("a.%", "a.b", '.'));
  EXPECT_TRUE(MatchesListPattern("inbox", "INBOX", '.'));
  EXPECT_TRUE(MatchesListPattern("%.%c*", "a.xcd.e", '.'));
  EXPECT_FALSE(MatchesListPattern("a", "A", '.'));
  EXPECT_TRUE(MatchesListPattern("", "", '.'));
  std::string hostile;
  for (int i = 0; i < 5000; ++i) hostile += i % 2 != 0 ? "%" : "*";
  EXPECT_FALSE(MatchesListPattern(hostile + "y", std::string(240, 'x'), '.'));
}

}  // namespace
}  // namespace postern::mailbox
