#include "lib/service/filter/milter_header.h"

#include <gtest/gtest.h>

namespace postern::service {
namespace {

constexpr std::string_view kHeader =
    "X-Spam: Yes\r\n"
    "Received: from a by mx (Postern) with ESMTP id 0badcafe;\r\n\tdate\r\n"
    "Received: from b by a with ESMTP id 0ther\r\n"
    "Subject: one\r\n two\r\n"
    "Old : x\r\n"
    "no field\r\n"
    "subject: three\r\n";

std::string Join(const std::vector<HeaderField>& fields) {
  std::string out;
  for (const HeaderField& field : fields) out.append(field.text);
  return out;
}

TEST(MilterHeader, IsCutIntoFields) {
  const std::vector<HeaderField> fields = ParseHeaderFields(kHeader, "0badcafe");
  ASSERT_EQ(fields.size(), 7u);
  EXPECT_EQ(Join(fields), kHeader);
  EXPECT_FALSE(fields[0].own);
  EXPECT_TRUE(fields[1].own);
  EXPECT_FALSE(fields[2].own);
  EXPECT_EQ(fields[3].name, "Subject");
  EXPECT_EQ(fields[3].value(), " one\r\n two");
  EXPECT_EQ(fields[4].name, "Old");
  EXPECT_EQ(fields[4].value(), " x");
  EXPECT_EQ(fields[5].name, "");
  EXPECT_FALSE(ParseHeaderFields(kHeader, "")[1].own);
}

TEST(MilterHeader, InsertingCountsAllFields) {
  std::vector<HeaderField> fields = ParseHeaderFields("Received: x id i1\r\nA: 1\r\n", "i1");
  InsertHeaderField(&fields, 1, "X", " one");
  InsertHeaderField(&fields, 0, "Y", " zero");
  InsertHeaderField(&fields, 4'000'000'000u, "Z", " last");
  EXPECT_EQ(Join(fields), "Y: zero\r\nReceived: x id i1\r\nX: one\r\nA: 1\r\nZ: last\r\n");
}

TEST(MilterHeader, ChangingCountsThoseOfANameThatMiltersSee) {
  struct Row {
    uint32_t index;
    std::string_view name;
    std::string_view value;
    std::string_view result;
  };
  constexpr std::string_view kBefore = "Received: x id i1\r\nReceived: y\r\nA: 1\r\na: 2\r\n";
  const Row rows[] = {
      {1, "received", " z", "Received: x id i1\r\nreceived: z\r\nA: 1\r\na: 2\r\n"},
      {2, "A", " z", "Received: x id i1\r\nReceived: y\r\nA: 1\r\nA: z\r\n"},
      {1, "A", "", "Received: x id i1\r\nReceived: y\r\na: 2\r\n"},
      {3, "A", "", kBefore},
      {3, "A", " z", "Received: x id i1\r\nReceived: y\r\nA: 1\r\na: 2\r\nA: z\r\n"},
      {2, "Received", "", kBefore},
  };
  for (const Row& row : rows) {
    std::vector<HeaderField> fields = ParseHeaderFields(kBefore, "i1");
    ChangeHeaderField(&fields, row.index, row.name, row.value);
    EXPECT_EQ(Join(fields), row.result);
  }
}

}  // namespace
}  // namespace postern::service
