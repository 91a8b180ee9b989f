#include "lib/core/trust/spf_record.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::trust {
namespace {

std::string Rewritten(std::string_view txt) {
  const StatusOr<SpfRecord> record = ParseSpfRecord(txt);
  return record.ok() ? record->ToString() : "error: " + std::string(Message(record.status()));
}

TEST(SpfRecordTest, KnowsItsVersion) {
  for (const char* txt : {"v=spf1", "V=SpF1 -all", "v=spf1 "}) EXPECT_TRUE(IsSpfRecord(txt)) << txt;
  for (const char* txt :
       {"", "v=spf", "v=spf10", "v=spf1\t-all", " v=spf1", "v=spf1-all", "v=spf2.0/pra"})
    EXPECT_FALSE(IsSpfRecord(txt)) << txt;
}

TEST(SpfRecordTest, ReadsAndWrites) {
  const struct {
    const char* txt;
    const char* rewritten;
  } kCases[] = {
      {"v=spf1", "v=spf1"},
      {"V=spf1   +A   -ALL  ", "v=spf1 a -all"},
      {"v=spf1 a:%{d}/24//64 mx//0 a/0 ?ptr", "v=spf1 a:%{d}/24//64 mx//0 a/0 ?ptr"},
      {"v=spf1 ip4:192.0.2.1/32 ip6:2001:DB8::/128 ~all",
       "v=spf1 ip4:192.0.2.1 ip6:2001:db8:: ~all"},
      {"v=spf1 ip6:::ffff:192.0.2.1/96", "v=spf1 ip6:::ffff:192.0.2.1/96"},
      {"v=spf1 exp=e.example.org Redirect=r.example.org include:i.example.org x-Y.z=%{c}",
       "v=spf1 include:i.example.org redirect=r.example.org exp=e.example.org x-Y.z=%{c}"},
      {"v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d}", "v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d}"},
      {"v=spf1 a:foo:bar/baz.example.com/8", "v=spf1 a:foo:bar/baz.example.com/8"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Rewritten(c.txt), c.rewritten);
    EXPECT_EQ(Rewritten(c.rewritten), c.rewritten);
  }
}

TEST(SpfRecordTest, SaysWhatIsWrong) {
  const struct {
    const char* txt;
    const char* error;
  } kCases[] = {
      {"v=spf1 ipv4:192.0.2.1",
       "at \"ipv4:192.0.2.1\": there is no mechanism \"ipv4\"; is ip4 meant?"},
      {"v=spf1 ip:192.0.2.1",
       "at \"ip:192.0.2.1\": there is no mechanism \"ip\"; is ip4 or ip6 meant?"},
      {"v=spf1 redirect:example.org",
       "at \"redirect:example.org\": there is no mechanism \"redirect\"; the modifier is written "
       "redirect="},
      {"v=spf1 -all moo", "at \"moo\": there is no mechanism \"moo\""},
      {"v=spf1 all:x", "at \"all:x\": all takes nothing behind it"},
      {"v=spf1 -all.", "at \"-all.\": there is no mechanism \"all.\"; is all meant?"},
      {"v=spf1 ip4:192.0.2", "at \"ip4:192.0.2\": \"192.0.2\" is not an IPv4 address"},
      {"v=spf1 ip4:192.0.2.01", "at \"ip4:192.0.2.01\": \"192.0.2.01\" is not an IPv4 address"},
      {"v=spf1 ip4:192.0.2.1/33",
       "at \"ip4:192.0.2.1/33\": \"/33\" is not a prefix length (0 to 32)"},
      {"v=spf1 ip4:192.0.2.1/032",
       "at \"ip4:192.0.2.1/032\": \"/032\" is not a prefix length (0 to 32)"},
      {"v=spf1 ip4:192.0.2.1//32",
       "at \"ip4:192.0.2.1//32\": \"//32\" is not a prefix length (0 to 32)"},
      {"v=spf1 ip4", "at \"ip4\": ip4 needs a network, as in ip4:192.0.2.0/24"},
      {"v=spf1 ip6::2001:db8::", "at \"ip6::2001:db8::\": \":2001:db8::\" is not an IPv6 address"},
      {"v=spf1 a/33",
       "at \"a/33\": \"/33\" is not an IPv4 prefix length (0 to 32); one for IPv6 is written //"},
      {"v=spf1 a//129", "at \"a//129\": \"//129\" is not an IPv6 prefix length (0 to 128)"},
      {"v=spf1 a/24/64",
       "at \"a/24/64\": \"/64\" is not an IPv4 prefix length (0 to 32); one for IPv6 is written "
       "//"},
      {"v=spf1 a:192.0.2.1",
       "at \"a:192.0.2.1\": a domain cannot end in \"1\"; an address needs ip4: or ip6:"},
      {"v=spf1 include", "at \"include\": include needs a domain, as in include:example.org"},
      {"v=spf1 include:", "at \"include:\": a domain is missing"},
      {"v=spf1 include:example.org/24",
       "at \"include:example.org/24\": a domain cannot end in \"org/24\""},
      {"v=spf1 ptr/0", "at \"ptr/0\": \"/0\" cannot follow ptr"},
      {"v=spf1 exp=a.b exp=c.d", "at \"exp=c.d\": exp= stands there twice"},
      {"v=spf1 redirect=localhost",
       "at \"redirect=localhost\": \"localhost\" is not a domain of two labels"},
      {"v=spf1 =all", "at \"=all\": there is no mechanism \"=all\"; is all meant?"},
      {"v=spf1 1up=foo", "at \"1up=foo\": there is no mechanism \"1up=foo\""},
      {"v=spf1 -", "at \"-\": there is no mechanism \"\""},
      {"v=spf1 foo=%abc", "at \"foo=%abc\": % must be followed by {, %, _ or -"},
      {"v=spf1 a:\xef\xbb\xbfx.org", "at \"a:\\xef\\xbb\\xbfx.org\": only ASCII is allowed"},
      {"v=spf1 a\ra", "at \"a\\ra\": a control character is not allowed"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Rewritten(c.txt), std::string("error: ") + c.error);
}

TEST(SpfRecordTest, HasABound) {
  const std::string txt = "v=spf1 " + std::string(100, ' ');
  EXPECT_TRUE(ParseSpfRecord(txt).ok());
  EXPECT_FALSE(ParseSpfRecord(txt, SpfRecordLimits{.max_bytes = 100}).ok());
}

}  // namespace
}  // namespace postern::trust
