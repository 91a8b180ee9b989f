// The index over the rules against the plain walk: the same rule for every envelope, and the same
// error when a table fails.
#include "lib/core/policy/rule_index.h"

#include "tests/unit/core/policy/policy_fixture.h"
#include <random>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

using Outcome = RuleMatch::Outcome;

// FlakyTable fails each question about a key that begins with 'f'; it has all that begin with 'a'.
class FlakyTable final : public Table {
 public:
  StatusOr<std::optional<std::string>> Lookup(Service, std::string_view key) override {
    ++questions;
    if (!key.empty() && key[0] == 'f') return Unavailable("away");
    if (!key.empty() && key[0] == 'a') return std::optional<std::string>("");
    return std::optional<std::string>();
  }
  StatusOr<std::optional<std::string>> Fetch(Service) override {
    return std::optional<std::string>();
  }
  int questions = 0;
};

// Maker writes rules and envelopes from few words, so that they meet often.
class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  std::string Pick(const std::vector<std::string>& words) { return words[Below(words.size())]; }

  std::string Domain() {
    return Pick({"a.org", "b.org", "m.a.org", "f.net", "x.f.net", "org", "n.m.a.org"});
  }
  std::string DomainEntry() {
    return Pick(
        {"a.org", "B.org", "*.a.org", "*.org", "*", "f.net", "*.*.org", "m*.org", "*.f.net"});
  }
  std::string User() { return Pick({"ann", "bob", "fred", "bob+t", "ann+x"}); }
  std::string Mailbox() { return Below(8) == 0 ? "" : StrCat(User(), "@", Domain()); }
  std::string MailEntry() {
    switch (Below(5)) {
      case 0: return User();
      case 1: return StrCat("@", DomainEntry());
      case 2: return "@";
      default: return StrCat(User(), "@", DomainEntry());
    }
  }
  std::string Network() {
    return Pick({"192.0.2.0/24", "192.0.2.7", "0.0.0.0/0", "local", "2001:db8::/32",
                 "[2001:db8::1]", "198.51.100.0/25", "203.0.113.9"});
  }
  template <typename Entry>
  std::string Table(Entry entry) {
    std::string text = "{ ";
    for (size_t i = Below(3) + 1; i > 0; --i) StrAppend(text, "\"", entry(), i > 1 ? "\", " : "\"");
    return text + " }";
  }
  std::string Not() { return Below(5) == 0 ? "!" : ""; }

  std::string Rule() {
    std::string rule = "match";
    switch (Below(7)) {
      case 0: break;
      case 1: StrAppend(rule, " ", Not(), "from local"); break;
      case 2: StrAppend(rule, " ", Not(), "from socket"); break;
      case 3:
      case 4: StrAppend(rule, " ", Not(), "from src ", Table([&] { return Network(); })); break;
      case 5:
        StrAppend(rule, " ", Not(), "from rdns ", Table([&] { return DomainEntry(); }));
        break;
      default: StrAppend(rule, " from any"); break;
    }
    switch (Below(5)) {
      case 0: break;
      case 1: StrAppend(rule, " ", Not(), "for domain <flaky>"); break;
      case 2: StrAppend(rule, " for any"); break;
      default: StrAppend(rule, " ", Not(), "for domain ", Table([&] { return DomainEntry(); }));
    }
    if (Below(6) == 0) StrAppend(rule, " ", Not(), "auth { \"ann\", \"bob@a.org\" }");
    if (Below(6) == 0) StrAppend(rule, " ", Not(), "tag { \"one\", \"Two\" }");
    if (Below(6) == 0) StrAppend(rule, " ", Not(), "helo ", Table([&] { return DomainEntry(); }));
    if (Below(8) == 0) StrAppend(rule, " ", Not(), "tls");
    if (Below(4) == 0)
      StrAppend(rule, " ", Not(), "mail-from ", Table([&] { return MailEntry(); }));
    if (Below(12) == 0) StrAppend(rule, " ", Not(), "mail-from regex { \"^a\", \"b$\" }");
    if (Below(5) == 0) StrAppend(rule, " ", Not(), "rcpt-to ", Table([&] { return MailEntry(); }));
    if (Below(10) == 0) StrAppend(rule, " ", Not(), "rcpt-to <shared>");
    return rule;
  }

  EnvelopeContext Envelope() {
    EnvelopeContext c;
    c.is_local_socket = Below(8) == 0;
    c.is_internal = Below(8) == 0;
    c.remote = *IpAddress::Parse(
        Pick({"192.0.2.7", "192.0.2.200", "203.0.113.9", "2001:db8::1", "127.0.0.1"}));
    c.reverse_name = Below(3) == 0 ? "" : Domain();
    c.helo = Domain();
    c.authenticated = Below(3) == 0;
    if (c.authenticated) c.auth_user = Pick({"ann", "Bob@a.org", "carl"});
    c.tag = Pick({"", "one", "TWO"});
    c.tls = Below(2) == 0;
    c.sender = MakeAddress(Mailbox());
    c.recipient = MakeAddress(StrCat(User(), "@", Domain()));
    return c;
  }

 private:
  std::mt19937 random_;
};

TEST(RuleIndex, AgreesWithTheWalk) {
  int matched = 0;
  int failed = 0;
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    Maker maker(seed);
    std::string text =
        "table flaky { \"x\" }\n"
        "table shared { \"ann\", \"@*.org\" }\n"
        "action \"a\" relay\n";
    for (int i = 0; i < 40; ++i) {
      std::string rule = maker.Rule();
      // The parser takes each option once.
      if (rule.find("mail-from") != rule.rfind("mail-from")) continue;
      if (rule.find("rcpt-to") != rule.rfind("rcpt-to")) continue;
      StrAppend(text, rule, maker.Below(4) == 0 ? " reject\n" : " action \"a\"\n");
    }
    Policy policy(text);
    const auto flaky = std::make_shared<FlakyTable>();
    const TableId id = policy.config->FindTable("flaky");
    policy.tables.tables[static_cast<size_t>(id)] = flaky;
    LocalNames local;
    local.server_name = "a.org";
    const Ruleset ruleset(policy.config.get(), &policy.tables, local);
    for (int i = 0; i < 60; ++i) {
      const EnvelopeContext envelope = maker.Envelope();
      const RuleMatch by_walk = ruleset.MatchByWalk(envelope);
      const RuleMatch by_index = ruleset.Match(envelope);
      ASSERT_EQ(by_index.rule_index, by_walk.rule_index) << "seed " << seed << "\n" << text;
      ASSERT_EQ(by_index.outcome, by_walk.outcome);
      ASSERT_EQ(by_index.error, by_walk.error);
      matched += by_walk.rule != nullptr ? 1 : 0;
      failed += by_walk.outcome == Outcome::kTemporary ? 1 : 0;
    }
  }
  // The envelopes reach into the rules, and the failures are among them.
  EXPECT_GT(matched, 3000);
  EXPECT_GT(failed, 100);
}

// A long file is read to its end, however many warnings its lines give.
TEST(RuleIndex, AListWithAWarningForEachRuleIsWhole) {
  std::string text = "action \"a\" relay\n";
  for (int i = 0; i < 500; ++i) {
    StrAppend(text, "table <t", i, "> { \"u", i, "@x.org\" }\n");
    StrAppend(text, "match from any for any mail-from <t", i, "> action \"a\"\n");
  }
  MemoryLoader loader("smtpd.conf", text);
  const ParseResult result = Parse("smtpd.conf", loader);
  ASSERT_NE(result.config, nullptr);
  EXPECT_EQ(result.config->rules.size(), 500u);
  EXPECT_EQ(result.diagnostics.size(), 101u);
  Policy policy(text);
  EnvelopeContext envelope = Remote("ann@d.org");
  envelope.sender = {"u499", "x.org"};
  EXPECT_EQ(policy.ruleset->Match(envelope).rule_index, 499);
}

TEST(RuleIndex, AsksNothingOfOtherRules) {
  std::string text = "table flaky { \"x\" }\naction \"a\" relay\n";
  for (int i = 0; i < 200; ++i)
    StrAppend(text, "match from any for domain \"d", i, ".org\" rcpt-to <flaky> action \"a\"\n");
  Policy policy(text);
  const auto flaky = std::make_shared<FlakyTable>();
  policy.tables.tables[static_cast<size_t>(policy.config->FindTable("flaky"))] = flaky;
  const Ruleset ruleset(policy.config.get(), &policy.tables, {});
  EXPECT_EQ(ruleset.Match(Remote("ann@d77.org")).rule_index, 77);
  EXPECT_EQ(ruleset.Match(Remote("fred@d78.org")).outcome, Outcome::kTemporary);
  EXPECT_EQ(ruleset.Match(Remote("ann@other.org")).rule, nullptr);
  EXPECT_EQ(flaky->questions, 2);
}

}  // namespace
}  // namespace postern::policy
