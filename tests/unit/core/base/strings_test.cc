#include "lib/core/base/strings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postern {
namespace {

using ::testing::ElementsAre;

TEST(Strings, SplitKeepsEmptyPiecesAndSplitWordsDropsThem) {
  EXPECT_THAT(Split("a,,b,", ','), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(Split("", ','), ElementsAre(""));
  EXPECT_THAT(SplitWords("  a \t b "), ElementsAre("a", "b"));
}

TEST(Strings, ParseUintTakesDigitsAlone) {
  EXPECT_EQ(ParseUint("0"), 0u);
  EXPECT_EQ(ParseUint("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(ParseUint("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseUint("256", 255), std::nullopt);
  for (const char* text : {"", " 1", "1 ", "+1", "-1", "0x1", "1e3"})
    EXPECT_EQ(ParseUint(text), std::nullopt) << text;
}

TEST(Strings, HexGoesBothWays) {
  EXPECT_EQ(HexEncode(std::string_view("\x00\xff", 2)), "00ff");
  EXPECT_EQ(HexDecode("00Ff"), std::string("\x00\xff", 2));
  EXPECT_EQ(HexDecode("0"), std::nullopt);
  EXPECT_EQ(HexDecode("0g"), std::nullopt);
  EXPECT_EQ(Hex(0xbeef, 8), "0000beef");
}

TEST(Strings, EscapeLeavesOnlyPrintableAscii) {
  EXPECT_EQ(Escape("a\\b\r\n\t\x1b\x80"), "a\\\\b\\r\\n\\t\\x1b\\x80");
  EXPECT_EQ(Escape("abcdef", 3), "abc…");
}

TEST(Strings, EditDistanceCountsEdits) {
  EXPECT_EQ(EditDistance("lisen", "listen"), 1u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("same", "same"), 0u);
}

TEST(Strings, CaseIsAsciiOnly) {
  EXPECT_TRUE(EqualsIgnoreCase("SubJect", "sUBjECT"));
  EXPECT_FALSE(EqualsIgnoreCase("\xc3\x84", "\xc3\xa4"));
  EXPECT_EQ(StrCat("x", 1, 'y', std::string("z"), -5), "x1yz-5");
}

}  // namespace
}  // namespace postern
