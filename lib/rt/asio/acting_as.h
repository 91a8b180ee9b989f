// ActingAs: one thread's file accesses as another user's.
#pragma once

#include <sys/types.h>
#include <vector>

#include "lib/rt/files.h"

namespace postern::rt {

// ActingAs makes the calling thread's file accesses those of `who` for as long as it lives; files
// that are made meanwhile are theirs. The calls of glibc would change every thread of the host's
// process; these change one. In a process that is not privileged it works only for who we are.
class ActingAs {
 public:
  explicit ActingAs(const Credentials& who);
  ~ActingAs();
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  // failure is not OK when the thread could not become `who`: nothing may be done then.
  const Status& failure() const { return failure_; }

 private:
  Status failure_;
  bool changed_ = false;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::vector<gid_t> groups_;
};

}  // namespace postern::rt
