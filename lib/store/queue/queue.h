// The queue: where a message is from the moment it got its 250 until it is delivered, relayed or
// bounced.
//
// One interface, two implementations: OpenSqliteQueue keeps everything on disk, NewMemoryQueue
// nothing (for embedders without a disk, and tests). All functions may be called from any loop; a
// Task runs on the loop whose Executor it is given.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/base/status.h"
#include "lib/core/queue/envelope.h"
#include "lib/rt/executor.h"
#include "lib/rt/task.h"
#include "lib/rt/world.h"

namespace postern::store {

// Body is the octets of a queued message, as received (CRLF line ends, Received line on top). It
// stays readable while it is held, even when the message leaves the queue meanwhile. Its checksum
// was verified when it was opened. Any thread.
class Body {
 public:
  virtual ~Body() = default;
  virtual uint64_t size_bytes() const = 0;
  // InMemory lends the whole body when it is held in memory, which is so for small ones; nullopt
  // otherwise.
  virtual std::optional<std::string_view> InMemory() const { return std::nullopt; }
  // ReadAt fills `into` from `offset` and returns how much there was; less than asked only at the
  // end. Blocks unless the body is in memory: on the pool only.
  virtual StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const = 0;
};

// Change is something that happened to an envelope in the queue.
struct Change {
  enum class Kind : uint8_t {
    kRemove,   // it is done with: delivered, bounced or removed by the operator. With the last one
               // the message goes
    kUpdate,   // its attempts, next_attempt, error and notices are as in `envelope` now; other
               // fields are stored as well
    kHold,     // it is not scheduled until released
    kRelease,  // LoadDue finds it again once that is written, which begins at once
  };
  // Fate is why a kRemove takes an envelope out of the queue: each has exactly one, and they are
  // counted in the transaction that records them.
  enum class Fate : uint8_t {
    kRemoved,    // by the operator
    kDelivered,  // into a mailbox, or taken by the next server
    kFailed,     // its sender was told, or there is nobody to tell
  };
  Kind kind = Kind::kRemove;
  Fate fate = Fate::kRemoved;
  queue::EnvelopeId id = 0;
  queue::Envelope envelope;  // kUpdate only
  // urgent starts the write at once. Otherwise it may wait for the next commit, for at most
  // QueueOptions::lazy_delay: right for what a repeated attempt would notice by itself (a delivery
  // into a mailbox), wrong for what was relayed.
  bool urgent = false;
};

// MessageWriter receives one message. It belongs to one loop. Dropped without Commit, or before
// Commit has begun, it leaves nothing behind; after Commit has begun it must be kept until that
// ends.
class MessageWriter {
 public:
  virtual ~MessageWriter() = default;
  // message_id is known from the start: the Received line carries it.
  virtual queue::MessageId message_id() const = 0;
  virtual uint64_t size_bytes() const = 0;
  // Append adds `data`, which must stay until the Task ends. kResourceExhausted when the disk is
  // full or below its reserve; after an error the writer is of no use but to be dropped.
  virtual rt::Task<Status> Append(std::string_view data) = 0;
  // Commit stores the message for these destinations and returns its id once data and envelopes are
  // on stable storage, along with `changes` in the same transaction. Envelopes get their ids, and
  // `created` and `next_attempt` where those are InfinitePast; a recipient with several of them is
  // prepared to be reported once (ReportExpansionsOnce of core/queue/bounce.h). Errors:
  // kInvalidArgument without destinations; kResourceExhausted, disk full; kDataLoss, the disk
  // failed; kUnavailable, try again. After an error the message is not in the queue.
  virtual rt::Task<StatusOr<queue::MessageId>> Commit(std::vector<queue::Envelope> envelopes,
                                                      std::vector<Change> changes) = 0;
  rt::Task<StatusOr<queue::MessageId>> Commit(std::vector<queue::Envelope> envelopes) {
    return Commit(std::move(envelopes), std::vector<Change>());
  }
};

struct DueRequest {
  WallTime now;
  size_t limit = 1000;
  std::vector<uint64_t> except_destinations;  // DestinationKeys to pass over
};

struct ListRequest {
  queue::EnvelopeId after = 0;  // begin behind this id; 0 is the start. Ids are unsigned and rise
  size_t limit = 1000;
  std::optional<queue::MessageId> message;  // only its envelopes
};

struct QueueCounts {
  uint64_t messages = 0;
  uint64_t envelopes = 0;
  uint64_t held = 0;
  uint64_t parked = 0;  // damaged on disk: kept, reported, not scheduled
};

// QueueStatistics counts since the start.
struct QueueStatistics {
  uint64_t commits = 0;  // messages committed
  uint64_t failed_commits = 0;
  uint64_t transactions = 0;  // synced transactions: group commit makes them fewer than commits
  uint64_t changes = 0;
};

// QueueSum is what became of envelopes. What was queued and accepted is delivered, failed, removed
// or queued: nothing is two of these, and nothing none.
struct QueueSum {
  uint64_t queued_before = 0;  // when counting began
  uint64_t accepted = 0;       // committed since
  uint64_t delivered = 0, failed = 0, removed = 0;
  uint64_t queued = 0;  // counted now
  bool Holds() const { return queued_before + accepted == delivered + failed + removed + queued; }
};

// ParkedEnvelope is one that was set aside because it, or its message, was found damaged.
struct ParkedEnvelope {
  queue::EnvelopeId id = 0;
  std::optional<queue::Envelope> envelope;  // nullopt: it cannot be read
  bool has_message = false;                 // there is a message of it, sound or not
};

// AuditFinding is an envelope or a message that is not in exactly one state.
struct AuditFinding {
  std::string what;
  std::string id;  // of the envelope (16 digits) or the message (8)
};

// AuditPart is what one step of an audit saw.
struct AuditPart {
  size_t rows = 0;
  std::vector<AuditFinding> findings;
  // sum is there when this step ended a walk through all of the queue; the next step begins anew.
  std::optional<QueueSum> sum;
};

// QueueHealth is red from the first message that is refused for want of room or for a failed write,
// or a transaction that fails, for as long as that would go on: it turns green by itself, with or
// without new mail.
struct QueueHealth {
  bool healthy = true;
  std::string error;
};

class Queue {
 public:
  virtual ~Queue() = default;

  // NewMessage starts a message on `loop`. kResourceExhausted when the disk was below its reserve a
  // moment ago (reply 452 4.3.1); Commit has the last word.
  virtual StatusOr<std::unique_ptr<MessageWriter>> NewMessage(rt::Executor& loop) = 0;

  // SetCommitObserver names who is told of each committed message's envelopes, with their ids and
  // `fresh` set: the scheduler. It is called on whatever thread ends the transaction, before the
  // committer goes on. Set before the first message.
  virtual void SetCommitObserver(
      std::function<void(const std::vector<queue::Envelope>&)> observer) = 0;

  // LoadDue returns envelopes whose next_attempt has come, the longest due first, as of all that
  // was recorded before.
  virtual rt::Task<StatusOr<std::vector<queue::Envelope>>> LoadDue(rt::Executor& loop,
                                                                   DueRequest request) = 0;
  // NextDue returns the earliest next_attempt later than `after` of all envelopes that may be
  // scheduled; InfiniteFuture when there is none.
  virtual rt::Task<StatusOr<WallTime>> NextDue(rt::Executor& loop, WallTime after) = 0;
  // LoadDeferred returns up to `limit` envelopes for one destination that wait for another attempt,
  // wherever that lies.
  virtual rt::Task<StatusOr<std::vector<queue::Envelope>>> LoadDeferred(rt::Executor& loop,
                                                                        uint64_t destination_key,
                                                                        size_t limit) = 0;

  virtual rt::Task<StatusOr<queue::Envelope>> Get(rt::Executor& loop, queue::EnvelopeId id) = 0;
  // OpenBody opens a message's octets. kNotFound when it is gone; kDataLoss when its checksum is
  // wrong: the message's envelopes are then parked.
  virtual rt::Task<StatusOr<std::shared_ptr<const Body>>> OpenBody(rt::Executor& loop,
                                                                   queue::MessageId id) = 0;
  virtual rt::Task<StatusOr<std::vector<queue::Envelope>>> List(rt::Executor& loop,
                                                                ListRequest request) = 0;
  virtual rt::Task<StatusOr<QueueCounts>> Counts(rt::Executor& loop) = 0;
  // Parked lists up to `limit` envelopes that were set aside for damage, behind `after` (0: from
  // the first), by their ids as signed numbers. A queue that keeps nothing has none.
  virtual rt::Task<StatusOr<std::vector<ParkedEnvelope>>> Parked(rt::Executor& loop,
                                                                 queue::EnvelopeId after,
                                                                 size_t limit) {
    (void)loop, (void)after, (void)limit;
    co_return std::vector<ParkedEnvelope>();
  }
  // Free puts parked envelopes back into the schedule and returns how many; one that cannot be
  // read, or has no message, stays parked. One whose message is damaged after all is parked again
  // when it is tried.
  virtual rt::Task<StatusOr<size_t>> Free(rt::Executor& loop, std::vector<queue::EnvelopeId> ids) {
    (void)loop, (void)ids;
    co_return size_t{0};
  }
  // Audit looks at the next `rows` envelopes and messages: whether each envelope is sound, has its
  // message and stands in the schedule it should, each message has an envelope; and counts them.
  // The queue goes on meanwhile. One caller. A queue that keeps nothing has nothing to say.
  virtual rt::Task<StatusOr<AuditPart>> Audit(rt::Executor& loop, size_t rows) {
    (void)loop, (void)rows;
    AuditPart nothing;
    nothing.sum.emplace();
    co_return nothing;
  }

  // Record takes changes and returns at once; they are seen by every later call, and written with
  // the next transaction. A change that could not be written (disk full) is kept and tried again.
  // An unknown id is passed over.
  virtual void Record(std::vector<Change> changes) = 0;
  // Flush waits until all that was recorded before is durable.
  virtual rt::Task<Status> Flush(rt::Executor& loop) = 0;

  // SetReserve changes QueueOptions::min_free_bytes. Any thread. A queue that keeps nothing on a
  // disk has none.
  virtual void SetReserve(uint64_t min_free_bytes) { (void)min_free_bytes; }

  // Now is the queue's steady time (core/queue's SteadyClock), in which created, next_attempt and
  // expiry are meant; whole microseconds.
  virtual WallTime Now() = 0;
  virtual QueueStatistics statistics() const = 0;
  virtual QueueHealth health() const = 0;

  // Close writes what is recorded and ends all use; nothing may be called after it. Await it before
  // the queue goes away.
  virtual rt::Task<Status> Close(rt::Executor& loop) = 0;
};

class SpoolSeal;

struct QueueOptions {
  // inline_body_bytes: bodies up to this size stand in the database; larger ones get a file of
  // their own.
  size_t inline_body_bytes = 32 * 1024;
  // memory_body_bytes: a message being received is held in memory up to this size, and goes on in
  // its file beyond.
  size_t memory_body_bytes = 256 * 1024;
  // cached_body_bytes: bodies of fresh messages kept in memory for their first delivery attempt,
  // all together.
  size_t cached_body_bytes = 8 << 20;
  // batch_messages and batch_bytes bound one transaction.
  size_t batch_messages = 256;
  size_t batch_bytes = 8 << 20;
  // lazy_delay is how long a change that is not urgent may wait for company.
  Duration lazy_delay = absl::Milliseconds(200);
  // lazy_changes is how many such changes may wait.
  size_t lazy_changes = 256;
  // retry_delay is the wait after a write that failed, before changes are tried again.
  Duration retry_delay = absl::Seconds(1);
  // min_free_bytes and min_free_inodes are the reserve below which no message is taken, so that
  // deliveries and logs go on.
  uint64_t min_free_bytes = 16 << 20;
  uint64_t min_free_inodes = 100;
  // check_limit_bytes: a database up to this size is verified whole at the start; a larger one is
  // verified in parts as it is read.
  uint64_t check_limit_bytes = 16 << 20;
  // cache_kib and wal_autocheckpoint_pages are SQLite's (store/sqlite).
  int cache_kib = 1024;
  int wal_autocheckpoint_pages = 2000;
  // log_growth_bytes is how much the write-ahead log is lengthened at a time, ahead of what is
  // written to it: a dozen lone messages, or one batch of a hundred. 0: it is not.
  size_t log_growth_bytes = 512 * 1024;
  // seal is how texts and envelopes are written (spool_seal.h): compressed, encrypted. Null: as
  // they are. What another setting wrote is read all the same, unless it takes a key that is not
  // there.
  std::shared_ptr<const SpoolSeal> seal;
};

// OpenSqliteQueue opens or makes the queue in the folder `spool` (queue.db, and bodies/ for large
// messages). It blocks: call it at the start, or on the pool. Unfinished messages of an earlier run
// are removed. A database that is damaged is put aside, whole, in `spool/damaged-<time>/`, and a
// new one is made of all that can be read of it; the log names what could not. The same is done
// when damage is met later: until it is over every call is kUnavailable. Errors: kUnavailable,
// another process uses it, which is named; kFailedPrecondition, a later release wrote it, or it is
// encrypted with another key;
// kResourceExhausted, no room to open or rebuild it. `world` and `log` outlive the queue.
StatusOr<std::unique_ptr<Queue>> OpenSqliteQueue(rt::World& world, LogSink& log,
                                                 const std::string& spool,
                                                 const QueueOptions& options = {});

// NewMemoryQueue makes a queue that forgets everything when it goes. memory_limit_bytes bounds the
// bodies it holds.
std::unique_ptr<Queue> NewMemoryQueue(rt::World& world, uint64_t memory_limit_bytes = 64 << 20);

}  // namespace postern::store
