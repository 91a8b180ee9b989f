#include "lib/core/trust/tag_list.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

TEST(TagList, Reads) {
  const auto list = TagList::Parse(" v=1; a = rsa-sha256 ;\r\n\tb=ab\r\n cd=;empty=;");
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->tags().size(), 4U);
  EXPECT_EQ(list->Find("a")->value, "rsa-sha256");
  EXPECT_EQ(list->Find("b")->value, "ab\r\n cd=");
  EXPECT_EQ(list->Find("empty")->value, "");
  EXPECT_EQ(list->Find("A"), nullptr);  // names keep their case
  // The white space around a value belongs to what is deleted with it.
  EXPECT_EQ(list->Find("a")->value_end - list->Find("a")->value_begin,
            std::string_view(" rsa-sha256 ").size());
}

TEST(TagList, Refuses) {
  for (const char* text :
       {"a", "=b", "a=1;;b=2", ";a=1", "a=1;a=2", "1a=2", "a-b=1", "a b=1", "a=\x01", ";"}) {
    EXPECT_FALSE(TagList::Parse(text).ok()) << text;
  }
  for (const char* text : {"", " \r\n ", "a=1", "a=1;", "a=1; \r\n", "a_1=\xc3\xa9"})
    EXPECT_TRUE(TagList::Parse(text).ok()) << text;
  std::string many;
  for (int i = 0; i < 65; ++i) StrAppend(many, "t", i, "=1;");
  EXPECT_FALSE(TagList::Parse(many).ok());
}

TEST(TagList, Base64) {
  const auto decode = [](std::string_view text) {
    std::string octets;
    return DecodeBase64Value(text, &octets) ? octets : "(no)";
  };
  EXPECT_EQ(decode("Zm\r\n 9v"), "foo");
  EXPECT_EQ(decode("Zm8="), "fo");
  EXPECT_EQ(decode("Zm8"), "fo");
  EXPECT_EQ(decode("Z m 8 ="), "fo");
  EXPECT_EQ(decode("Zm8=="), "fo");
  EXPECT_EQ(decode("Zm8=Zg"), "(no)");
  EXPECT_EQ(decode("Zm8==="), "(no)");
  EXPECT_EQ(decode("Zm-v"), "(no)");
}

TEST(TagList, Colons) {
  EXPECT_EQ(StrJoin(SplitColons("from : to:\r\n subject"), ","), "from,to,subject");
  EXPECT_TRUE(SplitColons("  ").empty());
  EXPECT_EQ(SplitColons("a::b").size(), 3U);
}

TEST(TagList, QuotedPrintable) {
  EXPECT_EQ(DecodeDkimQuotedPrintable("a=20b=3Bc =zz"), "a b;c=zz");
  const std::string octets = "jörg; x=y | z@example.org";
  EXPECT_EQ(DecodeDkimQuotedPrintable(EncodeDkimQuotedPrintable(octets)), octets);
}

}  // namespace
}  // namespace postern::trust
