// Files::GiveOwned: what root has, given to another account. The account may own the folder already
// and change names in it at any moment, so everything goes by descriptors: what was looked at is
// what is given.
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/posix_files.h"

namespace postern::rt {
namespace {

constexpr int kMaxDepth = 4;

struct NewOwner {
  uint32_t uid;
  uint32_t gid;
};

Status GiveAll(int folder, const std::string& path, const NewOwner& to, int depth);

// GiveEntry gives `name` in the open folder `parent`; `path` is for errors.
Status GiveEntry(int parent, const char* name, const std::string& path, const NewOwner& to,
                 int depth) {
  struct stat st {};
  if (::fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? OkStatus() : ErrnoError(errno, StrCat("stat ", path));
  // Most are the account's already, in a folder with very many.
  if (st.st_uid != 0 && !S_ISDIR(st.st_mode)) return OkStatus();
  const Descriptor entry(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!entry.open()) return errno == ENOENT ? OkStatus() : ErrnoError(errno, StrCat("open ", path));
  if (::fstat(entry.get(), &st) != 0) return ErrnoError(errno, StrCat("stat ", path));
  if (st.st_uid != 0 && st.st_uid != to.uid) return OkStatus();
  if (S_ISDIR(st.st_mode)) {
    // One that is the account's is so since all in it is.
    if (st.st_uid != 0) return OkStatus();
    if (depth < kMaxDepth) POSTERN_RETURN_IF_ERROR(GiveAll(entry.get(), path, to, depth + 1));
  } else if ((!S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode)) || st.st_nlink != 1) {
    return OkStatus();
  }
  if (st.st_uid != 0) return OkStatus();
  if (::fchownat(entry.get(), "", to.uid, to.gid, AT_EMPTY_PATH) != 0)
    return ErrnoError(errno, StrCat("chown ", path));
  return OkStatus();
}

// GiveAll gives all that is in the open `folder`.
Status GiveAll(int folder, const std::string& path, const NewOwner& to, int depth) {
  Descriptor readable(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* const entries = readable.open() ? ::fdopendir(readable.get()) : nullptr;
  if (entries == nullptr) return ErrnoError(errno, StrCat("list ", path));
  const int list = readable.Release();
  Status status;
  errno = 0;
  while (const dirent* entry = ::readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    status = GiveEntry(list, entry->d_name, StrCat(path, "/", name), to, depth);
    if (!status.ok()) break;
    errno = 0;
  }
  if (status.ok() && errno != 0) status = ErrnoError(errno, StrCat("list ", path));
  ::closedir(entries);
  return status;
}

}  // namespace

Status PosixFiles::GiveOwned(const std::string& path, const std::vector<std::string>& names,
                             uint32_t uid, uint32_t gid) {
  const NewOwner to{uid, gid};
  const Descriptor folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.open()) return ErrnoError(errno, StrCat("open ", path));
  for (const std::string& name : names) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
      return InvalidArgument(StrCat(Escape(name, 80), " is no name of an entry"));
    POSTERN_RETURN_IF_ERROR(GiveEntry(folder.get(), name.c_str(), StrCat(path, "/", name), to, 1));
  }
  struct stat st {};
  if (::fstat(folder.get(), &st) != 0) return ErrnoError(errno, StrCat("stat ", path));
  if (st.st_uid == 0 && ::fchownat(folder.get(), "", uid, gid, AT_EMPTY_PATH) != 0)
    return ErrnoError(errno, StrCat("chown ", path));
  return OkStatus();
}

}  // namespace postern::rt
