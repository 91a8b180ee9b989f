// CommitWitness: a second memory of the messages that were taken last, beside the database's log.
//
// A log that was cut short (a repair of the file system, a hand that emptied it) looks to SQLite
// like one that ends there, and the messages in it are gone without a word. So the ids of what was
// committed are also kept in `spool/recent`, a ring of fixed size that is written in place and
// never synced: it costs a write into the page cache for each transaction, and no disk. A process
// that is killed leaves it exact. After a power cut it says nothing, because parts of it may be
// missing: therefore it names the boot in which it was written. A volume can lose writes without
// one (a cable, a failed controller, a forced unmount): so each transaction keeps, in the database
// and therefore synced, how far the ring had come (Mark). A ring that is behind it, or has gaps,
// has forgotten what left the queue and is not believed; a database that is behind the ring is what
// the alarm is for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/core/queue/envelope.h"
#include "lib/rt/files.h"

namespace postern::store {

// One thread at a time. All calls block.
class CommitWitness {
 public:
  // Open reads what an earlier run left in `spool` and begins to write there. `mark` is what the
  // database has of it; 0: nothing. A witness that cannot be opened or written is silent: nothing
  // depends on it.
  static CommitWitness Open(rt::Files& files, const std::string& spool, uint32_t mark);

  // promised are the messages that were committed and not touched since, as far as the ring
  // reaches: the database must have them. Sorted.
  const std::vector<queue::MessageId>& promised() const { return promised_; }

  // Accepted notes messages whose transaction is durable, and those that have envelopes left after
  // one. Leaving notes, before the transaction that may take them out of the queue, that they need
  // not be found any more.
  void Accepted(const std::vector<queue::MessageId>& ids) noexcept { Note(ids, true); }
  void Leaving(const std::vector<queue::MessageId>& ids) noexcept { Note(ids, false); }
  // Mark is for the transaction that follows Leaving: never 0, below 2^31. That of a silent witness
  // makes the next start disbelieve what lies in the spool.
  uint32_t Mark() const;

 private:
  // Read is false when the ring has lost records, or is behind `mark`.
  bool Read(uint32_t mark);
  void Note(const std::vector<queue::MessageId>& ids, bool accepted) noexcept;

  std::unique_ptr<rt::File> file_;  // null: silent
  uint64_t next_ = 1;               // number of the next record; they are never 0
  std::vector<queue::MessageId> promised_;
};

}  // namespace postern::store
