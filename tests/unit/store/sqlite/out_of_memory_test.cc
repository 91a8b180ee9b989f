// Memory that runs out while a database is opened and used: the n-th allocation fails, ours or
// SQLite's, for every n. Whatever came of it, no connection, no memory of SQLite's and no
// descriptor is left behind.
#include "tests/unit/denied_memory.h"
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/store/sqlite/database.h"

namespace postern::sqlite {
namespace {

const char* const kSchema[] = {"CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB NOT NULL);"};

class DatabaseMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-sqlite-oom-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    path_ = root_ + "/a-name-that-is-longer-than-a-string-keeps-within-itself.db";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // Write opens the database, as a mailbox or the queue does, and writes a row.
  Status Write() {
    StatusOr<std::unique_ptr<Database>> database = Database::Open(files_, path_);
    if (!database.ok()) return database.status();
    POSTERN_RETURN_IF_ERROR((*database)->Migrate(kSchema));
    Transaction transaction(**database);
    POSTERN_RETURN_IF_ERROR(transaction.begun());
    StatusOr<Statement> insert = (*database)->Prepare("INSERT INTO t(body) VALUES(?)");
    if (!insert.ok()) return insert.status();
    POSTERN_RETURN_IF_ERROR(insert->BindBlob(1, std::string(10'000, 'x')).Run());
    return transaction.Commit();
  }
  static Status Read(StatusOr<std::unique_ptr<Database>> database) {
    if (!database.ok()) return database.status();
    StatusOr<Statement> query = (*database)->Prepare("SELECT body FROM t");
    if (!query.ok()) return query.status();
    return query->Run();
  }

  // DenyEach does `work` with the n-th allocation failing, for each n it has.
  void DenyEach(const std::function<Status()>& work) {
    ASSERT_TRUE(work().ok());
    const int64_t taken = sqlite3_memory_used();
    const size_t descriptors = test::OpenDescriptors();
    int64_t n = 0;
    int failed = 0;
    for (bool denied = true; denied && !HasFailure();) {
      test::DenyMemory(++n, 1);
      try {
        failed += !work().ok();
      } catch (const std::bad_alloc&) {
        ++failed;
      }
      denied = test::GrantMemory();
      EXPECT_EQ(sqlite3_memory_used(), taken) << "after the failure of allocation " << n;
      EXPECT_EQ(test::OpenDescriptors(), descriptors) << "after the failure of allocation " << n;
    }
    std::printf("%lld allocations, %d of them missed\n", static_cast<long long>(n) - 1, failed);
    EXPECT_GT(failed, 10);
    const Status afterwards = work();
    EXPECT_TRUE(afterwards.ok()) << Text(afterwards);
  }

  rt::PosixFiles files_;
  std::string root_, path_;
};

TEST_F(DatabaseMemoryTest, OpenedToWrite) {
  DenyEach([this] { return Write(); });
}

TEST_F(DatabaseMemoryTest, OpenedToCopy) {
  ASSERT_TRUE(Write().ok());
  DenyEach([this] { return Read(Database::OpenCopy(files_, path_)); });
}

TEST_F(DatabaseMemoryTest, OpenedForQueries) {
  ASSERT_TRUE(Write().ok());
  DenyEach([this] { return Read(Database::OpenForQueries(files_, path_, {})); });
}

// A change that is undone because memory ran out leaves the lock to others, however long it stays
// scarce: the connection itself may live on.
TEST_F(DatabaseMemoryTest, ATransactionIsUndoneWithoutMemory) {
  ASSERT_TRUE(Write().ok());
  StatusOr<std::unique_ptr<Database>> mine = Database::Open(files_, path_);
  ASSERT_TRUE(mine.ok()) << Text(mine.status());
  DatabaseOptions impatient;
  impatient.busy_timeout_ms = 0;
  StatusOr<std::unique_ptr<Database>> other = Database::Open(files_, path_, impatient);
  ASSERT_TRUE(other.ok()) << Text(other.status());
  for (int64_t n = 1; n < 60 && !HasFailure(); ++n) {
    test::DenyMemory(n, 1'000'000);
    try {
      Transaction transaction(**mine);
      if (transaction.begun().ok()) {
        StatusOr<Statement> insert = (*mine)->Prepare("INSERT INTO t(body) VALUES('x')");
        if (insert.ok()) (void)insert->Run();
        (void)(*mine)->Execute(std::string(1000, ' '));
      }
    } catch (const std::bad_alloc&) {
    }
    const bool in_transaction = (*mine)->in_transaction();
    (void)test::GrantMemory();
    EXPECT_FALSE(in_transaction) << "after the failure of allocation " << n;
    Transaction transaction(**other);
    EXPECT_TRUE(transaction.begun().ok())
        << Text(transaction.begun()) << " after the failure of allocation " << n;
  }
}

}  // namespace
}  // namespace postern::sqlite
