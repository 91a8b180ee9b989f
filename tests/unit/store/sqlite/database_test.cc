#include "lib/store/sqlite/database.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/rt/asio/posix_files.h"

namespace postern::sqlite {
namespace {

const char* const kSchema[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB NOT NULL);",
    "ALTER TABLE t ADD COLUMN note TEXT;",
};

class DatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-sqlite-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { (void)!std::system(("rm -rf " + root_).c_str()); }
  std::unique_ptr<Database> Open(size_t versions = 2) {
    StatusOr<std::unique_ptr<Database>> database = Database::Open(files_, root_ + "/t.db");
    EXPECT_TRUE(database.ok()) << Text(database.status());
    EXPECT_TRUE((*database)->Migrate(std::span(kSchema, versions)).ok());
    return *std::move(database);
  }

  rt::PosixFiles files_;
  std::string root_;
};

TEST_F(DatabaseTest, ACopyIsReadWithoutWriting) {
  const std::string path = root_ + "/t.db";
  const auto sum_of_copy = [&]() -> int64_t {
    StatusOr<std::unique_ptr<Database>> copy = Database::OpenCopy(files_, path);
    if (!copy.ok()) return -1;
    StatusOr<Statement> query = (*copy)->Prepare("SELECT sum(id) FROM t");
    if (!query.ok()) return -2;
    (void)query->Step();
    const int64_t sum = query->Int(0);
    query->Reset();
    return (*copy)->Execute("INSERT INTO t(id, body) VALUES(100, 'x')").ok() ? sum : -3;
  };
  EXPECT_EQ(sum_of_copy(), -2);  // nothing there: an empty copy
  std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("INSERT INTO t(id, body) VALUES(3, 'x')").ok());
  EXPECT_EQ(sum_of_copy(), 3);  // its log is read as long as its writer is there
  database.reset();
  const auto names = [&] {
    std::string text;
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = files_.List(root_);
    if (!entries.ok()) return text;
    std::set<std::string> sorted;
    for (const rt::DirectoryEntry& entry : *entries) sorted.insert(entry.name);
    for (const std::string& name : sorted) text += name + " ";
    return text;
  };
  const std::string before = names();
  EXPECT_EQ(sum_of_copy(), 3);
  EXPECT_EQ(names(), before) << "the copy made files";
}

TEST_F(DatabaseTest, KeepsWhatWasCommitted) {
  const std::string octets("a\0b\xff", 4);
  {
    const auto database = Open();
    Statement insert = *database->Prepare("INSERT INTO t(id, body, note) VALUES(?, ?, ?)");
    Transaction kept(*database);
    ASSERT_TRUE(kept.begun().ok());
    ASSERT_TRUE(insert.Bind(1, -7).BindBlob(2, octets).BindText(3, "x").Run().ok());
    ASSERT_TRUE(kept.Commit().ok());
    {
      Transaction dropped(*database);
      ASSERT_TRUE(insert.Bind(1, 8).BindBlob(2, "").BindNull(3).Run().ok());
    }
    EXPECT_FALSE(database->in_transaction());
  }
  const auto database = Open();
  Statement query = *database->Prepare("SELECT id, body, note FROM t");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Int(0), -7);
  EXPECT_EQ(query.Blob(1), octets);
  EXPECT_EQ(query.Text(2), "x");
  EXPECT_FALSE(*query.Step());
  struct stat info;
  ASSERT_EQ(stat((root_ + "/t.db-wal").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(DatabaseTest, AConstraintFailsOneStatementOnly) {
  const auto database = Open();
  Statement insert = *database->Prepare("INSERT INTO t(id, body) VALUES(?, ?)");
  Transaction transaction(*database);
  ASSERT_TRUE(insert.Bind(1, 1).BindBlob(2, "a").Run().ok());
  EXPECT_EQ(insert.Bind(1, 1).BindBlob(2, "b").Run().code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(insert.Bind(1, 2).BindBlob(2, "c").Run().ok());
  EXPECT_TRUE(transaction.Commit().ok());
}

// The one failure of which a writer knows that nothing was written.
TEST_F(DatabaseTest, TellsThatThereIsNoRoom) {
  std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(database->Execute("PRAGMA max_page_count = 4").ok());
  const Status full = database->Execute("INSERT INTO t(id, body) VALUES(1, zeroblob(1000000))");
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted) << Text(full);
  EXPECT_TRUE(IsFull(full)) << Text(full);
  EXPECT_EQ(ErrnoOf(full), ENOSPC);
  EXPECT_TRUE(IsFull(Annotate(full, "queue")));
  EXPECT_FALSE(IsFull(ErrnoError(ENOSPC, "write")));
  EXPECT_FALSE(IsFull(OkStatus()));
}

TEST_F(DatabaseTest, MigratesForwardAndRefusesTheFuture) {
  Open(1);
  { EXPECT_TRUE(Open(2)->Prepare("SELECT note FROM t").ok()); }
  const auto database = *Database::Open(files_, root_ + "/t.db");
  EXPECT_EQ(database->Migrate(std::span(kSchema, 1)).code(), StatusCode::kFailedPrecondition);
}

TEST_F(DatabaseTest, SaysThatAFileIsNoDatabaseAndLeavesIt) {
  std::ofstream(root_ + "/t.db") << std::string(5000, 'x');
  const auto database = Database::Open(files_, root_ + "/t.db");
  ASSERT_FALSE(database.ok());
  EXPECT_TRUE(IsCorrupt(database.status())) << Text(database.status());
  struct stat info;
  ASSERT_EQ(stat((root_ + "/t.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 5000);
}

TEST_F(DatabaseTest, WaitsForAnotherWriterOnlySoLong) {
  const auto first = Open();
  DatabaseOptions options;
  options.busy_timeout_ms = 20;
  const auto second = *Database::Open(files_, root_ + "/t.db", options);
  Transaction transaction(*first);
  EXPECT_EQ(second->Begin().code(), StatusCode::kUnavailable);
}

TEST_F(DatabaseTest, DoesNotMakeAFileThatWasToBeThere) {
  DatabaseOptions options;
  options.create = false;
  EXPECT_EQ(Database::Open(files_, root_ + "/none.db", options).status().code(),
            StatusCode::kNotFound);
}

// A privileged server's databases in a user's home are the user's, all files of them, and are
// opened with the user's rights.
class OtherUserTest : public DatabaseTest {
 protected:
  static constexpr uint32_t kUser = 12345;
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only a privileged process can act as another user";
    DatabaseTest::SetUp();
    ASSERT_EQ(chown(root_.c_str(), kUser, kUser), 0);
    theirs_ = files_.As(rt::Credentials{.uid = kUser, .gid = kUser});
  }
  std::unique_ptr<rt::Files> theirs_;
};

TEST_F(OtherUserTest, OwnsEveryFile) {
  const std::string path = root_ + "/t.db";
  {
    const auto database = *Database::Open(*theirs_, path);
    ASSERT_TRUE(database->Migrate(kSchema).ok());
    ASSERT_TRUE(database->Execute("INSERT INTO t(body) VALUES('x')").ok());
    for (const char* file : {"", "-wal", "-shm"}) {
      struct stat info {};
      ASSERT_EQ(stat((path + file).c_str(), &info), 0) << file;
      EXPECT_EQ(info.st_uid, kUser) << file;
      EXPECT_EQ(info.st_gid, kUser) << file;
      EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
    }
  }
  // What the server's own rights make, the user's do not reach.
  { ASSERT_TRUE((*Database::Open(files_, root_ + "/ours.db"))->Migrate(kSchema).ok()); }
  EXPECT_FALSE(Database::Open(*theirs_, root_ + "/ours.db").ok());
}

TEST_F(OtherUserTest, ALinkIntoForeignFilesIsNotFollowed) {
  const std::string path = root_ + "/t.db";
  const std::string secret = root_ + "/secret";
  { ASSERT_TRUE((*Database::Open(*theirs_, path))->Migrate(kSchema).ok()); }
  for (const char* file : {"-wal", "-shm", ""}) {
    std::ofstream(secret) << "not theirs";
    ASSERT_EQ(chmod(secret.c_str(), 0600), 0);
    (void)unlink((path + file).c_str());
    ASSERT_EQ(symlink(secret.c_str(), (path + file).c_str()), 0);
    const StatusOr<std::unique_ptr<Database>> database = Database::Open(*theirs_, path);
    if (database.ok()) (void)(*database)->Execute("INSERT INTO t(body) VALUES('x')");
    std::string text;
    std::getline(std::ifstream(secret), text);
    EXPECT_EQ(text, "not theirs") << file;
    ASSERT_EQ(unlink((path + file).c_str()), 0);
  }
}

// POSIX drops a process's locks on a file when any descriptor of it is closed: another open of a
// database must not do that.
TEST_F(DatabaseTest, AnotherOpenLeavesTheLocksOfTheFirst) {
  const auto first = Open();
  ASSERT_TRUE(first->Execute("INSERT INTO t(body) VALUES('x')").ok());
  { const auto second = Open(); }
  // Another process that would be the only one left empties the log when it goes; it must see that
  // we are there.
  const std::string command = "sqlite3 " + root_ + "/t.db 'PRAGMA journal_mode=DELETE' 2>&1";
  FILE* const pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char answer[200] = {};
  (void)!fread(answer, 1, sizeof answer - 1, pipe);
  pclose(pipe);
  if (std::string(answer).find("not found") != std::string::npos)
    GTEST_SKIP() << "no sqlite3 program";
  EXPECT_NE(std::string(answer).find("database is locked"), std::string::npos) << answer;
}

}  // namespace
}  // namespace postern::sqlite
