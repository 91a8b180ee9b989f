#include "lib/service/smtp/qualify.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

TEST(Qualify, BareNamesGetADomain) {
  const std::pair<const char*, const char*> vectors[] = {
      {"To: bob\r\n", "To: bob@h.example\r\n"},
      {"To:bob,carol\r\n", "To:bob@h.example,carol@h.example\r\n"},
      {"From: Bob <bob>\r\n", "From: Bob <bob@h.example>\r\n"},
      {"From: \"Bob, B.\" < bob >\r\n", "From: \"Bob, B.\" < bob@h.example >\r\n"},
      {"To: bob (the builder), carol@x\r\n", "To: bob@h.example (the builder), carol@x\r\n"},
      {"To: (a, b (c\\)) <) bob\r\n", "To: (a, b (c\\)) <) bob@h.example\r\n"},
      {"To: \"b o b\"\r\n", "To: \"b o b\"@h.example\r\n"},
      {"To: friends: bob, c@x;, dave\r\n", "To: friends: bob@h.example, c@x;, dave@h.example\r\n"},
      {"Cc: a.b+c,\r\n d\r\n", "Cc: a.b+c@h.example,\r\n d@h.example\r\n"},
  };
  for (const auto& [field, expected] : vectors)
    EXPECT_EQ(QualifyAddresses(field, "h.example"), expected);
}

TEST(Qualify, AllElseStays) {
  for (const char* field :
       {"To: bob@x\r\n", "To: Bob Builder <bob@x>\r\n", "To: undisclosed-recipients:;\r\n",
        "To: Bob Builder\r\n", "To: <>\r\n", "To: \r\n", "To: <@a.example:bob@x>\r\n",
        "To: \"open\r\n", "To: (open bob\r\n", "To: <bob\r\n", "To: bob>\r\n", "To: a <b> <c>\r\n",
        "To: b\xc3\xb6"
        "b\r\n",
        "To: \\\r\n", "To: [127.0.0.1]\r\n"}) {
    EXPECT_EQ(QualifyAddresses(field, "h.example"), field);
  }
}

TEST(Qualify, IsBounded) {
  std::string many = "To: a";
  for (size_t i = 1; i < kMaxQualifiedNames; ++i) many += ",\r\n a";
  EXPECT_NE(QualifyAddresses(many, "h.example"), many);
  many += ",\r\n a";
  EXPECT_EQ(QualifyAddresses(many, "h.example"), many);
  const std::string line = StrCat("To: ", std::string(990, 'a'), "\r\n");
  EXPECT_EQ(QualifyAddresses(line, "h.example"), line);
}

}  // namespace
}  // namespace postern::service
