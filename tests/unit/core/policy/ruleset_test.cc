#include "lib/core/policy/ruleset.h"

#include "tests/unit/core/policy/policy_fixture.h"

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

using Outcome = RuleMatch::Outcome;

// One rule, one envelope: does it match?
struct Vector {
  const char* rule;
  void (*change)(EnvelopeContext& c);
  bool matches;
};

void Nothing(EnvelopeContext&) {}
void Internal(EnvelopeContext& c) { c.is_internal = true; }
void Socket(EnvelopeContext& c) { c.is_local_socket = true; }
void NamelessSocket(EnvelopeContext& c) {
  Socket(c);
  c.reverse_name.clear();
}
void Loopback(EnvelopeContext& c) { c.remote = *IpAddress::Parse("127.0.0.1"); }
void Interface(EnvelopeContext& c) { c.remote = *IpAddress::Parse("192.0.2.25"); }
void OverV6(EnvelopeContext& c) { c.remote = *IpAddress::Parse("2001:db8::9"); }
void NoName(EnvelopeContext& c) { c.reverse_name.clear(); }
void Login(EnvelopeContext& c) { c.authenticated = true, c.auth_user = "bob"; }
void MailLogin(EnvelopeContext& c) { c.authenticated = true, c.auth_user = "Bob+x@Example.org"; }
void NullSender(EnvelopeContext& c) { c.sender = {}; }
void Tagged(EnvelopeContext& c) { c.tag = "Dkim"; }
void Tls(EnvelopeContext& c) { c.tls = true; }
void ToLiteral(EnvelopeContext& c) { c.recipient.domain = "[192.0.2.25]"; }
void ToV6Literal(EnvelopeContext& c) { c.recipient.domain = "[IPv6:::1]"; }
void ToServer(EnvelopeContext& c) { c.recipient.domain = "mail.athome.tld"; }
void ToShort(EnvelopeContext& c) { c.recipient.domain = "mail"; }

TEST(Ruleset, Criteria) {
  const Vector vectors[] = {
      {"from any for any", Nothing, true},
      {"for any", Nothing, false},
      {"for any", Loopback, true},
      {"for any", Interface, true},
      {"for any", Socket, true},
      {"for any", Internal, true},
      {"!from local for any", Nothing, true},
      {"!from local for any", Loopback, false},
      {"from any", Nothing, false},
      {"from any", ToServer, true},
      {"from any", ToShort, false},
      {"from any", ToLiteral, true},
      {"from any", ToV6Literal, true},
      {"from any for local", ToServer, true},
      {"from any for domain athome.tld", Nothing, true},
      {"from any for domain ATHOME.TLD", Nothing, true},
      {"from any !for domain athome.tld", Nothing, false},
      {"from any for domain regex '^athome'", Nothing, true},
      {"from any for rcpt-to \"batman@athome.tld\"", Nothing, true},
      {"from any for rcpt-to \"batman\"", Nothing, true},
      {"from any !for rcpt-to \"batman\"", Nothing, false},
      {"from src \"203.0.113.0/24\" for any", Nothing, true},
      {"!from src \"203.0.113.0/24\" for any", Nothing, false},
      {"from src \"203.0.113.0/24\" for any", Internal, false},
      {"from src \"local\" for any", Socket, true},
      {"from src \"local\" for any", Internal, true},
      {"from src regex '^203' for any", Nothing, true},
      {"from socket for any", Socket, true},
      {"from socket for any", Loopback, false},
      {"from socket for any", Internal, false},
      {"!from socket for any", Internal, false},
      {"!from socket for any", Nothing, true},
      {"from rdns for any", Nothing, true},
      {"from rdns for any", NoName, false},
      {"from src regex '^\\[2001:' for any", OverV6, true},
      {"from src regex '^2001:' for any", OverV6, true},
      {"!from src regex '^\\[2001:' for any", OverV6, false},
      {"!from src regex '^2001:' for any", OverV6, false},
      {"!from src regex '^2002:' for any", OverV6, true},
      {"from rdns for any", Internal, false},
      {"from rdns for any", NamelessSocket, true},
      {"!from rdns for any", NamelessSocket, false},
      {"from rdns \"localhost\" for any", NamelessSocket, true},
      {"from rdns \"client.example.net\" for any", Nothing, true},
      {"from rdns \"*.net\" for any", Nothing, false},
      {"from rdns regex 'example' for any", Nothing, true},
      {"from auth for any", Nothing, false},
      {"from auth for any", Login, true},
      {"!from auth for any", Nothing, true},
      {"from any auth for any", Socket, true},
      {"from any auth \"BOB\" for any", Login, true},
      {"from any auth \"alice\" for any", Login, false},
      {"from any !auth \"alice\" for any", Login, true},
      {"from any auth \"@example.org\" for any", MailLogin, true},
      {"from any auth \"bob@example.org\" for any", MailLogin, true},
      {"from any auth regex '^b' for any", Login, true},
      {"from mail-from \"@example.net\" for any", Nothing, true},
      {"from mail-from \"@example.net\" for any", NullSender, false},
      {"from any mail-from \"@\" for any", NullSender, true},
      {"from any mail-from regex '^$' for any", NullSender, true},
      {"from any helo \"helo.example.net\" for any", Nothing, true},
      {"from any !helo \"helo.example.net\" for any", Nothing, false},
      {"from any tag DKIM for any", Tagged, true},
      {"from any tag DKIM for any", Nothing, false},
      {"from any !tag DKIM for any", Nothing, true},
      {"from any tls for any", Tls, true},
      {"from any tls for any", Nothing, false},
      {"from any !tls for any", Nothing, true},
  };
  for (const Vector& v : vectors) {
    const Policy policy(StrCat("action a mbox\nmatch ", v.rule, " action a\n"));
    EnvelopeContext context = Remote("batman@athome.tld");
    v.change(context);
    EXPECT_EQ(policy.ruleset->Match(context).outcome, v.matches ? Outcome::kAccept : Outcome::kNone)
        << v.rule;
  }
}

TEST(Ruleset, FirstMatchWins) {
  const Policy policy(
      "action a mbox\naction b relay\nmatch from any for domain x reject\nmatch from any for any "
      "action b\n");
  EXPECT_EQ(policy.ruleset->Match(Remote("u@x")).outcome, Outcome::kReject);
  EXPECT_EQ(policy.ruleset->Match(Remote("u@y")).rule_index, 1);
}

class BrokenTable final : public Table {
 public:
  StatusOr<std::optional<std::string>> Lookup(Service, std::string_view) override {
    return Unavailable("gone");
  }
  StatusOr<std::optional<std::string>> Fetch(Service) override { return Unavailable("gone"); }
};

TEST(Ruleset, TableFailureIsTemporary) {
  Policy policy("action a mbox\nmatch from any for domain x action a\n");
  policy.tables.tables[0] = std::make_shared<BrokenTable>();
  const RuleMatch match = policy.ruleset->Match(Remote("u@x"));
  EXPECT_EQ(match.outcome, Outcome::kTemporary);
  EXPECT_EQ(match.error, "smtpd.conf:2:1: gone");
}

}  // namespace
}  // namespace postern::policy
