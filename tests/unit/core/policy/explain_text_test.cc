// Rules, and why they do not take a recipient, in words.
#include "lib/core/policy/explain_text.h"

#include "tests/unit/core/policy/policy_fixture.h"

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

TEST(ExplainText, Rules) {
  // What is read is what is said.
  const char* const rules[] = {
      "match from any for domain <ours> action \"in\"",
      "match !from src { \"192.0.2.0/24\", \"local\" } for any reject",
      "match from rdns regex \"x\" for local action \"out\"",
      "match for any auth tag \"T\" tls action \"out\"",
      "match from socket !for domain \"x.tld\" !auth \"u\" !tls reject",
      "match for any helo \"h\" mail-from regex <ours> rcpt-to \"@\" action \"in\"",
      "match reject",
  };
  std::string text =
      "listen on lo0 tag T\ntable ours { a, b }\naction \"in\" maildir \"/m/%{dest}\" junk user "
      "\"_vmail\"\naction \"out\" relay host \"smtps://l@h\" auth { l = \"u:p\" }\n";
  for (const char* rule : rules) StrAppend(text, rule, "\n");
  const Policy policy(text);
  for (size_t i = 0; i < std::size(rules); ++i)
    EXPECT_EQ(RuleText(*policy.config, policy.config->rules[i]), rules[i]);
  EXPECT_EQ(ActionText(*policy.config, policy.config->actions[0]),
            "action \"in\" maildir \"/m/%{dest}\" junk user \"_vmail\"");
  EXPECT_EQ(ActionText(*policy.config, policy.config->actions[1]),
            "action \"out\" relay host \"smtps://l@h\" auth { \"l\" = \"u:p\" }");
}

TEST(ExplainText, WhyNot) {
  struct Row {
    const char* rule;
    const char* failed;
    const char* why;
  };
  // A stranger without a login, from 203.0.113.9, for x@a.tld.
  const Row rows[] = {
      {"match for any reject", "from",
       "203.0.113.9 is not this machine (a rule without from is for local clients)"},
      {"match from local for any reject", "from", "203.0.113.9 is not this machine"},
      {"match from socket for any reject", "from", "203.0.113.9 is not the local socket"},
      {"match from src \"192.0.2.1\" for any reject", "from",
       "203.0.113.9 is not in \"192.0.2.1\""},
      {"match !from src \"203.0.113.0/24\" for any reject", "from",
       "203.0.113.9 is in \"203.0.113.0/24\""},
      {"match from rdns \"x\" for any reject", "from", "client.example.net is not in \"x\""},
      {"match !from rdns for any reject", "from", "203.0.113.9 has a name, client.example.net"},
      {"match from any for domain <t> reject", "for", "a.tld is not in <t>"},
      {"match from any for domain regex \"^b\" reject", "for", "a.tld does not match \"^b\""},
      {"match from any !for domain \"a.tld\" reject", "for", "a.tld is in \"a.tld\""},
      {"match from any reject", "for",
       "a.tld is not this machine's name (a rule without for is for local)"},
      {"match from any for local reject", "for", "a.tld is not this machine's name"},
      {"match from any for any auth reject", "auth", "the client has not logged in"},
      {"match from any for any auth \"u\" reject", "auth", "the client has not logged in"},
      {"match from any for any helo \"x\" reject", "helo", "\"helo.example.net\" is not in \"x\""},
      {"match from any for any mail-from \"x\" reject", "mail-from",
       "someone@example.net is not in \"x\""},
      {"match from any for any !rcpt-to \"@a.tld\" reject", "rcpt-to", "x@a.tld is in \"@a.tld\""},
      {"match from any for any tag T reject", "tag", "no tag is not in \"T\""},
      {"match from any for any tls reject", "tls", "the session has no TLS"},
  };
  for (const Row& row : rows) {
    const Policy policy(StrCat("listen on lo0 tag T\ntable t { b.tld, c.tld }\n", row.rule, "\n"));
    std::vector<RuleStep> steps;
    const EnvelopeContext context = Remote("x@a.tld");
    EXPECT_EQ(policy.ruleset->Match(context, &steps).outcome, RuleMatch::Outcome::kNone);
    ASSERT_EQ(steps.size(), 1u);
    EXPECT_EQ(steps[0].failed, row.failed) << row.rule;
    EXPECT_EQ(WhyNot(*policy.ruleset, policy.config->rules[0], steps[0].failed, context), row.why)
        << row.rule;
  }
}

// The trace of an expansion: rules, look-ups, accounts, and the rules again for what came out.
TEST(Trace, Expansion) {
  const Policy policy(
      "table v { \"bob@a.tld\" = \"alice, jdoe@b.tld\" }\naction box maildir virtual <v>\n"
      "action out relay\nmatch for domain x.tld reject\n"
      "match from any for domain a.tld action box\nmatch for any action out\n");
  FakeAccounts accounts;
  Trace trace;
  trace.steps.emplace_back();  // of another one
  ExpansionOptions options;
  options.trace = &trace;
  const Expansion expansion = Expand(*policy.ruleset, accounts, Remote("bob+x@a.tld"), options);
  ASSERT_EQ(expansion.destinations.size(), 2u);
  std::string said;
  for (const TraceStep& step : trace.steps) {
    switch (step.kind) {
      case TraceStep::Kind::kRules:
        StrAppend(said, "rules ", step.subject, step.internal ? " internal" : "");
        for (const RuleStep& rule : step.rules) StrAppend(said, " ", rule.rule, ":", rule.failed);
        break;
      case TraceStep::Kind::kLookup:
        StrAppend(said, "lookup ", step.subject, " ", step.key, " ", step.value.value_or("-"));
        break;
      case TraceStep::Kind::kAccount:
        StrAppend(said, "account ", step.key, " ", step.value.value_or("-"));
        break;
      case TraceStep::Kind::kForward:
        StrAppend(said, "forward ", step.key, " ", step.value.value_or("-"));
        break;
    }
    said += "\n";
  }
  EXPECT_EQ(said,
            "rules bob+x@a.tld 0:from 1:\n"
            "lookup bob+x@a.tld bob+x@a.tld -\n"
            "lookup bob+x@a.tld bob@a.tld alice, jdoe@b.tld\n"
            "lookup alice alice -\n"
            "account alice /home/alice\n"
            "forward alice -\n"
            "rules jdoe@b.tld internal 0:for 1:for 2:\n");
}

}  // namespace
}  // namespace postern::policy
