// QueueCore: the list, the job that empties it, and the room on the disk.

#include <exception>
#include <new>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/durable_names.h"
#include "lib/store/queue/spool_names.h"
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
      clock_(world.clock().Now(), world.clock().WallNow()),
      min_free_bytes_(options.min_free_bytes) {}

Status QueueCore::Open() {
  POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(world_.files(), spool_ + "/bodies", 0700));
  // Before the database, which would wait for its own lock and not know whose it is.
  StatusOr<SpoolLock> spool_lock = SpoolLock::Take(world_.files(), spool_);
  if (!spool_lock.ok()) return spool_lock.status();
  lock_.emplace(*std::move(spool_lock));
  StatusOr<std::unique_ptr<SpoolDatabase>> database =
      SpoolDatabase::Open(world_.files(), log_, spool_, options_, world_.clock().WallNow());
  if (!database.ok()) return database.status();
  database_ = *std::move(database);
  POSTERN_RETURN_IF_ERROR(KeepKeyId());
  HearWitness();
  // The folders may have been made by a start that died before it could sync their names.
  POSTERN_RETURN_IF_ERROR(rt::DurableNames().Ensure(world_.files(), spool_ + "/bodies"));
  // What an earlier process wrote last is seen here though it may not be on the disk: it died, the
  // machine did not. A file must not go for the sake of a removal that a power cut could take back.
  // With no room to settle that, the files stay until the next start.
  Status settled = database_->Settle();
  if (database_->damaged()) {
    POSTERN_RETURN_IF_ERROR(database_->Rebuild(world_.clock().WallNow()));
    settled = database_->Settle();
  }
  if (!settled.ok() && settled.code() != StatusCode::kResourceExhausted) return settled;
  if (settled.ok()) POSTERN_RETURN_IF_ERROR(ReclaimBodies());
  (void)CheckSpace();
  return OkStatus();
}

void QueueCore::HearWitness() {
  witness_ = CommitWitness::Open(world_.files(), spool_);
  std::vector<MessageId> missing;
  std::vector<EnvelopesLeft> fewer;
  std::vector<size_t> lost;
  for (const EnvelopesLeft& promised : witness_.promised()) {
    const StatusOr<bool> there = database_->HasMessage(promised.id);
    if (!there.ok()) return;
    const StatusOr<uint16_t> left = database_->CountEnvelopes(promised.id);
    if (!left.ok()) return;
    if (!*there) {
      missing.push_back(promised.id);
    } else if (*left < promised.envelopes) {
      fewer.push_back({promised.id, *left});
      lost.push_back(size_t{promised.envelopes} - *left);
    }
  }
  const Status gone = DataLoss("it was committed and is not in the database");
  for (const MessageId id : missing)
    LogProblem(LogLevel::kError, "message lost", gone, queue::MessageIdText(id));
  for (size_t i = 0; i < fewer.size(); ++i) {
    LogProblem(LogLevel::kError, "message has lost recipients",
               DataLoss(StrCat(lost[i],
                               " of its envelopes were committed and are not in the "
                               "database, ",
                               fewer[i].envelopes, " are")),
               queue::MessageIdText(fewer[i].id));
  }
  // Told once.
  witness_.Leaving(missing);
  witness_.Accepted(fewer);
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
  if (rebuilding_) {
    message->done.Complete(BeingRebuilt());
    return;
  }
  messages_.push_back(std::move(message));
  StartLocked();
}

void QueueCore::Merge(Overlay& below, Overlay above) noexcept {
  if (above.removed && !below.removed) {
    below.removed = true;
    below.fate = above.fate;
  }
  if (above.update) below.update = std::move(above.update);
  if (above.held) below.held = above.held;
}

void QueueCore::Record(std::vector<Change> changes) {
  std::vector<MessageId> deferred;
  deferred.reserve(changes.size());
  {
    const std::lock_guard lock(mutex_);
    // What is on the list when memory runs out is written all the same.
    struct Start {
      QueueCore* core;
      bool urgent = false;
      ~Start() {
        if (urgent || core->waiting_.size() >= core->options_.lazy_changes) {
          // A running job has taken its list: what is urgent now must find the next one started as
          // soon as it ends.
          core->waiting_is_urgent_ = core->waiting_is_urgent_ || urgent;
          core->StartLocked();
        } else {
          core->StartLaterLocked(core->options_.lazy_delay);
        }
      }
    } start{this};
    bool& urgent = start.urgent;
    for (Change& change : changes) {
      urgent = urgent || change.urgent;
      Overlay overlay;
      EnvelopeId id = change.id;
      switch (change.kind) {
        case Change::Kind::kRemove:
          overlay.removed = true;
          overlay.fate = change.fate;
          break;
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
      Merge(waiting_[id], std::move(overlay));
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

void QueueCore::StartLocked() noexcept {
  if (running_) return;
  running_ = true;
  job_.core = shared_from_this();
  job_.run = [](rt::Job* job) {
    const std::shared_ptr<QueueCore> core = std::move(static_cast<BatchJob*>(job)->core);
    core->RunBatch();
  };
  job_.drop = [](rt::Job* job) {
    const std::shared_ptr<QueueCore> core = std::move(static_cast<BatchJob*>(job)->core);
  };
  world_.main_loop().PostBlocking(&job_);
}

void QueueCore::StartLaterLocked(Duration delay) noexcept {
  if (running_ || timer_set_) return;  // the running job looks at the list before it ends
  rt::Executor& loop = world_.main_loop();
  const auto begin = [](const std::weak_ptr<QueueCore>& weak) {
    const std::shared_ptr<QueueCore> self = weak.lock();
    if (!self) return;
    const std::lock_guard lock(self->mutex_);
    self->timer_set_ = false;
    if (!self->waiting_.empty() || !self->left_.empty() ||
        (!self->health_.healthy && !self->closed_))
      self->StartLocked();
  };
  timer_set_ = true;
  try {
    // The timer does not keep the queue alive: after Close there is nothing left for it to do.
    loop.Post([&loop, delay, begin, weak = weak_from_this()] {
      try {
        loop.CallAt(loop.Now() + delay, [begin, weak] { begin(weak); });
      } catch (const std::bad_alloc&) {
        begin(weak);
      }
    });
  } catch (const std::bad_alloc&) {
    // Without memory for the wait it is not waited.
    timer_set_ = false;
    StartLocked();
  }
}

// --- the job ---

void QueueCore::TakeBatch(Batch& batch) {
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
      add(Change::Kind::kRemove).fate = overlay.fate;
      continue;
    }
    if (overlay.update) add(Change::Kind::kUpdate).envelope = *overlay.update;
    if (overlay.held) add(*overlay.held ? Change::Kind::kHold : Change::Kind::kRelease);
  }
  batch.flushes = std::move(flushes_);
  flushes_.clear();
}

Status QueueCore::BeingRebuilt() {
  return Unavailable("the queue was found damaged and is being rebuilt");
}

bool QueueCore::NeedsRebuild() {
  const std::lock_guard lock(database_mutex_);
  return database_->damaged();
}

// A rebuild takes as long as the queue is large. Until it is over nobody waits for it: commits and
// readers are told at once to come again.
void QueueCore::RebuildIfDamaged() {
  if (!NeedsRebuild()) return;
  const Status why = BeingRebuilt();
  rebuilding_ = true;
  struct End {
    std::atomic<bool>* rebuilding;
    ~End() { *rebuilding = false; }
  } const end{&rebuilding_};
  RefuseMessages(why);
  const std::lock_guard lock(database_mutex_);
  const Status status = database_->Rebuild(world_.clock().WallNow());
  if (!status.ok()) LogProblem(LogLevel::kError, "cannot rebuild the damaged queue", status, "");
}

void QueueCore::RefuseMessages(const Status& why) noexcept {
  const std::lock_guard lock(mutex_);
  statistics_.failed_commits += messages_.size();
  while (!messages_.empty()) {
    const std::shared_ptr<PendingMessage> message = std::move(messages_.front());
    messages_.pop_front();
    message->done.Complete(why);
  }
}

void QueueCore::RebuildSoon() {
  const std::lock_guard lock(mutex_);
  StartLocked();
}

void QueueCore::RunBatch() noexcept {
  Batch batch;
  bool written = false;
  Status status;
  try {
    RebuildIfDamaged();
    RemoveWhatIsLeft();
    TakeBatch(batch);
    status = WriteBatch(batch, &written);
  } catch (const std::exception&) {
    status = without_memory_;
    // Those that this batch could not even take would only meet the same in the next.
    if (batch.messages.empty()) RefuseMessages(status);
  }
  if (written) status = OkStatus();
  for (const auto& message : batch.messages) {
    if (!written && message->outcome.ok()) message->outcome = status;
  }
  const bool empty = batch.messages.empty() && batch.changes.empty();
  if (written && empty) LookAgain();
  FinishBatch(batch, status, written && !empty);
}

Status QueueCore::WriteBatch(Batch& batch, bool* written) {
  if (!batch.messages.empty()) {
    const Status space = CheckSpace();
    for (const auto& message : batch.messages) message->outcome = space;
  }
  WriteBodies(batch.messages);

  std::vector<NewMessageRow> rows(batch.messages.size());
  std::vector<NewMessageRow*> good;
  for (size_t i = 0; i < batch.messages.size(); ++i) {
    if (!batch.messages[i]->outcome.ok()) continue;
    const PendingMessage& message = *batch.messages[i];
    rows[i].id = message.id;
    rows[i].size_bytes = message.size_bytes;
    rows[i].checksum = message.checksum;
    rows[i].in_file = message.file != nullptr;
    rows[i].body = message.sealed ? message.record : message.octets;
    rows[i].envelopes = &message.envelopes;
    rows[i].changes = &message.changes;
    good.push_back(&rows[i]);
  }
  if (good.empty() && batch.changes.empty()) {
    *written = true;
    return OkStatus();
  }
  std::vector<MessageId> leaving;
  const auto note = [&leaving](const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      if (change.kind == Change::Kind::kRemove) leaving.push_back(queue::MessageIdOf(change.id));
    }
  };
  note(batch.changes);
  for (const NewMessageRow* row : good) note(*row->changes);
  witness_.Leaving(leaving);
  std::vector<SpoolDatabase::Gone> gone;
  std::vector<EnvelopesLeft> accepted;
  accepted.reserve(good.size());
  {
    const std::lock_guard lock(database_mutex_);
    const Status status = database_->Write(good, batch.changes, &gone);
    if (!status.ok()) return status;
    *written = true;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (batch.messages[i]->outcome.ok()) batch.messages[i]->outcome = std::move(rows[i].outcome);
    }
    // The scheduler hears of a message before any search for what is due can find it, so it never
    // meets one twice.
    for (const auto& message : batch.messages) {
      if (!message->outcome.ok()) continue;
      accepted.push_back({message->id, static_cast<uint16_t>(std::min<size_t>(
                                           message->envelopes.size(), kMostCounted))});
      Announce(*message);
    }
    witness_.Accepted(database_->kept());
    witness_.Accepted(accepted);
  }
  for (const SpoolDatabase::Gone& message : gone) {
    if (message.in_file) RemoveBody(message.id);
    Uncache(message.id);
  }
  return OkStatus();
}

void QueueCore::Announce(PendingMessage& message) noexcept {
  try {
    Cache(message);
  } catch (const std::bad_alloc&) {
    // It will be read from the disk.
  }
  if (!observer_) return;
  for (Envelope& envelope : message.envelopes) envelope.fresh = true;
  observer_(message.envelopes);
}

void QueueCore::FinishBatch(Batch& batch, const Status& status, bool wrote) noexcept {
  NoteBatchHealth(batch, status, wrote);
  uint64_t committed = 0;
  for (const auto& each : batch.messages) {
    PendingMessage& message = *each;
    if (!message.outcome.ok()) continue;
    ++committed;
    message.file.reset();
    // A file that is a message's now is no longer the writer's to remove.
    message.path.clear();
  }
  {
    const std::lock_guard lock(mutex_);
    if (!status.ok()) {
      // The changes of a failed batch go back under those that came since. Nodes move, nothing is
      // made.
      for (auto& [id, since] : waiting_) {
        const auto below = writing_.find(id);
        if (below != writing_.end()) Merge(below->second, std::move(since));
      }
      writing_.merge(waiting_);
      waiting_.swap(writing_);
    } else {
      statistics_.changes += batch.changes.size();
      if (committed > 0 || !batch.changes.empty()) ++statistics_.transactions;
    }
    writing_.clear();
    statistics_.commits += committed;
    statistics_.failed_commits += batch.messages.size() - committed;
  }
  for (const auto& message : batch.messages) {
    Status outcome = std::move(message->outcome);
    message->done.Complete(std::move(outcome));
  }
  for (const auto& flush : batch.flushes) flush->Complete(status);

  const bool damaged = NeedsRebuild();
  const std::lock_guard lock(mutex_);
  running_ = false;
  if (damaged && !status.ok() && !retrying_) {
    retrying_ = true;  // once at once; then at the pace of what is asked of the queue
    return StartLocked();
  }
  retrying_ = damaged;
  if (!messages_.empty() || !flushes_.empty() || waiting_is_urgent_ ||
      waiting_.size() >= options_.lazy_changes) {
    if (status.ok() || !messages_.empty() || !flushes_.empty()) return StartLocked();
  }
  if (!waiting_.empty() && status.ok()) return StartLaterLocked(options_.lazy_delay);
  if (!waiting_.empty() || !left_.empty() || (!health_.healthy && !closed_))
    StartLaterLocked(options_.retry_delay);
}

// --- health ---

void QueueCore::NoteBatchHealth(const Batch& batch, const Status& status, bool wrote) noexcept {
  // "Come again" (a rebuild, an id that is taken) is no illness.
  const auto ill = [](const Status& each) {
    return !each.ok() && each.code() != StatusCode::kUnavailable;
  };
  if (!status.ok() || wrote) NoteHealth(kTransactions, status);
  // Too little room is noted where it is looked for.
  if (batch.messages.empty() || space_low_) return;
  bool all = true;
  for (const auto& message : batch.messages) {
    if (ill(message->outcome)) return NoteHealth(kMessages, message->outcome);
    all = all && message->outcome.ok();
  }
  if (all) NoteHealth(kMessages, OkStatus());
}

void QueueCore::NoteHealth(Ill ill, const Status& status) noexcept {
  try {
    const std::lock_guard order(health_mutex_);
    {
      const std::lock_guard lock(mutex_);
      ills_[ill] = status.ok() ? "" : Text(status);
      const bool was_healthy = health_.healthy;
      health_.error.clear();
      for (const std::string& each : ills_) {
        if (health_.error.empty()) health_.error = each;
      }
      health_.healthy = health_.error.empty();
      if (was_healthy == health_.healthy) return;
      if (!health_.healthy) StartLaterLocked(options_.retry_delay);
    }
    if (status.ok()) {
      LogProblem(LogLevel::kInfo, "writes again", status, "");
    } else {
      LogProblem(LogLevel::kError, "cannot write", status, "");
    }
  } catch (const std::bad_alloc&) {
    // There is no memory to tell it either.
  }
}

void QueueCore::LookAgain() noexcept {
  try {
    if (health().healthy) return;
    // Room was too little, or a write met the end of it or of a quota: only one that succeeds says
    // that it is over.
    const Status space = CheckSpace();
    if (!space.ok()) return;
    const std::string path = StrCat(spool_, "/", kProbeName);
    rt::OpenOptions open;
    open.write = open.create = true;
    Status wrote;
    {
      StatusOr<std::unique_ptr<rt::File>> file = world_.files().Open(path, open);
      wrote = file.status();
      if (wrote.ok()) wrote = (*file)->WriteAt(0, std::string(64 * 1024, 'p'));
      if (wrote.ok()) wrote = (*file)->Sync();
    }
    const Status removed = world_.files().Unlink(path);
    if (!wrote.ok() || !removed.ok()) return;
    NoteHealth(kMessages, OkStatus());
    NoteHealth(kTransactions, OkStatus());
  } catch (const std::exception&) {
    // It is looked again.
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
  const uint64_t reserve = min_free_bytes_;
  const bool low = space->free_bytes < reserve ||
                   (space->total_inodes != 0 && space->free_inodes < options_.min_free_inodes);
  Status room;
  if (low) {
    room = ResourceExhausted(StrCat("no room in ", spool_, ": ", space->free_bytes, " bytes and ",
                                    space->free_inodes, " inodes are free, ", reserve, " and ",
                                    options_.min_free_inodes, " are kept in reserve"));
  }
  space_low_ = low;
  NoteHealth(kRoom, room);
  return room;
}

bool QueueCore::SpaceIsLow() {
  if (!space_low_) return false;
  constexpr int64_t kLookAgainNs = 500'000'000;
  const int64_t now = world_.clock().Now().ns;
  int64_t checked = space_checked_ns_;
  // What was found long ago refuses nobody: this message finds out with its own check, before
  // anything of it is written.
  return now - checked < kLookAgainNs || !space_checked_ns_.compare_exchange_strong(checked, now);
}

}  // namespace postern::store
