#include <algorithm>
#include <utility>
#include <zlib.h>

#include "lib/core/base/strings.h"
#include "lib/rt/durable_names.h"
#include "lib/store/queue/memory_body.h"
#include "lib/store/queue/sqlite_queue.h"

namespace postern::store {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;

QueueCore::QueueCore(rt::World& world, LogSink& log, std::string spool, const QueueOptions& options)
    : world_(world),
      log_(log),
      spool_(std::move(spool)),
      options_(options),
      clock_(world.clock().Now(), world.clock().WallNow()) {}

std::string QueueCore::BodyPath(MessageId id) const {
  return StrCat(spool_, "/bodies/", queue::MessageIdText(id));
}

Status QueueCore::Open() {
  POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(world_.files(), spool_ + "/bodies", 0700));
  StatusOr<std::unique_ptr<SpoolDatabase>> database =
      SpoolDatabase::Open(world_.files(), log_, spool_, options_);
  if (!database.ok()) return database.status();
  database_ = *std::move(database);
  // The folders may have been made by a start that died before it could sync their names.
  POSTERN_RETURN_IF_ERROR(rt::DurableNames().Ensure(world_.files(), spool_ + "/bodies"));
  // What an earlier process wrote last is seen here though it may not be on the disk: it died, the
  // machine did not. A file must not go for the sake of a removal that a power cut could take back.
  // With no room to settle that, the files stay until the next start.
  const Status settled = database_->Settle();
  if (!settled.ok() && settled.code() != StatusCode::kResourceExhausted) return settled;
  if (settled.ok()) POSTERN_RETURN_IF_ERROR(ReclaimBodies());
  (void)CheckSpace();
  return OkStatus();
}

// Bodies whose message is not in the database belong to messages that were never acknowledged, or
// that are gone.
Status QueueCore::ReclaimBodies() {
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = world_.files().List(spool_ + "/bodies");
  if (!entries.ok()) return entries.status();
  for (const rt::DirectoryEntry& entry : *entries) {
    const std::optional<MessageId> id = queue::ParseMessageId(entry.name);
    if (!id) continue;
    const StatusOr<bool> known = database_->HasMessage(*id);
    if (!known.ok()) return known.status();
    if (!*known) (void)world_.files().Unlink(BodyPath(*id));
  }
  return OkStatus();
}

WallTime QueueCore::Now() {
  const std::lock_guard lock(clock_mutex_);
  return absl::FromUnixMicros(
      absl::ToUnixMicros(clock_.Now(world_.clock().Now(), world_.clock().WallNow())));
}

// --- what is on the list ---

void QueueCore::Submit(std::shared_ptr<PendingMessage> message) {
  const std::lock_guard lock(mutex_);
  if (closed_) {
    message->done.Complete(Unavailable("the queue is closed"));
    return;
  }
  messages_.push_back(std::move(message));
  StartLocked();
}

void QueueCore::Merge(Overlay& below, const Overlay& above) {
  if (above.removed) below.removed = true;
  if (above.update) below.update = above.update;
  if (above.held) below.held = above.held;
}

void QueueCore::Record(std::vector<Change> changes) {
  std::vector<MessageId> deferred;
  {
    const std::lock_guard lock(mutex_);
    bool urgent = false;
    for (Change& change : changes) {
      urgent = urgent || change.urgent;
      Overlay overlay;
      EnvelopeId id = change.id;
      switch (change.kind) {
        case Change::Kind::kRemove: overlay.removed = true; break;
        case Change::Kind::kUpdate:
          id = change.envelope.id;
          deferred.push_back(queue::MessageIdOf(id));
          overlay.update = std::move(change.envelope);
          break;
        case Change::Kind::kHold:
        case Change::Kind::kRelease:
          overlay.held = change.kind == Change::Kind::kHold;
          urgent = true;
          break;
      }
      Merge(waiting_[id], overlay);
    }
    if (urgent || waiting_.size() >= options_.lazy_changes) {
      // A running job has taken its list: what is urgent now must find the next one started as soon
      // as it ends.
      waiting_is_urgent_ = waiting_is_urgent_ || urgent;
      StartLocked();
    } else {
      StartLaterLocked(options_.lazy_delay);
    }
  }
  // What waits for a later attempt need not be in memory until then.
  for (const MessageId id : deferred) Uncache(id);
}

void QueueCore::SubmitFlush(std::shared_ptr<rt::Completion<Status>> done) {
  const std::lock_guard lock(mutex_);
  flushes_.push_back(std::move(done));
  StartLocked();
}

void QueueCore::Shutdown() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void QueueCore::StartLocked() {
  if (running_) return;
  running_ = true;
  world_.main_loop().PostBlocking([self = shared_from_this()] { self->RunBatch(); }, [] {});
}

void QueueCore::StartLaterLocked(Duration delay) {
  if (running_ || timer_set_) return;  // the running job looks at the list before it ends
  timer_set_ = true;
  rt::Executor& loop = world_.main_loop();
  // The timer does not keep the queue alive: after Close there is nothing left for it to do.
  loop.Post([&loop, delay, weak = weak_from_this()] {
    loop.CallAt(loop.Now() + delay, [weak] {
      const std::shared_ptr<QueueCore> self = weak.lock();
      if (!self) return;
      const std::lock_guard lock(self->mutex_);
      self->timer_set_ = false;
      if (!self->waiting_.empty()) self->StartLocked();
    });
  });
}

// --- the job ---

QueueCore::Batch QueueCore::TakeBatch() {
  Batch batch;
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  while (!messages_.empty() && batch.messages.size() < options_.batch_messages) {
    bytes += messages_.front()->size_bytes;
    if (!batch.messages.empty() && bytes > options_.batch_bytes) break;
    batch.messages.push_back(std::move(messages_.front()));
    messages_.pop_front();
  }
  writing_ = std::move(waiting_);
  waiting_.clear();
  waiting_is_urgent_ = false;
  for (const auto& [id, overlay] : writing_) {
    const auto add = [&batch, id = id](Change::Kind kind) -> Change& {
      Change& change = batch.changes.emplace_back();
      change.kind = kind;
      change.id = id;
      return change;
    };
    if (overlay.removed) {
      add(Change::Kind::kRemove);
      continue;
    }
    if (overlay.update) add(Change::Kind::kUpdate).envelope = *overlay.update;
    if (overlay.held) add(*overlay.held ? Change::Kind::kHold : Change::Kind::kRelease);
  }
  batch.flushes = std::move(flushes_);
  flushes_.clear();
  return batch;
}

void QueueCore::RunBatch() {
  Batch batch = TakeBatch();
  std::vector<Status> outcomes(batch.messages.size(), OkStatus());
  if (!batch.messages.empty()) {
    const Status space = CheckSpace();
    if (!space.ok()) std::fill(outcomes.begin(), outcomes.end(), space);
  }
  WriteBodies(batch.messages, outcomes);

  std::vector<NewMessageRow> rows(batch.messages.size());
  std::vector<NewMessageRow*> good;
  for (size_t i = 0; i < batch.messages.size(); ++i) {
    if (!outcomes[i].ok()) continue;
    const PendingMessage& message = *batch.messages[i];
    rows[i].id = message.id;
    rows[i].size_bytes = message.size_bytes;
    rows[i].checksum = message.checksum;
    rows[i].in_file = message.file != nullptr;
    rows[i].body = message.octets;
    rows[i].envelopes = &message.envelopes;
    rows[i].changes = &message.changes;
    good.push_back(&rows[i]);
  }
  Status status = OkStatus();
  std::vector<SpoolDatabase::Gone> gone;
  if (!good.empty() || !batch.changes.empty()) {
    const std::lock_guard lock(database_mutex_);
    status = database_->Write(good, batch.changes, &gone);
    // The scheduler hears of a message before any search for what is due can find it, so it never
    // meets one twice.
    for (size_t i = 0; i < rows.size() && status.ok(); ++i) {
      if (outcomes[i].ok() && rows[i].outcome.ok()) Announce(*batch.messages[i]);
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (outcomes[i].ok()) outcomes[i] = status.ok() ? rows[i].outcome : status;
  }
  for (const SpoolDatabase::Gone& message : gone) {
    if (message.in_file) (void)world_.files().Unlink(BodyPath(message.id));
    Uncache(message.id);
  }
  FinishBatch(batch, outcomes, status);
}

void QueueCore::Announce(PendingMessage& message) {
  Cache(message);
  if (!observer_) return;
  for (Envelope& envelope : message.envelopes) envelope.fresh = true;
  observer_(message.envelopes);
}

void QueueCore::WriteBodies(std::vector<std::shared_ptr<PendingMessage>>& messages,
                            std::vector<Status>& outcomes) {
  rt::File* first = nullptr;  // of those that this batch opened
  size_t files = 0;
  bool all_fresh = true;  // none was opened, and perhaps written out in part, before this batch
  for (size_t i = 0; i < messages.size(); ++i) {
    PendingMessage& message = *messages[i];
    if (!outcomes[i].ok() ||
        (message.file == nullptr && message.size_bytes <= options_.inline_body_bytes))
      continue;
    if (message.file != nullptr) all_fresh = false;
    outcomes[i] = WriteBody(message);
    if (!outcomes[i].ok()) continue;
    message.file->StartWriteback();
    if (first == nullptr) first = message.file.get();
    ++files;
  }
  if (files == 0) return;
  // One sync of the file system costs less than many of files, and sees their failures when it was
  // there before them.
  constexpr size_t kFewFiles = 8;
  if (all_fresh && files > kFewFiles) {
    const Status together = first->SyncFileSystem();
    if (together.ok()) return;
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (outcomes[i].ok() && messages[i]->file != nullptr)
      outcomes[i] = Annotate(messages[i]->file->Sync(), messages[i]->path);
  }
  const Status named = world_.files().SyncDirectory(spool_ + "/bodies");
  if (named.ok()) return;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (outcomes[i].ok() && messages[i]->file != nullptr) outcomes[i] = named;
  }
}

Status QueueCore::WriteBody(PendingMessage& message) {
  if (message.file == nullptr) {
    const std::string path = BodyPath(message.id);
    rt::OpenOptions open;
    open.write = open.create = open.exclusive = true;
    StatusOr<std::unique_ptr<rt::File>> file = world_.files().Open(path, open);
    if (file.status().code() == StatusCode::kAlreadyExists)
      return Unavailable("message id is taken");
    if (!file.ok()) return file.status();
    message.file = *std::move(file);
    message.path = path;
  }
  const Status written =
      message.file->WriteAt(message.size_bytes - message.octets.size(), message.octets);
  std::string().swap(message.octets);
  return Annotate(written, message.path);
}

void QueueCore::FinishBatch(Batch& batch, const std::vector<Status>& outcomes,
                            const Status& status) {
  Status first_failure = status;
  uint64_t committed = 0;
  for (size_t i = 0; i < batch.messages.size(); ++i) {
    PendingMessage& message = *batch.messages[i];
    if (outcomes[i].ok()) {
      ++committed;
      message.file.reset();
      // A file that is a message's now is no longer the writer's to remove.
      message.path.clear();
      continue;
    }
    if (first_failure.ok() && outcomes[i].code() != StatusCode::kUnavailable)
      first_failure = outcomes[i];
  }
  ReportHealth(first_failure);
  {
    const std::lock_guard lock(mutex_);
    if (!status.ok()) {
      // The changes of a failed batch go back under those that came since.
      for (auto& [id, overlay] : writing_) {
        const auto [place, fresh] = waiting_.try_emplace(id, overlay);
        if (fresh) continue;
        Overlay merged = overlay;
        Merge(merged, place->second);
        place->second = std::move(merged);
      }
    } else {
      statistics_.changes += batch.changes.size();
      if (committed > 0 || !batch.changes.empty()) ++statistics_.transactions;
    }
    writing_.clear();
    statistics_.commits += committed;
    statistics_.failed_commits += batch.messages.size() - committed;
  }
  for (size_t i = 0; i < batch.messages.size(); ++i) {
    batch.messages[i]->done.Complete(outcomes[i]);
  }
  for (const auto& flush : batch.flushes) flush->Complete(status);

  const std::lock_guard lock(mutex_);
  running_ = false;
  if (!messages_.empty() || !flushes_.empty() || waiting_is_urgent_ ||
      waiting_.size() >= options_.lazy_changes) {
    if (status.ok() || !messages_.empty() || !flushes_.empty()) return StartLocked();
  }
  if (!waiting_.empty()) StartLaterLocked(status.ok() ? options_.lazy_delay : options_.retry_delay);
}

void QueueCore::ReportHealth(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (health_.healthy == status.ok()) return;
    health_.healthy = status.ok();
    health_.error = status.ok() ? "" : Text(status);
  }
  if (status.ok()) {
    LogProblem(LogLevel::kInfo, "writes again", status, "");
  } else {
    LogProblem(LogLevel::kError, "cannot write", status, "");
  }
}

void QueueCore::LogProblem(LogLevel level, std::string event, const Status& status,
                           const std::string& id) {
  LogRecord record;
  record.level = level;
  record.subsystem = "queue";
  record.event = std::move(event);
  if (!id.empty()) record.fields.push_back(LogField{"msgid", id});
  if (!status.ok()) record.fields.push_back(LogField{"error", Text(status)});
  log_.Write(record);
}

QueueStatistics QueueCore::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

QueueHealth QueueCore::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

// --- room on the disk ---

Status QueueCore::CheckSpace() {
  space_checked_ns_ = world_.clock().Now().ns;
  const StatusOr<rt::SpaceInfo> space = world_.files().Space(spool_);
  if (!space.ok()) return space.status();
  // A file system that counts no inodes has as many as it likes.
  const bool low = space->free_bytes < options_.min_free_bytes ||
                   (space->total_inodes != 0 && space->free_inodes < options_.min_free_inodes);
  space_low_ = low;
  if (!low) return OkStatus();
  return ResourceExhausted(StrCat("no room in ", spool_, ": ", space->free_bytes, " bytes and ",
                                  space->free_inodes, " inodes are free, ", options_.min_free_bytes,
                                  " and ", options_.min_free_inodes, " are kept in reserve"));
}

bool QueueCore::SpaceIsLow() {
  if (!space_low_) return false;
  constexpr int64_t kLookAgainNs = 500'000'000;
  const int64_t now = world_.clock().Now().ns;
  int64_t checked = space_checked_ns_;
  if (now - checked >= kLookAgainNs && space_checked_ns_.compare_exchange_strong(checked, now)) {
    world_.main_loop().PostBlocking([self = shared_from_this()] { (void)self->CheckSpace(); },
                                    [] {});
  }
  return true;
}

// --- bodies ---

void QueueCore::Cache(PendingMessage& message) {
  if (message.file != nullptr || message.octets.size() != message.size_bytes) return;
  const std::lock_guard lock(cache_mutex_);
  if (cached_bytes_ + message.octets.size() > options_.cached_body_bytes) return;
  const auto [place, fresh] = cache_.try_emplace(message.id, nullptr);
  if (!fresh) return;
  cached_bytes_ += message.octets.size();
  place->second = std::make_shared<MemoryBody>(std::move(message.octets));
}

void QueueCore::Uncache(MessageId id) {
  const std::lock_guard lock(cache_mutex_);
  const auto found = cache_.find(id);
  if (found == cache_.end()) return;
  cached_bytes_ -= found->second->size_bytes();
  cache_.erase(found);
}

std::shared_ptr<const Body> QueueCore::CachedBody(MessageId id) {
  const std::lock_guard lock(cache_mutex_);
  const auto found = cache_.find(id);
  return found == cache_.end() ? nullptr : found->second;
}

namespace {

// FileBody reads a large body from its file, which stays readable after its name is gone.
class FileBody final : public Body {
 public:
  FileBody(std::unique_ptr<rt::File> file, uint64_t size_bytes)
      : file_(std::move(file)), size_bytes_(size_bytes) {}
  uint64_t size_bytes() const override { return size_bytes_; }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    const std::lock_guard lock(mutex_);
    return file_->ReadAt(offset, into);
  }

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<rt::File> file_;
  uint64_t size_bytes_;
};

StatusOr<uint32_t> ChecksumOf(const Body& body) {
  uLong sum = crc32(0, nullptr, 0);
  std::vector<char> chunk(static_cast<size_t>(std::min<uint64_t>(body.size_bytes(), 64 * 1024)));
  for (uint64_t offset = 0; offset < body.size_bytes();) {
    const StatusOr<size_t> got = body.ReadAt(offset, chunk);
    if (!got.ok()) return got.status();
    if (*got == 0) break;
    sum = crc32_z(sum, reinterpret_cast<const unsigned char*>(chunk.data()), *got);
    offset += *got;
  }
  return static_cast<uint32_t>(sum);
}

}  // namespace

StatusOr<std::shared_ptr<const Body>> QueueCore::OpenBody(MessageId id) {
  if (std::shared_ptr<const Body> cached = CachedBody(id)) return cached;
  SpoolDatabase::BodyRow row;
  {
    const std::lock_guard lock(database_mutex_);
    StatusOr<SpoolDatabase::BodyRow> found = database_->ReadBody(id);
    if (!found.ok()) return found.status();
    row = *std::move(found);
  }
  std::shared_ptr<const Body> body;
  bool whole = false;
  if (row.in_file) {
    StatusOr<std::unique_ptr<rt::File>> file = world_.files().Open(BodyPath(id), rt::OpenOptions{});
    if (file.ok()) {
      const StatusOr<rt::FileInfo> info = (*file)->Stat();
      if (!info.ok()) return info.status();
      whole = info->size_bytes == row.size_bytes;
      body = std::make_shared<FileBody>(*std::move(file), row.size_bytes);
    } else if (file.status().code() != StatusCode::kNotFound) {
      return file.status();
    }
  } else {
    whole = row.body.size() == row.size_bytes;
    body = std::make_shared<MemoryBody>(std::move(row.body));
  }
  if (whole) {
    const StatusOr<uint32_t> checksum = ChecksumOf(*body);
    if (!checksum.ok()) return checksum.status();
    if (*checksum == row.checksum) return body;
  }
  const Status damaged = DataLoss("message is damaged on disk, parked");
  LogProblem(LogLevel::kError, "message damaged on disk, parked", damaged,
             queue::MessageIdText(id));
  const std::lock_guard lock(database_mutex_);
  (void)database_->Park(id);
  return damaged;
}

// --- readers ---

QueueCore::Overlays QueueCore::SnapshotOverlays() {
  const std::lock_guard lock(mutex_);
  Overlays all = writing_;
  for (const auto& [id, overlay] : waiting_) Merge(all[id], overlay);
  return all;
}

// ApplyOverlay brings `envelope` up to date; false when it is gone.
bool QueueCore::ApplyOverlay(const Overlays& overlays, Envelope& envelope) {
  const auto found = overlays.find(envelope.id);
  if (found == overlays.end()) return true;
  if (found->second.removed) return false;
  const bool held = found->second.held.value_or(envelope.held);
  if (found->second.update) envelope = *found->second.update;
  envelope.held = held;
  return true;
}

// Each reader looks at the overlays first and at the database then: what is written in between is
// seen in both, not in neither.

StatusOr<std::vector<Envelope>> QueueCore::LoadDue(const DueRequest& request) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<Envelope>> found = [&] {
    const std::lock_guard lock(database_mutex_);
    DueRequest wider = request;
    wider.limit += overlays.size();
    return database_->LoadDue(wider);
  }();
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](Envelope& envelope) {
    return !ApplyOverlay(overlays, envelope) || envelope.held ||
           envelope.next_attempt > request.now;
  });
  if (found->size() > request.limit) found->resize(request.limit);
  return found;
}

StatusOr<WallTime> QueueCore::NextDue(WallTime after) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<WallTime> next = [&] {
    const std::lock_guard lock(database_mutex_);
    return database_->NextDue(after);
  }();
  if (!next.ok()) return next.status();
  for (const auto& [id, overlay] : overlays) {
    if (overlay.update && !overlay.removed && overlay.update->next_attempt > after) {
      next = std::min(*next, overlay.update->next_attempt);
    }
  }
  return next;
}

StatusOr<std::vector<Envelope>> QueueCore::LoadDeferred(uint64_t destination_key, size_t limit) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<Envelope>> found = [&] {
    const std::lock_guard lock(database_mutex_);
    return database_->LoadDeferred(destination_key, limit);
  }();
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](Envelope& envelope) {
    return !ApplyOverlay(overlays, envelope) || envelope.held;
  });
  return found;
}

StatusOr<Envelope> QueueCore::Get(EnvelopeId id) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<Envelope> found = [&] {
    const std::lock_guard lock(database_mutex_);
    return database_->Get(id);
  }();
  if (!found.ok()) return found.status();
  if (!ApplyOverlay(overlays, *found))
    return NotFound(StrCat("no envelope ", queue::EnvelopeIdText(id)));
  return found;
}

StatusOr<std::vector<Envelope>> QueueCore::List(const ListRequest& request) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<Envelope>> found = [&] {
    const std::lock_guard lock(database_mutex_);
    return database_->List(request);
  }();
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](Envelope& envelope) { return !ApplyOverlay(overlays, envelope); });
  return found;
}

StatusOr<QueueCounts> QueueCore::Counts() {
  const std::lock_guard lock(database_mutex_);
  return database_->Counts();
}

}  // namespace postern::store
