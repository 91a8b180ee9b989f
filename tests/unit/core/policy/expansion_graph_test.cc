// Who gets a copy, over random aliases and .forward files: what Expand says against a model that
// knows sets alone.
#include "tests/unit/core/policy/policy_fixture.h"
#include <algorithm>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/expansion.h"

namespace postern::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Lists = std::map<std::string, std::vector<std::string>>;

// World is who is what: names that stand for lists, and accounts with or without a .forward.
struct World {
  Lists aliases;
  Lists forwards;
  std::set<std::string> accounts;
};

std::string Joined(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) StrAppend(out, out.empty() ? "" : ", ", value);
  return out;
}

std::string Shown(const World& world) {
  std::string out;
  for (const auto& [name, values] : world.aliases) StrAppend(out, name, ": ", Joined(values), "\n");
  for (const auto& [name, values] : world.forwards)
    StrAppend(out, "~", name, "/.forward: ", Joined(values), "\n");
  return out;
}

// Model says who must get a copy: it follows names until no set grows. A value "x@r" is somebody
// elsewhere, "x@h" is this domain's. opensmtpd.md §5: a name equal to the one being expanded goes
// on to .forward, then delivery.
struct Model {
  explicit Model(const World& world) : world_(world) {}

  void Run(const std::string& recipient) {
    names.insert(recipient);
    for (size_t before = 0; before != Size();) {
      before = Size();
      for (const std::string& name : std::set<std::string>(names)) Name(name);
      for (const std::string& name : std::set<std::string>(owners)) Account(name);
    }
  }

  std::set<std::string> names;      // that may be aliases
  std::set<std::string> owners;     // accounts whose .forward is asked
  std::set<std::string> mailboxes;  // that get a copy
  std::set<std::string> relayed;
  bool unknown = false;  // a name that nobody is: the recipient is refused

 private:
  size_t Size() const { return names.size() + owners.size() + mailboxes.size() + relayed.size(); }
  void Value(const std::string& value) {
    const size_t at = value.find('@');
    if (at == std::string::npos) {
      names.insert(value);
    } else if (value.substr(at) == "@h") {
      names.insert(value.substr(0, at));
    } else {
      relayed.insert(value);
    }
  }
  void Name(const std::string& name) {
    const auto list = world_.aliases.find(name);
    if (list == world_.aliases.end()) {
      owners.insert(name);
      return;
    }
    for (const std::string& value : list->second) {
      if (value == name) {
        owners.insert(name);
      } else {
        Value(value);
      }
    }
  }
  void Account(const std::string& name) {
    if (!world_.accounts.contains(name)) {
      unknown = true;
      return;
    }
    const auto list = world_.forwards.find(name);
    if (list == world_.forwards.end()) {
      mailboxes.insert(name);
      return;
    }
    for (const std::string& value : list->second) {
      if (value == name) {
        mailboxes.insert(name);
      } else {
        Value(value);
      }
    }
  }

  const World& world_;
};

Expansion ExpandIn(const World& world, const std::string& recipient) {
  std::string table = "table aliases { none = \"nobody@r\"";
  for (const auto& [name, values] : world.aliases)
    StrAppend(table, ", ", name, " = \"", Joined(values), "\"");
  const Policy policy(StrCat(table,
                             " }\naction box mbox alias <aliases>\naction out relay\n"
                             "match from any for domain h action box\nmatch for any action out\n"));
  FakeAccounts accounts;
  for (const std::string& name : world.accounts) accounts.Add(name);
  for (const auto& [name, values] : world.forwards) accounts.Forward(name, Joined(values));
  ExpansionOptions options;
  options.max_depth = 100;  // more than there are names: the bound has its own tests
  return Expand(*policy.ruleset, accounts, Remote(recipient), options);
}

// Copies lists who gets one, in order: mailboxes by their user, others by their address.
std::vector<std::string> Copies(const Expansion& expansion) {
  std::vector<std::string> out;
  for (const Destination& each : expansion.destinations) {
    EXPECT_TRUE(each.kind == Destination::Kind::kAccount || each.kind == Destination::Kind::kRelay);
    out.push_back(each.kind == Destination::Kind::kAccount ? each.user
                                                           : each.destination.ToString());
  }
  std::sort(out.begin(), out.end());
  return out;
}

World RandomWorld(std::mt19937& random, bool with_addresses) {
  const std::vector<std::string> all = {"n0", "n1", "n2", "n3", "n4", "n5"};
  const auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  World world;
  const auto values = [&](const std::string& self) {
    std::vector<std::string> out;
    for (uint32_t count = 1 + below(3); count > 0; --count) {
      const uint32_t what = below(8);
      const std::string& name = all[below(6)];
      out.push_back(what == 0                     ? StrCat(name, "@r")
                    : what == 1 && with_addresses ? StrCat(name, "@h")
                    : what <= 3                   ? self
                                                  : name);
    }
    return out;
  };
  for (const std::string& name : all) {
    if (below(2) == 0) world.aliases[name] = values(name);
    if (below(8) != 0) world.accounts.insert(name);
    if (below(2) == 0) world.forwards[name] = values(name);
  }
  return world;
}

TEST(ExpansionGraph, EverybodyWhomTheModelNamesGetsACopyAndNobodyElse) {
  std::mt19937 random(1);
  int taken = 0;
  int circles = 0;
  for (int round = 0; round < 3000; ++round) {
    const bool with_addresses = round % 2 == 1;
    const World world = RandomWorld(random, with_addresses);
    const Expansion got = ExpandIn(world, "n0@h");
    Model model(world);
    model.Run("n0");
    std::vector<std::string> expected(model.mailboxes.begin(), model.mailboxes.end());
    expected.insert(expected.end(), model.relayed.begin(), model.relayed.end());
    std::sort(expected.begin(), expected.end());
    std::vector<std::string> copies = Copies(got);
    const std::string shown = Shown(world);
    // Neither nobody without a word nor a word and somebody.
    ASSERT_EQ(copies.empty(), got.refusal.has_value()) << shown;
    ASSERT_EQ(got.reason.empty(), !got.refusal.has_value()) << shown;
    if (model.unknown || expected.empty()) {
      ASSERT_TRUE(got.refusal.has_value()) << shown;
      EXPECT_EQ(got.refusal->code, model.unknown ? 550 : 524) << shown << got.reason;
      if (!model.unknown) {
        EXPECT_THAT(got.reason, HasSubstr("loop: ")) << shown;
        EXPECT_THAT(got.refusal->Text(), HasSubstr("loop: ")) << shown;
      }
      continue;
    }
    // Under two addresses of this domain one user may stand twice: %{dest} is another.
    if (with_addresses) copies.erase(std::unique(copies.begin(), copies.end()), copies.end());
    ASSERT_EQ(copies, expected) << shown << got.reason;
    ++taken;
    circles += got.notes.empty() ? 0 : 1;
  }
  EXPECT_GT(taken, 500);
  EXPECT_GT(circles, 100);
}

TEST(ExpansionGraph, AnAliasAndAForwardThatBothNameTheirOwner) {
  World world{{{"bob", {"bob", "carol"}}}, {{"bob", {"bob", "alice"}}}, {"alice", "bob", "carol"}};
  EXPECT_THAT(Copies(ExpandIn(world, "bob@h")), ElementsAre("alice", "bob", "carol"));
  world.forwards["bob"] = {"\\bob", "alice"};
  EXPECT_THAT(Copies(ExpandIn(world, "bob@h")), ElementsAre("alice", "bob", "carol"));
  world.forwards["bob"] = {"bob"};
  const Expansion own = ExpandIn(world, "bob@h");
  EXPECT_THAT(Copies(own), ElementsAre("bob", "carol"));
  EXPECT_THAT(own.notes, IsEmpty());  // it is no circle
}

TEST(ExpansionGraph, ListsInACircleGiveEachMemberOneCopy) {
  const World lists{
      {{"team", {"alice", "team2"}}, {"team2", {"team", "carol"}}}, {}, {"alice", "carol"}};
  for (const char* recipient : {"team@h", "team2@h"}) {
    const Expansion expansion = ExpandIn(lists, recipient);
    EXPECT_THAT(Copies(expansion), ElementsAre("alice", "carol")) << recipient;
    EXPECT_FALSE(expansion.refusal.has_value());
  }
  EXPECT_THAT(ExpandIn(lists, "team@h").notes,
              ElementsAre("names in a circle: team -> team2 -> team; each is expanded once"));
  const World forward{{{"bb", {"bob"}}}, {{"bob", {"bob", "bb"}}}, {"bob"}};
  EXPECT_THAT(Copies(ExpandIn(forward, "bob@h")), ElementsAre("bob"));
  EXPECT_THAT(Copies(ExpandIn(forward, "bb@h")), ElementsAre("bob"));
  const World address{{}, {{"bob", {"bob", "bob@h"}}}, {"bob"}};
  EXPECT_THAT(Copies(ExpandIn(address, "bob@h")), ElementsAre("bob"));
}

TEST(ExpansionGraph, ACircleOfNobodyIsRefusedByItsNames) {
  // The circle is off the way: the recipient itself is not in it.
  const World world{{{"list", {"a1", "a2"}}, {"a1", {"a2"}}, {"a2", {"a1"}}}, {}, {}};
  const Expansion expansion = ExpandIn(world, "list@h");
  ASSERT_TRUE(expansion.refusal.has_value());
  EXPECT_EQ(expansion.refusal->ToString(),
            "524 5.2.4 Mailing list expansion problem: loop: a1 -> a2 -> a1");
  EXPECT_EQ(expansion.reason, "loop: list@h -> list -> a1 -> a2 -> a1");
  // Of a long one the ends are shown: a reply has room for 512 octets.
  World ring;
  const std::string stem(60, 'x');
  for (int i = 0; i < 20; ++i) ring.aliases[StrCat(stem, i)] = {StrCat(stem, (i + 1) % 20)};
  const Expansion refused = ExpandIn(ring, stem + "0@h");
  ASSERT_TRUE(refused.refusal.has_value());
  EXPECT_THAT(refused.refusal->Text(), HasSubstr("-> ... -> "));
  EXPECT_LT(refused.refusal->ToWire().size(), 512u);
}

}  // namespace
}  // namespace postern::policy
