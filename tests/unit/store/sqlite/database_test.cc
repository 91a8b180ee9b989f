#include "lib/store/sqlite/database.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

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
  EXPECT_EQ(Database::Open(files_, root_ + "/none.db", options).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace postern::sqlite
