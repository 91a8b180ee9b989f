#include "lib/core/policy/alias_advice.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct List {
  // Add puts an entry into the next line of /a; its value begins behind "key: ".
  List& Add(const std::string& key, const std::string& value) {
    const int line = static_cast<int>(entries.size()) + 1;
    entries.push_back({key, value, {"/a", line, 0}, static_cast<int>(key.size()) + 3});
    return *this;
  }
  std::vector<std::string> Check() const {
    std::vector<std::string> out;
    const IncludeReader read = [this](const std::string& path) -> StatusOr<std::string> {
      const auto it = files.find(path);
      if (it == files.end()) return NotFound("No such file or directory");
      return it->second;
    };
    for (const Diagnostic& each : CheckAliases(entries, read, options)) {
      EXPECT_EQ(each.severity, Severity::kWarning);
      EXPECT_FALSE(each.edit.empty());
      out.push_back(StrCat(each.code, " ", each.location.ToString(), ": ", each.message));
    }
    return out;
  }

  std::vector<AliasEntry> entries;
  std::map<std::string, std::string> files;
  AliasAdviceOptions options;
};

TEST(AliasAdvice, ValuesThatMeanNothing) {
  List list;
  list.Add("ok", "alice, bob@x, \"|cmd a,b\", /file, error:550 gone, :include:/l, \\root");
  list.Add("a7", "alice, error:999 bad");
  list.Add("b4", ":nonsense:");
  list.Add("b5", "alice,a@r.test b@r.test");
  list.Add("b6", "\"open");
  list.files["/l"] = "alice\n# why\nbob, c d # e\n";
  EXPECT_THAT(
      list.Check(),
      ElementsAre(
          HasSubstr("alias-value /l:3:6: \"c d\": neither a user, "),
          "alias-value /a:2:12: alias a7: \"error:999 bad\": error: wants a 4xx or 5xx code and a "
          "text: mail for it is answered 424",
          HasSubstr("alias-value /a:3:5: alias b4: \":nonsense:\": neither a user, "),
          HasSubstr("alias-value /a:4:11: alias b5: \"a@r.test b@r.test\": "),
          HasSubstr("alias-value /a:5:5: alias b6: \"\"open\": a quote is not closed")));
}

TEST(AliasAdvice, Includes) {
  List list;
  list.Add("a", ":include:/nonexistent");
  list.Add("b", ":include:/l");
  list.files["/l"] = "alice\n:include:/m\n";
  EXPECT_THAT(list.Check(),
              ElementsAre("alias-include /a:1: alias a: include:/nonexistent cannot be read (No "
                          "such file or directory): mail for it is answered 424",
                          "alias-include /l: include:/m is not obeyed: an included file may not "
                          "include others"));
}

// What root alone may read is not for the terminal of whoever may run a check as root.
TEST(AliasAdvice, IncludedLinesAreNotShownWhereTheyMayBeSecret) {
  List list;
  list.options.show_included = false;
  list.Add("a", ":include:/etc/shadow");
  list.files["/etc/shadow"] = "root:$y$ se cret:1\nbob\n";
  const std::vector<std::string> told = list.Check();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("alias-value /etc/shadow:1:"));
  EXPECT_THAT(told[0], ::testing::Not(HasSubstr("cret")));
  list.options.show_included = true;
  EXPECT_THAT(list.Check(), ElementsAre(HasSubstr("cret")));
}

TEST(AliasAdvice, Circles) {
  List list;
  list.Add("team", "alice, team2").Add("team2", "TEAM, carol");
  list.Add("ring1", "ring2").Add("ring2", "ring1");
  list.Add("self", "self, bob").Add("bob", "bob+x").Add("up", "team");
  EXPECT_THAT(list.Check(),
              ElementsAre("alias-circle /a:2: aliases in a circle: team -> team2 -> team; each is "
                          "expanded once, and the others whom they name get the mail",
                          "alias-circle /a:4: aliases in a circle: ring1 -> ring2 -> ring1; it "
                          "leads to nobody, and mail for them is refused"));
  List included;
  included.Add("team", ":include:/l");
  included.files["/l"] = "alice, other\n";
  included.Add("other", "team");
  EXPECT_THAT(included.Check(), ElementsAre(HasSubstr("circle: team -> other -> team; each")));
}

TEST(AliasAdvice, VirtualUsers) {
  List list;
  list.options.is_virtual = true;
  list.Add("team@v.test", "alice, t2@v.test").Add("t2@v.test", "Team+x@V.test, vmail");
  list.Add("@c.test", "all@c.test");
  list.Add("root", "root@other.test").Add("x@v.test", "x@far.test").Add("@", "any@far.test");
  EXPECT_THAT(list.Check(),
              ElementsAre(HasSubstr("circle: team@v.test -> t2@v.test -> team@v.test; each"),
                          HasSubstr("circle: @c.test -> @c.test; it leads to nobody")));
  // The same is none where keys are users: addresses are for the rules.
  list.options.is_virtual = false;
  EXPECT_THAT(list.Check(), IsEmpty());
}

TEST(AliasAdvice, IsBounded) {
  List list;
  for (int i = 0; i < 1000; ++i) list.Add(StrCat("k", i), "a b");
  EXPECT_EQ(list.Check().size(), 20u);
  // A way of 100,000 names, and each of its names once more: linear.
  List chain;
  for (int i = 0; i < 100000; ++i)
    chain.Add(StrCat("k", i), StrCat("k", i + 1, ", k", i + 1, ", k0"));
  chain.options.max_findings = 3;
  EXPECT_EQ(chain.Check().size(), 3u);
}

}  // namespace
}  // namespace postern::policy
