#include "lib/core/mailbox/uid_set.h"

#include <set>

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

TEST(UidSetTest, ParsesAndPrints) {
  struct Row {
    const char* text;
    uint32_t largest;
    const char* result;  // null: refused
  };
  const Row rows[] = {
      {"1", 9, "1"},
      {"1:3,5", 9, "1:3,5"},
      {"3:1", 9, "1:3"},
      {"1,2,3", 9, "1:3"},
      {"*", 9, "9"},
      {"5:*", 9, "5:9"},
      {"12:*", 9, "9:12"},
      {"*:4294967295", 9, "9:4294967295"},
      {"1:4,3:6", 9, "1:6"},
      {"4294967295", 9, "4294967295"},
      {"*", 0, ""},
      {"1:*", 0, ""},
      {"0", 9, nullptr},
      {"01", 9, nullptr},
      {"4294967296", 9, nullptr},
      {"18446744073709551617", 9, nullptr},
      {"", 9, nullptr},
      {"1,", 9, nullptr},
      {"1:", 9, nullptr},
      {"1:2:3", 9, nullptr},
      {"-1", 9, nullptr},
      {"1 ", 9, nullptr},
      {"**", 9, nullptr},
      {",1", 9, nullptr},
  };
  for (const Row& row : rows) {
    const auto set = ParseUidSet(row.text, row.largest);
    ASSERT_EQ(set.has_value(), row.result != nullptr) << row.text;
    if (set) {
      EXPECT_EQ(set->ToString(), row.result) << row.text;
    }
  }
  EXPECT_FALSE(ParseUidSet("1,2,3", 9, 2).has_value());
}

TEST(UidSetTest, AlgebraAgreesWithSetsOfNumbers) {
  uint32_t random = 12345;
  const auto next = [&random](uint32_t bound) {
    random = random * 1664525 + 1013904223;
    return (random >> 8) % bound;
  };
  for (int round = 0; round < 300; ++round) {
    UidSet a;
    UidSet b;
    std::set<uint32_t> sa;
    std::set<uint32_t> sb;
    for (int i = 0; i < 6; ++i) {
      for (auto* pair : {&a, &b}) {
        const uint32_t first = next(30) + 1;
        const uint32_t last = first + next(5);
        pair->AddRange(first, last);
        for (uint32_t n = first; n <= last; ++n) (pair == &a ? sa : sb).insert(n);
      }
    }
    for (uint32_t n = 0; n < 40; ++n) {
      EXPECT_EQ(a.Contains(n), sa.contains(n));
      EXPECT_EQ(a.Union(b).Contains(n), sa.contains(n) || sb.contains(n));
      EXPECT_EQ(a.Intersect(b).Contains(n), sa.contains(n) && sb.contains(n));
      EXPECT_EQ(a.Subtract(b).Contains(n), sa.contains(n) && !sb.contains(n));
    }
    EXPECT_EQ(a.Count(), sa.size());
    EXPECT_EQ(a.Numbers(), std::vector<uint32_t>(sa.begin(), sa.end()));
    EXPECT_EQ(ParseUidSet(a.ToString(), 1), a);
  }
}

TEST(UidSetTest, TheWholeRangeCostsNothing) {
  const UidSet all = UidSet::OfRange(1, kMaxNumber);
  EXPECT_EQ(all.Count(), uint64_t{kMaxNumber});
  EXPECT_TRUE(all.Subtract(all).empty());
  EXPECT_EQ(all.Subtract(UidSet{5}).ToString(), "1:4,6:4294967295");
  UidSet grown = all;
  grown.Add(7);
  grown.AddRange(kMaxNumber, 1);
  EXPECT_EQ(grown, all);
  EXPECT_EQ(all.Numbers(3).size(), 3u);
}

}  // namespace
}  // namespace postern::mailbox
