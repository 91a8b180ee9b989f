#include "lib/store/queue/damaged_folder.h"

#include <memory>
#include <string_view>

#include "lib/core/base/strings.h"
#include "lib/store/queue/salvaged_rows.h"

namespace postern::store {

StatusOr<std::string> DamagedFolder(rt::Files& files, const std::string& spool,
                                    const std::string& marker, WallTime now) {
  if (const StatusOr<std::string> begun = rt::ReadFile(files, marker, 4096); begun.ok()) {
    const std::string_view name = Trim(std::string_view(*begun));
    if (name.starts_with("damaged-") && name.find('/') == std::string_view::npos) {
      std::string folder = StrCat(spool, "/", name);
      const Status made = files.MakeDirectory(folder, 0700);
      if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return made;
      return folder;
    }
  }
  const std::string time = absl::FormatTime("%Y%m%dT%H%M%SZ", now, absl::UTCTimeZone());
  for (int i = 1; i < 1000; ++i) {
    const std::string name = StrCat("damaged-", time, i == 1 ? std::string() : StrCat("-", i));
    std::string folder = StrCat(spool, "/", name);
    const Status made = files.MakeDirectory(folder, 0700);
    if (made.code() == StatusCode::kAlreadyExists) continue;
    POSTERN_RETURN_IF_ERROR(made);
    POSTERN_RETURN_IF_ERROR(files.SyncDirectory(spool));
    POSTERN_RETURN_IF_ERROR(rt::WriteFileDurably(files, marker, name + "\n", 0600));
    return folder;
  }
  return ResourceExhausted(StrCat("too many damaged queues in ", spool));
}

Status PutDatabaseAside(rt::Files& files, const std::string& spool, const std::string& folder) {
  bool moved = false;
  for (const std::string_view tail : {"", "-wal", "-journal"}) {
    const std::string from = StrCat(spool, "/queue.db", tail);
    const std::string to = StrCat(folder, "/queue.db", tail);
    if (Exists(files, to) || !Exists(files, from)) continue;
    POSTERN_RETURN_IF_ERROR(files.Rename(from, to));
    moved = true;
  }
  // What is in shared memory is in the log as well.
  if (Exists(files, spool + "/queue.db-shm")) (void)files.Unlink(spool + "/queue.db-shm");
  if (!Exists(files, folder + "/queue.db")) {
    // It was missing. Its place is taken all the same, by what is read as nothing.
    rt::OpenOptions open;
    open.write = open.create = true;
    const StatusOr<std::unique_ptr<rt::File>> made = files.Open(folder + "/queue.db", open);
    if (!made.ok()) return made.status();
    moved = true;
  }
  if (!moved) return OkStatus();
  POSTERN_RETURN_IF_ERROR(files.SyncDirectory(folder));
  return files.SyncDirectory(spool);
}

}  // namespace postern::store
