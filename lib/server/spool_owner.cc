#include "lib/server/spool_owner.h"

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

constexpr int kMaxDepth = 4;  // the queue has folders in folders, no deeper

Status Give(rt::Files& files, const std::string& path, uint32_t uid, uint32_t gid, int depth) {
  const StatusOr<rt::FileInfo> info = files.Stat(path);
  if (!info.ok()) return info.status();
  const bool folder = info->kind == rt::FileInfo::Kind::kDirectory;
  if (info->uid == 0 && (folder || info->links == 1)) {
    // The entries first: a folder that is the account's already is taken for done.
    if (folder && depth < kMaxDepth) {
      const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(path);
      if (!entries.ok()) return entries.status();
      for (const rt::DirectoryEntry& entry : *entries) {
        POSTERN_RETURN_IF_ERROR(Give(files, StrCat(path, "/", entry.name), uid, gid, depth + 1));
      }
    }
    return files.SetOwner(path, uid, gid);
  }
  return OkStatus();
}

}  // namespace

Status GiveSpool(rt::Files& files, const std::string& spool, uint32_t uid, uint32_t gid) {
  return Annotate(Give(files, spool, uid, gid, 0), StrCat("give ", spool, " to user ", uid));
}

}  // namespace postern::server
