// Every service with every kind of table: the same entries, the same answers.
#include <filesystem>
#include <fstream>
#include <map>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/berkeley_db.h"
#include "lib/core/policy/parse.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/store/sqlite/database.h"
#include "lib/store/table/tables.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using policy::Service;
using ::testing::HasSubstr;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// One table and what it answers. `use` is a line of the configuration that uses <t> for the
// service.
struct Vector {
  Service service;
  const char* use;
  Pairs entries;  // values are empty in a list
  Pairs answers;  // key -> value, or "-" for none; a list gives ""
};

constexpr char kAlias[] = "action x mbox alias <t>";
constexpr char kVirtual[] = "action x mbox virtual <t>";
constexpr char kUserbase[] = "action x mbox userbase <t>";
constexpr char kDomain[] = "match for domain <t> action z";
constexpr char kHelo[] = "match helo <t> for any action z";
constexpr char kSrc[] = "match from src <t> for any action z";
constexpr char kMailFrom[] = "match mail-from <t> for any action z";
constexpr char kTag[] = "match tag <t> for any action z";
constexpr char kRegex[] = "match mail-from regex <t> for any action z";
constexpr char kHost[] = "action x relay host <t>";
constexpr char kRelaySrc[] = "action x relay src <t>";
constexpr char kHeloSrc[] = "action x relay helo-src <t>";
constexpr char kRelayAuth[] = "action x relay host \"smtps://l@h.org\" auth <t>";
constexpr char kSenders[] =
    "listen on lo0 port 2525 auth-optional senders <t> tls pki p\npki p cert \"/c\" key \"/k\"";

const std::vector<Vector>& Vectors() {
  static const std::vector<Vector> vectors = {
      {Service::kAlias, kAlias, {{"Root", "alice, bob"}}, {{"ROOT", "alice, bob"}, {"roo", "-"}}},
      {Service::kAlias,
       kVirtual,
       {{"@x.org", "vmail"}, {"@", "all"}},
       {{"@X.org", "vmail"}, {"@", "all"}, {"a@x.org", "-"}}},
      {Service::kUserinfo,
       kUserbase,
       {{"bob", "1000:100:/home/bob"}},
       {{"Bob", "1000:100:/home/bob"}, {"bo", "-"}}},
      {Service::kDomain,
       kDomain,
       {{"example.org", ""}, {"*.a.b", ""}, {"m*.c", ""}},
       {{"EXAMPLE.org", ""}, {"x.a.b", ""}, {"a.b", "-"}, {"y.x.a.b", "-"}, {"mx.c", ""}}},
      {Service::kDomain, kHelo, {{"[192.0.2.1]", ""}}, {{"[192.0.2.1]", ""}, {"192.0.2.1", "-"}}},
      {Service::kNetaddr,
       kSrc,
       {{"192.0.2.0/24", ""}, {"[2001:db8::/32]", ""}, {"[2001:db9::1]", ""}, {"local", ""}},
       {{"192.0.2.255", ""},
        {"192.0.3.0", "-"},
        {"2001:db8:9::1", ""},
        {"2001:db9::1", ""},
        {"2001:db9::2", "-"},
        {"local", ""}}},
      {Service::kMailaddr,
       kMailFrom,
       {{"bob", ""}, {"@d.org", ""}, {"ann@*.e.org", ""}, {"tag+x@f.org", ""}},
       {{"bob@any", ""},
        {"Bob+t@any", ""},
        {"x@d.org", ""},
        {"ann@m.e.org", ""},
        {"ann@e.org", "-"},
        {"tag+x@f.org", ""},
        {"tag@f.org", "-"},
        {"", "-"}}},
      {Service::kMailaddr, kMailFrom, {{"@", ""}}, {{"any@where", ""}, {"", ""}}},
      {Service::kMailaddrmap,
       kSenders,
       {{"bob", "bob@x.org, @y.org"}},
       {{"BOB", "bob@x.org, @y.org"}, {"ann", "-"}}},
      {Service::kAddrname,
       kHeloSrc,
       {{"192.0.2.1", "mx1.x.org"}, {"[2001:DB8::1]", "mx2.x.org"}},
       {{"192.0.2.1", "mx1.x.org"}, {"2001:db8::1", "mx2.x.org"}, {"192.0.2.2", "-"}}},
      {Service::kCredentials,
       kRelayAuth,
       {{"l", "user:pass:word"}},
       {{"L", "user:pass:word"}, {"m", "-"}}},
      {Service::kString, kTag, {{"One", ""}}, {{"ONE", ""}, {"on", "-"}}},
      {Service::kRegex,
       kRegex,
       {{"\\.dyn\\.", ""}, {"^a.*z$", ""}},
       {{"x.DYN.y", ""}, {"abcz", ""}, {"babcz", "-"}}},
      // Fetched: the answers are the turns.
      {Service::kSource,
       kRelaySrc,
       {{"192.0.2.2", ""}, {"192.0.2.1", ""}},
       {{"", "192.0.2.1"}, {"", "192.0.2.2"}, {"", "192.0.2.1"}}},
      {Service::kRelayhost,
       kHost,
       {{"smtp://b.org", ""}, {"a.org:26", ""}},
       {{"", "a.org:26"}, {"", "smtp://b.org"}}},
  };
  return vectors;
}

bool IsFetched(Service service) {
  return service == Service::kSource || service == Service::kRelayhost;
}

// MakeDb writes a Berkeley DB hash of one bucket, as makemap's are.
std::string MakeDb(const Pairs& entries) {
  constexpr size_t kPage = 4096;
  std::string file(2 * kPage, '\0');
  const auto put = [&file](size_t at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) file[at + i] = static_cast<char>(value >> (8 * i));
  };
  put(12, 0x061561, 4);
  put(16, 9, 4);
  put(20, kPage, 4);
  file[25] = 8;
  size_t end = kPage;
  size_t items = 0;
  const auto item = [&](const std::string& text) {
    end -= text.size() + 2;
    file[kPage + end] = 1;
    file.replace(kPage + end + 1, text.size(), text);
    put(kPage + 26 + 2 * items++, end, 2);
  };
  for (const auto& [key, value] : entries) {
    item(AsciiLower(key));
    item(value.empty() ? "<set>" : value);
  }
  put(kPage + 20, items, 2);
  put(kPage + 22, end, 2);
  file[kPage + 25] = 13;
  return file;
}

class ServicesTest : public ::testing::Test {
 protected:
  ServicesTest() : root_(fs::temp_directory_path() / StrCat("postern-svc-", getpid())) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~ServicesTest() override { fs::remove_all(root_); }

  std::shared_ptr<ConfigTables> Load(const std::string& table, const std::string& use) {
    policy::MemoryLoader loader("smtpd.conf",
                                StrCat("libexec \"", root_.string(), "\"\ntable t ", table,
                                       "\naction z relay\n", use, "\nmatch for any action z\n"));
    policy::ParseOptions options;
    options.server_name = [] { return std::string("p"); };
    policy::ParseResult result = policy::Parse("smtpd.conf", loader, options);
    policy::Diagnostics diagnostics = result.diagnostics;
    std::shared_ptr<ConfigTables> tables;
    if (result.config != nullptr) {
      tables = ConfigTables::Load(
          result.config, {&world_.files(), &world_.processes(), &world_.clock()}, {}, &diagnostics);
    }
    told_.clear();
    for (const policy::Diagnostic& d : diagnostics) StrAppend(told_, d.ToString(), "\n");
    return tables;
  }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name, std::ios::binary) << text;
    return (root_ / name).string();
  }

  void Check(const Vector& v, const std::string& table) {
    SCOPED_TRACE(StrCat(table, "\n", v.use));
    const auto tables = Load(table, v.use);
    ASSERT_TRUE(tables) << told_;
    policy::Table* t = tables->set().Get(0);
    for (const auto& [key, value] : v.answers) {
      const auto found = IsFetched(v.service) ? t->Fetch(v.service) : t->Lookup(v.service, key);
      ASSERT_TRUE(found.ok()) << key << ": " << Message(found.status());
      EXPECT_EQ(found->value_or("-"), value) << key;
      if (IsFetched(v.service)) continue;
      EXPECT_EQ(*t->Match(v.service, key), value != "-") << key;
    }
  }

  fs::path root_;
  rt::AsioWorld world_;
  std::string told_;
};

bool IsMapping(const Vector& v) { return !v.entries[0].second.empty(); }

TEST_F(ServicesTest, TablesInTheConfiguration) {
  for (const Vector& v : Vectors()) {
    std::string text = "{ ";
    for (const auto& [key, value] : v.entries) {
      StrAppend(text, text.size() > 2 ? ", " : "", "\"", key, "\"");
      if (IsMapping(v)) StrAppend(text, " = \"", value, "\"");
    }
    Check(v, text + " }");
  }
}

TEST_F(ServicesTest, Files) {
  for (const Vector& v : Vectors()) {
    std::string text = IsMapping(v) ? "" : "# @list\n";
    for (const auto& [key, value] : v.entries)
      StrAppend(text, key, IsMapping(v) ? "\t" : "", value, "\n");
    Check(v, StrCat("file:", Write("t", text)));
  }
}

TEST_F(ServicesTest, DatabasesOfMakemap) {
  for (const Vector& v : Vectors()) Check(v, StrCat("db:", Write("t.db", MakeDb(v.entries))));
}

// A query and a program compare as they like; these compare exactly, and so answer what an exact
// entry does, for each service's own shape of value.
TEST_F(ServicesTest, QueriesAndPrograms) {
  const std::map<Service, const char*> queries = {
      {Service::kUserinfo, "SELECT substr(v,1,4), substr(v,6,3), substr(v,10) FROM e WHERE k=?"},
      {Service::kCredentials,
       "SELECT substr(v,1,instr(v,':')-1), substr(v,instr(v,':')+1) FROM e WHERE k=?"},
  };
  const std::string program =
      Write("table-x",
            "#!/usr/bin/python3\n"
            "import sys\n"
            "lines = open(sys.argv[1]).read().split('\\n')[:-1]\n"
            "entries = dict(line.split('\\t') for line in lines)\n"
            "turn = 0\n"
            "for line in sys.stdin:\n"
            "    f = line[:-1].split('|', 7)\n"
            "    if line == 'config|ready\\n':\n"
            "        for s in sys.argv[1].rsplit('.', 1)[1].split():\n"
            "            print('register|' + s)\n"
            "        print('register|ready', flush=True)\n"
            "    if f[0] != 'table': continue\n"
            "    r = f'{f[4]}-result|{f[6]}|'\n"
            "    if f[4] == 'fetch':\n"
            "        print(r + 'found|' + sorted(entries)[turn % len(entries)], flush=True)\n"
            "        turn += 1\n"
            "    elif f[7] not in entries: print(r + 'not-found', flush=True)\n"
            "    elif f[4] == 'check': print(r + 'found', flush=True)\n"
            "    else: print(r + 'found|' + entries[f[7]], flush=True)\n");
  fs::permissions(program, fs::perms::owner_all);
  int number = 0;
  for (const Vector& v : Vectors()) {
    Vector exact = v;
    std::erase_if(exact.answers, [&](const auto& answer) {
      if (IsFetched(v.service) || answer.second == "-") return false;
      return std::none_of(v.entries.begin(), v.entries.end(), [&](const auto& entry) {
        return AsciiLower(entry.first) == AsciiLower(answer.first);
      });
    });
    const std::string name = policy::ServiceName(v.service);
    std::string sql = "CREATE TABLE e(k TEXT, v TEXT);";
    std::string text;
    for (const auto& [key, value] : v.entries) {
      StrAppend(sql, "INSERT INTO e VALUES('", AsciiLower(key), "', '", value, "');");
      StrAppend(text, AsciiLower(key), "\t", value, "\n");
    }
    const std::string path = (root_ / StrCat(++number, ".sqlite")).string();
    {
      auto database = sqlite::Database::Open(world_.files(), path);
      ASSERT_TRUE(database.ok());
      ASSERT_TRUE((*database)->Execute(sql).ok());
    }
    const auto own = queries.find(v.service);
    Check(exact,
          StrCat("sqlite:",
                 Write("sql.conf", StrCat("dbpath ", path, "\n",
                                          IsFetched(v.service) ? "fetch_" : "query_", name, " ",
                                          own != queries.end()   ? own->second
                                          : IsFetched(v.service) ? "SELECT k FROM e"
                                                                 : "SELECT v FROM e WHERE k=?",
                                          "\n"))));
    Check(exact, StrCat("x:", Write(StrCat("data.", name), text)));
  }
}

TEST_F(ServicesTest, FormsAreCheckedWhereTheTableIsUsed) {
  const std::string list = StrCat("file:", Write("list", "a\nb\n"));
  const std::string mapping = StrCat("file:", Write("mapping", "a: b\n"));
  const auto refused = [&](const std::string& table, const char* use, const char* word) {
    EXPECT_EQ(Load(table, use), nullptr) << use;
    EXPECT_THAT(told_, HasSubstr(StrCat("table \"t\" may not be used for ", word, " lookups")))
        << use;
  };
  for (const auto& [use, word] :
       std::vector<std::pair<const char*, const char*>>{{kAlias, "alias"},
                                                        {kVirtual, "virtual"},
                                                        {kUserbase, "userbase"},
                                                        {kHeloSrc, "helo-src"},
                                                        {kSenders, "senders"},
                                                        {kRelayAuth, "relay auth"}}) {
    refused(list, use, word);
    refused("{ a, b }", use, word);
  }
  for (const auto& [use, word] :
       std::vector<std::pair<const char*, const char*>>{{kDomain, "for domain"},
                                                        {kHelo, "helo"},
                                                        {kSrc, "from src"},
                                                        {kTag, "tag"},
                                                        {kRegex, "mail-from"},
                                                        {kHost, "relay host"}}) {
    refused(mapping, use, word);
    refused("{ a = b }", use, word);
  }
  // Either will do.
  EXPECT_TRUE(Load(mapping, kMailFrom)) << told_;
  EXPECT_TRUE(Load(list, kMailFrom)) << told_;
}

}  // namespace
}  // namespace postern::store
