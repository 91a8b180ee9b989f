#include "lib/rt/asio/helper_identity.h"

#include <algorithm>
#include <cerrno>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"

namespace postern::rt {
namespace {

constexpr uint32_t kLeastPlainId = 1000;  // ids below are the system's own accounts and groups
constexpr size_t kLookupBytes = 64 << 10;

// IsKnownGroup tells whether the machine has a group of that number; one that cannot be asked about
// is taken for known.
bool IsKnownGroup(gid_t gid) {
  std::vector<char> buffer(kLookupBytes);
  group entry{};
  group* found = nullptr;
  const int error = ::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr || (error != 0 && error != ENOENT && error != ESRCH);
}

}  // namespace

Status CheckPair(const Credentials& who, const NamedPairs& named, std::vector<uint32_t>* groups) {
  if (who.uid == 0 || who.gid == 0)
    return PermissionDenied("nothing is done for users as root, or in root's group");
  const bool is_named = named.contains({who.uid, who.gid});
  std::vector<char> buffer(kLookupBytes);
  passwd entry{};
  passwd* found = nullptr;
  const int error = ::getpwuid_r(who.uid, &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr && error != 0 && error != ENOENT && error != ESRCH)
    return ErrnoError(error, "getpwuid");
  groups->assign(1, who.gid);
  if (found != nullptr) {
    std::vector<gid_t> theirs(kMaxGroups);
    int count = kMaxGroups;
    if (::getgrouplist(found->pw_name, found->pw_gid, theirs.data(), &count) < 0)
      return FailedPrecondition(StrCat("user ", found->pw_name, " is in too many groups"));
    theirs.resize(static_cast<size_t>(count));
    const bool is_theirs = std::find(theirs.begin(), theirs.end(), who.gid) != theirs.end();
    if (!is_theirs && !is_named) {
      return PermissionDenied(
          StrCat("user ", found->pw_name, " (", who.uid, ") is not in group ", who.gid,
                 ", and no userbase file named the two together when the server started"));
    }
    groups->assign(theirs.begin(), theirs.end());
    if (!is_theirs) groups->push_back(who.gid);
  } else if (!is_named && (who.uid < kLeastPlainId || who.gid < kLeastPlainId)) {
    return PermissionDenied(StrCat("user ", who.uid, " with group ", who.gid,
                                   " is no account, one of them is the system's, and no userbase "
                                   "file named the two together when the server started"));
  } else if (!is_named && IsKnownGroup(who.gid)) {
    return PermissionDenied(StrCat("user ", who.uid, " is no account and so not in group ", who.gid,
                                   ", and no userbase file named the two together when the server "
                                   "started"));
  }
  std::erase(*groups, 0u);
  return OkStatus();
}

Status BecomeUser(const Credentials& who, const HelperGrant& grant, const NamedPairs& named) {
  if (who.uid == 0 && grant.as_root) return OkStatus();
  std::vector<uint32_t> groups;
  POSTERN_RETURN_IF_ERROR(CheckPair(who, named, &groups));
  if (grant.extra_group) groups.push_back(*grant.extra_group);
  const std::vector<gid_t> list(groups.begin(), groups.end());
  if (::setgroups(list.size(), list.data()) != 0) return ErrnoError(errno, "setgroups");
  if (::setresgid(who.gid, who.gid, who.gid) != 0) return ErrnoError(errno, "setgid");
  if (::setresuid(who.uid, who.uid, who.uid) != 0) return ErrnoError(errno, "setuid");
  if (::geteuid() != who.uid || ::getegid() != who.gid || ::setuid(0) == 0)
    return PermissionDenied("root's rights are still there");
  return OkStatus();
}

}  // namespace postern::rt
