// What a file means that its operator may not have meant: each finding where it is due, and none
// where it is not.
#include "lib/core/policy/advice.h"

#include "tests/unit/core/policy/policy_fixture.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/rule_cover.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;

// Codes gives "code:line" of each finding, those of codes in `of` alone.
std::string Codes(const Diagnostics& found, const std::string& of) {
  std::string out;
  for (const Diagnostic& d : found) {
    if (d.code != of) continue;
    StrAppend(out, out.empty() ? "" : " ", d.location.line);
    EXPECT_FALSE(d.edit.empty()) << d.ToString();
  }
  return out;
}

std::string Listing(const Diagnostics& found) {
  std::string out;
  for (const Diagnostic& d : found) StrAppend(out, d.ToString(), " [", d.code, "]\n");
  return out;
}

struct Case {
  const char* text;
  const char* lines;  // of the findings
};

void Check(const Case& test, const std::string& front, const char* code) {
  const Policy policy(StrCat(front, test.text));
  const Diagnostics found = Advise(*policy.ruleset);
  EXPECT_EQ(Codes(found, code), test.lines) << test.text << Listing(found);
}

TEST(Advice, OpenRelay) {
  // 1: strangers; 2: after a login; 3: this machine; 4: a tag; 5 and 6: actions
  const std::string front =
      "listen on eth0\npki x cert \"/c\" key \"/k\"\n"
      "listen on eth0 port 587 tls-require pki x auth\nlisten on lo0 port 10028 tag DKIM\n"
      "action \"out\" relay\naction \"in\" mbox\n";
  const Case cases[] = {
      {"match from any for any action out\n", "7"},
      {"match from any auth for any action out\n", ""},
      {"match from any !auth for any action out\n", "7"},
      {"match for any action out\n", ""},
      {"match from any for any action in\n", ""},
      {"match from any for any reject\n", ""},
      {"match from any for local action out\n", ""},
      // order
      {"match from any for any reject\nmatch from any for any action out\n", ""},
      {"match !from local for any reject\nmatch from any for any action out\n", ""},
      {"match from any for domain x.tld reject\nmatch from any for any action out\n", "8"},
      {"match !from local !auth for any reject\nmatch from any for any action out\n", ""},
      // sources
      {"match from src \"192.0.2.0/24\" for any action out\n", ""},
      {"match from src { \"0.0.0.0/0\", \"::/0\" } for any action out\n", "7"},
      {"match from src \"0.0.0.0/0\" for any action out\n", "7"},
      {"match from src \"::/0\" for any action out\n", "7"},
      {"match from src \"::/64\" for any action out\n", ""},
      {"match !from src \"192.0.2.0/24\" for any action out\n", "7"},
      {"match !from local for any action out\n", "7"},
      {"match from rdns for any action out\n", "7"},
      {"match from rdns \"*.example.org\" for any action out\n", ""},
      {"match from src \"10.0.0.0/7\" for any action out\n", "7"},
      {"match from src { \"10.0.0.0/8\", \"172.16.0.0/11\" } for any action out\n", "7"},
      {"match from src { \"10.0.0.0/8\", \"192.168.0.0/16\", \"fd00::/8\" } for any action out\n",
       ""},
      {"match from src \"2001:db8::/32\" for any action out\n", ""},
      {"match from src \"2000::/16\" for any action out\n", "7"},
      {"match from rdns regex \"example\" for any action out\n", "7"},
      {"match from rdns regex \"example.org\" for any action out\n", "7"},
      {"match from rdns regex \"(^|\\.)example\\.org\" for any action out\n", "7"},
      {"match from rdns regex \"\\.example\\.org$\" for any action out\n", ""},
      {"match from rdns regex { \"^mx[.]example[.]org$\", \"[.]b[.]tld$\" } for any action out\n",
       ""},
      {"match from socket for any action out\n", ""},
      // destinations
      {"match from any for domain { a.tld, b.tld } action out\n", ""},
      {"match from any !for domain { a.tld, b.tld } action out\n", "7"},
      {"match from any for domain \"*\" action out\n", "7"},
      {"match from any for domain \"*.com\" action out\n", "7"},
      {"match from any for domain regex \".*\" action out\n", "7"},
      {"match from any for domain regex \"^a[.]tld$\" action out\n", ""},
      {"match from any for domain regex \"example.org\" action out\n", "7"},
      {"match from any for domain regex \"example.org$\" action out\n", "7"},
      {"match from any for domain regex \"(^|[.])example[.]org$\" action out\n", ""},
      {"match from any for rcpt-to \"@\" action out\n", "7"},
      {"match from any for rcpt-to { \"@a.tld\" } action out\n", ""},
      {"match from any !for rcpt-to { \"@a.tld\" } action out\n", "7"},
      {"match from any !for local action out\n", "7"},
      // what the client says of itself keeps nobody out
      {"match from any mail-from \"@athome.tld\" for any action out\n", "7"},
      {"match from any helo \"friend.tld\" for any action out\n", "7"},
      {"match from any helo \"*.friend.tld\" mail-from \"boss@x.tld\" for any action out\n", "7"},
      {"match from mail-from \"@x.tld\" for any action out\n", "7"},
      // tags: only this machine reaches the listener that has it
      {"match from any tag DKIM for any action out\n", ""},
      {"match from any !tag DKIM for any action out\n", "7"},
      {"match from any tls for any action out\n", ""},
      // all that are open are told
      {"match from any for domain \"*.com\" action out\nmatch from any for any action out\n",
       "7 8"},
  };
  for (const Case& test : cases) Check(test, front, "open-relay");
}

// Doors that strangers do not come in by.
TEST(Advice, OpenRelayNeedsADoor) {
  const std::string back = "action \"out\" relay\nmatch from any for any action out\n";
  const std::pair<const char*, bool> doors[] = {
      {"listen on eth0\n", true},
      {"listen on lo0\n", false},
      {"listen on 127.0.0.1\nlisten on ::1\n", false},
      {"listen on socket\n", false},
      {"pki x cert \"/c\" key \"/k\"\nlisten on eth0 tls pki x auth\n", false},
      {"pki x cert \"/c\" key \"/k\"\nlisten on eth0 tls pki x auth-optional\n", true},
      {"pki x cert \"/c\" key \"/k\"\nlisten on eth0 smtps pki x\n", true},
      {"pki x cert \"/c\" key \"/k\"\nlisten on eth0 smtps verify pki x\n", false},
      {"filter f phase connect match !src \"192.0.2.0/24\" disconnect \"550 no\"\n"
       "listen on eth0 filter f\n",
       false},
      {"filter f phase connect match src \"192.0.2.0/24\" disconnect \"550 no\"\n"
       "listen on eth0 filter f\n",
       true},
  };
  for (const auto& [door, open] : doors) {
    const Policy policy(door + back);
    EXPECT_EQ(!FindOpenRelay(*policy.ruleset).empty(), open) << door;
  }
  // A listener has clients of its own family.
  const std::pair<const char*, bool> families[] = {
      {"listen on 192.0.2.25\n", false},
      {"listen on 0.0.0.0\n", false},
      {"listen on eth0 inet4\n", false},
      {"listen on eth0\n", true},
      {"listen on eth0 inet6\n", true},
      {"listen on 2001:db8::25\n", true},
      {"listen on 192.0.2.25 proxy-v2\n", true},
      {"listen on 192.0.2.25\nlisten on 2001:db8::25\n", true},
  };
  for (const auto& [door, open] : families) {
    const Policy policy(
        StrCat(door, "action \"out\" relay\nmatch from src \"::/0\" for any action out\n"));
    const Diagnostics found = FindOpenRelay(*policy.ruleset);
    EXPECT_EQ(!found.empty(), open) << door;
    if (open && !found.empty()) {
      EXPECT_THAT(found[0].message, HasSubstr("mail from 2")) << door;
    }
  }
}

TEST(Advice, OpenRelayTellsTheEnvelope) {
  const Policy policy("listen on eth0\naction \"out\" relay\nmatch from any for any action out\n");
  const Diagnostics found = FindOpenRelay(*policy.ruleset);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].severity, Severity::kWarning);
  EXPECT_THAT(found[0].ToString(), HasSubstr("smtpd.conf:3:1: warning: open relay: "));
  EXPECT_THAT(found[0].message, HasSubstr("by the listener at line 1 and without a login"));
  EXPECT_THAT(found[0].edit, HasSubstr("match from auth for any action \"out\""));
}

TEST(Advice, RulesThatNeverMatch) {
  const std::string front =
      "listen on eth0\npki x cert \"/c\" key \"/k\"\nlisten on eth0 port 587 tls pki x tag SUB\n"
      "table t { a.tld, b.tld }\naction \"out\" relay\naction \"in\" mbox\n";
  const Case cases[] = {
      {"match from any for any action in\nmatch from any for domain x.tld action out\n", "8"},
      {"match for any action in\nmatch from any for any action out\n", ""},
      {"match from any for any action in\nmatch for any action out\n", "8"},
      {"match for local action in\nmatch for any action out\n", ""},
      {"match for any action in\nmatch for local action out\n", "8"},
      {"match auth for any action in\nmatch for any action out\n", ""},
      {"match for any action in\nmatch auth for any action out\n", "8"},
      {"match for any action in\nmatch from auth for any action out\n", ""},
      {"match from local for any action in\nmatch from socket for any action out\n", "8"},
      {"match from local for any action in\nmatch from src \"127.0.0.1\" for any action out\n",
       "8"},
      {"match from local for any action in\nmatch from src \"127.0.0.0/7\" for any action out\n",
       ""},
      {"match from local for any action in\nmatch from src \"192.0.2.1\" for any action out\n", ""},
      {"match !from local for any action in\nmatch !from local for any action out\n", "8"},
      {"match !from local for any action in\nmatch from any for any action out\n", ""},
      // networks
      {"match from src \"10.0.0.0/8\" for any action in\n"
       "match from src { \"10.1.0.0/16\", \"10.2.3.4\" } for any action out\n",
       "8"},
      {"match from src \"10.1.0.0/16\" for any action in\n"
       "match from src \"10.0.0.0/8\" for any action out\n",
       ""},
      {"match !from src { \"10.0.0.0/8\" } for any action in\n"
       "match !from src { \"10.0.0.0/8\", \"192.0.2.1\" } for any action out\n",
       "8"},
      {"match !from src { \"10.0.0.0/8\", \"192.0.2.1\" } for any action in\n"
       "match !from src { \"10.0.0.0/8\" } for any action out\n",
       ""},
      // domains
      {"match for domain <t> action in\nmatch for domain <t> action out\n", "8"},
      {"match for domain <t> action in\nmatch for domain A.tld action out\n", "8"},
      {"match for domain <t> action in\nmatch for domain { a.tld, c.tld } action out\n", ""},
      {"match for domain \"*.tld\" action in\nmatch for domain <t> action out\n", "8"},
      {"match for domain \"*.tld\" action in\nmatch for domain \"*.tld\" action out\n", "8"},
      {"match for domain \"*.tld\" action in\nmatch for domain \"*.b.tld\" action out\n", ""},
      {"match for domain \"*\" action in\nmatch for domain \"*.b.tld\" action out\n", "8"},
      {"match for domain \"*\" action in\nmatch for domain regex \".\" action out\n"
       "match for any rcpt-to regex \".*\" action out\nmatch for local action out\n",
       "8 9 10"},
      {"match for domain { \"*\", a.tld } action in\nmatch !for domain <t> action out\n", "8"},
      {"match from any for domain \"*\" action in\nmatch for any action out\n", "8"},
      {"match !for domain \"*\" action in\nmatch for any action out\n", ""},
      {"match !for domain <t> action in\nmatch !for domain <t> action out\n", "8"},
      {"match for domain <t> action in\nmatch !for domain <t> action out\n", ""},
      {"match for local action in\nmatch for domain mail.athome.tld action out\n", "8"},
      {"match for local action in\nmatch for domain athome.tld action out\n", ""},
      {"match for domain regex \"a\" action in\nmatch for domain regex \"a\" action out\n", ""},
      {"match for domain regex <t> action in\nmatch for domain regex <t> action out\n", "8"},
      {"match for domain regex <t> action in\nmatch for domain <t> action out\n", ""},
      // addresses, logins, names
      {"match for any rcpt-to \"@a.tld\" action in\nmatch for any rcpt-to \"u@a.tld\" action out\n",
       "8"},
      {"match for any rcpt-to \"u@a.tld\" action in\nmatch for any rcpt-to \"@a.tld\" action out\n",
       ""},
      {"match for any rcpt-to \"u\" action in\nmatch for any rcpt-to \"u@a.tld\" action out\n",
       "8"},
      {"match for any mail-from \"@\" action in\nmatch for any mail-from \"x\" action out\n", "8"},
      {"match for any mail-from \"u+x@a.tld\" action in\n"
       "match for any mail-from \"u@a.tld\" action out\n",
       ""},
      {"match for any auth action in\nmatch for any auth <t> action out\n", "8"},
      {"match for any auth <t> action in\nmatch for any auth action out\n", ""},
      {"match for any !auth <t> action in\nmatch for any !auth action out\n", "8"},
      {"match for any !auth action in\nmatch for any !auth <t> action out\n", ""},
      {"match for any helo \"*.x\" action in\nmatch for any helo \"a.x\" action out\n", "8"},
      {"match for any tls action in\nmatch for any tls action out\n", "8"},
      {"match for any tls action in\nmatch for any !tls action out\n", ""},
      {"match for any tag SUB action in\nmatch for any tag SUB auth action out\n", "8"},
      {"match from rdns for any action in\nmatch from rdns \"*.x.y\" for any action out\n", "8"},
      {"match from rdns for any action in\nmatch from rdns \"*\" for any action out\n", ""},
      // what no session here has
      {"match tag SBU for any action in\n", "7"},
      {"match !tag SBU for any action in\n", ""},
      {"match tag regex \"^S\" for any action in\n", ""},
      {"match tag regex \"^X\" for any action in\n", "7"},
      {"match !from any for any action in\n", "7"},
      {"match from any !for any action in\n", "7"},
      // a rule that never matches shadows none
      {"match !from any for any action in\nmatch for any action in\n", "7"},
      {"match for any action in\nmatch for any action in\nmatch for local action in\n", "8 9"},
  };
  for (const Case& test : cases) Check(test, front, "never-matches");
}

// Ten thousand rules for a domain each, and among them what is wrong: told as among three, soon.
TEST(Advice, ManyRules) {
  std::string text = "listen on eth0\naction \"out\" relay\naction \"in\" mbox\n";
  for (int i = 0; i < 10000; ++i)
    StrAppend(text, "match from any for domain d", i, ".tld action ", i % 2 ? "in" : "out", "\n");
  StrAppend(text, "match from any for domain D77.tld action in\n",
            "match from any for domain \"*.com\" action out\n",
            "match from any for domain x.com action in\n");
  const Policy policy(text);
  const Diagnostics found = Advise(*policy.ruleset);
  EXPECT_EQ(Codes(found, "never-matches"), "10004 10006");
  EXPECT_EQ(Codes(found, "open-relay"), "10005");
  EXPECT_EQ(found[0].message.find("line 81 "),
            std::string("this rule can never match: the rule at ").size());
}

TEST(Advice, RulesForTlsWithoutListener) {
  Check({"match tls for any action in\n", "3"}, "listen on eth0\naction in mbox\n",
        "never-matches");
  Check({"match !tls for any action in\n", ""}, "listen on eth0\naction in mbox\n",
        "never-matches");
}

// What Covers says yes to holds for every envelope that is tried: a rule that is covered never
// takes what the other leaves.
TEST(RuleCover, NeverErrs) {
  const char* const froms[] = {"",
                               "from any",
                               "!from local",
                               "from socket",
                               "!from socket",
                               "from src { \"10.0.0.0/8\", \"local\" }",
                               "from src \"10.1.0.0/16\"",
                               "!from src \"10.1.0.0/16\"",
                               "from src \"127.0.0.0/8\"",
                               "from rdns",
                               "!from rdns",
                               "from rdns { \"*.x.tld\" }",
                               "from rdns \"local\"",
                               "!from rdns \"a.x.tld\""};
  const char* const others[] = {"for local",
                                "for any",
                                "!for local",
                                "for domain { \"mail.athome.tld\" }",
                                "for domain { \"*.tld\", x.tld }",
                                "for domain \"a.tld\"",
                                "!for domain \"a.tld\"",
                                "for any auth",
                                "for any !auth",
                                "for any auth { u, \"u@a.tld\" }",
                                "for any !auth { \"u@a.tld\" }",
                                "for any mail-from { \"@a.tld\", \"\" }",
                                "for any mail-from \"u@a.tld\"",
                                "for any !mail-from \"@a.tld\"",
                                "for rcpt-to \"u\""};
  std::string text = "action \"in\" mbox\n";
  for (const char* from : froms) {
    for (const char* other : others) StrAppend(text, "match ", from, " ", other, " action in\n");
  }
  const Policy policy(text);
  std::vector<EnvelopeContext> envelopes;
  for (const char* remote :
       {"", "internal", "127.0.0.1", "192.0.2.25", "10.1.2.3", "10.2.3.4", "203.0.113.9"}) {
    for (const char* name : {"", "a.x.tld", "b.x.tld", "local"}) {
      for (const char* login : {"-", "", "u", "u@a.tld", "v"}) {
        for (const char* sender : {"", "u@a.tld", "u+x@a.tld", "v@b.tld"}) {
          for (const char* recipient : {"u@a.tld", "v@x.tld", "v@mail.athome.tld", "u@q.r.s"}) {
            EnvelopeContext context = Remote(recipient);
            const std::string from = remote;
            context.is_local_socket = from.empty();
            context.is_internal = from == "internal";
            if (!from.empty() && from != "internal") context.remote = *IpAddress::Parse(from);
            context.reverse_name = name;
            context.authenticated = login[0] != '-';
            if (context.authenticated) context.auth_user = login;
            context.sender = *sender ? MakeAddress(sender) : mail::Address();
            envelopes.push_back(context);
          }
        }
      }
    }
  }
  const std::vector<Rule>& rules = policy.config->rules;
  // takes[rule][envelope]
  std::vector<std::vector<bool>> takes;
  for (const Rule& rule : rules) {
    takes.emplace_back();
    for (const EnvelopeContext& context : envelopes) {
      const StatusOr<std::string_view> failure = policy.ruleset->FirstFailure(rule, context);
      ASSERT_TRUE(failure.ok());
      takes.back().push_back(failure->empty());
    }
  }
  size_t covered = 0;
  for (size_t a = 0; a < rules.size(); ++a) {
    for (size_t b = 0; b < rules.size(); ++b) {
      if (!Covers(*policy.ruleset, rules[a], rules[b], 1000)) continue;
      ++covered;
      for (size_t e = 0; e < envelopes.size(); ++e) {
        ASSERT_TRUE(!takes[b][e] || takes[a][e])
            << "line " << rules[a].location.line << " does not cover line "
            << rules[b].location.line << "\n"
            << text;
      }
    }
  }
  EXPECT_GT(covered, 1000u) << "a test of rules that cover others";
}

TEST(Advice, ReturnedMail) {
  const std::string front =
      "listen on eth0\nlisten on lo0 port 10026 tag SPAM\naction \"sys\" mbox\n"
      "action \"box\" maildir\naction \"scan\" relay host \"smtp://127.0.0.1:10025\"\n";
  const Case cases[] = {
      // the server is called mail.athome.tld
      {"match from local for local action sys\n"
       "match from any tag SPAM for domain { other.tld, mail.athome.tld } action box\n",
       "7"},
      {"match from any tag SPAM for domain mail.athome.tld action box\n"
       "match from local for local action sys\n",
       ""},
      {"match from local for local action sys\n"
       "match from any tag SPAM for domain athome.tld action box\n",
       ""},
      {"match from local for any action scan\n"
       "match from any tag SPAM for domain athome.tld action box\n",
       "7"},
      {"match tag SPAM for domain a.tld action box\nmatch from any for domain a.tld action scan\n",
       ""},
      {"match from local for local action sys\nmatch tag SPAM for any action scan\n", ""},
  };
  for (const Case& test : cases) Check(test, front, "returned-mail");
}

TEST(Advice, Unused) {
  const Case cases[] = {
      {"action a relay\naction b relay\nmatch for any action b\n", "1"},
      {"table t { a }\ntable u { b }\naction b relay\nmatch for domain <u> action b\n", "1"},
      {"pki x cert \"/c\" key \"/k\"\npki y cert \"/c\" key \"/k\"\nlisten on lo0 tls pki y\n"
       "action b relay\nmatch for any action b\n",
       "1"},
      // without a name, a listener takes any
      {"pki x cert \"/c\" key \"/k\"\npki \"*\" cert \"/c\" key \"/k\"\nlisten on lo0 tls\n"
       "action b relay\nmatch for any action b\n",
       ""},
      {"ca x cert \"/c\"\naction b relay\nmatch for any action b\n", "1"},
      {"ca x cert \"/c\"\naction b relay ca x\nmatch for any action b\n", ""},
      {"mda wrapper w \"x %{mda}\"\nmda wrapper v \"x %{mda}\"\naction b mda \"y\" wrapper v\n"
       "match for any action b\n",
       "1"},
      {"proc p \"x\"\nproc q \"x\"\nfilter f proc p\nfilter g proc-exec \"y\"\n"
       "filter h chain { f }\nlisten on lo0 filter h\naction b relay\nmatch for any action b\n",
       "2 4"},
      {"filter f proc-exec \"y\"\nlisten on lo0 filter { f }\naction b relay\n"
       "match for any action b\n",
       ""},
      {"filter f proc-exec \"y\"\naction b relay filter f\nmatch for any action b\n", ""},
      {"filter f proc-exec \"y\"\naction b relay\nmatch for any action b\n", "1"},
  };
  for (const Case& test : cases) Check(test, "", "unused");
}

TEST(Advice, Submission) {
  const std::string front =
      "pki x cert \"/c\" key \"/k\"\ntable owners { a = \"a@a.tld\" }\nfilter sign proc-exec "
      "\"s\"\n"
      "table pass { l = \"u:p\" }\n";
  struct Row {
    const char* text;
    const char* senders;
    const char* dkim;
  };
  const Row rows[] = {
      {"listen on eth0 tls pki x auth\naction out relay\nmatch auth from any for any action out\n",
       "", "6"},
      {"listen on eth0 tls pki x auth senders any\naction out relay\n"
       "match auth from any for any action out\n",
       "5", "6"},
      // once for a file
      {"listen on eth0 tls pki x auth senders any\n"
       "listen on eth0 port 465 smtps pki x auth senders any\n"
       "action out relay\nmatch auth from any for any action out\n",
       "5", "7"},
      {"listen on eth0 tls pki x auth senders <owners> filter sign\naction out relay\n"
       "match auth from any for any action out\n",
       "", ""},
      {"listen on eth0 tls pki x auth senders <owners>\naction out relay filter sign\n"
       "match auth from any for any action out\n",
       "", ""},
      // rules that look at the sender
      {"listen on eth0 tls pki x auth\naction out relay\n"
       "match auth from any mail-from \"@a.tld\" for any action out\n",
       "", ""},
      // a smarthost that knows us signs; a signer on this machine, too
      {"listen on eth0 tls pki x auth\naction out relay host \"smtps://l@x.tld\" auth <pass>\n"
       "match auth from any for any action out\n",
       "", ""},
      {"listen on eth0 tls pki x auth senders any\naction out relay host "
       "\"smtp://127.0.0.1:10027\"\n"
       "match auth from any for any action out\n",
       "5", ""},
      // no login, and none that sends elsewhere
      {"listen on eth0 tls pki x\naction out relay\nmatch for any action out\n", "", ""},
      {"listen on eth0 tls pki x auth\naction in mbox\nmatch auth from any for any action in\n", "",
       ""},
      {"listen on eth0 tls pki x proto imap auth\naction out relay\n"
       "match auth from any for any action out\n",
       "", ""},
  };
  for (const Row& row : rows) {
    const Policy policy(front + row.text);
    const Diagnostics found = FindSubmissionGaps(*policy.ruleset);
    EXPECT_EQ(Codes(found, "senders"), row.senders) << row.text << Listing(found);
    EXPECT_EQ(Codes(found, "dkim"), row.dkim) << row.text << Listing(found);
    for (const Diagnostic& d : found) EXPECT_EQ(d.severity, Severity::kNote);
  }
}

TEST(Advice, EntriesThatMeanSomethingElse) {
  const std::string front = "listen on eth0\naction box mbox\naction out relay\n";
  const Case cases[] = {
      {"match from any for domain \"alice@h.tld\" action box\n", "4"},
      {"match from any for domain { a.tld, \"b@c.tld\" } action box\n", "4"},
      {"match from any for domain { a.tld, \"*.b.tld\" } action box\n", ""},
      {"match from any for domain regex \"@x\" action box\n", ""},
      {"match from any for rcpt-to \"alice@h.tld\" action box\n", ""},
      {"match from any for rcpt-to h.tld action box\n", "4"},
      {"match from any mail-from \"spam.test\" for any reject\n", "4"},
      {"match from any !mail-from { bob, \"spam.test\" } for any reject\n", "4"},
      {"match from any mail-from { \"@spam.test\", bob, \"b.2\", \"x@spam.test\" } for any "
       "reject\n",
       ""},
      {"match from any mail-from regex \"spam.test\" for any reject\n", ""},
  };
  for (const Case& test : cases) Check(test, front, "pattern");
}

TEST(Advice, HeldMail) {
  const std::string front = "table s { l = \"u:p\", Other = secret }\n";
  const Case credentials[] = {
      {"action out relay host smtps://l@x.tld auth <s>\nmatch for any action out\n", ""},
      {"action out relay host smtps://other@x.tld auth <s>\nmatch for any action out\n", ""},
      {"action out relay host smtps://m@x.tld auth <s>\nmatch for any action out\n", "2"},
      {"action out relay host { \"smtps://l@x.tld\", \"smtp+tls://ips@y.tld\" } auth <s>\n"
       "match for any action out\n",
       "2"},
      {"action out relay host smtp://x.tld\nmatch for any action out\n", ""},
      {"action out relay domain { a.tld = \"smtps://ips@x.tld\" } auth <s>\n"
       "match for any action out\n",
       "2"},
  };
  for (const Case& test : credentials) Check(test, front, "no-credentials");
  const Case keys[] = {
      {"action out relay domain { a.tld = \"smtp://x.tld\" }\nmatch for any action out\n", ""},
      {"action out relay domain { \"*\" = \"smtp://x.tld\" }\nmatch for any action out\n", "2"},
      {"action out relay domain { \"*.a.tld\" = \"smtp://x.tld\" }\nmatch for any action out\n",
       "2"},
  };
  for (const Case& test : keys) Check(test, front, "no-smarthost");
}

TEST(Advice, TlsTowardsAHostWithout) {
  const Case cases[] = {
      {"action b relay host \"smtp+notls://x.tld\" tls\nmatch for any action b\n", "1"},
      {"action b relay host \"smtp+notls://x.tld\"\nmatch for any action b\n", ""},
      {"action b relay host \"smtp://x.tld\" tls no-verify\nmatch for any action b\n", ""},
      {"action b relay tls\nmatch for any action b\n", ""},
  };
  for (const Case& test : cases) Check(test, "", "tls-required");
}

TEST(Advice, ExposedProxies) {
  const Case cases[] = {
      {"listen on eth0 proxy-v2\nmatch for any reject\n", "1"},
      {"listen on 127.0.0.1 proxy-v2\nlisten on lo0 port 26 proxy-v2\nmatch for any reject\n", ""},
      {"listen on eth0\nmatch for any reject\n", ""},
  };
  for (const Case& each : cases) Check(each, "", "proxy");
}

// A proxy on this machine brings strangers.
TEST(Advice, OpenRelayBehindAProxy) {
  const Case cases[] = {
      {"listen on 127.0.0.1 proxy-v2\naction out relay\nmatch from any for any action out\n", "3"},
      {"listen on 127.0.0.1\naction out relay\nmatch from any for any action out\n", ""},
  };
  for (const Case& each : cases) Check(each, "", "open-relay");
}

}  // namespace
}  // namespace postern::policy
