// SQLite for the stores: a database, its statements and transactions as values. Every call blocks
// and belongs on the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/rt/files.h"

struct sqlite3;
struct sqlite3_stmt;

namespace postern::sqlite {

struct DatabaseOptions {
  // create makes the file when it is missing; without it a missing file is kNotFound.
  bool create = true;
  // busy_timeout_ms bounds the wait for another process's lock; after it, calls are kUnavailable.
  int busy_timeout_ms = 5000;
  // cache_kib bounds the page cache of this connection.
  int cache_kib = 256;
  // wal_autocheckpoint_pages is how many pages (of 4 KiB) the WAL may hold before a commit moves
  // them into the database.
  int wal_autocheckpoint_pages = 1000;
  // wal_limit_bytes is what a WAL file is cut back to after a checkpoint when it had to grow past
  // it.
  int64_t wal_limit_bytes = 4 << 20;
  // exclusive keeps the file to this one connection for good: no shared memory file, no locks taken
  // for each transaction.
  bool exclusive = false;
  // mode is the permissions of a file that is made.
  uint32_t mode = 0600;
};

// QueryOptions are for a database that is an operator's, not ours.
struct QueryOptions {
  int busy_timeout_ms = 1000;  // as in DatabaseOptions
  int cache_kib = 1024;
  // max_steps bounds the work of one query, in steps of SQLite's machine: some seconds. A join that
  // somebody forgot an index for must end.
  int64_t max_steps = 50'000'000;
  int max_value_bytes = 1 << 20;  // of a text or a row
  // immutable: nobody writes it meanwhile and there is no log: then nothing is locked or made.
  bool immutable = false;
};

class Database;

// Statement is one prepared statement, used over and over: bind, step through the rows, reset. It
// dies before its Database. Parameters are numbered from 1, columns from 0. A bound text or blob is
// borrowed: it stays unchanged until Reset. To bind begins a new use, where the last one was left
// in the middle of its rows.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& Bind(int parameter, int64_t value);
  Statement& BindText(int parameter, std::string_view text);
  Statement& BindBlob(int parameter, std::string_view octets);
  Statement& BindNull(int parameter);

  // Step runs to the next row: true when there is one, false at the end (the statement is then
  // reset).
  StatusOr<bool> Step();
  // Run steps to the end, ignoring rows, and resets.
  Status Run();
  // columns is how many a row has, parameters how many there are to bind; is_read_only tells that
  // the statement changes nothing.
  int columns() const;
  int parameters() const;
  bool is_read_only() const;

  // Reset makes the statement fit for the next use and forgets what was bound.
  void Reset();

  int64_t Int(int column) const;
  // Text and Blob lend the column of the present row, until the next Step, Run or Reset.
  std::string_view Text(int column) const;
  std::string_view Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  void BeginUse();
  // StepAlone runs a statement without rows whose outcome is seen elsewhere.
  void StepAlone() noexcept;
  Statement(sqlite3* handle, sqlite3_stmt* statement) : handle_(handle), statement_(statement) {}
  sqlite3* handle_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

// Database is one connection. One thread at a time.
class Database {
 public:
  // Open opens `path` on `files` in WAL mode with synchronous=FULL and makes the names of the
  // database and its log durable. A file that is no database, or a broken one, is kDataLoss and
  // stays as it is.
  static StatusOr<std::unique_ptr<Database>> Open(rt::Files& files, const std::string& path,
                                                  const DatabaseOptions& options = {});
  // OpenCopy reads `path` into a database in memory, without writing anything: for a disk that is
  // full or read-only. Without the file the copy is empty. What other connections committed a
  // moment ago may be missing.
  static StatusOr<std::unique_ptr<Database>> OpenCopy(rt::Files& files, const std::string& path,
                                                      const DatabaseOptions& options = {});
  // OpenForQueries opens a database that somebody else keeps, to read it: nothing is ever written,
  // its journal mode is left alone, and its own views and triggers may call no function with side
  // effects. A missing file is kNotFound.
  static StatusOr<std::unique_ptr<Database>> OpenForQueries(rt::Files& files,
                                                            const std::string& path,
                                                            const QueryOptions& options = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Migrate brings the schema up to date: steps[i] is the SQL that leads from version i to i+1
  // (PRAGMA user_version), all of them in one transaction. A database newer than the last step is
  // kFailedPrecondition: it belongs to a later release.
  Status Migrate(std::span<const char* const> steps);

  // Execute runs SQL of our own making, which returns no rows that matter; several statements are
  // allowed.
  Status Execute(const std::string& sql);
  // Prepare compiles one statement.
  StatusOr<Statement> Prepare(std::string_view sql);

  // BeginQuery gives the next query its max_steps; a query that takes more is kDeadlineExceeded.
  void BeginQuery() { steps_left_ = max_steps_; }

  // Begin starts a write transaction (waiting for another writer at most busy_timeout_ms). Commit
  // returns once it is synced.
  Status Begin();
  Status Commit();
  // Rollback ends the transaction, if there is one, without its changes. It takes no memory: what
  // is undone because memory ran out must not keep the lock from everybody else.
  void Rollback() noexcept;
  // EndStatements ends those that an exception left in the middle of their rows.
  void EndStatements() noexcept;
  bool in_transaction() const;

  // Checkpoint moves all of the WAL into the database, syncs it, and empties the WAL.
  Status Checkpoint();
  // Check reads the whole database and verifies its structure: kDataLoss, with the first finding,
  // when it is broken.
  Status Check();

  // Findings is Check in full, with the indexes compared to their tables: at most `limit`
  // sentences, none when all is well. An error when the check itself could not be made.
  StatusOr<std::vector<std::string>> Findings(int limit);
  // Abandon gives the file up as it is: closing will not move the log into it.
  void Abandon();

  // ReleaseMemory gives back the page cache that is not in use.
  void ReleaseMemory();
  int64_t changes() const;  // rows changed by the last statement
  int64_t last_insert_rowid() const;
  const std::string& path() const { return path_; }

 private:
  explicit Database(const std::string& path) : path_(path) {}
  static int OnProgress(void* database);
  // PrepareRollback makes rollback_; again after a change of the schema or of SQLite's settings,
  // which makes SQLite compile every statement anew at its next use.
  Status PrepareRollback();

  std::string path_;
  // Opened into an object that is there already: memory that runs out between the two must not
  // leave a connection that nobody closes.
  sqlite3* handle_ = nullptr;
  std::optional<Statement> rollback_;  // made where there is memory
  int64_t max_steps_ = 0;
  int64_t steps_left_ = 0;
};

// Transaction is a write transaction that is rolled back unless Commit is called and succeeds.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database), begun_(database.Begin()) {}
  ~Transaction() {
    if (begun_.ok()) database_.Rollback();
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // begun is the outcome of the start; nothing may be done when it failed.
  const Status& begun() const { return begun_; }
  Status Commit() { return database_.Commit(); }

 private:
  Database& database_;
  Status begun_;
};

// IsFull tells whether `status` says that there was no room for what was to be written
// (SQLITE_FULL): the statement did nothing, and the database is as it was.
bool IsFull(const Status& status);

// IsCorrupt tells whether `status` says that a database is damaged (SQLITE_CORRUPT, SQLITE_NOTADB).
bool IsCorrupt(const Status& status);

}  // namespace postern::sqlite
