// CommitWitness: a second memory of the messages that were taken last, beside the database's log.
//
// A log that was cut short (a repair of the file system, a hand that emptied it) looks to SQLite
// like one that ends there, and the messages in it are gone without a word. So the ids of what was
// committed, with the number of their envelopes, are also kept in `spool/recent`, a ring of fixed
// size that is written in place and never synced: it costs a write into the page cache for each
// transaction, and no disk. A process that is killed leaves it exact. After a power cut it says
// nothing, because parts of it may be missing: therefore it names the boot in which it was written.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/core/queue/envelope.h"
#include "lib/rt/files.h"
#include "lib/store/queue/spool_rows.h"

namespace postern::store {

// One thread at a time. All calls block.
class CommitWitness {
 public:
  // Open reads what an earlier run left in `spool` and begins to write there. A witness that cannot
  // be opened or written is silent: nothing depends on it.
  static CommitWitness Open(rt::Files& files, const std::string& spool);

  // promised are the messages that were committed and not touched since, as far as the ring
  // reaches: the database must have them, with no fewer envelopes. Sorted by id.
  const std::vector<EnvelopesLeft>& promised() const { return promised_; }

  // Accepted notes messages whose transaction is durable, and those that have envelopes left after
  // one.
  void Accepted(const std::vector<EnvelopesLeft>& messages) noexcept;
  // Leaving notes, before the transaction that may take them out of the queue, that they need not
  // be found any more.
  void Leaving(const std::vector<queue::MessageId>& ids) noexcept;

 private:
  void Read();
  template <typename Each>
  void Note(size_t count, Each&& each) noexcept;

  std::unique_ptr<rt::File> file_;  // null: silent
  uint64_t next_ = 1;               // number of the next record; they are never 0
  std::vector<EnvelopesLeft> promised_;
};

}  // namespace postern::store
