// Tables from files, and .forward with its checks, on the simulated disk's simplest stand-in: the
// real one, in a scratch folder.
#include "lib/store/table/tables.h"

#include "tests/unit/text_log.h"
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/rt/asio/posix_processes.h"
#include "lib/store/table/accounts.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using policy::Diagnostics;
using policy::Service;
using ::testing::HasSubstr;

class TablesTest : public ::testing::Test {
 protected:
  TablesTest() : root_(fs::temp_directory_path() / StrCat("postern-tables-", getpid())) {
    fs::create_directories(root_);
  }
  ~TablesTest() override { fs::remove_all(root_); }
  std::string Path(const std::string& name) const { return (root_ / name).string(); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
  }

  std::shared_ptr<ConfigTables> Load(const std::string& text) {
    policy::MemoryLoader loader("smtpd.conf", text);
    policy::ParseResult result = policy::Parse("smtpd.conf", loader);
    EXPECT_TRUE(result.config) << (result.diagnostics.empty() ? ""
                                                              : result.diagnostics[0].ToString());
    diagnostics_.clear();
    return ConfigTables::Load(result.config, &files_, {}, &diagnostics_);
  }
  std::string Told() const {
    std::string out;
    for (const policy::Diagnostic& d : diagnostics_) StrAppend(out, d.ToString(), "\n");
    return out;
  }

  fs::path root_;
  rt::PosixFiles files_;
  Diagnostics diagnostics_;
};

TEST_F(TablesTest, FileAndPasswd) {
  Write("aliases", "root: alice\n");
  Write("passwd", "bob:hash:2000:2001:Bob:/home/bob\n");
  const auto tables =
      Load(StrCat("table a file:", Path("aliases"), "\ntable p passwd:", Path("passwd"),
                  "\npki m cert \"/c\" key \"/k\"\nlisten on lo0 tls pki m auth <p>\n",
                  "action m mbox alias <a> userbase <p>\nmatch for any action m\n"));
  ASSERT_TRUE(tables) << Told();
  EXPECT_EQ(**tables->set().Get(0)->Lookup(Service::kAlias, "ROOT"), "alice");
  EXPECT_EQ(**tables->set().Get(1)->Lookup(Service::kCredentials, "bob"), "hash");
  EXPECT_EQ(**tables->set().Get(1)->Lookup(Service::kUserinfo, "bob"), "2000:2001:/home/bob");
  EXPECT_EQ(tables->set().Get(1)->SampleValue(), "hash");
}

TEST_F(TablesTest, ErrorsNameBothPlaces) {
  const std::string conf = StrCat("table a file:", Path("aliases"),
                                  "\naction m mbox alias <a>\nmatch for any action m\n");
  EXPECT_FALSE(Load(conf));
  EXPECT_THAT(Told(), HasSubstr("smtpd.conf:1:7: error: cannot read "));
  Write("aliases", "root: alice\nbroken\n");
  EXPECT_FALSE(Load(conf));
  EXPECT_THAT(Told(), HasSubstr("aliases:2: error: \"broken\" has no value"));
  EXPECT_THAT(Told(), HasSubstr("[table a, declared at smtpd.conf:1:7]"));
  Write("aliases", "root\nalice\n");
  EXPECT_FALSE(Load(conf));
  EXPECT_THAT(Told(),
              HasSubstr("smtpd.conf:2:21: error: table \"a\" may not be used for alias lookups"));
}

TEST_F(TablesTest, AFileThatMixesListAndPairsIsToldAtItsOwnLine) {
  const std::string conf = StrCat("table a file:", Path("aliases"),
                                  "\naction m mbox alias <a>\nmatch for any action m\n");
  Write("aliases", "# ours\nroot\nalice: bob\ncarol: dave\n");
  EXPECT_FALSE(Load(conf));
  EXPECT_THAT(Told(), HasSubstr(StrCat(Path("aliases"), ":2: error: \"root\" has no value")));
  EXPECT_THAT(Told(), HasSubstr("line 3 has a key and a value"));
  EXPECT_THAT(Told(), ::testing::Not(HasSubstr("may not be used")));
  // Who says that it is a list gets one, and is told where a list will not do.
  Write("aliases", "# @list\nroot\nalice: bob\n");
  EXPECT_FALSE(Load(conf));
  EXPECT_THAT(Told(), HasSubstr("smtpd.conf:2:21: error: table \"a\" may not be used"));
}

TEST_F(TablesTest, TheSecretsOfRelaysAreUserAndPassword) {
  const std::string conf = StrCat("table s file:", Path("secrets"),
                                  "\naction m relay host smtps://l@x.org auth <s>\n"
                                  "match for any action m\n");
  Write("secrets", "l user:pass\n");
  EXPECT_TRUE(Load(conf)) << Told();
  Write("secrets", "l user:pass\nm hunter1\n");
  EXPECT_TRUE(Load(conf)) << "the label is the user's name";
  Write("secrets", "l user:pass\nm  :hunter2\n");
  EXPECT_FALSE(Load(conf));
  EXPECT_THAT(Told(),
              HasSubstr("secrets:2: error: the value of label \"m\" must be user:password"));
  EXPECT_THAT(Told(), ::testing::Not(HasSubstr("hunter2")));
}

TEST_F(TablesTest, UpdateKeepsTheOldContentsOnError) {
  Write("nets", "192.0.2.0/24\n");
  const auto tables = Load(StrCat("table n file:", Path("nets"),
                                  "\naction m mbox\nmatch from src <n> for any action m\n"));
  ASSERT_TRUE(tables) << Told();
  policy::Table* table = tables->set().Get(0);
  EXPECT_TRUE(*table->Match(Service::kNetaddr, "192.0.2.1"));
  Write("nets", "192.0.2.0/24\nnonsense\n");
  EXPECT_FALSE(tables->Update("n", &diagnostics_));
  EXPECT_THAT(Told(), HasSubstr("nets:2: error: \"nonsense\" is neither an address nor a network"));
  EXPECT_TRUE(*table->Match(Service::kNetaddr, "192.0.2.1"));
  Write("nets", "198.51.100.0/24\n");
  EXPECT_TRUE(tables->Update("n", &diagnostics_));
  EXPECT_FALSE(*table->Match(Service::kNetaddr, "192.0.2.1"));
  EXPECT_TRUE(*table->Match(Service::kNetaddr, "198.51.100.9"));
  EXPECT_FALSE(tables->Update("none", &diagnostics_));
}

class SteppedClock final : public rt::Clock {
 public:
  Instant Now() override { return now; }
  WallTime WallNow() override { return absl::FromUnixSeconds(1'700'000'000); }
  Instant now{1};
};

TEST_F(TablesTest, ADatabaseOfMakemapIsReadAnewWhenItChanges) {
  const auto put = [&](const std::string& sample) {
    fs::copy_file(fs::path(POSTERN_DB_DIR) / sample, Path("new"),
                  fs::copy_options::overwrite_existing);
    fs::rename(Path("new"), Path("aliases.db"));
  };
  SteppedClock clock;
  TextLog log;
  const auto load = [&](const std::string& text) {
    policy::MemoryLoader loader("smtpd.conf", text);
    policy::ParseResult result = policy::Parse("smtpd.conf", loader);
    diagnostics_.clear();
    return ConfigTables::Load(result.config, {&files_, nullptr, &clock, &log}, {}, &diagnostics_);
  };
  const std::string conf = StrCat("table a db:", Path("aliases.db"),
                                  "\naction m mbox alias <a>\nmatch for any action m\n");
  EXPECT_EQ(load(conf), nullptr);
  EXPECT_THAT(Told(), HasSubstr("smtpd.conf:1:7: error: cannot read "));
  Write("aliases.db", "root: alice\n" + std::string(100, '#'));
  EXPECT_EQ(load(conf), nullptr);
  EXPECT_THAT(Told(), HasSubstr("aliases.db: error: it is no Berkeley DB file [table a, declared"));
  put("aliases_hash");
  const auto tables = load(conf);
  ASSERT_TRUE(tables) << Told();
  policy::Table* table = tables->set().Get(0);
  EXPECT_TRUE(table->Blocks());
  EXPECT_EQ(**table->Lookup(Service::kAlias, "Carol"), "dave, erin");
  EXPECT_FALSE(table->Lookup(Service::kAlias, "long")->has_value());
  put("long_btree");
  clock.now = clock.now + absl::Milliseconds(1500);
  EXPECT_TRUE(table->Lookup(Service::kAlias, "long")->has_value());
  EXPECT_FALSE(table->Lookup(Service::kAlias, "carol")->has_value());
  EXPECT_EQ(log.Take(), "");
  // Half a file, and none, leave what there was; the next look finds the whole one. It is told
  // once.
  Write("aliases.db", "half");
  for (int i = 0; i < 3; ++i) {
    clock.now = clock.now + absl::Milliseconds(1500);
    EXPECT_TRUE(table->Lookup(Service::kAlias, "long")->has_value());
  }
  const std::string told = log.Take();
  EXPECT_THAT(told, HasSubstr("a changed file is wrong: the old content stays"));
  EXPECT_THAT(told, HasSubstr("aliases.db: error: it is no Berkeley DB file"));
  EXPECT_THAT(told, HasSubstr("smtpd.conf:1:7"));
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
  EXPECT_FALSE(tables->Update("a", &diagnostics_));
  EXPECT_THAT(Told(), HasSubstr("aliases.db: error: "));
  fs::remove(Path("aliases.db"));
  clock.now = clock.now + absl::Milliseconds(1500);
  EXPECT_TRUE(table->Lookup(Service::kAlias, "long")->has_value());
  EXPECT_EQ(log.Take(), "");
  put("aliases_hash");
  EXPECT_TRUE(table->Lookup(Service::kAlias, "long")->has_value());  // looked a moment ago
  clock.now = clock.now + absl::Milliseconds(1500);
  EXPECT_TRUE(table->Lookup(Service::kAlias, "carol")->has_value());
  EXPECT_THAT(log.Take(), HasSubstr("the file is right again"));
  fs::remove(Path("aliases.db"));
  clock.now = clock.now + absl::Milliseconds(1500);
  EXPECT_TRUE(table->Lookup(Service::kAlias, "carol")->has_value());
  EXPECT_THAT(log.Take(), HasSubstr("it cannot be opened"));
}

TEST_F(TablesTest, EachServiceOfEachKindOfFile) {
  // The same entries from a list in the configuration, a file and a database answer the same.
  fs::copy_file(fs::path(POSTERN_DB_DIR) / "set_hash", Path("set.db"));
  Write("set", "example.org\n*.x.org\n");
  Write("nets", "10.0.0.0/8\n[2001:db8::]\n");
  const auto tables =
      Load(StrCat("table s { \"example.org\", \"*.x.org\" }\ntable f file:", Path("set"),
                  "\ntable n file:", Path("nets"),
                  "\naction m mbox\nmatch from src <n> for domain <s> action m\n",
                  "match for domain <f> mail-from <f> action m\nmatch from auth <s> for any "
                  "action m\n"));
  ASSERT_TRUE(tables) << Told();
  for (const int id : {0, 1}) {
    policy::Table* table = tables->set().Get(id);
    EXPECT_TRUE(*table->Match(Service::kDomain, "A.x.ORG"));
    EXPECT_FALSE(*table->Match(Service::kDomain, "a.b.x.org"));
  }
  EXPECT_TRUE(*tables->set().Get(1)->Match(Service::kMailaddr, "example.org@any"));
  EXPECT_TRUE(*tables->set().Get(2)->Match(Service::kNetaddr, "10.9.8.7"));
  EXPECT_TRUE(*tables->set().Get(2)->Match(Service::kNetaddr, "2001:db8::"));
}

TEST_F(TablesTest, ForwardIsReadOnlyWhenSafe) {
  using State = policy::ForwardFile::State;
  rt::PosixProcesses processes;
  SystemAccounts accounts(&processes, &files_);
  policy::LocalAccount me{"me", static_cast<uint32_t>(getuid()), static_cast<uint32_t>(getgid()),
                          root_.string()};
  chmod(root_.c_str(), 0755);
  EXPECT_EQ(accounts.ReadForward(me)->state, State::kMissing);
  Write(".forward", " \n");
  chmod(Path(".forward").c_str(), 0644);
  EXPECT_EQ(accounts.ReadForward(me)->state, State::kMissing);
  Write(".forward", "x@y\n");
  EXPECT_EQ(accounts.ReadForward(me)->text, "x@y\n");
  chmod(Path(".forward").c_str(), 0664);
  EXPECT_EQ(accounts.ReadForward(me)->state, State::kUnsafe);
  chmod(Path(".forward").c_str(), 0644);
  chmod(root_.c_str(), 0777);
  EXPECT_EQ(accounts.ReadForward(me)->state, State::kUnsafe);
  chmod(root_.c_str(), 01755);
  EXPECT_EQ(accounts.ReadForward(me)->state, State::kTemporary);
  chmod(root_.c_str(), 0755);
  policy::LocalAccount other = me;
  other.uid = me.uid + 1;
  EXPECT_EQ(accounts.ReadForward(other)->state, State::kUnsafe);
  fs::rename(Path(".forward"), Path("elsewhere"));
  fs::create_symlink(Path("elsewhere"), Path(".forward"));
  EXPECT_EQ(accounts.ReadForward(me)->state, State::kUnsafe);
}

}  // namespace
}  // namespace postern::store
