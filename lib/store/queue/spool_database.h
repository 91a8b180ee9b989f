// SpoolDatabase: the queue's tables on disk, as a synchronous class. It knows no threads and no
// waiting: sqlite_queue.h adds those. Every call blocks; one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/store/queue/queue.h"
#include "lib/store/queue/spool_rows.h"
#include "lib/store/queue/stored_body.h"
#include "lib/store/sqlite/database.h"

namespace postern::store {

// NewMessageRow is one message to be stored, with its envelopes, and what goes into the same
// transaction.
struct NewMessageRow {
  queue::MessageId id = 0;
  uint64_t size_bytes = 0;
  uint32_t checksum = 0;  // CRC-32 of the body
  bool in_file = false;   // the body is in its file, durably; otherwise it is `body`
  std::string_view body;
  const std::vector<queue::Envelope>* envelopes = nullptr;
  const std::vector<Change>* changes = nullptr;
  Status outcome;  // set by Write
};

class SpoolDatabase {
 public:
  // Open opens or makes the database in `spool`. One that is damaged is rebuilt (spool_rebuild.h),
  // for which `now` gives the time.
  static StatusOr<std::unique_ptr<SpoolDatabase>> Open(rt::Files& files, LogSink& log,
                                                       const std::string& spool,
                                                       const QueueOptions& options, WallTime now);
  ~SpoolDatabase();

  // damaged tells whether a call met damage in the database itself. Every call is kUnavailable from
  // then on, until Rebuild has succeeded.
  bool damaged() const { return !damage_.ok(); }
  // Rebuild puts the damaged database aside and goes on with what could be saved of it. On an error
  // it stays damaged.
  Status Rebuild(WallTime now);

  // Settle brings to the disk all that can be read here.
  Status Settle();

  // Write stores messages and changes in one transaction and returns once it is synced. A failed
  // Status means that nothing was stored; a message whose id is taken fails alone, in its
  // `outcome`. `*gone` gets the messages that lost their last envelope, whose files the caller may
  // remove.
  struct Gone {
    queue::MessageId id;
    bool in_file;
  };
  // What it throws (std::bad_alloc) it throws before the commit: nothing was stored then.
  Status Write(std::vector<NewMessageRow*>& messages, const std::vector<Change>& changes,
               std::vector<Gone>* gone);
  // EndReads ends the reads that an exception cut short.
  void EndReads() noexcept;
  // kept are the messages that lost an envelope in the last Write and have others.
  const std::vector<EnvelopesLeft>& kept() const { return kept_; }

  StatusOr<std::vector<queue::Envelope>> LoadDue(const DueRequest& request);
  StatusOr<WallTime> NextDue(WallTime after);
  StatusOr<std::vector<queue::Envelope>> LoadDeferred(uint64_t destination_key, size_t limit);
  StatusOr<queue::Envelope> Get(queue::EnvelopeId id);
  StatusOr<std::vector<queue::Envelope>> List(const ListRequest& request);
  StatusOr<QueueCounts> Counts();
  // Audit is one step of Queue::Audit.
  StatusOr<AuditPart> Audit(size_t rows);

  // ReadBody does not verify the checksum: OpenStoredBody does, with the file at hand.
  StatusOr<StoredBody> ReadBody(queue::MessageId id);
  // HasSealedEnvelopes tells whether one of them takes a key. Looks at all.
  StatusOr<bool> HasSealedEnvelopes();
  // CountEnvelopes counts those of `id`, parked ones too, up to kMostCounted.
  StatusOr<uint16_t> CountEnvelopes(queue::MessageId id);
  // HasMessage tells whether there is a row for `id`.
  StatusOr<bool> HasMessage(queue::MessageId id);
  // Park takes the envelopes of a damaged message out of the schedule.
  Status Park(queue::MessageId id);
  // Parked and Free are Queue's.
  StatusOr<std::vector<ParkedEnvelope>> Parked(queue::EnvelopeId after, size_t limit);
  StatusOr<size_t> Free(const std::vector<queue::EnvelopeId>& ids);

 private:
  // Handle is one connection and its statements; replaced as a whole after a failed write.
  struct Handle;

  SpoolDatabase(rt::Files& files, LogSink& log, std::string spool, const QueueOptions& options);
  // Ready leads to a handle that can be used, or says why there is none.
  Status Ready();
  // Watch returns `status`, and remembers when it speaks of damage.
  Status Watch(Status status);
  Status OpenChecked(WallTime now);
  Status RebuildNow(WallTime now, bool starting);
  Status CheckAll();
  void NameTorn(const std::vector<queue::MessageId>& torn);
  Status OpenHandle();
  // Recover leads back to a trustworthy database after a failed transaction.
  Status Recover();
  Status WriteInside(std::vector<NewMessageRow*>& messages, const std::vector<Change>& changes,
                     std::vector<Gone>* gone);
  // GrowLog keeps the log ahead of what is written to it, up to the size at which SQLite begins it
  // anew: a sync of octets that were written before costs the disk one flush, a sync of a file that
  // grew costs a commit of the file system's journal, with all that others have put there. It never
  // takes room from the reserve (QueueOptions::min_free_bytes), and a failure costs speed alone.
  void GrowLog();
  void GrowLogBy(uint64_t whole);
  Status Insert(NewMessageRow& message);
  Status Apply(const Change& change, std::vector<queue::MessageId>* touched);
  Status RemoveEmptied(std::vector<queue::MessageId>& touched, std::vector<Gone>* gone);
  StatusOr<std::vector<queue::Envelope>> Collect(sqlite::Statement& query, size_t limit);
  void ParkEnvelopes(const std::vector<queue::EnvelopeId>& damaged);

  StatusOr<bool> AuditEnvelopes(size_t rows, AuditPart* part);
  StatusOr<bool> AuditMessages(size_t rows, AuditPart* part);
  // Count takes over what the transaction that was committed just now did to `sum_` and the walk.
  void Count() noexcept;

  // AuditWalk is how far an audit came: first through the envelopes, in the order of their rows,
  // then through the messages. What is written behind it is counted as it is written.
  struct AuditWalk {
    bool begun = false;
    bool messages = false;  // the second half
    int64_t after = 0;
    uint64_t counted = 0;
  };
  // Row is an envelope that the present transaction puts in or takes out.
  struct CountedRow {
    int64_t row;
    std::optional<Change::Fate> fate;  // of one that goes
  };

  rt::Files& files_;
  LogSink& log_;
  const std::string spool_;
  const std::string path_;
  const QueueOptions options_;
  Status damage_;                      // OkStatus: none was met
  std::vector<std::string> findings_;  // of SQLite's check, for the report
  std::unique_ptr<Handle> handle_;
  std::unique_ptr<rt::File> log_file_;  // a second look at SQLite's write-ahead log, to lengthen it
  uint64_t log_bytes_ = 0;              // how long we made it
  AuditWalk walk_;
  QueueSum sum_;               // since the start, or since the last rebuild
  QueueSum audited_;           // at the end of the walk through the envelopes
  bool sum_is_based_ = false;  // queued_before is known: a walk has ended
  std::vector<CountedRow> counting_;
  std::vector<EnvelopesLeft> kept_;
  bool suspect_ = false;  // a write failed, and Recover has not succeeded since
};

}  // namespace postern::store
