#include "lib/server/spool_owner.h"

#include <algorithm>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/server/offline_mail.h"
#include "lib/store/queue/spool_lock.h"
#include "lib/store/queue/spool_names.h"

namespace postern::server {
namespace {

constexpr uint32_t kOthersWrite = 022;
// What the root of a file system of its own has in it from its beginning.
constexpr std::string_view kLostAndFound = "lost+found";

// CheckIsSpool refuses a folder of root's that is not a queue's alone.
Status CheckIsSpool(rt::Files& files, const std::string& spool) {
  // "/." is the folder itself where the path is a link to it.
  const StatusOr<rt::FileInfo> info = files.Stat(spool + "/.");
  if (!info.ok()) return info.status();
  if (info->uid != 0) return OkStatus();
  if ((info->mode & kOthersWrite) != 0) {
    return FailedPrecondition(
        "belongs to root, and others than root may write in it: the queue needs a folder of its "
        "own");
  }
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(spool);
  if (!entries.ok()) return entries.status();
  for (const rt::DirectoryEntry& entry : *entries) {
    if (store::IsSpoolName(entry.name) || entry.name == kLostAndFound) continue;
    return FailedPrecondition(
        StrCat("belongs to root and holds \"", Escape(entry.name, 80),
               "\", which no queue makes: name a folder of its own, or make this one the account's "
               "yourself"));
  }
  return OkStatus();
}

Status Take(rt::Files& files, const std::string& spool) {
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(spool);
  if (!entries.ok()) return entries.status();
  std::vector<std::string> others;
  for (const rt::DirectoryEntry& entry : *entries) {
    if (!store::IsSpoolName(entry.name)) continue;
    const std::string path = StrCat(spool, "/", entry.name);
    const StatusOr<rt::FileInfo> info = files.Stat(path);
    if (info.ok() && info->kind == rt::FileInfo::Kind::kDirectory && info->uid != 0)
      others.push_back(path);
  }
  if (others.empty()) return OkStatus();
  const StatusOr<store::SpoolLock> lock = store::SpoolLock::Take(files, spool);
  // Who opens the queue next says whose it is.
  if (lock.status().code() == StatusCode::kUnavailable) return OkStatus();
  if (!lock.ok()) return lock.status();
  for (const std::string& path : others) POSTERN_RETURN_IF_ERROR(files.SetOwner(path, 0, 0));
  return OkStatus();
}

Status Give(rt::Files& files, const std::string& spool, uint32_t uid, uint32_t gid) {
  POSTERN_RETURN_IF_ERROR(CheckIsSpool(files, spool));
  const StatusOr<store::SpoolLock> lock = store::SpoolLock::Take(files, spool);
  if (!lock.ok()) return lock.status();
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(spool);
  if (!entries.ok()) return entries.status();
  std::vector<std::string> names;
  for (const rt::DirectoryEntry& entry : *entries) {
    if (!store::IsSpoolName(entry.name)) continue;
    // What root handed in offline stays root's: its owner is who handed it in.
    if (entry.name == kOfflineFolder) {
      const StatusOr<rt::FileInfo> folder = files.Stat(StrCat(spool, "/", entry.name));
      if (folder.ok() && folder->uid == uid) continue;
    }
    names.push_back(entry.name);
  }
  return files.GiveOwned(spool, names, uid, gid);
}

}  // namespace

Status GiveSpool(rt::Files& files, const std::string& spool, uint32_t uid, uint32_t gid) {
  return Annotate(Give(files, spool, uid, gid), StrCat("spool \"", spool, "\""));
}

Status TakeSpool(rt::Files& files, const std::string& spool) {
  return Annotate(Take(files, spool), StrCat("spool \"", spool, "\""));
}

}  // namespace postern::server
