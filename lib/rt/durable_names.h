// DurableNames: directories and files of which it is known that a power cut does not take their
// names away.
//
// That a directory is there says nothing about its name being on the disk: whoever made it may have
// died, or failed, before the sync of the directory above. So before a file in it counts as safe,
// the names on the way to it are synced, once in the life of the process.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "lib/core/base/status.h"
#include "lib/rt/files.h"

namespace postern::rt {

// DurableNames may be used on any thread.
class DurableNames {
 public:
  // At most `limit` names are remembered; beyond, all are forgotten and synced again as they come.
  explicit DurableNames(size_t limit = 10'000) : limit_(limit) {}

  // Ensure makes the name `path`, and those of all directories above it, durable. A directory above
  // that `files` may not open is passed over: nothing was made in it with these rights. Blocks.
  Status Ensure(Files& files, const std::string& path);

  // Know takes it for known of `path` and all above it, by somebody's word who made it so; Knows
  // tells whether it is.
  void Know(const std::string& path);
  bool Knows(const std::string& path);

  // Forget takes `path` and all above it from what is known: before it is made anew.
  void Forget(const std::string& path);

 private:
  std::mutex mutex_;
  std::set<std::string> known_;
  const size_t limit_;
};

}  // namespace postern::rt
