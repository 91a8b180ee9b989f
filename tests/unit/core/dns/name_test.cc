#include "lib/core/dns/name.h"

#include <gtest/gtest.h>

namespace postern::dns {
namespace {

TEST(DnsName, ReadsAndPrints) {
  struct Row {
    std::string_view text, printed;
    size_t labels;
  };
  const Row rows[] = {
      {".", ".", 0},
      {"example.com", "example.com", 2},
      {"Example.COM.", "Example.COM", 2},
      {"a\\.b.c", "a\\.b.c", 2},
      {"a\\046b.c", "a\\.b.c", 2},
      {"\\000\\255.x", "\\000\\255.x", 2},
      {"_25._tcp.mx", "_25._tcp.mx", 3},
      {"*.example", "*.example", 2},
      {"a b.c", "a\\032b.c", 2},
  };
  for (const Row& row : rows) {
    StatusOr<Name> name = Name::Parse(row.text);
    ASSERT_TRUE(name.ok()) << row.text;
    EXPECT_EQ(name->ToString(), row.printed);
    EXPECT_EQ(name->label_count(), row.labels);
    StatusOr<Name> again = Name::Parse(name->ToString());
    ASSERT_TRUE(again.ok()) << row.text;
    EXPECT_EQ(again->wire(), name->wire());
    EXPECT_EQ(Name::FromWire(name->wire())->wire(), name->wire());
  }
}

TEST(DnsName, RefusesWhatIsNoName) {
  const std::string label63(63, 'a');
  for (const std::string& text :
       {std::string(""), std::string("a..b"), std::string(".a"), std::string("a\\"),
        std::string("a\\25"), std::string("a\\256"), std::string(64, 'a'),
        label63 + "." + label63 + "." + label63 + "." + label63}) {
    EXPECT_FALSE(Name::Parse(text).ok()) << text;
  }
  EXPECT_TRUE(
      Name::Parse(label63 + "." + label63 + "." + label63 + "." + std::string(61, 'a')).ok());
  EXPECT_FALSE(
      Name::Parse(label63 + "." + label63 + "." + label63 + "." + std::string(62, 'a')).ok());
}

TEST(DnsName, ComparesWithoutCase) {
  EXPECT_EQ(*Name::Parse("MX.Example.com"), *Name::Parse("mx.eXample.COM."));
  EXPECT_NE(*Name::Parse("mx.example.com"), *Name::Parse("mx.example.net"));
  EXPECT_TRUE(Name::Parse("a.b.C")->IsUnder(*Name::Parse("B.c")));
  EXPECT_TRUE(Name::Parse("b.c")->IsUnder(*Name::Parse("b.c")));
  EXPECT_TRUE(Name::Parse("b.c")->IsUnder(Name()));
  EXPECT_FALSE(Name::Parse("xb.c")->IsUnder(*Name::Parse("b.c")));
  EXPECT_FALSE(Name::Parse("c")->IsUnder(*Name::Parse("b.c")));
}

TEST(DnsName, RelativeNamesGetTheOrigin) {
  const Name origin = *Name::Parse("example.com");
  EXPECT_EQ(Name::ParseRelative("mx", origin)->ToString(), "mx.example.com");
  EXPECT_EQ(Name::ParseRelative("mx.", origin)->ToString(), "mx");
  EXPECT_EQ(Name::ParseRelative("@", origin)->ToString(), "example.com");
  EXPECT_EQ(origin.Parent().ToString(), "com");
  EXPECT_EQ(origin.Prepend("x")->ToString(), "x.example.com");
}

TEST(DnsName, FromWireIsExact) {
  using namespace std::string_view_literals;
  for (const std::string_view wire : {""sv, "\x01"sv,
                                      "\x01"
                                      "a"sv,
                                      "\x01"
                                      "a\0x"sv,
                                      "\x40"sv, "\xc0\0"sv}) {
    EXPECT_FALSE(Name::FromWire(wire).has_value());
  }
}

TEST(DnsName, ReverseNames) {
  EXPECT_EQ(ReverseName(std::string_view("\xc0\x00\x02\x01", 4)).ToString(),
            "1.2.0.192.in-addr.arpa");
  const std::string v6("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
  EXPECT_EQ(ReverseName(v6).ToString(),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_TRUE(ReverseName("abc").is_root());
}

}  // namespace
}  // namespace postern::dns
