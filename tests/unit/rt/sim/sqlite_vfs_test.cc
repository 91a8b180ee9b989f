#include "lib/rt/sim/sqlite_vfs.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

Database Open(Files& files, const std::string& path = "/a.db") {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                   files.SqliteVfs());
  EXPECT_EQ(code, SQLITE_OK) << sqlite3_errmsg(db);
  return Database(db);
}

int Do(const Database& db, const std::string& sql) {
  return sqlite3_exec(db.get(), sql.c_str(), nullptr, nullptr, nullptr);
}

std::string Text(const Database& db, const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  std::string result = "(error)";
  if (sqlite3_prepare_v2(db.get(), sql.c_str(), -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW) {
    result = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  return result;
}

TEST(SqliteVfs, KeepsDatabasesOnTheSimulatedDiskAndNowhereElse) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Database db = Open(host.world().files());
  ASSERT_EQ(Do(db, "CREATE TABLE t(v); INSERT INTO t VALUES('x')"), SQLITE_OK);
  EXPECT_EQ(Text(db, "SELECT v FROM t"), "x");
  EXPECT_GT(host.disk().view().Stat("/a.db")->size_bytes, 0u);
  db.reset();
  db = Open(host.world().files());
  EXPECT_EQ(Text(db, "SELECT v FROM t"), "x");
}

TEST(SqliteVfs, ReadersAndAWriterShareAWal) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Database writer = Open(host.world().files());
  ASSERT_EQ(Text(writer, "PRAGMA journal_mode=WAL"), "wal");
  ASSERT_EQ(Do(writer, "CREATE TABLE t(v); INSERT INTO t VALUES('old')"), SQLITE_OK);
  Database reader = Open(host.world().files());
  ASSERT_EQ(Do(reader, "BEGIN"), SQLITE_OK);
  EXPECT_EQ(Text(reader, "SELECT v FROM t"), "old");
  ASSERT_EQ(Do(writer, "UPDATE t SET v='new'"), SQLITE_OK);
  EXPECT_EQ(Text(reader, "SELECT v FROM t"), "old");
  ASSERT_EQ(Do(reader, "COMMIT"), SQLITE_OK);
  EXPECT_EQ(Text(reader, "SELECT v FROM t"), "new");
  ASSERT_EQ(Do(writer, "BEGIN IMMEDIATE"), SQLITE_OK);
  EXPECT_EQ(Do(reader, "BEGIN IMMEDIATE"), SQLITE_BUSY);
}

TEST(SqliteVfs, LocksOfTheRollbackJournalExclude) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Database one = Open(host.world().files());
  Database two = Open(host.world().files());
  ASSERT_EQ(Do(one, "CREATE TABLE t(v)"), SQLITE_OK);
  ASSERT_EQ(Do(one, "BEGIN IMMEDIATE; INSERT INTO t VALUES(1)"), SQLITE_OK);
  EXPECT_EQ(Text(two, "SELECT count(*) FROM t"), "0");
  EXPECT_EQ(Do(two, "BEGIN IMMEDIATE"), SQLITE_BUSY);
  ASSERT_EQ(Do(two, "BEGIN; SELECT * FROM sqlite_master"), SQLITE_OK);
  EXPECT_EQ(Do(one, "COMMIT"), SQLITE_BUSY);
  ASSERT_EQ(Do(two, "COMMIT"), SQLITE_OK);
  EXPECT_EQ(Do(one, "COMMIT"), SQLITE_OK);
  EXPECT_EQ(Text(two, "SELECT count(*) FROM t"), "1");
}

TEST(SqliteVfs, ABusyHandlerSleepsInVirtualTime) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Database one = Open(host.world().files());
  Database two = Open(host.world().files());
  ASSERT_EQ(Do(one, "CREATE TABLE t(v); BEGIN IMMEDIATE"), SQLITE_OK);
  sqlite3_busy_timeout(two.get(), 5000);
  const Instant start = simulation.now();
  EXPECT_EQ(Do(two, "BEGIN IMMEDIATE"), SQLITE_BUSY);
  EXPECT_GE(simulation.now() - start, absl::Seconds(4));
  EXPECT_LT(simulation.now() - start, absl::Seconds(6));
}

TEST(SqliteVfs, TheDateIsTheHosts) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Database db = Open(host.world().files());
  EXPECT_EQ(Text(db, "SELECT datetime('now')"), "2026-01-01 00:00:01");
  host.JumpWallClock(absl::Hours(24));
  EXPECT_EQ(Text(db, "SELECT datetime('now')"), "2026-01-02 00:00:01");
}

TEST(SqliteVfs, AFullDiskIsSqliteFull) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Database db = Open(host.world().files());
  ASSERT_EQ(Do(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(v)"), SQLITE_OK);
  host.disk().SetSpace(host.disk().used_bytes());
  EXPECT_EQ(Do(db, "INSERT INTO t VALUES(1)"), SQLITE_FULL);
  host.disk().SetSpace(1 << 24);
  EXPECT_EQ(Do(db, "INSERT INTO t VALUES(1)"), SQLITE_OK);
}

TEST(SqliteVfs, ADatabaseOfADeadLifeFailsAndCloses) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  const std::string first_name = host.world().files().SqliteVfs();
  Database db = Open(host.world().files());
  ASSERT_EQ(Do(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(v)"), SQLITE_OK);
  host.Crash(CrashKind::kPowerLoss);
  EXPECT_NE(Do(db, "INSERT INTO t VALUES(1)"), SQLITE_OK);
  EXPECT_NE(Text(db, "PRAGMA integrity_check"), "ok");
  const uint64_t operations = host.disk().operations();
  db.reset();
  EXPECT_EQ(host.disk().operations(), operations);
  host.Restart();
  EXPECT_NE(first_name, host.world().files().SqliteVfs());
  EXPECT_EQ(sqlite3_vfs_find(first_name.c_str()), nullptr);
  EXPECT_NE(sqlite3_vfs_find(host.world().files().SqliteVfs()), nullptr);
  db = Open(host.world().files());
  EXPECT_EQ(Text(db, "SELECT count(*) FROM t"), "0");
}

TEST(SqliteVfs, TheSameSeedWritesTheSameOctets) {
  const auto run = [](uint64_t seed) {
    Simulation simulation(seed);
    Host& host = simulation.AddHost({});
    Database db = Open(host.world().files());
    EXPECT_EQ(Do(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(random())"),
              SQLITE_OK);
    return *ReadFile(host.disk().view(), "/a.db-wal", 1 << 24);
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

}  // namespace
}  // namespace postern::rt::sim
