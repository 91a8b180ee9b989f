#include "lib/core/trust/dmarc_record.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

std::string Reasons(const DmarcRecord& record) {
  std::string out;
  for (const DmarcProblem& problem : record.problems)
    StrAppend(out, out.empty() ? "" : " ", problem.reason);
  return out;
}

TEST(DmarcRecordTest, OnlyTheVersionMakesARecord) {
  const struct {
    const char* text;
    bool is;
  } kCases[] = {
      {"v=DMARC1", true},
      {"v=DMARC1;", true},
      {"v = DMARC1 ; p=none", true},
      {"v=DMARC1x; p", false},
      {"v=dmarc1; p=none", false},
      {"p=none; v=DMARC1", false},
      {"", false},
      {"v=", false},
      {"v=DMARC1 p=none", false},
      {"v=spf1 -all", false},
      {";v=DMARC1", false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(IsDmarcRecord(c.text), c.is) << c.text;
    EXPECT_EQ(ParseDmarcRecord(c.text).has_value(), c.is) << c.text;
  }
}

TEST(DmarcRecordTest, ReadsEachTagAndWritesItBack) {
  const char* const kRecords[] = {
      "v=DMARC1; p=none",
      "v=DMARC1; p=quarantine; sp=reject; np=none; adkim=s; aspf=s; psd=y; t=y",
      ("v=DMARC1; p=reject; psd=n; rua=mailto:a@example.org,mailto:b@example.net!10485760; "
       "ruf=mailto:c@example.org; fo=1:d:s"),
      "v=DMARC1; p=reject; pct=50; rf=afrf; ri=3600",
      "v=DMARC1; rua=mailto:a@example.org",
  };
  for (const char* text : kRecords) {
    const std::optional<DmarcRecord> record = ParseDmarcRecord(text);
    ASSERT_TRUE(record) << text;
    EXPECT_EQ(FormatDmarcRecord(*record), text);
  }
}

TEST(DmarcRecordTest, ValuesHaveNoCaseButAddressesDo) {
  const DmarcRecord record =
      *ParseDmarcRecord("v=DMARC1;P=none;p=REJECT;adkim=S;rua=mailto:Ab@Example.ORG");
  EXPECT_EQ(record.p, DmarcPolicy::kReject);
  EXPECT_EQ(record.adkim, DmarcAlignment::kStrict);
  EXPECT_EQ(record.rua.at(0).mailbox, "Ab@Example.ORG");
  EXPECT_EQ(record.rua.at(0).Host(), "example.org");
  EXPECT_EQ(Reasons(record), "unknown_tag");
}

TEST(DmarcRecordTest, WhatIsWrongIsPassedOverAndTold) {
  const struct {
    const char* text;
    const char* reasons;
    bool usable;
    bool broken;
  } kCases[] = {
      {"v=DMARC1; p=none; adkim=x", "bad_value", true, false},
      {"v=DMARC1; p=none; x-y=1", "bad_tag_name", true, false},
      {"v=DMARC1; p=none; foo=1", "unknown_tag", true, false},
      {"v=DMARC1; p=none; p=reject", "repeated_tag", true, false},
      {"v=DMARC1; p=none; junk", "not_a_tag", true, false},
      {"v=DMARC1; p=none;; t=y", "empty_tag", true, false},
      {"v=DMARC1; p=none; pct=101", "bad_value", true, false},
      {"v=DMARC1; p=none; fo=01", "bad_value no_effect", true, false},
      {"v=DMARC1; p=none; ri=1", "historic_tag", true, false},
      {"v=DMARC1; p=none; rua=nobody", "bad_uri", true, false},
      {"v=DMARC1; p=none; rua=https://example.org/r", "unsupported_uri", true, false},
      {"v=DMARC1", "missing", false, true},
      {"v=DMARC1; p=foo", "bad_value", false, true},
      {"v=DMARC1; p=foo; rua=mailto:a@b", "bad_value", true, true},
      {"v=DMARC1; p=reject; sp=foo", "bad_value", false, true},
      {"v=DMARC1; p=reject; np=; rua=mailto:a@b", "bad_value", true, true},
  };
  for (const auto& c : kCases) {
    const DmarcRecord record = *ParseDmarcRecord(c.text);
    EXPECT_EQ(Reasons(record), c.reasons) << c.text;
    EXPECT_EQ(record.usable(), c.usable) << c.text;
    EXPECT_EQ(record.policy_broken, c.broken) << c.text;
  }
}

TEST(DmarcRecordTest, ThePolicyDependsOnWhoseMailItIs) {
  using Whose = DmarcRecord::Whose;
  const struct {
    const char* text;
    const char* itself;
    const char* subdomain;
    const char* missing;
  } kCases[] = {
      {"v=DMARC1; p=reject", "p=reject", "p=reject", "p=reject"},
      {"v=DMARC1; p=none; sp=reject", "p=none", "sp=reject", "sp=reject"},
      {"v=DMARC1; p=none; np=reject", "p=none", "p=none", "np=reject"},
      {"v=DMARC1; p=none; sp=quarantine; np=reject", "p=none", "sp=quarantine", "np=reject"},
      {"v=DMARC1; p=reject; sp=huh; rua=mailto:a@b", "p=none", "p=none", "p=none"},
  };
  for (const auto& c : kCases) {
    const DmarcRecord record = *ParseDmarcRecord(c.text);
    const auto show = [&record](Whose whose) {
      std::string_view tag;
      const std::string_view policy = DmarcPolicyName(record.PolicyFor(whose, &tag));
      return StrCat(tag, "=", policy);
    };
    EXPECT_EQ(show(Whose::kItself), c.itself) << c.text;
    EXPECT_EQ(show(Whose::kSubdomain), c.subdomain) << c.text;
    EXPECT_EQ(show(Whose::kMissingSubdomain), c.missing) << c.text;
  }
}

TEST(DmarcRecordTest, ReadsUris) {
  const struct {
    const char* text;
    const char* mailbox;  // null: refused
    uint64_t max_bytes;
  } kCases[] = {
      {"mailto:a@example.org", "a@example.org", 0},
      {"MAILTO:a%2Cb@example.org", "a,b@example.org", 0},
      {"mailto:a@example.org!10m", "a@example.org", 10u << 20},
      {"mailto:a@example.org!512", "a@example.org", 512},
      {"mailto:a@example.org?subject=x", "a@example.org", 0},
      {"https://example.org/r", "", 0},
      {"mailto:a@example.org!", nullptr, 0},
      {"mailto:a@example.org!10x", nullptr, 0},
      {"mailto:a@example.org!99999999999999999999t", nullptr, 0},
      {"mailto:nobody", nullptr, 0},
      {"mailto:@example.org", nullptr, 0},
      {"mailto:a@", nullptr, 0},
      {"mailto:a%0d%0aX@example.org", nullptr, 0},
      {"mailto:a%4@b", nullptr, 0},
      {"a@example.org", nullptr, 0},
      {":x", nullptr, 0},
      {"x:", nullptr, 0},
      {"", nullptr, 0},
  };
  for (const auto& c : kCases) {
    const std::optional<DmarcUri> uri = ParseDmarcUri(c.text);
    ASSERT_EQ(uri.has_value(), c.mailbox != nullptr) << c.text;
    if (!uri) continue;
    EXPECT_EQ(uri->mailbox, c.mailbox) << c.text;
    EXPECT_EQ(uri->max_bytes, c.max_bytes) << c.text;
  }
  EXPECT_EQ(ParseDmarcUri("https://u@Example.ORG:8443/r")->Host(), "example.org");
}

TEST(DmarcRecordTest, KeepsItsBounds) {
  DmarcRecordLimits limits;
  limits.max_tags = 2;
  limits.max_uris = 1;
  limits.max_problems = 2;
  const DmarcRecord record =
      *ParseDmarcRecord("v=DMARC1;p=none;rua=mailto:a@b,mailto:c@d;ruf=mailto:e@f;t=y", limits);
  EXPECT_EQ(record.rua.size(), 1u);
  EXPECT_FALSE(record.testing);
  EXPECT_EQ(Reasons(record), "too_many_uris too_many_tags");
  std::string hostile = "v=DMARC1";
  for (int i = 0; i < 60'000; ++i) hostile += ";";
  EXPECT_LE(ParseDmarcRecord(hostile)->problems.size(), 100u);
}

}  // namespace
}  // namespace postern::trust
