#include "lib/core/trust/spf_macro.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::trust {
namespace {

// RFC 7208 §7.4: the example's sender and clients.
SpfMacroValues Values(std::string_view client = "192.0.2.3") {
  SpfMacroValues values;
  values.client = *IpAddress::Parse(client);
  values.local_part = "strong-bad";
  values.sender_domain = "email.example.com";
  values.domain = "email.example.com";
  values.helo = "mx.example.org";
  values.validated = "mail.example.net";
  values.receiver = "mx.example.net";
  values.now_unix_s = 1234567890;
  return values;
}

std::string Text(std::string_view text, const SpfMacroValues& values = Values()) {
  const StatusOr<SpfMacroString> parsed = ParseSpfMacroString(text, SpfMacroUse::kExplanation);
  return parsed.ok() ? ExpandSpfText(*parsed, values, 10000)
                     : "error: " + std::string(Message(parsed.status()));
}

TEST(SpfMacroTest, ExpandsAsTheRfcShows) {
  const struct {
    const char* text;
    const char* expanded;
  } kCases[] = {
      {"%{s}", "strong-bad@email.example.com"},
      {"%{o}", "email.example.com"},
      {"%{d}", "email.example.com"},
      {"%{d4}", "email.example.com"},
      {"%{d3}", "email.example.com"},
      {"%{d2}", "example.com"},
      {"%{d1}", "com"},
      {"%{dr}", "com.example.email"},
      {"%{d2r}", "example.email"},
      {"%{l}", "strong-bad"},
      {"%{l-}", "strong.bad"},
      {"%{lr}", "strong-bad"},
      {"%{lr-}", "bad.strong"},
      {"%{l1r-}", "strong"},
      {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
      {"%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
      {"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
      {"%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
      // The rest of the letters, and what §7.1 and §7.3 say besides.
      {"%{h} %{p} %{c} %{r} %{t}",
       "mx.example.org mail.example.net 192.0.2.3 mx.example.net 1234567890"},
      {"100%% of%_it%-", "100% of it%20"},
      {"%{S}", "strong-bad%40email.example.com"},
      {"%{D2R}", "example.email"},
      {"%{d999999999999999999999}", "email.example.com"},
      {"%{d.-..-}", "email.example.com"},
      {"%{o2.}", "example.com"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Text(c.text), c.expanded) << c.text;
  const SpfMacroValues six = Values("2001:db8::cb01");
  EXPECT_EQ(Text("%{ir}.%{v}._spf.%{d2}", six),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com");
  EXPECT_EQ(Text("%{c} %{i3}", six), "2001:db8::cb01 b.0.1");
}

TEST(SpfMacroTest, RefusesWhatTheGrammarDoes) {
  for (const char* text : {"%", "%a", "%{", "%{}", "%{a}", "%{d", "%{d0}", "%{d00}", "%{dx}",
                           "%{dr2}", "%{d 2}", "%(d)", "caf\xc3\xa9", "bell\x07"})
    EXPECT_FALSE(ParseSpfMacroString(text, SpfMacroUse::kExplanation).ok()) << text;
}

TEST(SpfMacroTest, ADomainEndsInATopLabelOrAMacro) {
  for (const char* text :
       {"example.org", "example.org.", "%{d}", "_spf.%{d2}", "a..b", "foo:8/x.org",
        "example.xn--p1ai", "x.a1", "%{d}.org", "%%.org", ".org", "%{d}%%"})
    EXPECT_TRUE(ParseSpfMacroString(text, SpfMacroUse::kDomain).ok()) << text;
  for (const char* text :
       {"", "org", "org.", "example.org..", "example.123", "192.0.2.1", "example.-a", "example.a-",
        "example.a_b", "%{d}org", "%{c}.org", "%{r}", "%{t}.org", "a b.org", "%{d}."})
    EXPECT_FALSE(ParseSpfMacroString(text, SpfMacroUse::kDomain).ok()) << text;
  EXPECT_TRUE(ParseSpfMacroString("", SpfMacroUse::kModifierValue).ok());
  EXPECT_FALSE(ParseSpfMacroString("a b", SpfMacroUse::kModifierValue).ok());
}

TEST(SpfMacroTest, DropsLabelsFromTheLeftOfALongName) {
  SpfMacroValues values = Values();
  const std::string label(60, 'x');
  const std::string domain = label + "." + label + "." + label + ".example.org";  // 194 octets
  values.domain = domain;
  const StatusOr<SpfMacroString> parsed =
      ParseSpfMacroString("first.second.%{d2}.%{d}.tail.example.org", SpfMacroUse::kDomain);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(ExpandSpfDomain(*parsed, values),
            "first.second.example.org." + domain + ".tail.example.org");
  const StatusOr<SpfMacroString> longer =
      ParseSpfMacroString("%{d}.%{d}.example.org.", SpfMacroUse::kDomain);
  EXPECT_EQ(ExpandSpfDomain(*longer, values), "example.org." + domain + ".example.org");
}

TEST(SpfMacroTest, ManyMacrosExpandInBoundedSpace) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "%{s}";
  const StatusOr<SpfMacroString> parsed = ParseSpfMacroString(text, SpfMacroUse::kDomain);
  ASSERT_TRUE(parsed.ok());
  const std::string sender_domain(250, 'd');
  SpfMacroValues values = Values();
  values.sender_domain = sender_domain;
  EXPECT_LE(ExpandSpfDomain(*parsed, values).size(), 253u);
  EXPECT_EQ(ExpandSpfText(*parsed, values, 100).size(), 100u);
}

}  // namespace
}  // namespace postern::trust
