// SqliteQueue: the queue on disk, and how many sessions share one sync.
//
// Whoever commits a message puts it on a list and waits; so does, without waiting, whoever records
// a change. One job at a time runs on the pool, takes what is on the list, and makes all of it
// durable:
//
//   1. large bodies: write what is not in its file yet, ask the kernel to begin writing all of
//   them, sync each, and sync the
//      folder once;
//   2. one SQLite transaction for all messages, envelopes and changes; its commit is one sync of
//   the log;
//   3. files of messages that are gone are removed; the scheduler is told; everybody who waited is
//   told.
//
// While it runs the next list grows, so the batch is as large as the disk is slow, and a lone
// session waits for nobody.
//
// Changes on the list (`waiting_`) or in the running batch (`writing_`) lie over what is read from
// the database, so that every reader sees them at once. A change whose batch failed goes back on
// the list.
//
// Memory that runs out is one more way for a batch to fail: whoever is on the list is always told,
// as the job and what tells them take none (rt::Job), and what fails after the commit (a body that
// cannot be kept in memory, a file that cannot be removed) does not undo it.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lib/core/queue/schedule.h"
#include "lib/store/queue/commit_witness.h"
#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_database.h"
#include "lib/store/queue/spool_lock.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::store {

class QueueCore;

// PendingMessage is a message on its way into the queue.
struct PendingMessage {
  // Removal takes away the file of a message that did not come to be.
  struct Removal : rt::Job {
    std::shared_ptr<QueueCore> core;
    std::shared_ptr<PendingMessage> message;
  };

  explicit PendingMessage(rt::Executor* loop) : done(loop) {}
  queue::MessageId id = 0;
  std::string octets;              // the body, or what of it is not in `file` yet
  std::unique_ptr<rt::File> file;  // set once the body outgrew the memory
  std::string path;                // of the file
  uint64_t size_bytes = 0;
  uint32_t checksum = 0;
  // Of a text that is stored as a record (spool_seal.h): the part of it that is not in `file` yet,
  // and how long it is there. `octets` is then only what was not sealed yet, or what the cache
  // gets.
  bool sealed = false;
  std::unique_ptr<SealWriter> sealer;  // once a part of it is in `file`
  std::string record;
  uint64_t record_bytes = 0;
  std::vector<queue::Envelope> envelopes;
  std::vector<Change> changes;
  Status outcome;  // the job's, until it tells `done`
  rt::Completion<Status> done;
  Removal removal;
};

// QueueCore is shared by the queue, its writers and the jobs on the pool; the last of them to go
// destroys it.
class QueueCore : public std::enable_shared_from_this<QueueCore> {
 public:
  QueueCore(rt::World& world, LogSink& log, std::string spool, const QueueOptions& options);

  // Open opens the database and removes what an earlier run left unfinished. Blocks.
  Status Open();

  // Submit puts `message` on the list. Any thread. Its `done` is completed when its batch ended.
  void Submit(std::shared_ptr<PendingMessage> message);
  void Record(std::vector<Change> changes);
  // SubmitFlush completes `done` when all that is on the list now is durable.
  void SubmitFlush(std::shared_ptr<rt::Completion<Status>> done);
  void Shutdown();

  // Read calls of the pool: they see recorded changes.
  StatusOr<std::vector<queue::Envelope>> LoadDue(const DueRequest& request);
  StatusOr<WallTime> NextDue(WallTime after);
  StatusOr<std::vector<queue::Envelope>> LoadDeferred(uint64_t destination_key, size_t limit);
  StatusOr<queue::Envelope> Get(queue::EnvelopeId id);
  StatusOr<std::vector<queue::Envelope>> List(const ListRequest& request);
  StatusOr<QueueCounts> Counts();
  StatusOr<AuditPart> Audit(size_t rows);
  StatusOr<std::vector<ParkedEnvelope>> Parked(queue::EnvelopeId after, size_t limit);
  StatusOr<size_t> Free(const std::vector<queue::EnvelopeId>& ids);
  StatusOr<std::shared_ptr<const Body>> OpenBody(queue::MessageId id);
  // CachedBody is OpenBody for a fresh message, without the disk; null when it is not in memory.
  // Any thread.
  std::shared_ptr<const Body> CachedBody(queue::MessageId id);

  // Seal makes a record of what `message` holds in memory, where the setting wants one; `last`:
  // that is all of it. Costs time for what is compressed or encrypted: on the pool only.
  void Seal(PendingMessage& message, bool last) const;
  // Seals tells whether `message` is stored as a record.
  bool Seals(const PendingMessage& message) const {
    return message.sealed || (message.file == nullptr && seal().Wants(message.octets));
  }
  const SpoolSeal& seal() const { return options_.seal ? *options_.seal : SpoolSeal::Plain(); }

  // WriteBody moves what `message` holds in memory to the end of its file, which it makes if there
  // is none yet. Blocks.
  Status WriteBody(PendingMessage& message);

  // CheckSpace is kResourceExhausted below the reserve. Blocks; each batch and each spill begins
  // with it. SpaceIsLow is what it last found, so that a full disk costs no body to be received;
  // when that was half a second ago, one caller is told false, and its message looks again. Any
  // thread.
  Status CheckSpace();
  bool SpaceIsLow();

  WallTime Now();
  std::string BodyPath(queue::MessageId id) const;
  // RemoveBody removes the file of a message that is gone, later when the disk will not now.
  // Blocks.
  void RemoveBody(queue::MessageId id) noexcept;
  void set_observer(std::function<void(const std::vector<queue::Envelope>&)> observer) {
    observer_ = std::move(observer);
  }
  void set_reserve(uint64_t min_free_bytes) { min_free_bytes_ = min_free_bytes; }
  QueueStatistics statistics() const;
  QueueHealth health() const;
  rt::World& world() { return world_; }
  const QueueOptions& options() const { return options_; }

 private:
  // Overlay is what was recorded for one envelope and is not in the database yet.
  struct Overlay {
    bool removed = false;
    Change::Fate fate = Change::Fate::kRemoved;
    std::optional<queue::Envelope> update;
    std::optional<bool> held;
  };
  using Overlays = std::map<queue::EnvelopeId, Overlay>;
  struct Batch {
    std::vector<std::shared_ptr<PendingMessage>> messages;
    std::vector<Change> changes;
    std::vector<std::shared_ptr<rt::Completion<Status>>> flushes;
  };

  // BatchJob is the job; it keeps the queue alive from the moment it is posted until it ends.
  struct BatchJob : rt::Job {
    std::shared_ptr<QueueCore> core;
  };

  static void Merge(Overlay& below, Overlay above) noexcept;
  void StartLocked() noexcept;  // posts the job unless it runs
  void StartLaterLocked(Duration delay) noexcept;
  void RunBatch() noexcept;  // the job
  // WriteBatch makes the batch durable: `*written` once its transaction is. What it throws and
  // returns before that is the failure of the batch; after it, it fails no more.
  Status WriteBatch(Batch& batch, bool* written);
  void RemoveWhatIsLeft();
  // RefuseMessages tells `why` to all that are on the list.
  void RefuseMessages(const Status& why) noexcept;
  // Damage in the database: the job rebuilds it before it does anything else. Read is one call of
  // the database for a reader, which starts the job when it meets damage.
  static Status BeingRebuilt();
  bool NeedsRebuild();
  void RebuildIfDamaged();
  void RebuildSoon();
  template <typename Call>
  auto Read(const Call& call) -> decltype(call()) {
    if (rebuilding_) return BeingRebuilt();
    bool damaged = false;
    auto result = [&] {
      const std::lock_guard lock(database_mutex_);
      try {
        auto got = call();
        damaged = database_->damaged();
        return got;
      } catch (...) {
        database_->EndReads();
        throw;
      }
    }();
    if (damaged) RebuildSoon();
    return result;
  }
  void TakeBatch(Batch& batch);
  void WriteBodies(std::vector<std::shared_ptr<PendingMessage>>& messages);
  // `wrote`: a transaction with something in it.
  void FinishBatch(Batch& batch, const Status& status, bool wrote) noexcept;
  void Announce(PendingMessage& message) noexcept;
  void Cache(PendingMessage& message);
  void Uncache(queue::MessageId id) noexcept;
  // The health is green while none of these stands in the way of new mail: too little room, a
  // message that could not be written, a transaction that failed. NoteHealth says how the last try
  // of one went; the log hears when the whole changes. Any thread.
  enum Ill : size_t { kRoom, kMessages, kTransactions, kIlls };
  void NoteHealth(Ill ill, const Status& status) noexcept;
  void NoteBatchHealth(const Batch& batch, const Status& status, bool wrote) noexcept;
  // LookAgain tries, when the health is red and there is nothing to write, whether it still is so.
  void LookAgain() noexcept;
  Overlays SnapshotOverlays();
  static bool ApplyOverlay(const Overlays& overlays, queue::Envelope& envelope);
  Status ReclaimBodies();
  // KeepKeyId refuses a queue that is encrypted with another key, and notes down the key in use.
  Status KeepKeyId();
  // HearWitness looks for the messages that were committed last.
  void HearWitness();
  void LogProblem(LogLevel level, std::string event, const Status& status, const std::string& id);

  rt::World& world_;
  LogSink& log_;
  const std::string spool_;
  const QueueOptions options_;
  const Status without_memory_ = Unavailable("out of memory");  // made while there is some
  std::function<void(const std::vector<queue::Envelope>&)> observer_;
  BatchJob job_;

  std::optional<SpoolLock> lock_;  // outlives the database
  std::mutex database_mutex_;      // before mutex_ where both are held
  std::unique_ptr<SpoolDatabase> database_;
  CommitWitness witness_;  // the job's alone, once the queue is open

  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<PendingMessage>> messages_;
  Overlays waiting_;
  Overlays writing_;
  std::vector<std::shared_ptr<rt::Completion<Status>>> flushes_;
  std::vector<queue::MessageId> left_;  // files that could not be removed
  bool waiting_is_urgent_ = false;      // one of `waiting_` does not wait for company
  bool running_ = false;                // the job is posted or runs
  bool timer_set_ = false;              // a later start is arranged
  bool closed_ = false;
  bool retrying_ = false;  // a rebuild failed a moment ago
  QueueStatistics statistics_;
  QueueHealth health_;
  std::array<std::string, kIlls> ills_;  // "": none
  std::mutex health_mutex_;              // keeps the lines of the log in the order of the changes

  std::mutex clock_mutex_;
  queue::SteadyClock clock_;

  std::mutex cache_mutex_;
  std::unordered_map<queue::MessageId, std::shared_ptr<const Body>> cache_;
  size_t cached_bytes_ = 0;

  std::atomic<bool> rebuilding_ = false;
  std::atomic<uint64_t> min_free_bytes_;  // QueueOptions' at first
  std::atomic<bool> space_low_ = false;
  std::atomic<int64_t> space_checked_ns_ = 0;
};

}  // namespace postern::store
