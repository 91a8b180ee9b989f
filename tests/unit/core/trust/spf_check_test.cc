#include "lib/core/trust/spf_check.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

constexpr char kZone[] = R"(
$TTL 300
example.org.        TXT "v=spf1 ip4:192.0.2.0/28 " "include:_spf.example.net mx ~all"
example.org.        MX 10 mail.example.org.
mail.example.org.   A 192.0.2.99
_spf.example.net.   TXT "v=spf1 ip4:198.51.100.0/24 -all"
redir.example.org.  TXT "v=spf1 redirect=example.org"
hard.example.org.   TXT "v=spf1 -ip4:192.0.2.200 -all exp=why.example.org"
why.example.org.    TXT "%{i} may not send for %{d}; see http://example.org/?s=%{S}"
open.example.org.   TXT "v=spf1 +all"
quiet.example.org.  TXT "v=spf1 a:mail.example.org"
two.example.org.    TXT "v=spf1 -all"
two.example.org.    TXT "v=spf1 +all"
slow.example.org.   TXT "v=spf1 mx:dead.example.org -all"
dead.example.org.   TIMEOUT
hole.example.org.   TXT "v=spf1 include:nothing.example.org -all"
gone.example.org.   TXT "v=spf1 redirect=nothing.example.org"
loop.example.org.   TXT "v=spf1 include:loop.example.org -all"
voidmx.example.org. TXT "v=spf1 mx a:n1.example.org ip4:192.0.2.7 -all"
voidmx.example.org. MX 1 n1.example.org.
voidmx.example.org. MX 2 n2.example.org.
voidmx.example.org. MX 3 n3.example.org.
void.example.org.   TXT "v=spf1 a:n1.example.org a:n2.example.org a:n3.example.org -all"
inner.example.org.  TXT "v=spf1 include:bad.example.org -all"
bad.example.org.    TXT "v=spf1 ip5:1 -all"
ptr.example.org.    TXT "v=spf1 ptr -all"
7.2.0.192.in-addr.arpa. PTR a.example.com.
7.2.0.192.in-addr.arpa. PTR b.example.com.
7.2.0.192.in-addr.arpa. PTR c.example.com.
7.2.0.192.in-addr.arpa. PTR host.ptr.example.org.
host.ptr.example.org.   A 192.0.2.7
p.example.org.      TXT "v=spf1 exists:%{p}.ok.example.org -all"
host.ptr.example.org.ok.example.org. A 127.0.0.2
l.example.org.      TXT "v=spf1 exists:%{l}.users.example.org -all"
joe.users.example.org. A 127.0.0.2
mail.example.com.   TXT "v=spf1 a -all"
mail.example.com.   A 192.0.2.7
xn--bcher-kva.example. TXT "v=spf1 exists:%{o}.ok.example.org -all"
xn--bcher-kva.example.ok.example.org. A 127.0.0.2
long.example.org.   TXT "v=spf1 a:%{l}.example.org include:%{l}.example.org -all"
)";

Spf Check(std::string_view client, std::string_view sender, SpfLimits limits = {},
          SpfIdentity identity = SpfIdentity::kMailFrom,
          std::string_view helo = "mail.example.com") {
  SpfQuery query;
  query.client = *IpAddress::Parse(client);
  query.sender = std::string(sender);
  query.helo = std::string(helo);
  query.identity = identity;
  return dns::RunOnZone(*dns::ZoneData::Parse(kZone), CheckSpf(query, limits));
}

TEST(SpfCheckTest, GivesResultReasonAndSentence) {
  const struct {
    const char* client;
    const char* sender;
    const char* reason;
    const char* explanation;
    const char* mechanism;
  } kCases[] = {
      {"192.0.2.7", "joe@example.org", "matched",
       "SPF pass: 192.0.2.7 matches ip4:192.0.2.0/28 of example.org's record", "ip4:192.0.2.0/28"},
      {"198.51.100.1", "joe@example.org", "matched",
       "SPF pass: 198.51.100.1 matches include:_spf.example.net of example.org's record, through "
       "ip4:198.51.100.0/24 of _spf.example.net's",
       "include:_spf.example.net"},
      {"192.0.2.99", "joe@example.org", "matched",
       "SPF pass: 192.0.2.99 matches mx of example.org's record", "mx"},
      {"203.0.113.9", "joe@example.org", "matched_all",
       "SPF softfail: 203.0.113.9 matches no mechanism of example.org's record, which ends in ~all",
       "~all"},
      {"203.0.113.9", "joe@redir.example.org", "matched_all",
       "SPF softfail: 203.0.113.9 matches no mechanism of example.org's record, to which "
       "redir.example.org redirects, and which ends in ~all",
       "~all"},
      {"192.0.2.7", "joe@redir.example.org", "matched",
       "SPF pass: 192.0.2.7 matches ip4:192.0.2.0/28 of example.org's record, to which "
       "redir.example.org redirects",
       "ip4:192.0.2.0/28"},
      {"192.0.2.200", "joe@hard.example.org", "matched",
       "SPF fail: 192.0.2.200 matches -ip4:192.0.2.200 of hard.example.org's record",
       "-ip4:192.0.2.200"},
      {"192.0.2.7", "joe@open.example.org", "matched_all",
       "SPF pass: open.example.org's record lets every host send (+all)", "+all"},
      {"192.0.2.7", "joe@quiet.example.org", "no_match",
       "SPF neutral: 192.0.2.7 matches no mechanism of quiet.example.org's record, which does not "
       "say what to do then",
       ""},
      {"192.0.2.7", "joe@nothing.example.org", "no_record",
       "SPF none: nothing.example.org publishes no SPF record", ""},
      {"192.0.2.7", "joe@[192.0.2.7]", "no_domain",
       "SPF none: the sender's domain \"[192.0.2.7]\" is an address, not a name", ""},
      {"192.0.2.7", "joe@localhost", "no_domain",
       "SPF none: the sender's domain \"localhost\" has only one label", ""},
      {"192.0.2.7", "joe", "no_domain", "SPF none: the sender has no domain", ""},
      {"192.0.2.7", "joe@a..org", "no_domain",
       "SPF none: the sender's domain \"a..org\" cannot be a name in the DNS", ""},
      {"192.0.2.7", "joe@two.example.org", "many_records",
       "SPF permerror: two.example.org publishes 2 SPF records", ""},
      {"192.0.2.7", "joe@slow.example.org", "dns_failed",
       "SPF temperror: the DNS did not answer for the MX of dead.example.org (timeout), at "
       "mx:dead.example.org of slow.example.org",
       ""},
      {"192.0.2.7", "joe@dead.example.org", "dns_failed",
       "SPF temperror: the DNS did not answer for the SPF record of dead.example.org (timeout)",
       ""},
      {"192.0.2.7", "joe@hole.example.org", "included_no_record",
       "SPF permerror: nothing.example.org publishes no SPF record, by "
       "include:nothing.example.org of hole.example.org",
       ""},
      {"192.0.2.7", "joe@gone.example.org", "redirected_no_record",
       "SPF permerror: nothing.example.org publishes no SPF record, by "
       "redirect=nothing.example.org of gone.example.org",
       ""},
      {"192.0.2.7", "joe@inner.example.org", "syntax",
       "SPF permerror: bad.example.org's record is wrong at \"ip5:1\": there is no mechanism "
       "\"ip5\"; is ip4 meant?, by include:bad.example.org of inner.example.org",
       ""},
      {"192.0.2.7", "joe@void.example.org", "too_many_void_lookups",
       "SPF permerror: more than 2 lookups found nothing there, at a:n3.example.org of "
       "void.example.org",
       ""},
      {"192.0.2.7", "joe@ptr.example.org", "matched",
       "SPF pass: 192.0.2.7 matches ptr of ptr.example.org's record", "ptr"},
      {"192.0.2.7", "joe@p.example.org", "matched",
       "SPF pass: 192.0.2.7 matches exists:%{p}.ok.example.org of p.example.org's record",
       "exists:%{p}.ok.example.org"},
  };
  for (const auto& c : kCases) {
    const Spf spf = Check(c.client, c.sender);
    EXPECT_EQ(spf.explanation, c.explanation);
    EXPECT_EQ(spf.reason, c.reason) << c.sender;
    EXPECT_EQ(spf.mechanism, c.mechanism) << c.sender;
    EXPECT_TRUE(StartsWithIgnoreCase(spf.explanation, StrCat("SPF ", SpfResultName(spf.result))));
  }
}

TEST(SpfCheckTest, TellsTheRecordsOnTheWay) {
  const Spf spf = Check("198.51.100.1", "joe@redir.example.org");
  ASSERT_EQ(spf.steps.size(), 3u);
  EXPECT_EQ(spf.steps[0].domain, "redir.example.org");
  EXPECT_EQ(spf.steps[0].term, "redirect=example.org");
  EXPECT_EQ(spf.steps[1].record, "v=spf1 ip4:192.0.2.0/28 include:_spf.example.net mx ~all");
  EXPECT_EQ(spf.steps[1].term, "include:_spf.example.net");
  EXPECT_EQ(spf.steps[2].domain, "_spf.example.net");
  EXPECT_EQ(spf.steps[2].term, "ip4:198.51.100.0/24");
  EXPECT_EQ(spf.lookups, 2u);
  EXPECT_EQ(spf.void_lookups, 0u);
}

TEST(SpfCheckTest, ChecksTheHeloName) {
  const Spf helo = Check("192.0.2.7", "joe@hard.example.org", {}, SpfIdentity::kHelo);
  EXPECT_EQ(helo.result, SpfResult::kPass);
  EXPECT_EQ(helo.domain, "mail.example.com");
  const Spf bounce = Check("192.0.2.7", "");
  EXPECT_EQ(bounce.result, SpfResult::kPass);
  EXPECT_EQ(bounce.identity, SpfIdentity::kMailFrom);
  EXPECT_EQ(Check("192.0.2.7", "", {}, SpfIdentity::kMailFrom, "[192.0.2.7]").explanation,
            "SPF none: the client's HELO name \"[192.0.2.7]\" is an address, not a name");
  EXPECT_EQ(Check("192.0.2.7", "", {}, SpfIdentity::kHelo, "").explanation,
            "SPF none: the client gave no HELO name");
}

TEST(SpfCheckTest, GivesTheDomainsOwnText) {
  EXPECT_EQ(Check("192.0.2.1", "a+b@hard.example.org").published,
            "192.0.2.1 may not send for hard.example.org; see "
            "http://example.org/?s=a%2Bb%40hard.example.org");
  EXPECT_EQ(
      Check("192.0.2.1", "a+b@hard.example.org", SpfLimits{.max_explanation_bytes = 9}).published,
      "192.0.2.1");
  EXPECT_EQ(Check("192.0.2.7", "a@example.org").published, "");
}

TEST(SpfCheckTest, LimitsAreOptions) {
  const Spf loop = Check("192.0.2.7", "joe@loop.example.org");
  EXPECT_EQ(loop.reason, "too_many_lookups");
  EXPECT_EQ(loop.lookups, 10u);
  EXPECT_EQ(Check("192.0.2.7", "joe@loop.example.org", SpfLimits{.max_lookups = 3}).lookups, 3u);
  EXPECT_EQ(Check("192.0.2.7", "joe@loop.example.org", SpfLimits{.max_lookups = 1'000'000}).lookups,
            100u);
  EXPECT_EQ(Check("192.0.2.7", "joe@void.example.org", SpfLimits{.max_void_lookups = 3}).result,
            SpfResult::kFail);
  EXPECT_EQ(Check("192.0.2.7", "joe@ptr.example.org", SpfLimits{.max_ptr_names = 1}).result,
            SpfResult::kFail);
  EXPECT_EQ(Check("192.0.2.99", "joe@example.org", SpfLimits{.max_mx_names = 0}).reason,
            "too_many_mx_names");
}

// The names of the client's reverse zone are the client's own: three that lead nowhere would
// otherwise turn any fail of a domain with ptr into a permerror (RFC 7208 §5.5: they are skipped).
TEST(SpfCheckTest, AClientCannotSpendTheDomainsVoidLookups) {
  EXPECT_EQ(Check("192.0.2.7", "joe@ptr.example.org").void_lookups, 0u);
  EXPECT_EQ(Check("192.0.2.8", "joe@ptr.example.org").result, SpfResult::kFail);
}

// RFC 7208 §4.6.4 counts terms: an mx with exchanges that are gone is one of them.
TEST(SpfCheckTest, ATermCountsOnceAsVoid) {
  const Spf spf = Check("192.0.2.7", "joe@voidmx.example.org");
  EXPECT_EQ(spf.result, SpfResult::kPass) << spf.explanation;
  EXPECT_EQ(spf.void_lookups, 2u);
}

TEST(SpfCheckTest, InternationalAddresses) {
  EXPECT_EQ(Check("192.0.2.7", "joe@b\xc3\xbc\x63her.example").result, SpfResult::kPass);
  EXPECT_EQ(Check("192.0.2.7", "joe@b\xc3\xbc\x63her.example").domain, "xn--bcher-kva.example");
  EXPECT_EQ(Check("192.0.2.7", "joe@l.example.org").result, SpfResult::kPass);
  // RFC 8616 §4.
  EXPECT_EQ(Check("192.0.2.7", "jos\xc3\xa9@l.example.org").result, SpfResult::kFail);
  EXPECT_EQ(Check("192.0.2.7", "joe@\xff\xfe.example").reason, "no_domain");
}

TEST(SpfCheckTest, WhatCannotBeANameIsNotThere) {
  const std::string local(64, 'x');
  const Spf spf = Check("192.0.2.7", local + "@long.example.org");
  EXPECT_EQ(spf.reason, "malformed_domain");  // the include's; a: did not match
  EXPECT_EQ(spf.lookups, 2u);
  EXPECT_EQ(spf.void_lookups, 0u);
}

}  // namespace
}  // namespace postern::trust
