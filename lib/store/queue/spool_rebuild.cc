#include "lib/store/queue/spool_rebuild.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/damaged_folder.h"
#include "lib/store/queue/rebuild_report.h"
#include "lib/store/queue/salvaged_rows.h"
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

constexpr size_t kRowsPerTransaction = 10'000;
// A next attempt that lies further away than any schedule puts one is taken for
// damage: the time is not under the checksum.
constexpr Duration kLongestWait = absl::Hours(24);

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
        fresh_(spool_ + "/queue.db-new"),
        report_(log) {}

  Status Run() {
    StatusOr<std::string> folder = DamagedFolder(files_, spool_, marker_, request_.now);
    if (!folder.ok()) return folder.status();
    folder_ = *std::move(folder);
    POSTERN_RETURN_IF_ERROR(PutDatabaseAside(files_, spool_, folder_));
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
                    &park_},
          std::pair{std::string_view("SELECT evpid, data FROM envelope WHERE evpid BETWEEN ? AND "
                                     "? AND state <> 2"),
                    &of_message_}}) {
      StatusOr<Statement> statement = database_->Prepare(sql);
      if (!statement.ok()) return statement.status();
      *into = *std::move(statement);
    }
    return database_->Begin();
  }

  Status OpenReport(const Salvage& salvage) {
    POSTERN_RETURN_IF_ERROR(report_.Open(files_, folder_ + "/report.txt"));
    report_.Tell(StrCat("queue damaged: ", request_.reason));
    for (const std::string& finding : request_.findings) report_.Tell(StrCat("check: ", finding));
    const Salvage::LogState& log = salvage.log();
    if (log.first_bad_frame != 0) {
      report_.Tell(StrCat("log: frame ", log.first_bad_frame, " of ", log.frames,
                          log.damaged ? " is damaged" : " ends what is whole"));
    }
    constexpr std::string_view kNames[] = {"message", "envelope", "envelope_due",
                                           "envelope_deferred", "envelope_aside"};
    for (size_t i = 0; i < std::size(kNames); ++i) {
      report_.Tell(
          StrCat("tree of ", kNames[i], ": ", salvage.TreeIsWhole(i) ? "whole" : "broken"));
    }
    return OkStatus();
  }

  // Name says of one message or envelope what became of it.
  void NameMessage(LogLevel level, std::string_view event, MessageId id) {
    report_.Name(level, event, "msgid", queue::MessageIdText(id));
  }
  void NameEnvelope(LogLevel level, std::string_view event, EnvelopeId id, const Parties& parties) {
    report_.Name(level, event, "evpid", queue::EnvelopeIdText(id), parties);
  }

  Status CountRow() {
    if (++rows_ % kRowsPerTransaction != 0) return OkStatus();
    POSTERN_RETURN_IF_ERROR(database_->Commit());
    return database_->Begin();
  }

  // CopyEnvelopes takes over each envelope with its own checksum for a witness.
  // Its times and its state are not under that; the index of what is due and the
  // one of what is aside are a second witness for the state.
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
    salvage.ForEachRow(kAside, [&](const SalvagedRow& row) {
      collect(others_, 2)(row);
      if (row.values.size() != 2 || !IsInteger(row.values[1])) return;
      const auto id = static_cast<EnvelopeId>(row.values[1].number);
      if (row.values[0].number == kHeld) held_.push_back(id);
      if (row.values[0].number == kParked) parked_before_.push_back(id);
    });
    SortUnique(others_);
    SortUnique(held_);
    SortUnique(parked_before_);
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
    int64_t state = StateOf(id, row.values[2].number);
    int64_t next = row.values[1].number;
    int64_t tries = 0, destination = 0;
    if (envelope.ok()) {
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
      // What can still be read of it is no more than likely.
      envelope = ReadEnvelope(options_, id, data);
      NameEnvelope(LogLevel::kError, "envelope damaged on disk, parked", id,
                   envelope.ok() ? PartiesOf(*envelope) : Parties());
    } else if (state != row.values[2].number) {
      NameEnvelope(LogLevel::kWarning,
                   state == kScheduled ? "envelope's state damaged, scheduled"
                   : state == kHeld    ? "envelope's state damaged, on hold"
                                       : "envelope's state damaged, parked",
                   id, PartiesOf(*envelope));
    }
    envelopes_.push_back(id);
    return CountRow();
  }

  // StateOf is the state of an envelope whose row says `state`: where one bit of
  // the row or of an index is wrong, what the two others say together. An index
  // that names it in one state and no other is believed before the row.
  int64_t StateOf(EnvelopeId id, int64_t state) const {
    const bool due = Has(due_, id), held = Has(held_, id), parked = Has(parked_before_, id);
    if (due + held + parked == 1) return due ? kScheduled : held ? kHeld : kParked;
    return state == kHeld || state == kParked ? state : kScheduled;
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
      POSTERN_RETURN_IF_ERROR(Park(id, "message damaged on disk, parked"));
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

  // Park takes the envelopes of a message out of the schedule, and names it and
  // each of them.
  Status Park(MessageId id, std::string_view event) {
    ++parked_;
    NameMessage(LogLevel::kError, event, id);
    POSTERN_RETURN_IF_ERROR(ForEachOf(id, [this](const Envelope& envelope) {
      NameEnvelope(LogLevel::kError, "envelope parked", envelope.id, PartiesOf(envelope));
      return true;
    }));
    return park_.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
        .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)))
        .Run();
  }

  // ForEachOf calls `look` with the envelopes of a message that were taken over
  // sound, until it says false.
  Status ForEachOf(MessageId id, const std::function<bool(const Envelope&)>& look) {
    of_message_.Bind(1, Signed(queue::MakeEnvelopeId(id, 0)))
        .Bind(2, Signed(queue::MakeEnvelopeId(id, UINT32_MAX)));
    for (;;) {
      const StatusOr<bool> row = of_message_.Step();
      if (!row.ok()) return row.status();
      if (!*row) return OkStatus();
      const auto envelope_id = static_cast<EnvelopeId>(of_message_.Int(0));
      StatusOr<Envelope> envelope = ReadEnvelope(options_, envelope_id, of_message_.Blob(1));
      if (!envelope.ok()) continue;
      envelope->id = envelope_id;
      if (look(*envelope)) continue;
      of_message_.Reset();
      return OkStatus();
    }
  }

  // What an index names and no row has is lost.
  Status NameLostEnvelopes() {
    std::vector<EnvelopeId> known = std::move(due_);
    known.insert(known.end(), others_.begin(), others_.end());
    SortUnique(known);
    for (const EnvelopeId id : known) {
      if (Has(envelopes_, id)) continue;
      ++lost_;
      // All envelopes of a message have its sender.
      Parties known_of_it;
      POSTERN_RETURN_IF_ERROR(ForEachOf(queue::MessageIdOf(id), [&](const Envelope& other) {
        known_of_it.sender = PartiesOf(other).sender;
        return false;
      }));
      NameEnvelope(LogLevel::kError, "envelope lost", id, known_of_it);
      lost_messages_.push_back(queue::MessageIdOf(id));
    }
    for (const MessageId id : orphans_) {
      ++lost_;
      NameMessage(LogLevel::kError, "message has lost its envelopes", id);
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
        NameMessage(LogLevel::kWarning, "message taken from its file", id);
      } else {
        if (file.status().code() != StatusCode::kNotFound &&
            file.status().code() != StatusCode::kInvalidArgument)
          return file.status();
        // The size does not fit the text, which is none: no release of it will
        // ever deliver it.
        insert_message_.Bind(3, 1).Bind(4, 0).BindBlob(5, "");
        POSTERN_RETURN_IF_ERROR(insert_message_.Run());
        ++lost_;
        POSTERN_RETURN_IF_ERROR(Park(id, "message lost, its envelopes parked"));
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
      NameMessage(LogLevel::kError, "text without envelopes put aside", *id);
    }
    if (!made) return OkStatus();
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(aside));
    return files_.SyncDirectory(spool_ + "/bodies");
  }

  Status Finish() {
    report_.Tell(StrCat("messages ", wanted_.size(), ", envelopes ", envelopes_.size(), ", parked ",
                        parked_, ", lost ", lost_));
    POSTERN_RETURN_IF_ERROR(report_.Finish());
    POSTERN_RETURN_IF_ERROR(files_.SyncDirectory(folder_));
    POSTERN_RETURN_IF_ERROR(database_->Commit());
    POSTERN_RETURN_IF_ERROR(database_->Checkpoint());
    for (Statement* statement : {&insert_message_, &insert_envelope_, &park_, &of_message_})
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
  Statement insert_message_, insert_envelope_, park_, of_message_;
  RebuildReport report_;
  size_t rows_ = 0, parked_ = 0, lost_ = 0;

  // Sorted once they are complete: a million of them take a few MiB.
  std::vector<EnvelopeId> due_, others_;          // that the indexes name
  std::vector<EnvelopeId> held_, parked_before_;  // of the others, by state
  std::vector<EnvelopeId> envelopes_;             // taken over
  std::vector<MessageId> wanted_;                 // messages of those
  std::vector<MessageId> messages_;               // taken over
  std::vector<MessageId> orphans_;                // rows that no envelope names
  std::vector<MessageId> lost_messages_;
};

}  // namespace

bool RebuildIsUnfinished(rt::Files& files, const std::string& spool) {
  return Exists(files, spool + "/rebuild");
}

Status RebuildSpool(rt::Files& files, LogSink& log, const std::string& spool,
                    const QueueOptions& options, const RebuildRequest& request) {
  Rebuild rebuild(files, log, spool, options, request);
  return Annotate(rebuild.Run(), "rebuild of the damaged queue");
}

}  // namespace postern::store
