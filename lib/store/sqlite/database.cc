#include "lib/store/sqlite/database.h"

#include <cerrno>
#include <utility>

#include <sqlite3.h>

#include "lib/core/base/strings.h"

namespace postern::sqlite {
namespace {

constexpr std::string_view kCorruptMark = "damaged database";

// StatusOfCode says what SQLite's result means to the callers of a store.
Status StatusOfCode(sqlite3* handle, int code, std::string_view what) {
  const int primary = code & 0xff;
  // What went well takes no memory: a BEGIN or COMMIT that was done must not end in std::bad_alloc.
  if (primary == SQLITE_OK || primary == SQLITE_ROW || primary == SQLITE_DONE) return OkStatus();
  std::string text = StrCat(what, ": ", handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code),
                            " (SQLite ", code, ")");
  const int system_error = handle ? sqlite3_system_errno(handle) : 0;
  switch (primary) {
    case SQLITE_FULL:
      // It takes a write's ENOSPC for this and says no errno; a bound of ours there is none.
      return ErrnoError(ENOSPC, text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM: return Unavailable(std::move(text));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DataLoss(StrCat(kCorruptMark, ": ", text));
    case SQLITE_INTERRUPT:
      return DeadlineExceeded(StrCat(what, ": the query asks for too much work"));
    case SQLITE_CONSTRAINT: return AlreadyExists(std::move(text));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return PermissionDenied(std::move(text));
    case SQLITE_IOERR:
      // The system's error tells a full disk (ENOSPC, EDQUOT) from a broken one.
      if (system_error != 0) return ErrnoError(system_error, text);
      return DataLoss(std::move(text));
    case SQLITE_CANTOPEN:
      if (system_error != 0) return ErrnoError(system_error, text);
      return NotFound(std::move(text));
    default: return Internal(std::move(text));
  }
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

bool IsFull(const Status& status) {
  return status.code() == StatusCode::kResourceExhausted &&
         Message(status).find(StrCat("(SQLite ", SQLITE_FULL, ")")) != std::string_view::npos;
}

bool IsCorrupt(const Status& status) {
  return Message(status).find(kCorruptMark) != std::string_view::npos;
}

Statement::Statement(Statement&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this != &other) {
    sqlite3_finalize(statement_);
    handle_ = std::exchange(other.handle_, nullptr);
    statement_ = std::exchange(other.statement_, nullptr);
  }
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::BeginUse() {
  if (sqlite3_stmt_busy(statement_)) sqlite3_reset(statement_);
}

// A failed bind (a value past SQLite's limit) is reported by the Step that follows: the parameter
// stays NULL, and our columns that must not be NULL say so.
Statement& Statement::Bind(int parameter, int64_t value) {
  BeginUse();
  sqlite3_bind_int64(statement_, parameter, value);
  return *this;
}

Statement& Statement::BindText(int parameter, std::string_view text) {
  BeginUse();
  sqlite3_bind_text64(statement_, parameter, text.empty() ? "" : text.data(), text.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view octets) {
  BeginUse();
  sqlite3_bind_blob64(statement_, parameter, octets.empty() ? "" : octets.data(), octets.size(),
                      SQLITE_STATIC);
  return *this;
}

Statement& Statement::BindNull(int parameter) {
  BeginUse();
  sqlite3_bind_null(statement_, parameter);
  return *this;
}

StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();
    return false;
  }
  // The words are taken from the connection before the statement is reset.
  struct End {
    Statement* statement;
    ~End() { statement->Reset(); }
  } const end{this};
  return StatusOfCode(handle_, code, "database");
}

Status Statement::Run() {
  while (true) {
    const StatusOr<bool> more = Step();
    if (!more.ok()) return more.status();
    if (!*more) return OkStatus();
  }
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::StepAlone() noexcept {
  sqlite3_step(statement_);
  sqlite3_reset(statement_);
}

int Statement::columns() const { return sqlite3_column_count(statement_); }
int Statement::parameters() const { return sqlite3_bind_parameter_count(statement_); }
bool Statement::is_read_only() const { return sqlite3_stmt_readonly(statement_) != 0; }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return std::string_view(text, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}

std::string_view Statement::Blob(int column) const {
  const auto* octets = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  if (octets == nullptr) return {};
  return std::string_view(octets, static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

StatusOr<std::unique_ptr<Database>> Database::Open(rt::Files& files, const std::string& path,
                                                   const DatabaseOptions& options) {
  const StatusOr<rt::FileInfo> there = files.Stat(path);
  if (!there.ok() && (!options.create || there.status().code() != StatusCode::kNotFound)) {
    return Annotate(there.status(), "database");
  }
  if (there.ok() && there->kind != rt::FileInfo::Kind::kRegular) {
    return FailedPrecondition(StrCat("database: ", path, " is not a regular file"));
  }
  if (!there.ok()) {
    // SQLite makes files with the umask's permissions, and a log like its database: so the file is
    // made before it. One that is there is not touched: to close it would drop the locks that
    // another connection of this process has on it (POSIX).
    rt::OpenOptions make;
    make.write = make.create = make.exclusive = true;
    make.mode = options.mode;
    const StatusOr<std::unique_ptr<rt::File>> made = files.Open(path, make);
    if (!made.ok() && made.status().code() != StatusCode::kAlreadyExists)
      return Annotate(made.status(), "database");
  }
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (options.create) flags |= SQLITE_OPEN_CREATE;
  std::unique_ptr<Database> database(new Database(path));
  int code = sqlite3_open_v2(path.c_str(), &database->handle_, flags, files.SqliteVfs());
  sqlite3* const handle = database->handle_;
  if (code != SQLITE_OK) return StatusOfCode(handle, code, StrCat("open database ", path));
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // What turns out to be damaged stays as it was found.
  database->Abandon();
  // A small lookaside: a connection for each open mailbox must cost little.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 128, 64);
  // The log stays in place between runs, so that its name need not be made durable again and again.
  int persist = 1;
  sqlite3_file_control(handle, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);

  std::string setup;
  if (options.exclusive) StrAppend(setup, "PRAGMA locking_mode=EXCLUSIVE;");
  StrAppend(setup,
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA "
            "cache_size=-",
            options.cache_kib, "; PRAGMA wal_autocheckpoint=", options.wal_autocheckpoint_pages,
            "; PRAGMA journal_size_limit=", options.wal_limit_bytes, "; PRAGMA foreign_keys=ON;");
  Status status = database->Execute(setup);
  if (!status.ok()) return Annotate(status, StrCat("open database ", path));

  StatusOr<Statement> mode = database->Prepare("PRAGMA journal_mode");
  if (!mode.ok()) return Annotate(mode.status(), StrCat("open database ", path));
  const StatusOr<bool> row = mode->Step();
  if (!row.ok()) return Annotate(row.status(), StrCat("open database ", path));
  if (!*row || mode->Text(0) != "wal") {
    return FailedPrecondition(
        StrCat("open database ", path, ": no write-ahead log on this file system"));
  }
  mode->Reset();
  // The names of the database and its log are made durable before anything is promised.
  status = files.SyncDirectory(DirectoryOf(path));
  if (!status.ok()) return Annotate(status, StrCat("open database ", path));
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  status = database->PrepareRollback();
  if (!status.ok()) return Annotate(status, StrCat("open database ", path));
  return database;
}

namespace {

// UriOf names a database to SQLite. With `immutable` it looks at the file alone, not at its log,
// and needs no shared memory, which could not be made.
std::string UriOf(const std::string& path, bool immutable) {
  std::string uri = "file:";
  for (const char c : path) {
    // The characters with a meaning in a URI (RFC 3986 §2.1).
    if (c == '%' || c == '?' || c == '#') {
      StrAppend(uri, "%", Hex(static_cast<uint64_t>(static_cast<unsigned char>(c)), 2));
    } else {
      uri.push_back(c);
    }
  }
  if (immutable) uri += "?immutable=1";
  return uri;
}

// CopyInto copies the database at `path` into `target`, which is empty.
bool CopyInto(sqlite3* target, const std::string& path, bool immutable, const char* vfs) {
  sqlite3* source = nullptr;
  int code = sqlite3_open_v2(UriOf(path, immutable).c_str(), &source,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, vfs);
  if (code == SQLITE_OK) {
    sqlite3_backup* backup = sqlite3_backup_init(target, "main", source, "main");
    if (backup != nullptr) {
      code = sqlite3_backup_step(backup, -1);
      sqlite3_backup_finish(backup);
    } else {
      code = SQLITE_ERROR;
    }
  }
  sqlite3_close_v2(source);
  return code == SQLITE_DONE;
}

}  // namespace

StatusOr<std::unique_ptr<Database>> Database::OpenCopy(rt::Files& files, const std::string& path,
                                                       const DatabaseOptions& options) {
  for (const bool immutable : {false, true}) {
    std::unique_ptr<Database> database(new Database(path));
    const int code = sqlite3_open_v2(
        ":memory:", &database->handle_,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
        nullptr);
    sqlite3* const handle = database->handle_;
    if (code != SQLITE_OK) return StatusOfCode(handle, code, StrCat("copy database ", path));
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    POSTERN_RETURN_IF_ERROR(database->Execute(StrCat("PRAGMA cache_size=-", options.cache_kib)));
    if (!files.Stat(path).ok()) return database;
    if (CopyInto(handle, path, immutable, files.SqliteVfs()) && database->Check().ok())
      return database;
  }
  return DataLoss(StrCat("copy database ", path, ": it cannot be read"));
}

namespace {
constexpr int kStepsPerProgress = 10'000;
}  // namespace

int Database::OnProgress(void* database) {
  int64_t& left = static_cast<Database*>(database)->steps_left_;
  left -= kStepsPerProgress;
  return left < 0 ? 1 : 0;
}

StatusOr<std::unique_ptr<Database>> Database::OpenForQueries(rt::Files& files,
                                                             const std::string& path,
                                                             const QueryOptions& options) {
  const StatusOr<rt::FileInfo> there = files.Stat(path);
  if (!there.ok()) return Annotate(there.status(), "database");
  std::unique_ptr<Database> database(new Database(path));
  const int code = sqlite3_open_v2(
      UriOf(path, options.immutable).c_str(), &database->handle_,
      SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_URI,
      files.SqliteVfs());
  sqlite3* const handle = database->handle_;
  if (code != SQLITE_OK) return StatusOfCode(handle, code, StrCat("open database ", path));
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, options.max_value_bytes);
  database->max_steps_ = database->steps_left_ = options.max_steps;
  sqlite3_progress_handler(handle, kStepsPerProgress, &Database::OnProgress, database.get());
  // The schema is read now, so that a file that is no database is told here.
  const Status status = database->Execute(
      StrCat("PRAGMA query_only=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-",
             options.cache_kib, "; SELECT count(*) FROM sqlite_schema;"));
  if (!status.ok()) return Annotate(status, StrCat("open database ", path));
  return database;
}

Database::~Database() {
  rollback_.reset();
  sqlite3_close_v2(handle_);
}

Status Database::Migrate(std::span<const char* const> steps) {
  StatusOr<Statement> query = Prepare("PRAGMA user_version");
  if (!query.ok()) return query.status();
  const StatusOr<bool> row = query->Step();
  if (!row.ok()) return row.status();
  const int64_t version = query->Int(0);
  query->Reset();
  const int64_t wanted = static_cast<int64_t>(steps.size());
  if (version > wanted) {
    return FailedPrecondition(
        StrCat(path_, ": schema version ", version, " is newer than this release's ", wanted));
  }
  if (version == wanted) return OkStatus();
  Transaction transaction(*this);
  POSTERN_RETURN_IF_ERROR(transaction.begun());
  for (int64_t i = version; i < wanted; ++i) {
    POSTERN_RETURN_IF_ERROR(Execute(steps[static_cast<size_t>(i)]));
  }
  POSTERN_RETURN_IF_ERROR(Execute(StrCat("PRAGMA user_version=", wanted)));
  POSTERN_RETURN_IF_ERROR(transaction.Commit());
  return PrepareRollback();
}

Status Database::PrepareRollback() {
  StatusOr<Statement> rollback = Prepare("ROLLBACK");
  if (!rollback.ok()) return rollback.status();
  rollback_.emplace(*std::move(rollback));
  return OkStatus();
}

Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  return StatusOfCode(handle_, code, "database");
}

StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return StatusOfCode(handle_, code, "database");
  return Statement(handle_, statement);
}

Status Database::Begin() {
  const bool within = in_transaction();
  const int code = sqlite3_exec(handle_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr);
  // Memory may run out when the lock is taken already.
  const bool half = code != SQLITE_OK && !within && in_transaction();
  if (half) Rollback();
  return StatusOfCode(half ? nullptr : handle_, code, "database");
}
Status Database::Commit() { return Execute("COMMIT"); }

void Database::EndStatements() noexcept {
  for (sqlite3_stmt* each = sqlite3_next_stmt(handle_, nullptr); each != nullptr;
       each = sqlite3_next_stmt(handle_, each)) {
    if (sqlite3_stmt_busy(each)) sqlite3_reset(each);
  }
}

void Database::Rollback() noexcept {
  if (!in_transaction()) return;
  if (rollback_.has_value()) {
    rollback_->StepAlone();
    if (!in_transaction()) return;
  }
  sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

Status Database::Checkpoint() {
  const int code =
      sqlite3_wal_checkpoint_v2(handle_, "main", SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  return StatusOfCode(handle_, code, "checkpoint");
}

Status Database::Check() {
  StatusOr<Statement> query = Prepare("PRAGMA quick_check(1)");
  if (!query.ok()) return query.status();
  const StatusOr<bool> row = query->Step();
  if (!row.ok()) return row.status();
  if (*row && query->Text(0) == "ok") return OkStatus();
  return DataLoss(StrCat(kCorruptMark, ": ", path_, ": ", *row ? query->Text(0) : "no answer"));
}

StatusOr<std::vector<std::string>> Database::Findings(int limit) {
  StatusOr<Statement> query = Prepare(StrCat("PRAGMA integrity_check(", limit, ")"));
  if (!query.ok()) return query.status();
  std::vector<std::string> findings;
  for (;;) {
    const StatusOr<bool> row = query->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    findings.emplace_back(query->Text(0));
  }
  if (findings.size() == 1 && findings[0] == "ok") findings.clear();
  return findings;
}

void Database::Abandon() {
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

void Database::ReleaseMemory() { sqlite3_db_release_memory(handle_); }
int64_t Database::changes() const { return sqlite3_changes64(handle_); }
int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_); }

}  // namespace postern::sqlite
