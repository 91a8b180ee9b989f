#include "lib/core/trust/public_suffix.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::trust {
namespace {

constexpr char kList[] =
    "// a comment\n"
    "com\n"
    "uk\nco.uk\n"
    "*.ck\n!www.ck\n"
    "公司.cn\ncn\n";

TEST(PublicSuffixTest, FollowsTheRulesOfAList) {
  const StatusOr<PublicSuffixList> list = PublicSuffixList::Parse(kList);
  ASSERT_TRUE(list.ok()) << list.status();
  const struct {
    const char* domain;
    const char* organization;
  } kCases[] = {
      {"a.b.example.com", "example.com"},
      {"EXAMPLE.com.", "example.com"},
      {"com", ""},
      {"mail.example.co.uk", "example.co.uk"},
      {"co.uk", ""},
      {"a.b.c.ck", "b.c.ck"},
      {"c.ck", ""},
      {"a.www.ck", "www.ck"},
      {"a.b.unknown", "b.unknown"},
      {"unknown", ""},
      {"a.食狮.公司.cn", "食狮.公司.cn"},
      {"a.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"},
      {"", ""},
      {".com", ""},
      {"a..com", ""},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(list->OrganizationalDomain(c.domain), c.organization) << c.domain;
  EXPECT_TRUE(list->IsPublicSuffix("co.uk"));
  EXPECT_FALSE(list->IsPublicSuffix("example.co.uk"));
  EXPECT_EQ(list->rule_count(), 6);
}

TEST(PublicSuffixTest, RefusesWhatIsNoList) {
  EXPECT_EQ(PublicSuffixList::Parse("").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(PublicSuffixList::Parse("// nothing\n").status().code(), StatusCode::kInvalidArgument);
  PublicSuffixLimits limits;
  limits.max_bytes = 3;
  EXPECT_EQ(PublicSuffixList::Parse(kList, limits).status().code(), StatusCode::kResourceExhausted);
}

TEST(PublicSuffixTest, HasAListOfItsOwn) {
  const StatusOr<PublicSuffixList> list = PublicSuffixList::Builtin();
  if (!list.ok()) GTEST_SKIP() << list.status();
  EXPECT_EQ(list->OrganizationalDomain("mail.example.co.uk"), "example.co.uk");
}

}  // namespace
}  // namespace postern::trust
