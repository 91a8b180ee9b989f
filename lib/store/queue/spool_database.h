// SpoolDatabase: the queue's tables on disk, as a synchronous class. It knows no threads and no
// waiting: sqlite_queue.h adds those. Every call blocks; one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/store/queue/queue.h"
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
  static StatusOr<std::unique_ptr<SpoolDatabase>> Open(rt::Files& files, LogSink& log,
                                                       const std::string& spool,
                                                       const QueueOptions& options);
  ~SpoolDatabase();

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
  Status Write(std::vector<NewMessageRow*>& messages, const std::vector<Change>& changes,
               std::vector<Gone>* gone);

  StatusOr<std::vector<queue::Envelope>> LoadDue(const DueRequest& request);
  StatusOr<WallTime> NextDue(WallTime after);
  StatusOr<std::vector<queue::Envelope>> LoadDeferred(uint64_t destination_key, size_t limit);
  StatusOr<queue::Envelope> Get(queue::EnvelopeId id);
  StatusOr<std::vector<queue::Envelope>> List(const ListRequest& request);
  StatusOr<QueueCounts> Counts();

  struct BodyRow {
    uint64_t size_bytes = 0;
    uint32_t checksum = 0;
    bool in_file = false;
    std::string body;
  };
  // ReadBody does not verify the checksum: the caller does, with the file at hand.
  StatusOr<BodyRow> ReadBody(queue::MessageId id);
  // HasMessage tells whether there is a row for `id`.
  StatusOr<bool> HasMessage(queue::MessageId id);
  // Park takes the envelopes of a damaged message out of the schedule.
  Status Park(queue::MessageId id);

 private:
  // Handle is one connection and its statements; replaced as a whole after a failed write.
  struct Handle;

  SpoolDatabase(rt::Files& files, LogSink& log, std::string path, const QueueOptions& options);
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
  Status Insert(NewMessageRow& message);
  Status Apply(const Change& change, std::vector<queue::MessageId>* touched);
  Status RemoveEmptied(std::vector<queue::MessageId>& touched, std::vector<Gone>* gone);
  StatusOr<std::vector<queue::Envelope>> Collect(sqlite::Statement& query, size_t limit);
  void ParkEnvelopes(const std::vector<queue::EnvelopeId>& damaged);

  rt::Files& files_;
  LogSink& log_;
  const std::string path_;
  const QueueOptions options_;
  std::unique_ptr<Handle> handle_;
  std::unique_ptr<rt::File> log_file_;  // a second look at SQLite's write-ahead log, to lengthen it
  uint64_t log_bytes_ = 0;              // how long we made it
  bool suspect_ = false;                // a write failed, and Recover has not succeeded since
};

}  // namespace postern::store
