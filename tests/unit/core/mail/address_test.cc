#include "lib/core/mail/address.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::mail {
namespace {

struct Case {
  std::string_view text;
  std::string_view local_part;  // "!" when the address is to be refused
  std::string_view domain;
  std::string_view printed;
};

TEST(Address, ReadsMailboxesOfRfc5321) {
  const Case cases[] = {
      {"user@example.com", "user", "example.com", "user@example.com"},
      {"User+tag@EXAMPLE.com", "User+tag", "example.com", "User+tag@example.com"},
      {"\"a b\"@example.com", "a b", "example.com", "\"a b\"@example.com"},
      {"\"simple\"@example.com", "simple", "example.com", "simple@example.com"},
      {"\"a\\\"b\\\\\"@example.com", "a\"b\\", "example.com", "\"a\\\"b\\\\\"@example.com"},
      {"\"a@b\"@example.com", "a@b", "example.com", "\"a@b\"@example.com"},
      {"\"a..b\"@example.com", "a..b", "example.com", "\"a..b\"@example.com"},
      {"a@[192.0.2.1]", "a", "[192.0.2.1]", "a@[192.0.2.1]"},
      {"a@[IPv6:2001:DB8::1]", "a", "[ipv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
      {"dörte@sörensen.example", "dörte", "sörensen.example", "dörte@sörensen.example"},
      {"a@SÖRENSEN.example", "a", "sörensen.example", "a@sörensen.example"},
      {"a@xn--srensen-90a.example", "a", "xn--srensen-90a.example", "a@xn--srensen-90a.example"},
      {"a@1.2.3.4", "a", "1.2.3.4", "a@1.2.3.4"},
      {"", "!", "", ""},
      {"user", "!", "", ""},
      {"@example.com", "!", "", ""},
      {"\"\"@example.com", "!", "", ""},
      {"a@", "!", "", ""},
      {".a@example.com", "!", "", ""},
      {"a.@example.com", "!", "", ""},
      {"a..b@example.com", "!", "", ""},
      {"a b@example.com", "!", "", ""},
      {"a@b@example.com", "!", "", ""},
      {"\"a@example.com", "!", "", ""},
      {"\"a\"b@example.com", "!", "", ""},
      {"\"a\nb\"@example.com", "!", "", ""},
      {"\"a\\\nb\"@example.com", "!", "", ""},
      {"a@-example.com", "!", "", ""},
      {"a@example-.com", "!", "", ""},
      {"a@example..com", "!", "", ""},
      {"a@example.com.", "!", "", ""},
      {"a@ex_ample.com", "!", "", ""},
      {"a@[192.0.2.1", "!", "", ""},
      {"a@[192.0.2.1]x", "!", "", ""},
      {"a@[2001:db8::1]", "!", "", ""},
      {"a@[IPv6:192.0.2.1]", "!", "", ""},
      // RFC 5321 §4.1.3: "No more than 6 groups in addition to the '::'".
      {"a@[IPv6:1:2:3:4:5:6::]", "a", "[ipv6:1:2:3:4:5:6::]", "a@[IPv6:1:2:3:4:5:6::]"},
      {"a@[IPv6:1:2:3:4:5:6:7::]", "!", "", ""},
      {"a@[IPv6:1::2:3:4:5:6:7]", "!", "", ""},
      {"a@[IPv6:1:2:3:4::192.0.2.1]", "a", "[ipv6:1:2:3:4::192.0.2.1]",
       "a@[IPv6:1:2:3:4::192.0.2.1]"},
      {"a@[IPv6:1:2:3:4:5::192.0.2.1]", "!", "", ""},
      {"a@[]", "!", "", ""},
      {"a@example.com ", "!", "", ""},
      {"a(comment)@example.com", "!", "", ""},
      {"a@example\xEF\xBC\x8E"
       "com",
       "!", "", ""},  // fullwidth full stop
      {"a@\xEF\xBC\xA0"
       "b.example",
       "!", "", ""},  // fullwidth commercial at
      {"a\xEF\xBC\xA0"
       "b.example",
       "!", "", ""},
      {"a\xFF@example.com", "!", "", ""},
      {std::string_view("a\0b@example.com", 15), "!", "", ""},
  };
  for (const Case& c : cases) {
    const StatusOr<Address> address = ParseAddress(c.text);
    ASSERT_EQ(address.ok(), c.local_part != "!") << c.text << ": " << address.status();
    if (!address.ok()) continue;
    EXPECT_EQ(address->local_part, c.local_part) << c.text;
    EXPECT_EQ(address->domain, c.domain) << c.text;
    EXPECT_EQ(address->ToString(), c.printed) << c.text;
    EXPECT_EQ(*ParseAddress(address->ToString()), *address) << c.text;
  }
}

TEST(Address, KeepsTheLimitsOfSection4531) {
  const std::string local(64, 'a');
  EXPECT_TRUE(ParseAddress(local + "@example.com").ok());
  EXPECT_FALSE(ParseAddress(local + "a@example.com").ok());
  std::string domain;
  for (int i = 0; i < 4; ++i) domain.append(62, 'd').append(1, '.');
  EXPECT_TRUE(IsValidDomainName(domain + "com"));    // 255
  EXPECT_FALSE(IsValidDomainName(domain + "comm"));  // 256
  EXPECT_FALSE(ParseAddress("a@" + std::string(64, 'd')).ok());
  const std::string_view name = std::string_view(domain).substr(0, domain.size() - 1);
  EXPECT_TRUE(ParseAddress(StrCat("ab@", name)).ok());    // 254, 256 as a path
  EXPECT_FALSE(ParseAddress(StrCat("abc@", name)).ok());  // 255
  std::string_view rest;
  EXPECT_TRUE(ParsePath(StrCat("<ab@", name, ">"), false, {}, &rest).ok());
  EXPECT_FALSE(ParsePath(StrCat("<abc@", name, ">"), false, {}, &rest).ok());
}

TEST(Address, Utf8NeedsToBeAllowed) {
  AddressOptions ascii;
  ascii.allow_utf8 = false;
  EXPECT_FALSE(ParseAddress("dörte@example.com", ascii).ok());
  EXPECT_FALSE(ParseAddress("a@sörensen.example", ascii).ok());
  EXPECT_TRUE(ParseAddress("dörte@example.com")->IsInternational());
  EXPECT_FALSE(ParseAddress("a@example.com")->IsInternational());
}

TEST(Path, ReadsReversePathsAndForwardPaths) {
  AddressOptions options;
  std::string_view rest;
  EXPECT_EQ(ParsePath("<a@b.example> SIZE=1", false, options, &rest)->ToString(), "a@b.example");
  EXPECT_EQ(rest, " SIZE=1");
  EXPECT_TRUE(ParsePath("<>", true, options, &rest)->empty());
  EXPECT_FALSE(ParsePath("<>", false, options, &rest).ok());
  EXPECT_EQ(ParsePath("<@x.example,@[192.0.2.1]:a@b.example>", false, options, &rest)->ToString(),
            "a@b.example");
  EXPECT_EQ(ParsePath("<\"a>b\"@b.example>x", false, options, &rest)->local_part, "a>b");
  EXPECT_EQ(rest, "x");
  for (const std::string_view bad :
       {"a@b.example", "<a@b.example", "<@x.example>", "<@x.example:>", "<@x.example,a@b.example>",
        "< a@b.example>", "<a@b.example >", "<postmaster>", "<a@b.example\r\n>", ""}) {
    EXPECT_FALSE(ParsePath(bad, true, options, &rest).ok()) << bad;
  }
  options.allow_no_domain = true;
  EXPECT_EQ(ParsePath("<Postmaster>", false, options, &rest)->ToString(), "Postmaster");
}

TEST(Idna, ConvertsBothWays) {
  EXPECT_EQ(*DomainToAscii("Bücher.Example"), "xn--bcher-kva.example");
  EXPECT_EQ(*DomainToAscii("faß.de"), "xn--fa-hia.de");  // non-transitional
  EXPECT_EQ(DomainToUnicode("xn--bcher-kva.example"), "bücher.example");
  EXPECT_EQ(DomainToUnicode("xn--a"), "xn--a");
  EXPECT_EQ(*DomainToAscii("EXAMPLE.com"), "example.com");
  EXPECT_FALSE(DomainToAscii("a b.example").ok());
  EXPECT_FALSE(DomainToAscii("ü..example").ok());
  EXPECT_FALSE(DomainToAscii("\xC3.example").ok());
}

TEST(Address, LiteralsBecomeAddresses) {
  EXPECT_EQ(ParseAddress("a@[192.0.2.1]")->DomainLiteral()->ToString(), "192.0.2.1");
  EXPECT_EQ(ParseAddress("a@[ipv6:2001:db8::1]")->DomainLiteral()->ToString(), "2001:db8::1");
  EXPECT_FALSE(ParseAddress("a@b.example")->DomainLiteral().has_value());
}

}  // namespace
}  // namespace postern::mail
