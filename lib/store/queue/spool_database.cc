#include "lib/store/queue/spool_database.h"

#include <algorithm>
#include <utility>
#include <zlib.h>

#include "lib/core/base/strings.h"

namespace postern::store {
namespace {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Statement;

// Ids are unsigned and SQLite's integers signed: the bits are kept, so the ids of one message stay
// one range. `next` is in microseconds since 1970. `dest` is the DestinationKey. `crc` guards
// `data`, an encoded envelope.
const char* const kSchema[] = {
    "CREATE TABLE message("
    "  msgid INTEGER PRIMARY KEY, created INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT "
    "NULL, body BLOB);"
    "CREATE TABLE envelope("
    "  evpid INTEGER PRIMARY KEY, next INTEGER NOT NULL, state INTEGER NOT NULL, attempts INTEGER "
    "NOT NULL,"
    "  dest INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX envelope_due ON envelope(next, dest) WHERE state = 0;"
    "CREATE INDEX envelope_deferred ON envelope(dest) WHERE attempts > 0;",
};

enum State : int64_t { kScheduled = 0, kHeld = 1, kParked = 2 };

constexpr std::string_view kColumns = "SELECT evpid, next, state, crc, data FROM envelope ";

// A frame of the write-ahead log: a page behind its header (sqlite.org/fileformat2.html#walformat).
constexpr uint64_t kLogHeaderBytes = 32;
constexpr uint64_t kLogFrameBytes = 24 + 4096;

int64_t Signed(uint64_t id) { return static_cast<int64_t>(id); }

// RowOf is the row number of a message: its id.
int64_t RowOf(MessageId id) { return static_cast<int64_t>(id); }

// Tries is the column `attempts`, by which LoadDeferred finds what waits for another attempt: it
// counts being held back from the first one as one.
int64_t Tries(const Envelope& envelope) {
  return std::max<int64_t>(envelope.attempts, envelope.deferred() ? 1 : 0);
}

int64_t Micros(WallTime time) { return absl::ToUnixMicros(time); }

uint32_t Checksum(std::string_view octets) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const unsigned char*>(octets.data()),
                                       static_cast<z_size_t>(octets.size())));
}

Status PrepareInto(sqlite::Database& database, std::string_view sql, Statement* into) {
  StatusOr<Statement> statement = database.Prepare(sql);
  if (!statement.ok()) return statement.status();
  *into = *std::move(statement);
  return OkStatus();
}

}  // namespace

struct SpoolDatabase::Handle {
  std::unique_ptr<sqlite::Database> database;
  // Statements go before their database.
  Statement insert_message, insert_envelope, update, remove, hold, release, rest, remove_message,
      park;
  Statement due, next_due, deferred, get, list, list_message, body, has_message;

  Status Prepare() {
    sqlite::Database& db = *database;
    const auto envelope_query = [](std::string_view tail) { return StrCat(kColumns, tail); };
    for (const auto& [sql, into] : std::initializer_list<std::pair<std::string, Statement*>>{
             {"INSERT INTO message(msgid, created, size, crc, body) VALUES(?,?,?,?,?)",
              &insert_message},
             {"INSERT INTO envelope(evpid, next, state, attempts, dest, crc, data) "
              "VALUES(?,?,?,?,?,?,?)",
              &insert_envelope},
             {"UPDATE envelope SET next = ?2, attempts = ?3, dest = ?4, crc = ?5, data = ?6 WHERE "
              "evpid = ?1",
              &update},
             {"DELETE FROM envelope WHERE evpid = ?", &remove},
             {"UPDATE envelope SET state = 1 WHERE evpid = ? AND state = 0", &hold},
             {"UPDATE envelope SET state = 0 WHERE evpid = ? AND state = 1", &release},
             {"SELECT 1 FROM envelope WHERE evpid BETWEEN ? AND ? LIMIT 1", &rest},
             {"DELETE FROM message WHERE msgid = ? RETURNING body IS NULL", &remove_message},
             {"UPDATE envelope SET state = 2 WHERE evpid BETWEEN ? AND ?", &park},
             {envelope_query("WHERE state = 0 AND next <= ? ORDER BY next"), &due},
             {"SELECT min(next) FROM envelope WHERE state = 0 AND next > ?", &next_due},
             {envelope_query("WHERE dest = ? AND attempts > 0 AND state = 0"), &deferred},
             {envelope_query("WHERE evpid = ?"), &get},
             {envelope_query("WHERE evpid > ? AND evpid <= ? ORDER BY evpid"), &list},
             {"SELECT size, crc, body IS NULL, body FROM message WHERE msgid = ?", &body},
             {"SELECT 1 FROM message WHERE msgid = ?", &has_message},
         }) {
      POSTERN_RETURN_IF_ERROR(PrepareInto(db, sql, into));
    }
    return OkStatus();
  }
};

SpoolDatabase::SpoolDatabase(rt::Files& files, LogSink& log, std::string path,
                             const QueueOptions& options)
    : files_(files), log_(log), path_(std::move(path)), options_(options) {}

SpoolDatabase::~SpoolDatabase() = default;

StatusOr<std::unique_ptr<SpoolDatabase>> SpoolDatabase::Open(rt::Files& files, LogSink& log,
                                                             const std::string& spool,
                                                             const QueueOptions& options) {
  std::unique_ptr<SpoolDatabase> database(
      new SpoolDatabase(files, log, spool + "/queue.db", options));
  POSTERN_RETURN_IF_ERROR(database->OpenHandle());
  const StatusOr<rt::FileInfo> info = files.Stat(database->path_);
  if (info.ok() && info->size_bytes <= options.check_limit_bytes) {
    POSTERN_RETURN_IF_ERROR(database->handle_->database->Check());
  }
  return database;
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
  POSTERN_RETURN_IF_ERROR(handle->database->Migrate(kSchema));
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

Status SpoolDatabase::Settle() { return handle_->database->Checkpoint(); }

// After a failed sync the kernel may have dropped pages of the log that it shows us as written, so
// nothing may be appended behind them and trusted (fsyncgate). This connection still knows where
// the last good transaction ended: it moves everything up to there into the database, syncs that,
// and empties the log. Then a new connection starts from what is known to be on disk.
Status SpoolDatabase::Recover() {
  if (handle_) {
    handle_->database->Rollback();
    POSTERN_RETURN_IF_ERROR(handle_->database->Checkpoint());
    handle_.reset();
  }
  POSTERN_RETURN_IF_ERROR(OpenHandle());
  suspect_ = false;
  return OkStatus();
}

Status SpoolDatabase::Write(std::vector<NewMessageRow*>& messages,
                            const std::vector<Change>& changes, std::vector<Gone>* gone) {
  if (suspect_ || !handle_) POSTERN_RETURN_IF_ERROR(Recover());
  const Status status = WriteInside(messages, changes, gone);
  if (status.ok()) {
    GrowLog();
    return status;
  }
  handle_->database->Rollback();
  gone->clear();
  // A write that found no room leaves nothing doubtful behind; any other failure does.
  if (ErrnoOf(status) != 0 || status.code() != StatusCode::kResourceExhausted) {
    suspect_ = true;
    (void)Recover();
  }
  return status;
}

Status SpoolDatabase::WriteInside(std::vector<NewMessageRow*>& messages,
                                  const std::vector<Change>& changes, std::vector<Gone>* gone) {
  sqlite::Database& database = *handle_->database;
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
    const std::string data = queue::EncodeEnvelope(envelope);
    Statement& row = handle_->insert_envelope;
    row.Bind(1, Signed(envelope.id)).Bind(2, Micros(envelope.next_attempt));
    row.Bind(3, envelope.held ? kHeld : kScheduled).Bind(4, Tries(envelope));
    row.Bind(5, Signed(queue::DestinationKey(envelope))).Bind(6, Checksum(data)).BindBlob(7, data);
    POSTERN_RETURN_IF_ERROR(row.Run());
  }
  return OkStatus();
}

Status SpoolDatabase::Apply(const Change& change, std::vector<MessageId>* touched) {
  switch (change.kind) {
    case Change::Kind::kRemove:
      touched->push_back(queue::MessageIdOf(change.id));
      return handle_->remove.Bind(1, Signed(change.id)).Run();
    case Change::Kind::kHold: return handle_->hold.Bind(1, Signed(change.id)).Run();
    case Change::Kind::kRelease: return handle_->release.Bind(1, Signed(change.id)).Run();
    case Change::Kind::kUpdate: {
      const Envelope& envelope = change.envelope;
      const std::string data = queue::EncodeEnvelope(envelope);
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
    Statement& rest = handle_->rest;
    rest.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
        .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)));
    const StatusOr<bool> left = rest.Step();
    if (!left.ok()) return left.status();
    rest.Reset();
    if (*left) continue;
    Statement& remove = handle_->remove_message;
    const StatusOr<bool> removed = remove.Bind(1, RowOf(id)).Step();
    if (!removed.ok()) return removed.status();
    if (!*removed) continue;
    gone->push_back(Gone{id, remove.Int(0) != 0});
    POSTERN_RETURN_IF_ERROR(remove.Run());
  }
  return OkStatus();
}

StatusOr<std::vector<Envelope>> SpoolDatabase::Collect(Statement& query, size_t limit) {
  std::vector<Envelope> found;
  std::vector<EnvelopeId> damaged;
  while (found.size() < limit) {
    const StatusOr<bool> more = query.Step();
    if (!more.ok()) return more.status();
    if (!*more) break;
    const auto id = static_cast<EnvelopeId>(query.Int(0));
    const std::string_view data = query.Blob(4);
    StatusOr<Envelope> envelope = DataLoss("checksum of the envelope is wrong");
    if (Checksum(data) == static_cast<uint32_t>(query.Int(3)))
      envelope = queue::DecodeEnvelope(data);
    if (!envelope.ok()) {
      if (query.Int(2) != kParked) damaged.push_back(id);
      continue;
    }
    envelope->id = id;
    envelope->next_attempt = absl::FromUnixMicros(query.Int(1));
    envelope->held = query.Int(2) != kScheduled;
    found.push_back(*std::move(envelope));
  }
  query.Reset();
  ParkEnvelopes(damaged);
  return found;
}

void SpoolDatabase::ParkEnvelopes(const std::vector<EnvelopeId>& damaged) {
  for (const EnvelopeId id : damaged) {
    (void)handle_->park.Bind(1, Signed(id)).Bind(2, Signed(id)).Run();
    LogRecord record;
    record.level = LogLevel::kError;
    record.subsystem = "queue";
    record.event = "envelope damaged on disk, parked";
    record.fields.push_back(LogField{"evpid", queue::EnvelopeIdText(id)});
    log_.Write(record);
  }
}

StatusOr<std::vector<Envelope>> SpoolDatabase::LoadDue(const DueRequest& request) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  if (request.except_destinations.empty()) {
    return Collect(handle_->due.Bind(1, Micros(request.now)), request.limit);
  }
  // With crowded destinations the index alone decides (it holds `dest`), so that passing over a
  // hundred thousand rows of one dead host reads none of them.
  std::string keys;
  for (const uint64_t key : request.except_destinations)
    StrAppend(keys, keys.empty() ? "" : ",", Signed(key));
  StatusOr<Statement> query = handle_->database->Prepare(
      StrCat(kColumns, "WHERE state = 0 AND next <= ? AND dest NOT IN (", keys, ") ORDER BY next"));
  if (!query.ok()) return query.status();
  return Collect(query->Bind(1, Micros(request.now)), request.limit);
}

StatusOr<WallTime> SpoolDatabase::NextDue(WallTime after) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  Statement& query = handle_->next_due;
  const StatusOr<bool> row = query.Bind(1, Micros(after)).Step();
  if (!row.ok()) return row.status();
  const WallTime next =
      !*row || query.IsNull(0) ? absl::InfiniteFuture() : absl::FromUnixMicros(query.Int(0));
  query.Reset();
  return next;
}

StatusOr<std::vector<Envelope>> SpoolDatabase::LoadDeferred(uint64_t destination_key,
                                                            size_t limit) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  return Collect(handle_->deferred.Bind(1, Signed(destination_key)), limit);
}

StatusOr<Envelope> SpoolDatabase::Get(EnvelopeId id) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  StatusOr<std::vector<Envelope>> found = Collect(handle_->get.Bind(1, Signed(id)), 1);
  if (!found.ok()) return found.status();
  if (found->empty()) return NotFound(StrCat("no envelope ", queue::EnvelopeIdText(id)));
  return std::move(found->front());
}

StatusOr<std::vector<Envelope>> SpoolDatabase::List(const ListRequest& request) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  // Rows are in the order of signed numbers, ids are unsigned: the lower half of the ids is listed
  // first, then the upper.
  std::vector<Envelope> found;
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  uint64_t after = request.after;
  uint64_t last = UINT64_MAX;
  if (request.message) {
    const EnvelopeId first = queue::MakeEnvelopeId(*request.message, 0);
    after = std::max(after, first - 1);
    last = queue::MakeEnvelopeId(*request.message, UINT32_MAX);
  }
  while (found.size() < request.limit && after < last) {
    const uint64_t end = after < kHalf - 1 ? std::min(last, kHalf - 1) : last;
    // Ids from 2^63 on are negative numbers; the one before the first of them is the smallest there
    // is, which is no id.
    const int64_t begin = after == kHalf - 1 ? INT64_MIN : Signed(after);
    StatusOr<std::vector<Envelope>> part =
        Collect(handle_->list.Bind(1, begin).Bind(2, Signed(end)), request.limit - found.size());
    if (!part.ok()) return part.status();
    std::move(part->begin(), part->end(), std::back_inserter(found));
    after = end;
  }
  return found;
}

StatusOr<QueueCounts> SpoolDatabase::Counts() {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  StatusOr<Statement> query = handle_->database->Prepare(
      "SELECT (SELECT count(*) FROM message), count(*), sum(state = 1), sum(state = 2) FROM "
      "envelope");
  if (!query.ok()) return query.status();
  const StatusOr<bool> row = query->Step();
  if (!row.ok()) return row.status();
  QueueCounts counts;
  counts.messages = static_cast<uint64_t>(query->Int(0));
  counts.envelopes = static_cast<uint64_t>(query->Int(1));
  counts.held = static_cast<uint64_t>(query->Int(2));
  counts.parked = static_cast<uint64_t>(query->Int(3));
  return counts;
}

StatusOr<SpoolDatabase::BodyRow> SpoolDatabase::ReadBody(MessageId id) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  Statement& query = handle_->body;
  const StatusOr<bool> row = query.Bind(1, RowOf(id)).Step();
  if (!row.ok()) return row.status();
  if (!*row) return NotFound(StrCat("no message ", queue::MessageIdText(id)));
  BodyRow body;
  body.size_bytes = static_cast<uint64_t>(query.Int(0));
  body.checksum = static_cast<uint32_t>(query.Int(1));
  body.in_file = query.Int(2) != 0;
  body.body = query.Blob(3);
  query.Reset();
  return body;
}

StatusOr<bool> SpoolDatabase::HasMessage(MessageId id) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  Statement& query = handle_->has_message;
  const StatusOr<bool> row = query.Bind(1, RowOf(id)).Step();
  query.Reset();
  return row;
}

Status SpoolDatabase::Park(MessageId id) {
  if (!handle_) POSTERN_RETURN_IF_ERROR(Recover());
  return handle_->park.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
      .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)))
      .Run();
}

}  // namespace postern::store
