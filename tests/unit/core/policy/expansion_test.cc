#include "lib/core/policy/expansion.h"

#include "tests/unit/core/policy/policy_fixture.h"
#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// A destination as one word: "alice+tag as alice <dest>", "relay <dest>", "file /x as daemon", "|
// cmd as bob".
std::string Word(const Destination& d) {
  const std::string dest = d.destination.ToString();
  const std::string who = d.run_as_daemon ? "daemon" : d.run_as.name;
  switch (d.kind) {
    case Destination::Kind::kAccount:
      return StrCat(d.user, d.sub_address.empty() ? "" : "+", d.sub_address, " as ", who, " <",
                    dest, ">");
    case Destination::Kind::kRelay: return StrCat("relay <", dest, ">");
    case Destination::Kind::kFile: return StrCat("file ", d.path_or_command, " as ", who);
    case Destination::Kind::kCommand: return StrCat("command ", d.path_or_command, " as ", who);
  }
  return "";
}

std::vector<std::string> ExpandTo(const Policy& policy, FakeAccounts& accounts,
                                  const std::string& recipient, Expansion* out = nullptr) {
  Expansion expansion = Expand(*policy.ruleset, accounts, Remote(recipient));
  std::vector<std::string> words;
  if (expansion.refusal) words.push_back(expansion.refusal->ToString());
  for (const Destination& d : expansion.destinations) words.push_back(Word(d));
  if (out != nullptr) *out = std::move(expansion);
  return words;
}

constexpr const char* kAliasPolicy =
    "table aliases { root = jdoe, hostmaster = root, webmaster = bob, jdoe => \"jdoe@domain.tld\", "
    "carol = \"carol, alice\", \"bob+list\" = alice, ring1 = ring2, ring2 = ring1, "
    "pipe = \"|/bin/filter a,b\", quoted = '\"|/bin/filter a,b\"', file = \"/var/mail/all\", inc = "
    "\":include:/etc/list\", "
    "no = \"error:550 go away\", later = \":error:450 try later\", broken = \"a b c\", nobody = "
    "ghost, slow = flaky, "
    "both = \"alice, alice, bob\", deep1 = deep2, deep2 = deep3, deep3 = deep4, deep4 = deep5, "
    "deep5 = deep6, deep6 = deep7, "
    "deep7 = deep8, deep8 = deep9, deep9 = deep10, deep10 = alice, self = \"self@athome.tld\" }\n"
    "action box mbox alias <aliases>\naction out relay\n"
    "match from any for domain athome.tld action box\nmatch for any action out\n";

// A name that can be no part of a path is refused while the client is there: nobody gets a notice.
TEST(Expansion, AddressesThatNoMaildirCanHave) {
  const Policy policy(
      "table virtuals { \"@athome.tld\" = _vmail }\n"
      "action box maildir \"/v/%{dest.domain}/%{dest.user:strip}\" virtual <virtuals>\n"
      "match from any for domain athome.tld action box\n");
  FakeAccounts accounts;
  for (const char* name : {".", "..", "", "+x", ".+x", "..+"}) {
    Expansion got;
    EnvelopeContext context = Remote("x@athome.tld");
    context.recipient.local_part = name;
    got = Expand(*policy.ruleset, accounts, context);
    ASSERT_TRUE(got.refusal.has_value()) << name;
    EXPECT_EQ(got.refusal->code, 550) << name;
    EXPECT_THAT(got.reason, HasSubstr("component")) << name;
  }
  EXPECT_THAT(ExpandTo(policy, accounts, "batman+x@athome.tld"),
              ElementsAre("_vmail as _vmail <batman+x@athome.tld>"));
}

TEST(Expansion, Aliases) {
  const Policy policy(kAliasPolicy);
  FakeAccounts accounts;
  accounts.includes["/etc/list"] = "# list\nalice, bob\nx@remote.example\n";
  const std::pair<const char*, std::vector<std::string>> vectors[] = {
      {"alice@athome.tld", {"alice as alice <alice@athome.tld>"}},
      {"ALICE@athome.tld", {"alice as alice <ALICE@athome.tld>"}},
      {"alice+tag@athome.tld", {"alice+tag as alice <alice+tag@athome.tld>"}},
      {"webmaster@athome.tld", {"bob as bob <webmaster@athome.tld>"}},
      {"hostmaster@athome.tld", {"relay <jdoe@domain.tld>"}},
      {"carol@athome.tld",
       {"carol as carol <carol@athome.tld>", "alice as alice <carol@athome.tld>"}},
      {"carol+x@athome.tld",
       {"carol+x as carol <carol+x@athome.tld>", "alice as alice <carol+x@athome.tld>"}},
      {"bob+list@athome.tld", {"alice as alice <bob+list@athome.tld>"}},
      {"bob+other@athome.tld", {"bob+other as bob <bob+other@athome.tld>"}},
      {"both@athome.tld", {"alice as alice <both@athome.tld>", "bob as bob <both@athome.tld>"}},
      {"pipe@athome.tld", {"550 5.1.1 Invalid recipient"}},
      {"quoted@athome.tld", {"command /bin/filter a,b as daemon"}},
      {"file@athome.tld", {"file /var/mail/all as daemon"}},
      {"inc@athome.tld",
       {"alice as alice <inc@athome.tld>", "bob as bob <inc@athome.tld>",
        "relay <x@remote.example>"}},
      {"no@athome.tld", {"550 go away"}},
      {"later@athome.tld", {"450 try later"}},
      {"broken@athome.tld", {"424 4.2.4 Mailing list expansion problem"}},
      {"nobody@athome.tld", {"550 5.1.1 Invalid recipient"}},
      {"ghost@athome.tld", {"550 5.1.1 Invalid recipient"}},
      {"x@elsewhere.example", {"550 5.1.1 Invalid recipient"}},
      {"slow@athome.tld", {"451 4.3.0 Temporary failure"}},
      {"ring1@athome.tld",
       {"524 5.2.4 Mailing list expansion problem: loop: ring1 -> ring2 -> ring1"}},
      {"deep1@athome.tld", {"524 5.2.4 Mailing list expansion problem"}},
      {"deep4@athome.tld", {"alice as alice <deep4@athome.tld>"}},
      {"self@athome.tld",
       {"524 5.2.4 Mailing list expansion problem: loop: self@athome.tld -> self -> "
        "self@athome.tld"}},
  };
  for (const auto& [recipient, expected] : vectors) {
    std::vector<std::string> words = ExpandTo(policy, accounts, recipient);
    std::sort(words.begin(), words.end());
    std::vector<std::string> sorted = expected;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(words, sorted) << recipient;
  }
  Expansion loop;
  ExpandTo(policy, accounts, "ring1@athome.tld", &loop);
  EXPECT_EQ(loop.reason, "loop: ring1@athome.tld -> ring1 -> ring2 -> ring1");
}

constexpr const char* kVirtualPolicy =
    "table virtuals { \"heroes@athome.tld\" = \"batman@athome.tld,superman@athome.tld\", "
    "\"batman@athome.tld\" = _vmail, "
    "\"superman@athome.tld\" = _vmail, \"scoobydoo@athome.tld\" = _vmail, \"jwayne@athome.tld\" = "
    "\"batman@wayne.com\", "
    "\"@other.bar\" = \"scoobydoo@athome.tld\", \"batman+spam@athome.tld\" = \"error:550 no "
    "spam\", plain = alice }\n"
    "action virt maildir \"/m\" virtual <virtuals>\naction out relay\n"
    "match from any for domain { athome.tld, other.bar } action virt\nmatch for any action out\n";

TEST(Expansion, VirtualUsers) {
  const Policy policy(kVirtualPolicy);
  FakeAccounts accounts;
  EXPECT_THAT(ExpandTo(policy, accounts, "batman@athome.tld"),
              ElementsAre("_vmail as _vmail <batman@athome.tld>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "BatMan@athome.tld"),
              ElementsAre("_vmail as _vmail <BatMan@athome.tld>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "batman+x@athome.tld"),
              ElementsAre("_vmail as _vmail <batman+x@athome.tld>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "batman+spam@athome.tld"), ElementsAre("550 no spam"));
  EXPECT_THAT(ExpandTo(policy, accounts, "heroes@athome.tld"),
              UnorderedElementsAre("_vmail as _vmail <batman@athome.tld>",
                                   "_vmail as _vmail <superman@athome.tld>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "jwayne@athome.tld"),
              ElementsAre("relay <batman@wayne.com>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "any@other.bar"),
              ElementsAre("_vmail as _vmail <scoobydoo@athome.tld>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "plain@athome.tld"),
              ElementsAre("alice as alice <plain@athome.tld>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "unknown@athome.tld"),
              ElementsAre("524 5.2.4 Mailing list expansion problem"));
  Expansion expansion;
  ExpandTo(policy, accounts, "heroes@athome.tld", &expansion);
  EXPECT_EQ(expansion.destinations[0].recipient.ToString(), "heroes@athome.tld");
}

TEST(Expansion, Forward) {
  const Policy policy(
      "action box mbox\naction out relay\nmatch from any for domain h action box\nmatch for any "
      "action out\n");
  FakeAccounts accounts;
  accounts.Forward("alice", "# mine\nalice, away@remote.example\n");
  EXPECT_THAT(ExpandTo(policy, accounts, "alice@h"),
              UnorderedElementsAre("alice as alice <alice@h>", "relay <away@remote.example>"));
  accounts.Forward("bob", "|/usr/bin/procmail\n/home/bob/copy\n:include:/home/bob/list\n");
  accounts.includes["/home/bob/list"] = "carol";
  Expansion expansion;
  EXPECT_THAT(
      ExpandTo(policy, accounts, "bob@h", &expansion),
      UnorderedElementsAre("command /usr/bin/procmail as bob", "file /home/bob/copy as bob"));
  EXPECT_THAT(expansion.notes, ElementsAre(".forward of bob: include:/home/bob/list is not obeyed: "
                                           "a .forward may not include files"));
  // A .forward of nothing else is as good as none: the mail stays here.
  accounts.Forward("bob", ":include:/home/bob/list");
  EXPECT_THAT(ExpandTo(policy, accounts, "bob@h", &expansion), ElementsAre("bob as bob <bob@h>"));
  EXPECT_THAT(expansion.notes, ElementsAre(HasSubstr("is not obeyed")));
  accounts.Forward("root", "|/bin/sh");
  EXPECT_THAT(ExpandTo(policy, accounts, "root@h"),
              ElementsAre("524 5.2.4 Mailing list expansion problem"));
  accounts.Forward("carol", "x@r, bob#1@r # both\n\"|/bin/a # b\" #, c\n  # d\n");
  EXPECT_THAT(
      ExpandTo(policy, accounts, "carol@h"),
      UnorderedElementsAre("relay <x@r>", "relay <bob#1@r>", "command /bin/a # b as carol"));
  accounts.Forward("carol", "# nothing\n");
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h"), ElementsAre("carol as carol <carol@h>"));
  accounts.Forward("carol", "carol@h");
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h"),
              ElementsAre("524 5.2.4 Mailing list expansion problem: loop: carol@h -> carol -> "
                          "carol@h"));
  accounts.Forward("carol", std::string(5000, 'x'));
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h"),
              ElementsAre("424 4.2.4 Mailing list expansion problem"));
  accounts.forwards["carol"] = {ForwardFile::State::kUnsafe, ""};
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h"),
              ElementsAre("524 5.2.4 Mailing list expansion problem"));
  accounts.forwards["carol"] = {ForwardFile::State::kTemporary, ""};
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h"), ElementsAre("451 4.3.0 Temporary failure"));
  std::string many;
  for (int i = 0; i < 101; ++i) StrAppend(many, "u", i, "@r\n");
  accounts.Forward("carol", many);
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h"),
              ElementsAre("424 4.2.4 Mailing list expansion problem"));
}

TEST(Expansion, IncludesAndProgramsOfAliases) {
  const Policy policy(
      "table aliases { list = \":include:/etc/list\", only = \":include:/etc/only\", "
      "prog = \"|/bin/prog\" }\n"
      "action box mbox alias <aliases>\nmatch from any for domain h action box\n");
  FakeAccounts accounts;
  // One level: who else is on the list gets his copy.
  accounts.includes["/etc/list"] = "alice\n:include:/etc/inner\nbob\n";
  accounts.includes["/etc/inner"] = "carol\n";
  accounts.includes["/etc/only"] = ":include:/etc/inner\n";
  Expansion expansion;
  EXPECT_THAT(ExpandTo(policy, accounts, "list@h", &expansion),
              UnorderedElementsAre("alice as alice <list@h>", "bob as bob <list@h>"));
  EXPECT_THAT(expansion.notes,
              ElementsAre("include /etc/list: include:/etc/inner is not obeyed: an included file "
                          "may not include others"));
  EXPECT_THAT(ExpandTo(policy, accounts, "only@h", &expansion),
              ElementsAre("524 5.2.4 Mailing list expansion problem"));
  EXPECT_EQ(expansion.reason,
            "nothing is left of the expansion; include /etc/only: include:/etc/inner is not "
            "obeyed: an included file may not include others");
  // What an alias runs is the daemon's, though a .forward led to it.
  accounts.Forward("alice", "prog");
  EXPECT_THAT(ExpandTo(policy, accounts, "alice@h"), ElementsAre("command /bin/prog as daemon"));
}

TEST(Expansion, UserAndUserbase) {
  const Policy policy(
      "table base { carol = \"2000:2001:/v/carol\", bob = \"7:7:/v\" }\naction box "
      "maildir userbase <base> user bob\n"
      "action own maildir userbase <base>\n"
      "match from any for domain h action box\nmatch from any for domain o action own\n");
  FakeAccounts accounts;
  accounts.Forward("carol", "x@y");  // not read: `user` delivers as another account
  Expansion expansion;
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@h", &expansion),
              ElementsAre("carol as bob <carol@h>"));
  EXPECT_EQ(expansion.destinations[0].run_as.home, "/home/bob");  // the system's bob, not <base>'s
  EXPECT_THAT(ExpandTo(policy, accounts, "alice@h"), ElementsAre("550 5.1.1 Invalid recipient"));
  accounts.forwards.clear();
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@o", &expansion),
              ElementsAre("carol as carol <carol@o>"));
  EXPECT_EQ(expansion.destinations[0].run_as.uid, 2000u);
  EXPECT_EQ(expansion.destinations[0].run_as.home, "/v/carol");
}

TEST(Expansion, ForwardOnlyAndExpandOnly) {
  const Policy policy(
      "action f forward-only alias { copy = \"/copy\", run = \"|/bin/cat\", "
      "gone = \"error:550 5.1.6 Gone\" }\n"
      "action e expand-only alias { list = \"x@remote.example\" }\naction "
      "out relay\n"
      "match from any for domain f action f\nmatch from any for domain e action e\nmatch for any "
      "action out\n");
  FakeAccounts accounts;
  EXPECT_THAT(ExpandTo(policy, accounts, "alice@f"),
              ElementsAre("424 4.2.4 Mailing list expansion problem"));
  accounts.Forward("alice", "x@remote.example");
  EXPECT_THAT(ExpandTo(policy, accounts, "alice@f"), ElementsAre("relay <x@remote.example>"));
  accounts.Forward("bob", "/file");
  EXPECT_THAT(ExpandTo(policy, accounts, "bob@f"),
              ElementsAre("424 4.2.4 Mailing list expansion problem"));
  for (const char* alias : {"copy@f", "run@f", "gone@f"}) {
    EXPECT_THAT(ExpandTo(policy, accounts, alias),
                ElementsAre("424 4.2.4 Mailing list expansion problem"))
        << alias;
  }
  EXPECT_THAT(ExpandTo(policy, accounts, "list@e"), ElementsAre("relay <x@remote.example>"));
  EXPECT_THAT(ExpandTo(policy, accounts, "carol@e"),
              ElementsAre("524 5.2.4 Mailing list expansion problem"));
}

TEST(Expansion, BombIsBounded) {
  // Each name stands for ten others, eight deep: without the bound, a hundred million nodes.
  std::string table = "table aliases { ";
  for (int level = 0; level < 8; ++level) {
    for (int i = 0; i < 10; ++i) {
      StrAppend(table, "l", level, "x", i, " = \"");
      for (int j = 0; j < 10; ++j)
        StrAppend(table, j == 0 ? "" : ",", "l", level + 1, "x", j, "@h",
                  level % 2 == 0 ? ".a" : "");
      table += "\"\n";
    }
  }
  const Policy policy(StrCat(
      table,
      "}\naction box mbox alias <aliases>\nmatch from any for domain { h, h.a } action box\n"));
  FakeAccounts accounts;
  EXPECT_THAT(ExpandTo(policy, accounts, "l0x0@h"),
              ElementsAre("524 5.2.4 Mailing list expansion problem"));
}

TEST(AliasValues, Kinds) {
  using Kind = AliasValue::Kind;
  const StatusOr<std::vector<AliasValue>> values = ParseAliasValues(
      "bob, \\carol, \"a,b\"@x.example, /var/mail/x, \"|cmd, with comma\", |\"cmd arg\", "
      "include:/l, error:450 later,, ");
  ASSERT_TRUE(values.ok()) << Text(values.status());
  std::vector<std::pair<Kind, std::string>> got;
  for (const AliasValue& v : *values)
    got.emplace_back(v.kind, v.kind == Kind::kAddress ? v.address.ToString() : v.text);
  EXPECT_THAT(got,
              ElementsAre(std::pair(Kind::kUser, "bob"), std::pair(Kind::kUser, "carol"),
                          std::pair(Kind::kAddress, "\"a,b\"@x.example"),
                          std::pair(Kind::kFile, "/var/mail/x"),
                          std::pair(Kind::kCommand, "cmd, with comma"),
                          std::pair(Kind::kCommand, "cmd arg"), std::pair(Kind::kInclude, "/l"),
                          std::pair(Kind::kError, "450 later")));
  for (const char* bad :
       {"a b", "\"open", "x@", "error:", "error:250 ok", "include:rel", "|", "bob;rm"}) {
    EXPECT_FALSE(ParseAliasValues(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace postern::policy
