// sqlite: tables against databases that SQLite's own API made.
#include "lib/store/table/sqlite_table.h"

#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/password.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/store/table/tables.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using policy::Service;
using ::testing::HasSubstr;

constexpr char kSchema[] =
    "CREATE TABLE virtuals(email TEXT, destination TEXT);"
    "CREATE TABLE users(login TEXT, hash TEXT, uid INT, gid INT, home TEXT);"
    "CREATE TABLE sources(address TEXT);"
    "INSERT INTO virtuals VALUES('abuse@x.org','bob'),('abuse@x.org','carol'),('@x.org','vmail');"
    "INSERT INTO users VALUES('bob','$5$s$h',1000,100,'/home/bob'),"
    "('none','h',NULL,100,'/'),('word','h',1000,'users','/'),('minus','h',-1,1,'/');"
    "INSERT INTO sources VALUES('192.0.2.2'),('192.0.2.1');";

constexpr char kQueries[] =
    "# as in table-sqlite(5)\n"
    "dbpath PATH\n"
    "query_alias SELECT destination FROM virtuals WHERE email=? ORDER BY destination;\n"
    "query_credentials:\tSELECT login, hash FROM users WHERE login=?\n"
    "query_userinfo SELECT uid, gid, home FROM users WHERE login=?;\n"
    "query_domain SELECT 1 WHERE ?='x.org'\n"
    "fetch_source SELECT address FROM sources\n"
    "fetch_source_expire 60\n";

class SqliteTableTest : public ::testing::Test {
 protected:
  SqliteTableTest() : root_(fs::temp_directory_path() / StrCat("postern-sqlt-", getpid())) {
    fs::remove_all(root_);
    fs::create_directories(root_);
    MakeDatabase("mail.db", kSchema);
    Write(kQueries);
  }
  ~SqliteTableTest() override { fs::remove_all(root_); }
  std::string Path(const std::string& name) const { return (root_ / name).string(); }

  void MakeDatabase(const std::string& name, const std::string& sql) {
    auto database = sqlite::Database::Open(world_.files(), Path(name));
    ASSERT_TRUE(database.ok()) << Message(database.status());
    ASSERT_TRUE((*database)->Execute(sql).ok());
    // As the sqlite3 program leaves a database: no log.
    ASSERT_TRUE((*database)->Execute("PRAGMA journal_mode=DELETE").ok());
  }
  void Write(std::string text) {
    for (size_t at = text.find("PATH"); at != std::string::npos; at = text.find("PATH"))
      text.replace(at, 4, Path("mail.db"));
    std::ofstream(Path("sql.conf")) << text;
  }
  std::shared_ptr<ConfigTables> Load(const std::string& uses) {
    policy::MemoryLoader loader("smtpd.conf",
                                StrCat("table t sqlite:", Path("sql.conf"), "\n", uses,
                                       "\naction z relay\nmatch for any action z\n"));
    policy::ParseResult result = policy::Parse("smtpd.conf", loader);
    told_.clear();
    policy::Diagnostics diagnostics = result.diagnostics;
    std::shared_ptr<ConfigTables> tables;
    if (result.config != nullptr) {
      tables = ConfigTables::Load(
          result.config, {&world_.files(), &world_.processes(), &world_.clock()}, {}, &diagnostics);
    }
    for (const policy::Diagnostic& d : diagnostics) StrAppend(told_, d.ToString(), "\n");
    return tables;
  }

  fs::path root_;
  rt::AsioWorld world_;
  std::string told_;
};

TEST_F(SqliteTableTest, AnswersEachService) {
  const auto tables = Load("action a mbox virtual <t> userbase <t>");
  ASSERT_TRUE(tables) << told_;
  policy::Table* table = tables->set().Get(0);
  EXPECT_TRUE(table->Blocks());
  EXPECT_EQ(**table->Lookup(Service::kAlias, "Abuse@X.org"), "bob, carol");
  EXPECT_EQ(**table->Lookup(Service::kAlias, "@x.org"), "vmail");
  EXPECT_FALSE(table->Lookup(Service::kAlias, "nobody")->has_value());
  EXPECT_EQ(**table->Lookup(Service::kCredentials, "bob"), "bob:$5$s$h");
  EXPECT_EQ(**table->Lookup(Service::kUserinfo, "bob"), "1000:100:/home/bob");
  // What is no number must not be taken for root.
  for (const char* login : {"none", "word", "minus"})
    EXPECT_FALSE(table->Lookup(Service::kUserinfo, login).ok()) << login;
  EXPECT_TRUE(*table->Match(Service::kDomain, "x.org"));
  EXPECT_FALSE(*table->Match(Service::kDomain, "y.org"));
  EXPECT_EQ(**table->Fetch(Service::kSource), "192.0.2.1");
  EXPECT_EQ(**table->Fetch(Service::kSource), "192.0.2.2");
  EXPECT_EQ(**table->Fetch(Service::kSource), "192.0.2.1");
  EXPECT_FALSE(table->Match(Service::kNetaddr, "192.0.2.1").ok());  // there is no query
}

TEST_F(SqliteTableTest, KeysAreDataAndNothingElse) {
  const auto tables = Load("action a mbox alias <t>");
  ASSERT_TRUE(tables) << told_;
  policy::Table* table = tables->set().Get(0);
  for (const char* key : {"' OR 1=1 --", "x'; DROP TABLE virtuals; --", "%", "?", "\\", "*)(uid=*"})
    EXPECT_FALSE(table->Lookup(Service::kAlias, key)->has_value()) << key;
  EXPECT_FALSE(table->Lookup(Service::kAlias, std::string_view("abuse@x.org\0", 12))->has_value());
  EXPECT_TRUE(table->Lookup(Service::kAlias, "abuse@x.org")->has_value());
}

struct Wrong {
  const char* text;
  const char* told;
};

TEST_F(SqliteTableTest, MistakesAreToldAtTheirLine) {
  const Wrong vectors[] = {
      {"query_alias SELECT 1\n", "sql.conf: error: there is no dbpath"},
      {"dbpath mail.db\n", "sql.conf:1: error: dbpath must be absolute"},
      {"dbpath PATH\nquery_alias\n", "sql.conf:2: error: \"query_alias\" has no value"},
      {"dbpath PATH\nquery_alias SELEC 1 WHERE ?\n", "sql.conf:2: error: database: near \"SELEC\""},
      {"dbpath PATH\nquery_alias SELECT a FROM gone WHERE b=?\n", "no such table: gone"},
      {"dbpath PATH\nquery_alias SELECT 1, 2 WHERE ?\n", "gives 2 columns, and 1 is wanted"},
      {"dbpath PATH\nquery_alias SELECT email FROM virtuals\n", "write ? where the key goes"},
      {"dbpath PATH\nquery_alias SELECT 1 WHERE ?=?\n", "or ?1 in each place"},
      {"dbpath PATH\nquery_alias DELETE FROM virtuals WHERE email=? RETURNING email\n",
       "the statement changes the database"},
      {"dbpath PATH\nquery_alias SELECT 1 WHERE ?\nquery_alias SELECT 2 WHERE ?\n",
       "sql.conf:3: error: query_alias is given already at line 2"},
      {"dbpath PATH.not\nquery_alias SELECT 1 WHERE ?\n", "sql.conf:1: error: "},
      {"dbpath PATH\nfetch_source_expire soon\n", "must be a number"},
      {"dbpath PATH\nquery_domain SELECT 1 WHERE ?\n",
       "smtpd.conf:2:21: error: table \"t\" may not be used for alias lookups"},
  };
  for (const Wrong& v : vectors) {
    Write(v.text);
    EXPECT_EQ(Load("action a mbox alias <t>"), nullptr) << v.text;
    EXPECT_THAT(told_, HasSubstr(v.told)) << v.text;
  }
  Write("dbpath PATH\nquery_aliases SELECT 1\nquery_alias SELECT 1 WHERE ?1=?1\n");
  EXPECT_TRUE(Load("action a mbox alias <t>")) << told_;
  EXPECT_THAT(told_, HasSubstr("sql.conf:2: warning: \"query_aliases\" is no setting"));
}

TEST_F(SqliteTableTest, ADatabaseThatIsReplacedIsOpenedAnew) {
  const auto tables = Load("action a mbox alias <t>");
  ASSERT_TRUE(tables) << told_;
  policy::Table* table = tables->set().Get(0);
  MakeDatabase("new.db", StrCat(kSchema, "UPDATE virtuals SET destination='dave';"));
  EXPECT_EQ(**table->Lookup(Service::kAlias, "@x.org"), "vmail");
  fs::rename(Path("new.db"), Path("mail.db"));
  EXPECT_EQ(**table->Lookup(Service::kAlias, "@x.org"), "dave");
  // What is no database makes temporary failures, until there is one again.
  std::ofstream(Path("junk")) << std::string(5000, 'j');
  fs::rename(Path("junk"), Path("mail.db"));
  const auto found = table->Lookup(Service::kAlias, "@x.org");
  EXPECT_EQ(found.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Message(found.status())), HasSubstr("table t: "));
  MakeDatabase("new.db", kSchema);
  fs::rename(Path("new.db"), Path("mail.db"));
  EXPECT_EQ(**table->Lookup(Service::kAlias, "@x.org"), "vmail");
}

TEST_F(SqliteTableTest, UpdateKeepsWhatWasInForceOnError) {
  const auto tables = Load("action a mbox alias <t>");
  ASSERT_TRUE(tables) << told_;
  policy::Table* table = tables->set().Get(0);
  Write("dbpath PATH\nquery_alias SELECT nothing WHERE ?\n");
  policy::Diagnostics diagnostics;
  EXPECT_FALSE(tables->Update("t", &diagnostics));
  EXPECT_THAT(diagnostics.at(0).ToString(), HasSubstr("sql.conf:2: error: "));
  EXPECT_EQ(**table->Lookup(Service::kAlias, "@x.org"), "vmail");
  Write("dbpath PATH\nquery_alias SELECT 'new' WHERE ?1=?1\n");
  EXPECT_TRUE(tables->Update("t", &diagnostics));
  EXPECT_EQ(**table->Lookup(Service::kAlias, "@x.org"), "new");
}

TEST_F(SqliteTableTest, ALockedDatabaseAndAQueryWithoutEndAreTemporary) {
  policy::TableDeclaration declaration;
  declaration.name = "t";
  declaration.path = Path("sql.conf");
  SqliteTableOptions options;
  options.query.busy_timeout_ms = 50;
  options.query.max_steps = 100'000;
  options.max_rows = 10;
  Write(
      "dbpath PATH\nquery_alias WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
      "SELECT i FROM n WHERE ?='rows' OR i<0\n"
      "query_domain SELECT destination FROM virtuals WHERE email=?\n");
  SqliteTable table(&declaration, &world_.files(), &world_.clock(), options);
  policy::Diagnostics diagnostics;
  ASSERT_TRUE(table.Reload(&diagnostics)) << diagnostics.at(0).ToString();
  EXPECT_THAT(std::string(Message(table.Lookup(Service::kAlias, "endless").status())),
              HasSubstr("too much work"));
  EXPECT_THAT(std::string(Message(table.Lookup(Service::kAlias, "rows").status())),
              HasSubstr("more than 10 rows"));
  EXPECT_TRUE(table.Lookup(Service::kDomain, "@x.org")->has_value());
  auto writer = sqlite::Database::Open(world_.files(), Path("mail.db"));
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Execute("PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE;").ok());
  const auto locked = table.Lookup(Service::kDomain, "@x.org");
  EXPECT_EQ(locked.status().code(), StatusCode::kUnavailable);
  ASSERT_TRUE((*writer)->Execute("ROLLBACK").ok());
  EXPECT_TRUE(table.Lookup(Service::kDomain, "@x.org")->has_value());
}

}  // namespace
}  // namespace postern::store
