#include "lib/core/base/ip_address.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

std::string Reprinted(std::string_view text) {
  const std::optional<IpAddress> address = IpAddress::Parse(text);
  return address.has_value() ? address->ToString() : "refused";
}

TEST(IpAddress, ReadsAndPrintsTheCanonicalForm) {
  EXPECT_EQ(Reprinted("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(Reprinted("2001:DB8::1"), "2001:db8::1");
  EXPECT_EQ(Reprinted("2001:db8:0:0:1:0:0:1"),
            "2001:db8::1:0:0:1");  // RFC 5952 §4.2.3: the first of equal runs
  EXPECT_EQ(Reprinted("2001:db8:0:1:1:1:1:1"),
            "2001:db8:0:1:1:1:1:1");  // §4.2.2: one group is not shortened
  EXPECT_EQ(Reprinted("::"), "::");
  EXPECT_EQ(Reprinted("::1"), "::1");
  EXPECT_EQ(Reprinted("1::"), "1::");
  EXPECT_EQ(Reprinted("64:ff9b::192.0.2.33"), "64:ff9b::c000:221");
  EXPECT_EQ(Reprinted("::ffff:192.0.2.1"), "192.0.2.1");  // folded
}

TEST(IpAddress, RefusesWhatIsNone) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", ":",
                           ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
                           "::1%lo", "[::1]", "1:2:3:4:5:6:7:8::", "::1.2.3"}) {
    EXPECT_EQ(Reprinted(text), "refused") << text;
  }
}

TEST(IpNetwork, ContainsWhatItsPrefixCovers) {
  const IpNetwork net = *IpNetwork::Parse("192.0.2.128/25");
  EXPECT_TRUE(net.Contains(*IpAddress::Parse("192.0.2.200")));
  EXPECT_FALSE(net.Contains(*IpAddress::Parse("192.0.2.1")));
  EXPECT_FALSE(net.Contains(*IpAddress::Parse("::1")));
  EXPECT_TRUE(IpNetwork::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("8.8.8.8")));
  EXPECT_TRUE(IpNetwork::Parse("[2001:db8::/33]")->Contains(*IpAddress::Parse("2001:db8:7fff::")));
  EXPECT_FALSE(IpNetwork::Parse("2001:db8::/33")->Contains(*IpAddress::Parse("2001:db8:8000::")));
  EXPECT_FALSE(IpNetwork::Parse("192.0.2.0/33").has_value());
  EXPECT_FALSE(IpNetwork::Parse("192.0.2.0/").has_value());
}

TEST(IpAddress, LiteralsAreOfRfc5321Form) {
  EXPECT_EQ(IpAddress::Parse("192.0.2.1")->ToLiteral(), "[192.0.2.1]");
  EXPECT_EQ(IpAddress::Parse("2001:db8::1")->ToLiteral(), "[IPv6:2001:db8::1]");
}

}  // namespace
}  // namespace postern
