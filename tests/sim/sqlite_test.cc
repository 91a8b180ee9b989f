// SQLite on the simulated disk: what was committed is there after any crash, and the planted bug
// (no syncs) is found.

#include "tests/sim/world.h"
#include <cerrno>
#include <set>
#include <string>

#include <sqlite3.h>

#include "lib/core/base/strings.h"

namespace postern::sim_test {
namespace {

using rt::sim::CrashKind;
using rt::sim::Host;

struct Mode {
  const char* journal;
  const char* synchronous;
  CrashKind crash;
  rt::sim::NameLoss names = rt::sim::NameLoss::kPrefix;
  bool write_faults = false;  // writes fail now and then, with EIO or ENOSPC
  bool sync_faults = false;   // syncs too; a failed sync loses what it should have written
  bool faults() const { return write_faults || sync_faults; }
};

class Database {
 public:
  Database(rt::Files& files, const std::string& path) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path.c_str(), &db_, flags, files.SqliteVfs()) != SQLITE_OK) Drop();
  }
  ~Database() { Drop(); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  bool Do(const std::string& sql) {
    return db_ != nullptr && sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  std::string Text(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    std::string result = "(error)";
    if (db_ != nullptr &&
        sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
      const unsigned char* const text = sqlite3_column_text(statement, 0);
      result = text == nullptr ? "(null)" : reinterpret_cast<const char*>(text);
      // The row comes before the commit: only the end of the statement tells whether it worked.
      while (sqlite3_step(statement) == SQLITE_ROW) continue;
    }
    if (sqlite3_finalize(statement) != SQLITE_OK) result = "(error)";
    return result;
  }

 private:
  void Drop() {
    if (db_ != nullptr) sqlite3_close_v2(db_);
    db_ = nullptr;
  }
  sqlite3* db_ = nullptr;
};

// Transaction `id` writes one to five rows whose content follows from the id, so that each can be
// judged alone.
uint64_t RowsOf(uint64_t id) { return 1 + id * 7 % 5; }
uint64_t BytesOf(uint64_t id) { return 10 + id * 131 % 3000; }

bool Commit(Database& db, uint64_t id, bool with_delete) {
  if (!db.Do("BEGIN IMMEDIATE")) return false;
  for (uint64_t row = 0; row < RowsOf(id); ++row) {
    const std::string sql =
        StrCat("INSERT INTO t VALUES(", id, ",", row, ",printf('%.", BytesOf(id), "c','x'))");
    if (!db.Do(sql)) return false;
  }
  // Rows of old transactions shrink, so that pages in the middle of the file change too.
  if (with_delete && id > 3) {
    if (!db.Do(StrCat("UPDATE t SET v='y' WHERE id=", id - 3))) return false;
  }
  return db.Do("COMMIT");
}

void CommitAndCrash(Run& run, const Mode& mode) {
  Host& host = run.simulation().AddHost({.name = "db"});
  host.disk().set_name_loss(mode.names);
  uint64_t attempted = 0;
  std::set<uint64_t> acknowledged;
  const uint64_t rounds = run.random().Between(1, 3);
  for (uint64_t round = 0; round < rounds; ++round) {
    host.CrashAtFileOperation(run.random().Between(1, 150), mode.crash);
    host.disk().ClearFaults();
    for (int i = 0; mode.faults() && i < 4; ++i) {
      rt::sim::FileFault fault;
      const bool sync = mode.sync_faults && run.random().Chance(0.5);
      fault.operation = sync ? rt::sim::FileOperation::kSync : rt::sim::FileOperation::kWrite;
      fault.skip = run.random().Below(40);
      fault.times = run.random().Between(1, 3);
      fault.error_number = run.random().Chance(0.5) ? EIO : ENOSPC;
      host.disk().Inject(fault);
    }
    while (host.up()) {
      Database db(host.world().files(), "/queue.db");
      // A mode that could not be set is no error to SQLite: it answers with the old one.
      const std::string journal = db.Text(StrCat("PRAGMA journal_mode=", mode.journal));
      if (!EqualsIgnoreCase(journal, mode.journal)) continue;
      db.Do(StrCat("PRAGMA synchronous=", mode.synchronous));
      db.Do("PRAGMA wal_autocheckpoint=20");
      db.Do("CREATE TABLE IF NOT EXISTS t(id INTEGER, row INTEGER, v TEXT, PRIMARY KEY(id, row))");
      // Now and then the database is closed and opened in the same life.
      const uint64_t until = attempted + run.random().Between(1, 40);
      while (host.up() && attempted < until) {
        ++attempted;
        if (Commit(db, attempted, run.random().Chance(0.5))) {
          acknowledged.insert(attempted);
        } else if (mode.faults()) {
          // A failed commit may or may not have happened; a handle that saw a failed sync is not
          // used again.
          break;
        } else {
          run.Require(!host.up(), StrCat("commit ", attempted, " failed on a machine that is up"));
        }
      }
    }
    host.Restart();
    host.disk().ClearFaults();
    Database db(host.world().files(), "/queue.db");
    // Nothing may be there when the crash came before the first table was durable.
    if (acknowledged.empty() && db.Text("SELECT count(*) FROM sqlite_master") == "0") {
      continue;
    }
    const std::string integrity = db.Text("PRAGMA integrity_check");
    run.Require(integrity == "ok", StrCat("integrity_check: ", integrity));
    for (uint64_t id = 1; id <= attempted; ++id) {
      const std::string rows = db.Text(StrCat("SELECT count(*) FROM t WHERE id=", id));
      const bool whole = rows == std::to_string(RowsOf(id));
      run.Require(!acknowledged.contains(id) || whole,
                  StrCat("transaction ", id, " was acknowledged and has ", rows, " rows"));
      run.Require(whole || rows == "0",
                  StrCat("transaction ", id, " is there in part: ", rows, " rows"));
    }
    // The one in flight at the crash may have made it; its number is not used again.
  }
}

Scenario Of(const char* name, const Mode& mode, uint64_t seeds, bool must_find = false) {
  return {.name = name,
          .run = [mode](Run& run) { CommitAndCrash(run, mode); },
          .seeds = seeds,
          .must_find_failure = must_find};
}

}  // namespace
}  // namespace postern::sim_test

int main(int argc, char** argv) {
  using namespace postern::sim_test;
  const CrashKind power = CrashKind::kPowerLoss;
  const CrashKind kill = CrashKind::kKill;
  const postern::rt::sim::NameLoss names = postern::rt::sim::NameLoss::kPrefix;
  return RunScenarios(
      argc, argv,
      {Of("wal-full-power", {"WAL", "FULL", power}, 3000),
       Of("wal-full-power-any-names",
          {"WAL", "FULL", power, postern::rt::sim::NameLoss::kAnySubset}, 1000),
       Of("wal-full-write-faults-power", {"WAL", "FULL", power, names, true}, 1000),
       Of("wal-full-sync-faults-kill", {"WAL", "FULL", kill, names, true, true}, 1000),
       // After a failed sync the kernel calls the pages clean; recovery reads frames from its cache
       // that are not on the disk, and a power cut then loses what stands behind them. SQLite
       // cannot know: whoever sees a sync fail must stop acknowledging until the database was
       // written anew.
       Of("planted-wal-sync-faults-power", {"WAL", "FULL", power, names, true, true}, 1000, true),
       // With a rollback journal FULL does not sync the removal of the journal, which is the
       // commit; EXTRA does.
       Of("delete-extra-power", {"DELETE", "EXTRA", power}, 1000),
       Of("planted-delete-full-power", {"DELETE", "FULL", power}, 500, true),
       Of("wal-off-kill", {"WAL", "OFF", kill}, 500),
       Of("planted-wal-off-power", {"WAL", "OFF", power}, 500, true),
       Of("planted-wal-normal-power", {"WAL", "NORMAL", power}, 500, true)});
}
