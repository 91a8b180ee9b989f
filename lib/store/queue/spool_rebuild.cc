#include "lib/store/queue/spool_rebuild.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/sealed_file.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/queue/stored_envelope.h"
#include "lib/store/sqlite/database.h"
#include "lib/store/sqlite/salvage.h"

namespace postern::store {
namespace {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;
using sqlite::Salvage;
using sqlite::SalvagedRow;
using sqlite::SalvagedValue;
using sqlite::Statement;

// The report lists everything; the log stops here and refers to it.
constexpr size_t kMaxNamedInLog = 10'000;
constexpr size_t kRowsPerTransaction = 10'000;
// A next attempt that lies further away than any schedule puts one is taken for
// damage: the time is not under the checksum.
constexpr Duration kLongestWait = absl::Hours(24);

enum Objects : size_t { kMessages, kEnvelopes, kDue, kDeferred, kAside };

// The pages are those that kSpoolSchema gives its objects in a new database.
std::vector<Salvage::Object> SpoolObjects() {
  return {{.name = "message", .root = 2, .index = false},
          {.name = "envelope", .root = 3, .index = false},
          {.name = "envelope_due", .root = 4, .index = true},
          {.name = "envelope_deferred", .root = 5, .index = true},
          {.name = "envelope_aside", .root = 6, .index = true}};
}

// OpenIfThere opens `path`; null when there is no such file. One that may not
// be read, or that is no file, is an error and no damage.
StatusOr<std::unique_ptr<rt::File>> OpenIfThere(rt::Files& files, const std::string& path) {
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, rt::OpenOptions{});
  if (file.status().code() == StatusCode::kNotFound) return std::unique_ptr<rt::File>();
  if (!file.ok()) return Annotate(file.status(), path);
  return file;
}

uint64_t SizeOf(rt::Files& files, const std::string& path) {
  const StatusOr<rt::FileInfo> info = files.Stat(path);
  return info.ok() ? info->size_bytes : 0;
}

bool Exists(rt::Files& files, const std::string& path) { return files.Stat(path).ok(); }

bool IsInteger(const SalvagedValue& value) { return value.kind == SalvagedValue::Kind::kInteger; }

bool LooksLikeMessage(const SalvagedRow& row) {
  return row.values.size() == 5 && row.rowid > 0 && row.rowid <= int64_t{UINT32_MAX} &&
         IsInteger(row.values[1]) && IsInteger(row.values[2]) && IsInteger(row.values[3]) &&
         !IsInteger(row.values[4]);
}

bool LooksLikeEnvelope(const SalvagedRow& row) {
  if (row.values.size() != 7 || queue::MessageIdOf(static_cast<EnvelopeId>(row.rowid)) == 0)
    return false;
  for (size_t i = 1; i <= 5; ++i) {
    if (!IsInteger(row.values[i])) return false;
  }
  return row.values[6].kind == SalvagedValue::Kind::kOctets;
}

template <typename T>
void SortUnique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

template <typename T>
bool Has(const std::vector<T>& sorted, T value) {
  return std::binary_search(sorted.begin(), sorted.end(), value);
}

class Rebuild {
 public:
  Rebuild(rt::Files& files, LogSink& log, std::string spool, const QueueOptions& options,
          const RebuildRequest& request)
      : files_(files),
        log_(log),
        spool_(std::move(spool)),
        options_(options),
        request_(request),
        marker_(spool_ + "/rebuild"),
        fresh_(spool_ + "/queue.db-new") {}

  Status Run() {
    POSTERN_RETURN_IF_ERROR(Begin());
    POSTERN_RETURN_IF_ERROR(PutAside());
    StatusOr<std::unique_ptr<rt::File>> database = OpenIfThere(files_, folder_ + "/queue.db");
    if (!database.ok()) return database.status();
    StatusOr<std::unique_ptr<rt::File>> log = OpenIfThere(files_, folder_ + "/queue.db-wal");
    if (!log.ok()) return log.status();
    Salvage salvage(*std::move(database), *std::move(log));
    POSTERN_RETURN_IF_ERROR(salvage.Begin());
    salvage.Survey(SpoolObjects());
    POSTERN_RETURN_IF_ERROR(OpenFresh());
    POSTERN_RETURN_IF_ERROR(OpenReport(salvage));
    POSTERN_RETURN_IF_ERROR(CopyEnvelopes(salvage));
    POSTERN_RETURN_IF_ERROR(CopyMessages(salvage));
    POSTERN_RETURN_IF_ERROR(NameLostEnvelopes());
    POSTERN_RETURN_IF_ERROR(FindTexts());
    POSTERN_RETURN_IF_ERROR(PutTextsAside());
    return Finish();
  }

 private:
  // Begin finds the folder of an unfinished rebuild or makes a new one and says
  // so durably.
  Status Begin() {
    if (const StatusOr<std::string> begun = rt::ReadFile(files_, marker_, 4096); begun.ok()) {
      const std::string_view name = Trim(std::string_view(*begun));
      if (name.starts_with("damaged-") && name.find('/') == std::string_view::npos) {
        folder_ = StrCat(spool_, "/", name);
        const Status made = files_.MakeDirectory(folder_, 0700);
        if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return made;
        return OkStatus();
      }
    }
    const std::string time = absl::FormatTime("%Y%m%dT%H%M%SZ", request_.now, absl::UTCTimeZone());
    for (int i = 1; i < 1000; ++i) {
      const std::string name = StrCat("damaged-", time, i == 1 ? std::string() : StrCat("-", i));
      folder_ = StrCat(spool_, "/", name);
      const Status made = files_.MakeDirectory(folder_, 0700);
      if (made.code() == StatusCode::kAlreadyExists) continue;
      POSTERN_RETURN_IF_ERROR(made);
      POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(spool_));
      return rt::WriteFileDurably(files_, marker_, name + "\n", 0600);
    }
    return ResourceExhausted(StrCat("too many damaged queues in ", spool_));
  }

  // PutAside moves the files that SQLite knows. The new database gets its name
  // only after the old one has left it, so a database beside one that is in the
  // folder already is the new one.
  Status PutAside() {
    bool moved = false;
    for (const std::string_view tail : {"", "-wal", "-journal"}) {
      const std::string from = StrCat(spool_, "/queue.db", tail);
      const std::string to = StrCat(folder_, "/queue.db", tail);
      if (Exists(files_, to) || !Exists(files_, from)) continue;
      POSTERN_RETURN_IF_ERROR(files_.Rename(from, to));
      moved = true;
    }
    // What is in shared memory is in the log as well.
    if (Exists(files_, spool_ + "/queue.db-shm")) (void)files_.Unlink(spool_ + "/queue.db-shm");
    if (!Exists(files_, folder_ + "/queue.db")) {
      // It was missing. Its place is taken all the same, by what is read as
      // nothing.
      rt::OpenOptions open;
      open.write = open.create = true;
      const StatusOr<std::unique_ptr<rt::File>> made = files_.Open(folder_ + "/queue.db", open);
      if (!made.ok()) return made.status();
      moved = true;
    }
    if (!moved) return OkStatus();
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(folder_));
    return files_.SyncDirectory(spool_);
  }

  Status OpenFresh() {
    for (const std::string_view tail : {"", "-wal", "-shm", "-journal"}) {
      const std::string name = StrCat(fresh_, tail);
      if (Exists(files_, name)) POSTERN_RETURN_IF_ERROR(files_.Unlink(name));
    }
    sqlite::DatabaseOptions options;
    options.cache_kib = options_.cache_kib;
    options.exclusive = true;
    StatusOr<std::unique_ptr<sqlite::Database>> made =
        sqlite::Database::Open(files_, fresh_, options);
    if (!made.ok()) return made.status();
    database_ = *std::move(made);
    POSTERN_RETURN_IF_ERROR(database_->Migrate(kSpoolSchema));
    for (const auto& [sql, into] :
         {std::pair{kInsertMessage, &insert_message_},
          std::pair{kInsertEnvelope, &insert_envelope_},
          std::pair{std::string_view("UPDATE envelope SET state = 2 WHERE evpid "
                                     "BETWEEN ? AND ?"),
                    &park_}}) {
      StatusOr<Statement> statement = database_->Prepare(sql);
      if (!statement.ok()) return statement.status();
      *into = *std::move(statement);
    }
    return database_->Begin();
  }

  Status OpenReport(const Salvage& salvage) {
    rt::OpenOptions open;
    open.write = open.create = open.truncate = true;
    StatusOr<std::unique_ptr<rt::File>> file = files_.Open(folder_ + "/report.txt", open);
    if (!file.ok()) return file.status();
    report_ = *std::move(file);
    Tell(StrCat("queue damaged: ", request_.reason));
    for (const std::string& finding : request_.findings) Tell(StrCat("check: ", finding));
    const Salvage::LogState& log = salvage.log();
    if (log.first_bad_frame != 0) {
      Tell(StrCat("log: frame ", log.first_bad_frame, " of ", log.frames,
                  log.damaged ? " is damaged" : " ends what is whole"));
    }
    constexpr std::string_view kNames[] = {"message", "envelope", "envelope_due",
                                           "envelope_deferred", "envelope_aside"};
    for (size_t i = 0; i < std::size(kNames); ++i) {
      Tell(StrCat("tree of ", kNames[i], ": ", salvage.TreeIsWhole(i) ? "whole" : "broken"));
    }
    return OkStatus();
  }

  void Tell(std::string_view line) {
    StrAppend(report_text_, line, "\n");
    if (report_text_.size() < 64 * 1024) return;
    (void)WriteReport();
  }

  Status WriteReport() {
    const Status written = report_->WriteAt(report_bytes_, report_text_);
    report_bytes_ += report_text_.size();
    report_text_.clear();
    return written;
  }

  // Name says of one message or envelope what became of it.
  void Name(LogLevel level, std::string_view event, std::string_view field, std::string id) {
    Tell(StrCat(event, ": ", id));
    if (++named_ > kMaxNamedInLog) return;
    LogRecord record;
    record.level = level;
    record.subsystem = "queue";
    record.event = std::string(event);
    record.fields.push_back(LogField{field, std::move(id)});
    log_.Write(record);
  }

  Status CountRow() {
    if (++rows_ % kRowsPerTransaction != 0) return OkStatus();
    POSTERN_RETURN_IF_ERROR(database_->Commit());
    return database_->Begin();
  }

  // CopyEnvelopes takes over each envelope with its own checksum for a witness.
  // Its times and its state are not under that; the index of what is due has
  // the one, and is a second witness for the other.
  Status CopyEnvelopes(Salvage& salvage) {
    const auto collect = [](std::vector<EnvelopeId>& into, size_t columns) {
      return [&into, columns](const SalvagedRow& row) {
        if (row.values.size() == columns && IsInteger(row.values.back()))
          into.push_back(static_cast<EnvelopeId>(row.values.back().number));
      };
    };
    salvage.ForEachRow(kDue, collect(due_, 3));
    SortUnique(due_);
    salvage.ForEachRow(kDeferred, collect(others_, 2));
    salvage.ForEachRow(kAside, collect(others_, 2));
    SortUnique(others_);
    Status status = OkStatus();
    salvage.ForEachRow(kEnvelopes, [&](const SalvagedRow& row) {
      if (status.ok() && LooksLikeEnvelope(row)) status = CopyEnvelope(row);
    });
    SortUnique(envelopes_);
    for (const EnvelopeId id : envelopes_) {
      const MessageId message = queue::MessageIdOf(id);
      if (wanted_.empty() || wanted_.back() != message) wanted_.push_back(message);
    }
    return status;
  }

  Status CopyEnvelope(const SalvagedRow& row) {
    const auto id = static_cast<EnvelopeId>(row.rowid);
    const std::string& data = row.values[6].octets;
    StatusOr<Envelope> envelope = DataLoss("checksum");
    if (row.whole && Checksum(data) == static_cast<uint32_t>(row.values[5].number))
      envelope = ReadEnvelope(options_, id, data);
    if (envelope.status().code() == StatusCode::kFailedPrecondition) return envelope.status();
    int64_t state = row.values[2].number;
    int64_t next = row.values[1].number;
    int64_t tries = 0, destination = 0;
    if (envelope.ok()) {
      if (Has(due_, id) || (state != kHeld && state != kParked)) state = kScheduled;
      if (next < 0 || next > Micros(request_.now + kLongestWait)) next = Micros(request_.now);
      tries = Tries(*envelope);
      destination = Signed(queue::DestinationKey(*envelope));
    } else {
      state = kParked;
    }
    insert_envelope_.Bind(1, row.rowid).Bind(2, next).Bind(3, state).Bind(4, tries);
    insert_envelope_.Bind(5, destination).Bind(6, row.values[5].number).BindBlob(7, data);
    const Status stored = insert_envelope_.Run();
    if (stored.code() == StatusCode::kAlreadyExists) return OkStatus();
    POSTERN_RETURN_IF_ERROR(stored);
    if (!envelope.ok()) {
      ++parked_;
      Name(LogLevel::kError, "envelope damaged on disk, parked", "evpid",
           queue::EnvelopeIdText(id));
    }
    envelopes_.push_back(id);
    return CountRow();
  }

  Status CopyMessages(Salvage& salvage) {
    Status status = OkStatus();
    salvage.ForEachRow(kMessages, [&](const SalvagedRow& row) {
      if (status.ok() && LooksLikeMessage(row)) status = CopyMessage(row);
    });
    SortUnique(messages_);
    SortUnique(orphans_);
    return status;
  }

  Status CopyMessage(const SalvagedRow& row) {
    const auto id = static_cast<MessageId>(row.rowid);
    if (!Has(wanted_, id)) {
      orphans_.push_back(id);
      return OkStatus();
    }
    const bool in_file = row.values[4].kind == SalvagedValue::Kind::kNull;
    const std::string& body = row.values[4].octets;
    // A text in a file is measured against its checksum when it is opened.
    const bool sound = in_file ? Exists(files_, BodyPath(id)) : row.whole && IsSound(id, row);
    if (in_file && !sound) return OkStatus();
    insert_message_.Bind(1, row.rowid).Bind(2, row.values[1].number).Bind(3, row.values[2].number);
    insert_message_.Bind(4, row.values[3].number);
    if (in_file) {
      insert_message_.BindNull(5);
    } else {
      insert_message_.BindBlob(5, body);
    }
    const Status stored = insert_message_.Run();
    if (stored.code() == StatusCode::kAlreadyExists) return OkStatus();
    POSTERN_RETURN_IF_ERROR(stored);
    if (!sound) {
      POSTERN_RETURN_IF_ERROR(Park(id));
      Name(LogLevel::kError, "message damaged on disk, parked", "msgid", queue::MessageIdText(id));
    }
    messages_.push_back(id);
    return CountRow();
  }

  // IsSound tells whether a text in the database is the one that was received.
  bool IsSound(MessageId id, const SalvagedRow& row) const {
    const StatusOr<std::string> text = SealOf(options_).Open(
        SealedKind::kText, id, row.values[4].octets, static_cast<uint64_t>(row.values[2].number));
    return text.ok() && static_cast<int64_t>(text->size()) == row.values[2].number &&
           Checksum(*text) == static_cast<uint32_t>(row.values[3].number);
  }

  Status Park(MessageId id) {
    ++parked_;
    return park_.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
        .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)))
        .Run();
  }

  // What an index names and no row has is lost.
  Status NameLostEnvelopes() {
    std::vector<EnvelopeId> known = std::move(due_);
    known.insert(known.end(), others_.begin(), others_.end());
    SortUnique(known);
    for (const EnvelopeId id : known) {
      if (Has(envelopes_, id)) continue;
      ++lost_;
      Name(LogLevel::kError, "envelope lost", "evpid", queue::EnvelopeIdText(id));
      lost_messages_.push_back(queue::MessageIdOf(id));
    }
    for (const MessageId id : orphans_) {
      ++lost_;
      Name(LogLevel::kError, "message has lost its envelopes", "msgid", queue::MessageIdText(id));
      lost_messages_.push_back(id);
    }
    SortUnique(lost_messages_);
    return OkStatus();
  }

  // FindTexts gives envelopes without a message the one in its file; where
  // there is none they are parked, so that the operator sees who wrote to whom.
  Status FindTexts() {
    for (const MessageId id : wanted_) {
      if (Has(messages_, id)) continue;
      insert_message_.Bind(1, RowOf(id)).Bind(2, Micros(request_.now));
      const StatusOr<std::pair<uint64_t, uint32_t>> file = MeasureFile(id);
      if (file.ok()) {
        insert_message_.Bind(3, Signed(file->first)).Bind(4, file->second).BindNull(5);
        POSTERN_RETURN_IF_ERROR(insert_message_.Run());
        Name(LogLevel::kWarning, "message taken from its file", "msgid", queue::MessageIdText(id));
      } else {
        if (file.status().code() != StatusCode::kNotFound &&
            file.status().code() != StatusCode::kInvalidArgument)
          return file.status();
        // The size does not fit the text, which is none: no release of it will
        // ever deliver it.
        insert_message_.Bind(3, 1).Bind(4, 0).BindBlob(5, "");
        POSTERN_RETURN_IF_ERROR(insert_message_.Run());
        POSTERN_RETURN_IF_ERROR(Park(id));
        ++lost_;
        Name(LogLevel::kError, "message lost, its envelopes parked", "msgid",
             queue::MessageIdText(id));
      }
      POSTERN_RETURN_IF_ERROR(CountRow());
    }
    return OkStatus();
  }

  // MeasureFile is the size and the checksum of the text in a file; kInvalidArgument: it is a
  // record that is not whole.
  StatusOr<std::pair<uint64_t, uint32_t>> MeasureFile(MessageId id) {
    StatusOr<std::unique_ptr<rt::File>> file = files_.Open(BodyPath(id), rt::OpenOptions{});
    if (!file.ok()) return file.status();
    const StatusOr<bool> sealed = FileIsSealed(**file);
    if (!sealed.ok()) return sealed.status();
    std::shared_ptr<const Body> record;
    if (*sealed) {
      StatusOr<std::shared_ptr<const Body>> opened =
          OpenSealedFile(*std::move(file), SealOf(options_), id, UINT64_MAX);
      if (!opened.ok()) return opened.status();
      record = *std::move(opened);
    }
    uLong sum = crc32(0, nullptr, 0);
    uint64_t size = 0;
    std::vector<char> chunk(64 * 1024);
    for (;;) {
      const StatusOr<size_t> got =
          record ? record->ReadAt(size, chunk) : (*file)->ReadAt(size, chunk);
      if (!got.ok()) return got.status();
      if (*got == 0) return std::pair{size, static_cast<uint32_t>(sum)};
      sum = crc32_z(sum, reinterpret_cast<const unsigned char*>(chunk.data()), *got);
      size += *got;
    }
  }

  // PutTextsAside keeps the files of messages whose envelopes are gone from
  // what cleans the folder.
  Status PutTextsAside() {
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = files_.List(spool_ + "/bodies");
    if (entries.status().code() == StatusCode::kNotFound) return OkStatus();
    if (!entries.ok()) return entries.status();
    const std::string aside = folder_ + "/bodies";
    bool made = false;
    for (const rt::DirectoryEntry& entry : *entries) {
      const std::optional<MessageId> id = queue::ParseMessageId(entry.name);
      if (!id || Has(wanted_, *id)) continue;
      if (!request_.starting && !Has(lost_messages_, *id)) continue;
      if (!made) POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(files_, aside, 0700));
      made = true;
      POSTERN_RETURN_IF_ERROR(files_.Rename(BodyPath(*id), StrCat(aside, "/", entry.name)));
      Name(LogLevel::kError, "text without envelopes put aside", "msgid",
           queue::MessageIdText(*id));
    }
    if (!made) return OkStatus();
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(aside));
    return files_.SyncDirectory(spool_ + "/bodies");
  }

  Status Finish() {
    Tell(StrCat("messages ", wanted_.size(), ", envelopes ", envelopes_.size(), ", parked ",
                parked_, ", lost ", lost_));
    POSTERN_RETURN_IF_ERROR(WriteReport());
    POSTERN_RETURN_IF_ERROR(report_->Sync());
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(folder_));
    POSTERN_RETURN_IF_ERROR(database_->Commit());
    POSTERN_RETURN_IF_ERROR(database_->Checkpoint());
    for (Statement* statement : {&insert_message_, &insert_envelope_, &park_})
      *statement = Statement();
    database_.reset();
    if (Exists(files_, fresh_ + "-wal")) POSTERN_RETURN_IF_ERROR(files_.Unlink(fresh_ + "-wal"));
    POSTERN_RETURN_IF_ERROR(files_.Rename(fresh_, spool_ + "/queue.db"));
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(spool_));
    POSTERN_RETURN_IF_ERROR(files_.Unlink(marker_));
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(spool_));
    LogRecord record;
    record.level = LogLevel::kError;
    record.subsystem = "queue";
    record.event = "damaged queue put aside and rebuilt";
    record.fields = {{"reason", request_.reason},
                     {"messages", StrCat(wanted_.size())},
                     {"envelopes", StrCat(envelopes_.size())},
                     {"parked", StrCat(parked_)},
                     {"lost", StrCat(lost_)},
                     {"report", folder_ + "/report.txt"}};
    log_.Write(record);
    return OkStatus();
  }

  std::string BodyPath(MessageId id) const {
    return StrCat(spool_, "/bodies/", queue::MessageIdText(id));
  }

  rt::Files& files_;
  LogSink& log_;
  const std::string spool_;
  const QueueOptions& options_;
  const RebuildRequest& request_;
  const std::string marker_;
  const std::string fresh_;
  std::string folder_;

  std::unique_ptr<sqlite::Database> database_;
  Statement insert_message_, insert_envelope_, park_;
  std::unique_ptr<rt::File> report_;
  std::string report_text_;
  uint64_t report_bytes_ = 0;
  size_t named_ = 0, rows_ = 0, parked_ = 0, lost_ = 0;

  // Sorted once they are complete: a million of them take a few MiB.
  std::vector<EnvelopeId> due_, others_;  // that the indexes name
  std::vector<EnvelopeId> envelopes_;     // taken over
  std::vector<MessageId> wanted_;         // messages of those
  std::vector<MessageId> messages_;       // taken over
  std::vector<MessageId> orphans_;        // rows that no envelope names
  std::vector<MessageId> lost_messages_;
};

}  // namespace

SpoolInspection InspectSpool(rt::Files& files, const std::string& spool) {
  SpoolInspection inspection;
  const std::string path = spool + "/queue.db";
  if (SizeOf(files, path) == 0) {
    const StatusOr<std::vector<rt::DirectoryEntry>> bodies = files.List(spool + "/bodies");
    if (SizeOf(files, path + "-wal") > 0 || (bodies.ok() && !bodies->empty()))
      inspection.damage = DataLoss(StrCat("damaged database: ", path, " is missing or empty"));
    return inspection;
  }
  // A first start that was cut short is SQLite's to finish.
  if (SizeOf(files, path + "-journal") > 0) return inspection;
  StatusOr<std::unique_ptr<rt::File>> database = OpenIfThere(files, path);
  StatusOr<std::unique_ptr<rt::File>> log = OpenIfThere(files, path + "-wal");
  for (const Status& opened : {database.status(), log.status()}) {
    if (opened.ok()) continue;
    inspection.damage = opened;
    return inspection;
  }
  Salvage salvage(*std::move(database), *std::move(log));
  inspection.damage = salvage.Begin();
  if (!inspection.damage.ok()) return inspection;
  inspection.damage = Annotate(salvage.CheckHeader(), path);
  if (!inspection.damage.ok()) return inspection;
  if (salvage.log().damaged) {
    inspection.damage =
        DataLoss(StrCat("damaged database: ", path, "-wal: frame ", salvage.log().first_bad_frame,
                        " of ", salvage.log().frames));
    return inspection;
  }
  salvage.ForEachTornRow([&](const SalvagedRow& row) {
    if (LooksLikeMessage(row)) inspection.torn.push_back(static_cast<MessageId>(row.rowid));
    if (LooksLikeEnvelope(row))
      inspection.torn.push_back(queue::MessageIdOf(static_cast<EnvelopeId>(row.rowid)));
  });
  SortUnique(inspection.torn);
  return inspection;
}

bool RebuildIsUnfinished(rt::Files& files, const std::string& spool) {
  return Exists(files, spool + "/rebuild");
}

Status RebuildSpool(rt::Files& files, LogSink& log, const std::string& spool,
                    const QueueOptions& options, const RebuildRequest& request) {
  Rebuild rebuild(files, log, spool, options, request);
  return Annotate(rebuild.Run(), "rebuild of the damaged queue");
}

}  // namespace postern::store
