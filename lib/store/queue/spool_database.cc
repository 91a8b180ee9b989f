#include "lib/store/queue/spool_database.h"

#include <algorithm>
#include <new>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/spool_handle.h"
#include "lib/store/queue/spool_inspect.h"
#include "lib/store/queue/spool_rebuild.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/queue/stored_envelope.h"

namespace postern::store {
namespace {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Statement;

// A frame of the write-ahead log: a page behind its header (sqlite.org/fileformat2.html#walformat).
constexpr uint64_t kLogHeaderBytes = 32;
constexpr uint64_t kLogFrameBytes = 24 + 4096;

Status PrepareInto(sqlite::Database& database, std::string_view sql, Statement* into) {
  StatusOr<Statement> statement = database.Prepare(sql);
  if (!statement.ok()) return statement.status();
  *into = *std::move(statement);
  return OkStatus();
}

// HasOurSchema tells whether the schema is this release's, whatever its number says: a later
// release has another one. A damaged one may mean something to SQLite too: an evpid that is no key
// any more is NULL in every row, and nothing speaks against it. No damage makes a trigger.
StatusOr<bool> HasOurSchema(sqlite::Database& database) {
  StatusOr<Statement> query = database.Prepare(
      "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND type <> 'trigger' "
      "ORDER BY rowid");
  if (!query.ok()) return query.status();
  std::string schema, wanted;
  for (;;) {
    const StatusOr<bool> row = query->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    StrAppend(schema, query->Text(0), ";");
  }
  for (const char* const step : kSpoolSchema) wanted += step;
  return schema == wanted;
}

}  // namespace

Status SpoolDatabase::Handle::Prepare() {
  sqlite::Database& db = *database;
  const auto envelope_query = [](std::string_view tail) { return StrCat(kEnvelopeColumns, tail); };
  for (const auto& [sql, into] : std::initializer_list<std::pair<std::string, Statement*>>{
           {std::string(kInsertMessage), &insert_message},
           {std::string(kInsertEnvelope), &insert_envelope},
           {"UPDATE envelope SET next = ?2, attempts = ?3, dest = ?4, crc = ?5, data = ?6 WHERE "
            "evpid = ?1",
            &update},
           {"DELETE FROM envelope WHERE evpid = ?", &remove},
           {"UPDATE envelope SET state = 1 WHERE evpid = ? AND state = 0", &hold},
           {"UPDATE envelope SET state = 0 WHERE evpid = ? AND state = 1", &release},
           {"SELECT 1 FROM envelope WHERE evpid BETWEEN ? AND ? LIMIT 1", &rest},
           {StrCat(
                "SELECT count(*) FROM (SELECT 1 FROM envelope WHERE evpid BETWEEN ? AND ? LIMIT ",
                kMostCounted, ")"),
            &count},
           {"DELETE FROM message WHERE msgid = ? RETURNING body IS NULL", &remove_message},
           {"UPDATE envelope SET state = 2 WHERE evpid BETWEEN ? AND ?", &park},
           {envelope_query("WHERE state = 0 AND next <= ? ORDER BY next"), &due},
           {"SELECT min(next) FROM envelope WHERE state = 0 AND next > ?", &next_due},
           {envelope_query("WHERE dest = ? AND attempts > 0 AND state = 0"), &deferred},
           {envelope_query("WHERE evpid = ?"), &get},
           {envelope_query("WHERE evpid > ? AND evpid <= ? ORDER BY evpid"), &list},
           {"SELECT size, crc, body IS NULL, body FROM message WHERE msgid = ?", &body},
           {"SELECT 1 FROM message WHERE msgid = ?", &has_message},
           {"SELECT evpid, next, state, dest, crc, data FROM envelope WHERE evpid > ? ORDER BY "
            "evpid LIMIT ?",
            &audit_envelopes},
           {"SELECT 1 FROM envelope INDEXED BY envelope_due WHERE state = 0 AND next = ? AND "
            "dest = ? AND evpid = ?",
            &audit_due},
           {"SELECT msgid FROM message WHERE msgid > ? ORDER BY msgid LIMIT ?", &audit_messages},
       }) {
    POSTERN_RETURN_IF_ERROR(PrepareInto(db, sql, into));
  }
  return OkStatus();
}

SpoolDatabase::SpoolDatabase(rt::Files& files, LogSink& log, std::string spool,
                             const QueueOptions& options)
    : files_(files),
      log_(log),
      spool_(std::move(spool)),
      path_(spool_ + "/queue.db"),
      options_(options) {}

SpoolDatabase::~SpoolDatabase() = default;

StatusOr<std::unique_ptr<SpoolDatabase>> SpoolDatabase::Open(rt::Files& files, LogSink& log,
                                                             const std::string& spool,
                                                             const QueueOptions& options,
                                                             WallTime now) {
  std::unique_ptr<SpoolDatabase> database(new SpoolDatabase(files, log, spool, options));
  POSTERN_RETURN_IF_ERROR(database->OpenChecked(now));
  return database;
}

namespace {

// SpeaksOfDamage tells whether a start that failed so met damage: SQLite also says of a schema that
// is not there any more, or there twice, that the statement is wrong.
bool SpeaksOfDamage(const Status& status) {
  return sqlite::IsCorrupt(status) || status.code() == StatusCode::kInternal;
}

}  // namespace

Status SpoolDatabase::OpenChecked(WallTime now) {
  if (RebuildIsUnfinished(files_, spool_)) {
    damage_ = DataLoss("damaged database: its rebuild was interrupted");
    return RebuildNow(now, true);
  }
  SpoolInspection inspection = InspectSpool(files_, spool_);
  Status status = inspection.damage;
  if (status.ok()) status = OpenHandle();
  if (status.ok()) {
    const StatusOr<rt::FileInfo> info = files_.Stat(path_);
    if (info.ok() && info->size_bytes <= options_.check_limit_bytes) status = CheckAll();
  }
  if (status.ok()) {
    NameTorn(inspection.torn);
    return status;
  }
  if (!SpeaksOfDamage(status)) return status;
  damage_ = status;
  return RebuildNow(now, true);
}

// CheckAll is SQLite's check, and what it cannot know: that each envelope has its message and each
// message an envelope.
Status SpoolDatabase::CheckAll() {
  sqlite::Database& database = *handle_->database;
  StatusOr<std::vector<std::string>> findings = database.Findings(100);
  if (!findings.ok()) return findings.status();
  findings_ = *std::move(findings);
  if (!findings_.empty())
    return DataLoss(StrCat("damaged database: ", path_, ": ", findings_.front()));
  StatusOr<Statement> query = database.Prepare(
      "SELECT evpid >> 32 & 0xffffffff AS m, 0 FROM envelope WHERE m NOT IN (SELECT msgid FROM "
      "message) UNION ALL SELECT msgid, 1 FROM message WHERE msgid NOT IN (SELECT evpid >> 32 & "
      "0xffffffff FROM envelope) LIMIT 1");
  if (!query.ok()) return query.status();
  const StatusOr<bool> row = query->Step();
  if (!row.ok()) return row.status();
  if (!*row) return OkStatus();
  return DataLoss(StrCat("damaged database: ", path_, ": message ",
                         queue::MessageIdText(static_cast<MessageId>(query->Int(0))),
                         query->Int(1) == 0 ? " is missing" : " has no envelope"));
}

// NameTorn tells of the messages in a last transaction that is not whole. After a power cut nobody
// has been promised them; if the log was damaged there, they are lost, and this is all that is
// known of them.
void SpoolDatabase::NameTorn(const std::vector<MessageId>& torn) {
  for (const MessageId id : torn) {
    const StatusOr<bool> there = HasMessage(id);
    if (!there.ok() || *there) continue;
    LogRecord record;
    record.level = LogLevel::kWarning;
    record.subsystem = "queue";
    record.event = "message in a transaction that is not whole, dropped";
    record.fields.push_back(LogField{"msgid", queue::MessageIdText(id)});
    log_.Write(record);
  }
}

Status SpoolDatabase::Rebuild(WallTime now) { return RebuildNow(now, false); }

Status SpoolDatabase::RebuildNow(WallTime now, bool starting) {
  RebuildRequest request;
  request.reason = Text(damage_);
  request.now = now;
  request.starting = starting;
  log_file_.reset();
  if (handle_) {
    handle_->database->Rollback();
    if (findings_.empty()) {
      const StatusOr<std::vector<std::string>> findings = handle_->database->Findings(100);
      findings_ = findings.ok() ? *findings : std::vector<std::string>{Text(findings.status())};
    }
    handle_->database->Abandon();
    handle_.reset();
  }
  request.findings = findings_;
  POSTERN_RETURN_IF_ERROR(RebuildSpool(files_, log_, spool_, options_, request));
  POSTERN_RETURN_IF_ERROR(OpenHandle());
  damage_ = OkStatus();
  findings_.clear();
  suspect_ = false;
  // What was lost has been named; the sum begins with what there is.
  walk_ = AuditWalk();
  sum_ = QueueSum();
  sum_is_based_ = false;
  return OkStatus();
}

Status SpoolDatabase::Ready() {
  if (damaged()) return Unavailable("the queue is damaged and being rebuilt");
  return handle_ ? OkStatus() : Watch(Recover());
}

Status SpoolDatabase::Watch(Status status) {
  if (!damaged() && sqlite::IsCorrupt(status)) {
    damage_ = status;
    LogRecord record;
    record.level = LogLevel::kError;
    record.subsystem = "queue";
    record.event = "database damaged";
    record.fields.push_back(LogField{"error", Text(status)});
    log_.Write(record);
  }
  return status;
}

Status SpoolDatabase::OpenHandle() {
  sqlite::DatabaseOptions options;
  options.cache_kib = options_.cache_kib;
  options.wal_autocheckpoint_pages = options_.wal_autocheckpoint_pages;
  options.wal_limit_bytes = int64_t{options_.wal_autocheckpoint_pages} * 4096 * 2;
  options.exclusive = true;
  StatusOr<std::unique_ptr<sqlite::Database>> database =
      sqlite::Database::Open(files_, path_, options);
  if (!database.ok()) return database.status();
  auto handle = std::make_unique<Handle>();
  handle->database = *std::move(database);
  const Status migrated = handle->database->Migrate(kSpoolSchema);
  if (!migrated.ok() && migrated.code() != StatusCode::kFailedPrecondition) return migrated;
  const StatusOr<bool> ours = HasOurSchema(*handle->database);
  if (!ours.ok()) return ours.status();
  if (migrated.ok() != *ours) {
    return DataLoss(
        StrCat("damaged database: ", *ours ? "schema version of " : "schema of ", path_));
  }
  POSTERN_RETURN_IF_ERROR(migrated);
  POSTERN_RETURN_IF_ERROR(handle->Prepare());
  handle_ = std::move(handle);
  log_file_.reset();
  log_bytes_ = 0;
  return OkStatus();
}

void SpoolDatabase::GrowLog() {
  const uint64_t whole =
      kLogHeaderBytes + static_cast<uint64_t>(options_.wal_autocheckpoint_pages) * kLogFrameBytes;
  if (options_.log_growth_bytes == 0 || log_bytes_ >= whole) return;
  try {
    GrowLogBy(whole);
  } catch (const std::bad_alloc&) {
    // With the next transaction, perhaps.
  }
}

void SpoolDatabase::GrowLogBy(uint64_t whole) {
  if (log_file_ == nullptr) {
    rt::OpenOptions open;
    open.write = true;
    StatusOr<std::unique_ptr<rt::File>> file = files_.Open(path_ + "-wal", open);
    if (!file.ok()) return;
    log_file_ = *std::move(file);
  }
  const StatusOr<rt::FileInfo> info = log_file_->Stat();
  if (!info.ok() || info->size_bytes <= log_bytes_) return;
  if (info->size_bytes >= whole) {
    log_bytes_ = whole;
    return;
  }
  const size_t growth =
      static_cast<size_t>(std::min<uint64_t>(options_.log_growth_bytes, whole - info->size_bytes));
  const StatusOr<rt::SpaceInfo> space = files_.Space(path_);
  if (!space.ok() || space->free_bytes < options_.min_free_bytes + growth) return;
  // Zeros behind the last transaction are none: a frame of zeros does not have the salt of the log,
  // so SQLite ends it before them.
  const Status grown = log_file_->WriteAt(info->size_bytes, std::string(growth, '\0'));
  if (grown.ok()) {
    log_bytes_ = info->size_bytes + growth;
    return;
  }
  // The room is given back to those who need it, and not asked for again.
  (void)log_file_->Truncate(info->size_bytes);
  log_bytes_ = whole;
}

Status SpoolDatabase::Settle() { return Watch(handle_->database->Checkpoint()); }

// After a failed sync the kernel may have dropped pages of the log that it shows us as written, so
// nothing may be appended behind them and trusted (fsyncgate). This connection still knows where
// the last good transaction ended: it moves everything up to there into the database, syncs that,
// and empties the log. Then a new connection starts from what is known to be on disk.
Status SpoolDatabase::Recover() {
  if (handle_) {
    handle_->database->Rollback();
    POSTERN_RETURN_IF_ERROR(Watch(handle_->database->Checkpoint()));
    handle_.reset();
  }
  POSTERN_RETURN_IF_ERROR(Watch(OpenHandle()));
  suspect_ = false;
  return OkStatus();
}

Status SpoolDatabase::Write(std::vector<NewMessageRow*>& messages,
                            const std::vector<Change>& changes, std::vector<Gone>* gone) {
  POSTERN_RETURN_IF_ERROR(Ready());
  if (suspect_) POSTERN_RETURN_IF_ERROR(Recover());
  Status status;
  try {
    status = Watch(WriteInside(messages, changes, gone));
  } catch (...) {
    // It may have been about to tell of anything.
    suspect_ = true;
    handle_->database->EndStatements();
    handle_->database->Rollback();
    throw;
  }
  if (status.ok()) {
    Count();
    GrowLog();
    return status;
  }
  handle_->database->Rollback();
  gone->clear();
  if (damaged()) return status;
  // A write that found no room leaves nothing doubtful behind; any other failure does.
  if (!sqlite::IsFull(status)) {
    suspect_ = true;
    (void)Recover();
  }
  return status;
}

void SpoolDatabase::EndReads() noexcept {
  if (handle_) handle_->database->EndStatements();
}

Status SpoolDatabase::WriteInside(std::vector<NewMessageRow*>& messages,
                                  const std::vector<Change>& changes, std::vector<Gone>* gone) {
  sqlite::Database& database = *handle_->database;
  counting_.clear();
  kept_.clear();
  POSTERN_RETURN_IF_ERROR(database.Begin());
  std::vector<MessageId> touched;
  for (const Change& change : changes) POSTERN_RETURN_IF_ERROR(Apply(change, &touched));
  for (NewMessageRow* message : messages) {
    message->outcome = Insert(*message);
    if (message->outcome.code() == StatusCode::kUnavailable) continue;
    POSTERN_RETURN_IF_ERROR(message->outcome);
    for (const Change& change : *message->changes) POSTERN_RETURN_IF_ERROR(Apply(change, &touched));
  }
  POSTERN_RETURN_IF_ERROR(RemoveEmptied(touched, gone));
  return database.Commit();
}

Status SpoolDatabase::Insert(NewMessageRow& message) {
  Statement& insert = handle_->insert_message;
  insert.Bind(1, RowOf(message.id)).Bind(2, Micros(message.envelopes->front().created));
  insert.Bind(3, Signed(message.size_bytes)).Bind(4, message.checksum);
  if (message.in_file) {
    insert.BindNull(5);
  } else {
    insert.BindBlob(5, message.body);
  }
  const Status stored = insert.Run();
  // Another message in the queue has this id, by chance one in four thousand million: the client
  // sends again, with a new one.
  if (stored.code() == StatusCode::kAlreadyExists) return Unavailable("message id is taken");
  POSTERN_RETURN_IF_ERROR(stored);
  for (const Envelope& envelope : *message.envelopes) {
    const std::string data = StoredEnvelope(options_, envelope);
    Statement& row = handle_->insert_envelope;
    row.Bind(1, Signed(envelope.id)).Bind(2, Micros(envelope.next_attempt));
    row.Bind(3, envelope.held ? kHeld : kScheduled).Bind(4, Tries(envelope));
    row.Bind(5, Signed(queue::DestinationKey(envelope))).Bind(6, Checksum(data)).BindBlob(7, data);
    POSTERN_RETURN_IF_ERROR(row.Run());
    counting_.push_back(CountedRow{Signed(envelope.id), std::nullopt});
  }
  return OkStatus();
}

Status SpoolDatabase::Apply(const Change& change, std::vector<MessageId>* touched) {
  switch (change.kind) {
    case Change::Kind::kRemove:
      touched->push_back(queue::MessageIdOf(change.id));
      POSTERN_RETURN_IF_ERROR(handle_->remove.Bind(1, Signed(change.id)).Run());
      if (handle_->database->changes() > 0)
        counting_.push_back(CountedRow{Signed(change.id), change.fate});
      return OkStatus();
    case Change::Kind::kHold: return handle_->hold.Bind(1, Signed(change.id)).Run();
    case Change::Kind::kRelease: return handle_->release.Bind(1, Signed(change.id)).Run();
    case Change::Kind::kUpdate: {
      const Envelope& envelope = change.envelope;
      const std::string data = StoredEnvelope(options_, envelope);
      Statement& update = handle_->update;
      update.Bind(1, Signed(envelope.id))
          .Bind(2, Micros(envelope.next_attempt))
          .Bind(3, Tries(envelope));
      update.Bind(4, Signed(queue::DestinationKey(envelope)))
          .Bind(5, Checksum(data))
          .BindBlob(6, data);
      return update.Run();
    }
  }
  return OkStatus();
}

Status SpoolDatabase::RemoveEmptied(std::vector<MessageId>& touched, std::vector<Gone>* gone) {
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const MessageId id : touched) {
    const StatusOr<uint16_t> left = CountEnvelopes(id);
    if (!left.ok()) return left.status();
    if (*left > 0) {
      kept_.push_back({id, *left});
      continue;
    }
    Statement& remove = handle_->remove_message;
    const StatusOr<bool> removed = remove.Bind(1, RowOf(id)).Step();
    if (!removed.ok()) return removed.status();
    if (!*removed) continue;
    gone->push_back(Gone{id, remove.Int(0) != 0});
    POSTERN_RETURN_IF_ERROR(remove.Run());
  }
  return OkStatus();
}

}  // namespace postern::store
