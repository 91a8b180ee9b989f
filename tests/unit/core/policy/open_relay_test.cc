// A stranger relays nothing, however the address is written: each spelling is read as RCPT would
// read it and goes through the rules of a usual server from outside.
#include "tests/unit/core/policy/policy_fixture.h"

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

constexpr const char* kSystemUsers =
    "table aliases { root = jdoe, jdoe => \"jdoe@domain.tld\" }\n"
    "action box maildir alias <aliases>\naction out relay\n"
    "match for local action box\nmatch from any for domain athome.tld action box\n"
    "match for any action out\nmatch auth from any for any action out\n";
constexpr const char* kVirtualUsers =
    "table virtuals { \"batman@athome.tld\" = _vmail, \"@other.bar\" = \"batman@athome.tld\" }\n"
    "action box maildir \"/var/vmail/%{dest.domain}/%{dest.user}\" virtual <virtuals>\naction out "
    "relay\n"
    "match from any for domain { athome.tld, other.bar } action box\n"
    "match auth from any for any action out\nmatch for any action out\n";

// Nobody takes these.
const char* const kRefused[] = {
    // plain, and in other spellings of the domain
    "<v@evil.test>",
    "<V@EVIL.TEST>",
    "<v@evil.test.>",
    "<v@sub.athome.tld>",
    "<v@athome.tld.evil.test>",
    "<v@evilathome.tld>",
    "<v@athome.tldx>",
    "<v@athome>",
    "<v@tld>",
    "<v@localhost.evil.test>",
    "<v@xn--athme-jua.tld>",
    "<v@ath\xc3\xb6me.tld>",
    // the percent hack, bang paths, and both
    "<v%evil.test@athome.tld>",
    "<v%evil.test@mail.athome.tld>",
    "<v%evil.test@localhost>",
    "<v%evil.test@[192.0.2.25]>",
    "<v%evil.test%athome.tld@athome.tld>",
    "<v%evil.test>",
    "<v%evil.test@>",
    "<evil.test!v@athome.tld>",
    "<evil.test!v>",
    "<evil.test!v@localhost>",
    "<athome.tld!v@evil.test>",
    "<athome.tld!evil.test!v@athome.tld>",
    "<evil.test!v%x@athome.tld>",
    "<v%evil.test@evil.test>",
    "<alice%athome.tld@evil.test>",
    // more than one @, in quotes and without
    "<v@evil.test@athome.tld>",
    "<\"v@evil.test\"@athome.tld>",
    "<\"v@evil.test\"@localhost>",
    "<\"v@evil.test\">",
    "<\"v\"@evil.test>",
    "<\"v%evil.test\"@athome.tld>",
    "<\"v@evil.test@\"@athome.tld>",
    "<v\\@evil.test@athome.tld>",
    "<\"alice\"@evil.test>",
    "<alice@athome.tld@evil.test>",
    "<\"alice@athome.tld\"@evil.test>",
    "<@evil.test>",
    "<@athome.tld>",
    "<v@@athome.tld>",
    "<v@evil.test,alice@athome.tld>",
    "<alice@athome.tld,v@evil.test>",
    "<v@evil.test alice@athome.tld>",
    // source routes: the route is dropped, the rest counts
    "<@athome.tld:v@evil.test>",
    "<@athome.tld,@mail.athome.tld:v@evil.test>",
    "<@localhost:v@evil.test>",
    "<@[192.0.2.25]:v@evil.test>",
    "<@athome.tld:v%evil.test@athome.tld>",
    "<@athome.tld:@evil.test:v@evil.test>",
    "<athome.tld:v@evil.test>",
    "<@evil.test:v@evil.test>",
    // address literals
    "<v@[203.0.113.5]>",
    "<v@203.0.113.5>",
    "<v@[IPv6:2001:db8::5]>",
    "<v@[192.0.2.25].evil.test>",
    "<v@[evil.test]>",
    "<v%evil.test@[127.0.0.1]>",
    "<v@[0.0.0.0]>",
    "<v@[::ffff:203.0.113.5]>",
    "<v@#3405803781>",
    "<v@0x7f000001>",
    // characters that some software takes for @ and dots: fullwidth, small, ideographic, division
    // slash
    "<v\xef\xbc\xa0"
    "evil.test>",
    "<v\xef\xbc\xa0"
    "evil.test@athome.tld>",
    "<v\xef\xb9\xab"
    "evil.test@athome.tld>",
    "<v@evil\xef\xbc\x8etest>",
    "<v@evil\xe3\x80\x82test>",
    "<v@athome.tld\xef\xbc\x8e"
    "evil.test>",
    "<v@athome.tld\xe2\x88\x95.evil.test>",
    "<v@\xef\xbd\x81thome.tld.evil.test>",
    // what a shell, a log or an old parser would cut off
    "<v@evil.test\t@athome.tld>",
    "<v@evil.test#@athome.tld>",
    "<v@evil.test;@athome.tld>",
    "<v@evil.test(@athome.tld>",
    "<v@evil.test(x)@athome.tld>",
    "<v:evil.test@athome.tld>",
    "<v@evil.test/@athome.tld>",
    "<|relay@evil.test>",
    "<v+@evil.test@athome.tld>",
    "<v+x%evil.test@athome.tld>",
    "v@evil.test",
    "<v@evil.test",
    "<<v@evil.test>@athome.tld>",
};

// Refused gives the reply that the client gets, or what became of the recipient.
std::string Outcome(const Policy& policy, FakeAccounts& accounts, std::string_view path) {
  std::string_view rest;
  StatusOr<mail::Address> address =
      mail::ParsePath(path, false, {.allow_utf8 = true, .allow_no_domain = true}, &rest);
  if (!address.ok() || !rest.empty()) return "501";
  if (address->domain.empty()) address->domain = "mail.athome.tld";
  EnvelopeContext context = Remote("");
  context.recipient = *address;
  const Expansion expansion = Expand(*policy.ruleset, accounts, context);
  if (expansion.refusal) return std::to_string(expansion.refusal->code);
  for (const Destination& destination : expansion.destinations) {
    if (destination.kind == Destination::Kind::kRelay)
      return StrCat("relayed to ", destination.destination.ToString());
  }
  return "delivered here";
}

TEST(OpenRelay, EverySpellingIsRefused) {
  EXPECT_GE(std::size(kRefused), 75u);
  for (const char* rules : {kSystemUsers, kVirtualUsers}) {
    const Policy policy(rules);
    FakeAccounts accounts;
    for (const char* path : kRefused) {
      const std::string outcome = Outcome(policy, accounts, path);
      EXPECT_EQ(outcome[0], '5') << path << " is " << outcome;
    }
  }
}

// The rules above do take what is theirs: the refusals are not for want of a rule.
TEST(OpenRelay, WhatIsOursIsTaken) {
  const Policy system(kSystemUsers);
  const Policy virtual_users(kVirtualUsers);
  FakeAccounts accounts;
  for (const char* path : {"<alice@athome.tld>", "<\"alice\"@athome.tld>",
                           "<@evil.test:alice@athome.tld>", "<Alice@ATHOME.tld>"}) {
    EXPECT_EQ(Outcome(system, accounts, path), "delivered here") << path;
  }
  EXPECT_EQ(Outcome(system, accounts, "<root@athome.tld>"), "relayed to jdoe@domain.tld")
      << "the operator's own alias";
  EXPECT_EQ(Outcome(virtual_users, accounts, "<batman@athome.tld>"), "delivered here");
  // A catch-all takes every local part, and keeps it here.
  for (const char* path : {"<x@other.bar>", "<v%evil.test@other.bar>",
                           "<\"v@evil.test\"@other.bar>", "<evil.test!v@other.bar>"}) {
    EXPECT_EQ(Outcome(virtual_users, accounts, path), "delivered here") << path;
  }
}

}  // namespace
}  // namespace postern::policy
