// SpoolLock: one server at a time on a spool, and who it is.
#pragma once

#include <memory>
#include <string>

#include "lib/core/base/status.h"
#include "lib/rt/files.h"

namespace postern::store {

// SpoolLock holds the lock on `spool`/lock, a file with the id of the process that holds it. The
// lock goes with the object or with the process, whichever is first; the file stays, and means
// nothing without the lock.
class SpoolLock {
 public:
  // Take does not wait: kUnavailable, which names the process, when another one holds the lock.
  // Without room for the file it goes on: then only the database's own lock keeps others out.
  // Blocks for the disk.
  static StatusOr<SpoolLock> Take(rt::Files& files, const std::string& spool);

 private:
  explicit SpoolLock(std::unique_ptr<rt::File> file) : file_(std::move(file)) {}

  std::unique_ptr<rt::File> file_;  // null: no room
};

}  // namespace postern::store
