#include "lib/core/policy/table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/table_text.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<const TableContents> Make(
    Service service, const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<TableEntry> entries;
  for (const auto& [key, value] : pairs) entries.push_back({key, value, 0});
  Diagnostics diagnostics;
  TableBuildOptions options;
  options.services = {service};
  std::shared_ptr<const TableContents> contents =
      TableContents::Build(std::move(entries), options, &diagnostics);
  EXPECT_TRUE(contents) << (diagnostics.empty() ? "" : diagnostics[0].ToString());
  return contents;
}

struct Vector {
  Service service;
  std::vector<std::string> list;
  const char* key;
  bool matches;
};

TEST(Table, Services) {
  const Vector vectors[] = {
      {Service::kString, {"Abc"}, "aBC", true},
      {Service::kString, {"abc"}, "ab", false},
      {Service::kDomain, {"example.org"}, "EXAMPLE.org", true},
      {Service::kDomain, {"*.example.org"}, "a.example.org", true},
      {Service::kDomain, {"*.example.org"}, "a.b.example.org", false},
      {Service::kDomain, {"*.example.org"}, "example.org", false},
      {Service::kDomain, {"*"}, "anything", true},
      {Service::kDomain, {"mx*.a"}, "mx12.a", true},
      {Service::kDomain, {"*.*.a"}, "x.y.a", true},
      {Service::kNetaddr, {"192.0.2.0/24"}, "192.0.2.77", true},
      {Service::kNetaddr, {"192.0.2.0/24"}, "192.0.3.77", false},
      {Service::kNetaddr, {"192.0.2.1"}, "192.0.2.1", true},
      {Service::kNetaddr, {"2001:db8::/32"}, "2001:db8:1::1", true},
      {Service::kNetaddr, {"[2001:db8::/32]"}, "2001:db8:1::1", true},
      {Service::kNetaddr, {"[2001:db8::1]"}, "2001:db8::1", true},
      {Service::kNetaddr, {"0.0.0.0/0"}, "203.0.113.9", true},
      {Service::kNetaddr, {"0.0.0.0/0"}, "::1", false},
      {Service::kNetaddr, {"0.0.0.0/0"}, "local", false},
      {Service::kNetaddr, {"local"}, "local", true},
      {Service::kMailaddr, {"@"}, "any@where", true},
      {Service::kMailaddr, {"@"}, "", true},
      {Service::kMailaddr, {"bob@x"}, "", false},
      {Service::kMailaddr, {"@x.org"}, "bob@X.org", true},
      {Service::kMailaddr, {"@*.x.org"}, "bob@m.x.org", true},
      {Service::kMailaddr, {"bob"}, "bob@anywhere", true},
      {Service::kMailaddr, {"bob"}, "bob+tag@anywhere", true},
      {Service::kMailaddr, {"bob+tag@x"}, "bob@x", false},
      {Service::kMailaddr, {"bob+tag@x"}, "bob+tag@x", true},
      {Service::kMailaddr, {"bob@x"}, "bob+tag@x", true},
      {Service::kMailaddr, {"bob@x"}, "rob@x", false},
      {Service::kRegex, {"\\.dyn\\."}, "a.DYN.example", true},
      {Service::kRegex, {"^a"}, "ba", false},
      {Service::kRegex, {"^\\S+$"}, "word", false},  // lower-cased with its key: \s
      {Service::kRegex, {"(?i)x"}, "X", true},
      {Service::kAddrname, {"[2001:DB8::1]"}, "2001:db8::1", true},
  };
  for (const Vector& v : vectors) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const std::string& key : v.list) pairs.emplace_back(key, "");
    StaticTable table(Make(v.service, pairs));
    const StatusOr<bool> found = table.Match(v.service, v.key);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(*found, v.matches) << ServiceName(v.service) << " " << v.list[0] << " " << v.key;
  }
}

// The index must answer as a walk over all entries would.
TEST(Table, IndexAgreesWithTheWalk) {
  const std::vector<std::string> entries = {"@",    "a",   "a@x", "a+t@x", "@x",
                                            "@*.x", "*@x", "a@*", "b@m.x", "@*.*"};
  const std::vector<std::string> addresses = {"a@x", "a+t@x", "a+u@x", "b@m.x", "c@n.x",
                                              "c@x", "a@q",   "d@e",   ""};
  for (const std::string& entry : entries) {
    StaticTable table(Make(Service::kMailaddr, {{entry, ""}}));
    for (const std::string& address : addresses) {
      EXPECT_EQ(*table.Match(Service::kMailaddr, address), MailaddrMatches(address, entry, '+'))
          << entry << " " << address;
    }
  }
}

TEST(Table, TheKeyThatSortsFirstDecides) {
  StaticTable table(Make(Service::kNetaddr,
                         {{"192.0.2.1", "host"}, {"192.0.2.0/24", "net"}, {"0.0.0.0/0", "all"}}));
  EXPECT_EQ(**table.Lookup(Service::kNetaddr, "192.0.2.1"), "all");
  StaticTable twice(Make(Service::kAlias, {{"bob", "first"}, {"BOB", "second"}}));
  EXPECT_EQ(**twice.Lookup(Service::kAlias, "bob"), "second");
}

TEST(Table, FetchGoesRound) {
  StaticTable table(Make(Service::kSource, {{"192.0.2.2", ""}, {"192.0.2.1", ""}}));
  EXPECT_EQ(**table.Fetch(Service::kSource), "192.0.2.1");
  EXPECT_EQ(**table.Fetch(Service::kSource), "192.0.2.2");
  EXPECT_EQ(**table.Fetch(Service::kSource), "192.0.2.1");
}

TEST(Table, HostileGlobIsLinear) {
  const std::string name(5000, 'a');
  std::string pattern;
  for (int i = 0; i < 2000; ++i) pattern += "*a";
  EXPECT_FALSE(DomainGlobMatches(name, pattern + "b"));
}

struct TextVector {
  const char* text;
  TableForm form;
  std::vector<std::pair<std::string, std::string>> entries;
};

TEST(TableText, Table) {
  const TextVector vectors[] = {
      {"", TableForm::kUnknown, {}},
      {"# only\n\n", TableForm::kUnknown, {}},
      {"athome.tld\ndomain.tld", TableForm::kList, {{"athome.tld", ""}, {"domain.tld", ""}}},
      {"root: jdoe\nwebmaster:  bruce\n",
       TableForm::kMapping,
       {{"root", "jdoe"}, {"webmaster", "bruce"}}},
      {"label user:pass:word\n", TableForm::kMapping, {{"label", "user:pass:word"}}},
      {"bob@x:$2b$05$abc\n", TableForm::kMapping, {{"bob@x", "$2b$05$abc"}}},
      {"  key\t:\tvalue here \n", TableForm::kMapping, {{"key", "value here"}}},
      {"host ::1\n", TableForm::kMapping, {{"host", "::1"}}},
      {"[2001:db8::1] mx\n", TableForm::kMapping, {{"[2001:db8::1]", "mx"}}},
      {"[2001:db8::1]\n::2\n", TableForm::kList, {{"[2001:db8::1]", ""}, {"::2", ""}}},
      {"192.0.2.1\n2001:db8::\n", TableForm::kList, {{"192.0.2.1", ""}, {"2001:db8::", ""}}},
      {"# @list\n::1\na b\n", TableForm::kList, {{"::1", ""}, {"a b", ""}}},
      {"a\r\nb # not a comment\r\n", TableForm::kList, {{"a", ""}, {"b # not a comment", ""}}},
  };
  for (const TextVector& v : vectors) {
    Diagnostics diagnostics;
    const TableText table = ParseTableText(v.text, "t", {}, &diagnostics);
    EXPECT_TRUE(diagnostics.empty()) << v.text;
    EXPECT_EQ(table.form, v.form) << v.text;
    std::vector<std::pair<std::string, std::string>> got;
    for (const TableEntry& e : table.entries) got.emplace_back(e.key, e.value);
    EXPECT_EQ(got, v.entries) << v.text;
  }
  Diagnostics diagnostics;
  ParseTableText("a: b\nc\n\nd:\n", "t", {}, &diagnostics);
  ASSERT_EQ(diagnostics.size(), 2u);
  EXPECT_THAT(diagnostics[0].ToString(), HasSubstr("t:2: error: \"c\" has no value"));
  EXPECT_EQ(diagnostics[1].location.line, 4);
}

TEST(TableText, Passwd) {
  const char* text =
      "john@x:$6$h:vmail:2000:2000:/v/john::extra # cut\n\nmary:hash:1000:1001:Mary:/home/mary\n";
  Diagnostics diagnostics;
  const TableText logins = ParsePasswdText(text, "p", PasswdUse::kCredentials, {}, &diagnostics);
  ASSERT_EQ(logins.entries.size(), 2u);
  EXPECT_EQ(logins.entries[0].value, "$6$h");
  const TableText users = ParsePasswdText(text, "p", PasswdUse::kUserinfo, {}, &diagnostics);
  ASSERT_EQ(users.entries.size(), 1u);
  EXPECT_EQ(users.entries[0].value, "1000:1001:/home/mary");
  ASSERT_EQ(diagnostics.size(), 1u) << "john may log in, and has no mailbox";
  EXPECT_THAT(
      diagnostics[0].ToString(),
      HasSubstr("p:1: warning: login \"john@x\" gets no mail: uid and gid must be numbers"));
  diagnostics.clear();
  std::string many;
  for (int i = 0; i < 100; ++i) StrAppend(many, "u", i, ":h:vmail:100:g:/h\n");
  const TableText last =
      ParsePasswdText(many + "ok:h:1:1:g:/h\n", "p", PasswdUse::kUserinfo, {}, &diagnostics);
  EXPECT_EQ(diagnostics.size(), 20u) << "one mistake in how the file was made";
  ASSERT_EQ(last.entries.size(), 1u) << "and the rest is read";
  diagnostics.clear();
  ParsePasswdText("ok:h:1:1:g:/h\nbroken:hash\n", "p", PasswdUse::kCredentials, {}, &diagnostics);
  ASSERT_EQ(diagnostics.size(), 1u);
  EXPECT_THAT(diagnostics[0].ToString(),
              HasSubstr("p:2: error: login:hash:uid:gid:gecos:home is wanted, found 2 fields"));
}

TEST(TableValues, CredentialsAndUserinfo) {
  EXPECT_EQ(ParseCredentials("k", "user:pa:ss").secret, "pa:ss");
  EXPECT_EQ(ParseCredentials("k", "$6$hash").user, "k");
  EXPECT_EQ(ParseUserinfo("1000:100:/home/x")->home, "/home/x");
  for (const char* bad : {"", "1:2", "a:2:/h", "1:2:home", "-1:2:/h", "1:99999999999:/h"})
    EXPECT_FALSE(ParseUserinfo(bad).ok()) << bad;
}

}  // namespace
}  // namespace postern::policy
