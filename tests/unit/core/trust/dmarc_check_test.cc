#include "lib/core/trust/dmarc_check.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

constexpr char kZone[] =
    "_dmarc.example.com. TXT \"v=DMARC1; p=reject; sp=quarantine; np=none\"\n"
    "example.com. A 192.0.2.1\n"
    "news.example.com. MX 10 mail.example.com.\n"
    "_dmarc.own.example.com. TXT \"v=DMARC1; p=none\"\n"
    "_dmarc.strict.example. TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"\n"
    "_dmarc.testing.example. TXT \"v=DMARC1; p=reject; t=y\"\n"
    "_dmarc.apart.example.com. TXT \"v=DMARC1; p=reject; psd=n\"\n"
    "_dmarc.suffix. TXT \"v=DMARC1; p=none; sp=reject; psd=y\"\n"
    "_dmarc.joined.example. TXT \"v=DMARC1; p=re\" \"ject\"\n"
    "_dmarc.twice.example. TXT \"v=DMARC1; p=reject\"\n"
    "_dmarc.twice.example. TXT \"v=DMARC1; p=none\"\n"
    "_dmarc.bad.example. TXT \"v=DMARC1; p=what\"\n"
    "_dmarc.slow.example. TIMEOUT\n"
    "_dmarc.x.halfslow.example. TXT \"v=DMARC1; p=reject\"\n"
    "_dmarc.halfslow.example. SERVFAIL\n"
    "_dmarc.org.co.uk. TXT \"v=DMARC1; p=reject\"\n"
    "blue.example._report._dmarc.red.example. TXT \"v=DMARC1\"\n"
    "blue.example._report._dmarc.green.example. TXT \"v=DMARC1; "
    "rua=mailto:other@green.example,mailto:x@evil.example\"\n"
    "blue.example._report._dmarc.slow2.example. TIMEOUT\n";

const dns::ZoneData& Zone() {
  static const auto* const zone = new dns::ZoneData(*dns::ZoneData::Parse(kZone));
  return *zone;
}

DmarcCheck Check(const std::string& from, const std::string& spf,
                 const std::vector<std::string>& dkim, DmarcOptions options = {}) {
  DmarcInput input;
  input.author = DmarcAuthorOf({from});
  // "?" stands for a check that failed for now.
  const auto identity = [](const std::string& text) {
    return text.starts_with('?') ? DmarcIdentity{text.substr(1), true} : DmarcIdentity{text, false};
  };
  if (!spf.empty()) input.spf = identity(spf);
  for (const std::string& domain : dkim) input.dkim.push_back(identity(domain));
  return dns::RunOnZone(Zone(), CheckDmarc(std::move(input), options));
}

std::string Text(const DmarcCheck& check) {
  return StrCat(DmarcResultName(check.result), " ", check.reason, " ",
                DmarcPolicyName(check.disposition));
}

TEST(DmarcCheckTest, JudgesAMessage) {
  const struct {
    const char* from;
    const char* spf;
    std::vector<std::string> dkim;
    const char* expected;
    const char* policy_tag;
  } kCases[] = {
      {"a@example.com", "example.com", {}, "pass aligned_spf none", "p"},
      {"a@Example.COM", "", {"example.com"}, "pass aligned_dkim none", "p"},
      {"a@example.com", "bounce.example.com", {"evil.example"}, "pass aligned_spf none", "p"},
      {"a@news.example.com", "example.com", {}, "pass aligned_spf none", "sp"},
      {"a@news.example.com", "other.example", {}, "fail not_aligned quarantine", "sp"},
      {"a@none.example.com", "", {}, "fail not_aligned none", "np"},
      {"a@example.com", "", {}, "fail not_aligned reject", "p"},
      {"a@own.example.com", "", {}, "fail not_aligned none", "p"},
      {"a@example.com", "", {"notexample.com"}, "fail not_aligned reject", "p"},
      // psd=n: an organisation of its own below another one.
      {"a@example.com", "apart.example.com", {}, "fail not_aligned reject", "p"},
      {"a@apart.example.com",
       "example.com",
       {"x.apart.example.com"},
       "pass aligned_dkim none",
       "p"},
      // psd=y: the organisation is one label below; its policy comes from the suffix.
      {"a@shop.suffix", "mail.shop.suffix", {}, "pass aligned_spf none", "sp"},
      {"a@shop.suffix", "other.suffix", {}, "fail not_aligned reject", "sp"},
      {"a@suffix", "suffix", {}, "pass aligned_spf none", "p"},
      {"a@suffix", "shop.suffix", {}, "fail not_aligned none", "p"},
      {"a@strict.example",
       "mail.strict.example",
       {"x.strict.example"},
       "fail not_aligned reject",
       "p"},
      {"a@strict.example",
       "mail.strict.example",
       {"strict.example"},
       "pass aligned_dkim none",
       "p"},
      {"a@testing.example", "", {}, "fail not_aligned none", "p"},
      {"a@joined.example", "", {}, "fail not_aligned reject", "p"},
      {"a@nothing.example", "nothing.example", {}, "none no_record none", ""},
      {"a@twice.example", "twice.example", {}, "none several_records none", ""},
      {"a@bad.example", "bad.example", {}, "none bad_record none", ""},
      {"a@slow.example", "slow.example", {}, "temperror dns_error none", ""},
      {"a@x.halfslow.example", "x.halfslow.example", {}, "pass aligned_spf none", "p"},
      {"a@x.halfslow.example", "halfslow.example", {}, "temperror identity_temperror none", "p"},
      {"a@example.com", "?example.com", {}, "temperror identity_temperror none", "p"},
      {"a@example.com", "?example.com", {"example.com"}, "pass aligned_dkim none", "p"},
      {"a@example.com", "?evil.example", {}, "fail not_aligned reject", "p"},
      {"a@example.com", "", {"?mail.example.com"}, "temperror identity_temperror none", "p"},
      {"a@1.2.3.4.5.6.7.8.9.example.com", "example.com", {}, "pass aligned_spf none", "np"},
      {"a@example.com, b@example.com", "example.com", {}, "pass aligned_spf none", "p"},
      {"a@example.com, b@other.example", "example.com", {}, "none from_several_domains none", ""},
      {"group: ;", "example.com", {}, "none from_without_domain none", ""},
      {"g: a@example.com;", "example.com", {}, "pass aligned_spf none", "p"},
      {"a@[192.0.2.1]", "", {}, "none from_literal none", ""},
      {"nobody", "", {}, "none from_without_domain none", ""},
      {"a@bücher.example", "", {}, "none no_record none", ""},
      {"a@under_score.example.com", "", {}, "fail not_aligned none", "np"},
      {"a@b!c.example.com", "", {}, "permerror from_bad_domain none", ""},
      {"a@..", "", {}, "permerror from_bad_domain none", ""},
  };
  for (const auto& c : kCases) {
    const DmarcCheck check = Check(c.from, c.spf, c.dkim);
    EXPECT_EQ(Text(check), c.expected) << c.from << " " << c.spf;
    EXPECT_EQ(check.policy_tag, c.policy_tag) << c.from << " " << c.spf;
    EXPECT_TRUE(
        check.explanation.starts_with(StrCat("DMARC ", DmarcResultName(check.result), ": ")))
        << check.explanation;
  }
}

TEST(DmarcCheckTest, SaysWhyInASentence) {
  EXPECT_EQ(Check("a@example.com", "bounce.example.net", {"evil.example"}).explanation,
            "DMARC fail: SPF passed for bounce.example.net, which is not aligned with example.com "
            "(relaxed); "
            "DKIM passed for evil.example, not aligned with example.com (relaxed); "
            "example.com asks to reject such mail (p=reject)");
}

TEST(DmarcCheckTest, FindsOneAuthor) {
  const struct {
    const char* header;
    const char* domain;
    const char* reason;
    bool broken;
  } kCases[] = {
      {"Subject: x\r\n\r\n", "", "from_missing", true},
      {"From: a@example.com\r\nFrom: b@example.com\r\n\r\n", "example.com", "", false},
      {"From: a@example.com\r\nFrom: b@example.net\r\n\r\n", "", "from_repeated", true},
      {"from : \"x@evil.example\" <a@example.com>\r\n\r\n", "example.com", "", false},
      {"From: a@b\xc3\xbc"
       "cher.example\r\n\r\n",
       "xn--bcher-kva.example", "", false},
      {"From: a@b\xc3\x28.example\r\n\r\n", "", "from_bad_domain", true},
  };
  for (const auto& c : kCases) {
    const DmarcAuthor author = FindDmarcAuthor(message::ParseHeader(c.header));
    EXPECT_EQ(author.domain, c.domain) << c.header;
    EXPECT_EQ(author.reason, c.reason) << c.header;
    EXPECT_EQ(author.broken, c.broken) << c.header;
  }
}

TEST(DmarcCheckTest, AWalkAsksAtMostEightTimes) {
  const DmarcDiscovery walk =
      dns::RunOnZone(Zone(), DiscoverDmarc("a.b.c.d.e.f.g.h.i.j.mail.example.com"));
  std::string names;
  for (const DmarcStep& step : walk.steps) StrAppend(names, step.name, " ");
  EXPECT_EQ(names,
            "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com _dmarc.g.h.i.j.mail.example.com "
            "_dmarc.h.i.j.mail.example.com "
            "_dmarc.i.j.mail.example.com _dmarc.j.mail.example.com _dmarc.mail.example.com "
            "_dmarc.example.com _dmarc.com ");
  EXPECT_EQ(walk.queries, 8u);
  EXPECT_EQ(walk.organizational_domain, "example.com");
}

TEST(DmarcCheckTest, ManySignaturesCostABoundedNumberOfQuestions) {
  std::vector<std::string> dkim;
  for (int i = 0; i < 5'000; ++i) dkim.push_back(StrCat("a.b.c.d.e.f.x", i, ".example.com"));
  const DmarcCheck check = Check("a@example.com", "", dkim);
  EXPECT_LE(check.queries, 60u);
  EXPECT_EQ(Text(check), "pass aligned_dkim none");
  // Domains elsewhere cost nothing at all.
  for (std::string& domain : dkim) domain += ".evil.example";
  EXPECT_EQ(Check("a@example.com", "", dkim).queries, 2u);
}

TEST(DmarcCheckTest, FindsOrganizationsByAListWhenAsked) {
  const StatusOr<PublicSuffixList> list = PublicSuffixList::Parse("com\nuk\nco.uk\nexample\n");
  ASSERT_TRUE(list.ok());
  DmarcOptions options;
  options.method = DmarcMethod::kPublicSuffixList;
  options.suffixes = &*list;
  EXPECT_EQ(Text(Check("a@x.y.org.co.uk", "z.org.co.uk", {}, options)), "pass aligned_spf none");
  EXPECT_EQ(Text(Check("a@x.y.org.co.uk", "other.co.uk", {}, options)), "fail not_aligned reject");
  // Only two questions: the domain and its organisation.
  EXPECT_EQ(Check("a@x.y.org.co.uk", "", {}, options).queries, 2u);
  // psd=n is of the tree walk.
  EXPECT_EQ(Text(Check("a@example.com", "apart.example.com", {}, options)),
            "pass aligned_spf none");
}

TEST(DmarcCheckTest, ReportsGoOnlyWhereTheyAreWanted) {
  const struct {
    const char* domain;
    const char* uri;
    const char* reason;
    bool allowed;
    const char* instead;
  } kCases[] = {
      {"blue.example", "mailto:r@blue.example", "same_organization", true, ""},
      {"mail.example.com", "mailto:r@example.com", "same_organization", true, ""},
      {"blue.example", "mailto:r@red.example", "authorized", true, ""},
      {"blue.example", "mailto:r@green.example", "authorized", true, "other@green.example"},
      {"blue.example", "mailto:r@yellow.example", "not_authorized", false, ""},
      {"blue.example", "mailto:r@slow2.example", "dns_error", false, ""},
  };
  for (const auto& c : kCases) {
    const DmarcDestination destination =
        dns::RunOnZone(Zone(), VerifyDmarcDestination(c.domain, *ParseDmarcUri(c.uri)));
    EXPECT_EQ(destination.reason, c.reason) << c.uri;
    EXPECT_EQ(destination.allowed, c.allowed) << c.uri;
    ASSERT_EQ(destination.instead.size(), *c.instead != '\0' ? 1u : 0u) << c.uri;
    if (!destination.instead.empty()) {
      EXPECT_EQ(destination.instead[0].mailbox, c.instead);
    }
  }
}

}  // namespace
}  // namespace postern::trust
