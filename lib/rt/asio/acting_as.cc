#include "lib/rt/asio/acting_as.h"

#include <cerrno>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"

namespace postern::rt {

ActingAs::ActingAs(const Credentials& who) {
  if (::geteuid() != 0) {
    if (who.uid != ::geteuid()) {
      failure_ = PermissionDenied(StrCat("only a privileged server can act as user ", who.uid));
    }
    return;
  }
  groups_.resize(kMaxGroups);
  const int count = ::getgroups(static_cast<int>(groups_.size()), groups_.data());
  groups_.resize(count > 0 ? static_cast<size_t>(count) : 0);
  std::vector<gid_t> groups(who.groups.begin(), who.groups.end());
  if (groups.empty()) groups.push_back(who.gid);
  if (::syscall(SYS_setgroups, groups.size(), groups.data()) != 0) {
    failure_ = ErrnoError(errno, "setgroups");
    return;
  }
  gid_ = static_cast<gid_t>(::setfsgid(who.gid));
  uid_ = static_cast<uid_t>(::setfsuid(who.uid));
  changed_ = true;
  // setfsuid tells no error: asked again with an impossible id it tells what is in force.
  if (static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) != who.uid ||
      static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1))) != who.gid) {
    failure_ = PermissionDenied(StrCat("cannot act as user ", who.uid));
  }
}

ActingAs::~ActingAs() {
  if (!changed_) return;
  ::setfsuid(uid_);
  ::setfsgid(gid_);
  ::syscall(SYS_setgroups, groups_.size(), groups_.data());
}

}  // namespace postern::rt
