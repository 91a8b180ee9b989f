#include "lib/rt/asio/posix_files.h"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <mutex>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/acting_as.h"
#include "lib/rt/asio/sqlite_vfs_as.h"

namespace postern::rt {
namespace {

FileInfo::Kind KindOfMode(mode_t mode) {
  if (S_ISREG(mode)) return FileInfo::Kind::kRegular;
  if (S_ISDIR(mode)) return FileInfo::Kind::kDirectory;
  if (S_ISLNK(mode)) return FileInfo::Kind::kSymlink;
  return FileInfo::Kind::kOther;
}

FileInfo InfoOfStat(const struct stat& st) {
  FileInfo info;
  info.kind = KindOfMode(st.st_mode);
  info.size_bytes = static_cast<uint64_t>(st.st_size);
  info.mode = st.st_mode & 07777;
  info.uid = st.st_uid;
  info.gid = st.st_gid;
  info.inode = st.st_ino;
  info.device = st.st_dev;
  info.links = st.st_nlink;
  info.modified = absl::TimeFromTimespec(st.st_mtim);
  return info;
}

// OpenDescriptor closes a descriptor that no PosixFile took over.
class OpenDescriptor {
 public:
  explicit OpenDescriptor(int fd) : fd_(fd) {}
  OpenDescriptor(const OpenDescriptor&) = delete;
  OpenDescriptor& operator=(const OpenDescriptor&) = delete;
  ~OpenDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PosixFile final : public File {
 public:
  PosixFile(OpenDescriptor& open, std::string path) : fd_(open.Release()), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }

  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    size_t done = 0;
    while (done < into.size()) {
      const ssize_t got =
          ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (got == 0) break;
      if (got < 0) {
        if (errno == EINTR) continue;
        return Failed("read");
      }
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status WriteAt(uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t put = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (put < 0) {
        if (errno == EINTR) continue;
        return Failed("write");
      }
      offset += static_cast<uint64_t>(put);
      data.remove_prefix(static_cast<size_t>(put));
    }
    return OkStatus();
  }

  Status Append(std::string_view data) override {
    while (!data.empty()) {
      const ssize_t put = ::write(fd_, data.data(), data.size());
      if (put < 0) {
        if (errno == EINTR) continue;
        return Failed("append");
      }
      data.remove_prefix(static_cast<size_t>(put));
    }
    return OkStatus();
  }

  Status Truncate(uint64_t size_bytes) override {
    return ::ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0 ? OkStatus() : Failed("truncate");
  }
  Status Sync() override { return ::fsync(fd_) == 0 ? OkStatus() : Failed("sync"); }
  void StartWriteback() override { ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE); }
  Status SyncFileSystem() override { return ::syncfs(fd_) == 0 ? OkStatus() : Failed("syncfs"); }
  StatusOr<FileInfo> Stat() override {
    struct stat st {};
    if (::fstat(fd_, &st) != 0) return Failed("stat");
    return InfoOfStat(st);
  }
  Status SetMode(uint32_t mode) override {
    return ::fchmod(fd_, mode) == 0 ? OkStatus() : Failed("chmod");
  }

  Status TryLock() override {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    // The open file description's lock: another thread's close of the same file does not drop it.
    if (::fcntl(fd_, F_OFD_SETLK, &lock) != 0)
      return Unavailable(StrCat(path_, " is locked by another program"));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0)
      return Unavailable(StrCat(path_, " is locked by another program"));
    return OkStatus();
  }

 private:
  Status Failed(const char* call) const { return ErrnoError(errno, StrCat(call, " ", path_)); }

  int fd_;
  std::string path_;
};

// Posix gives each call's result a name for its error.
Status Result(int result, const char* call, const std::string& path) {
  return result == 0 ? OkStatus() : ErrnoError(errno, StrCat(call, " ", path));
}

}  // namespace

std::unique_ptr<File> FileOfDescriptor(int fd, std::string name) {
  OpenDescriptor open(fd);
  return std::make_unique<PosixFile>(open, std::move(name));
}

StatusOr<std::unique_ptr<File>> PosixFiles::Open(const std::string& path,
                                                 const OpenOptions& options) {
  // O_NONBLOCK: a FIFO that somebody left in the way must not hang the open; it is refused below.
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const bool writes = options.write || options.append;
  flags |= writes ? (options.read ? O_RDWR : O_WRONLY) : O_RDONLY;
  if (options.append) flags |= O_APPEND;
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  if (!options.follow_symlink) flags |= O_NOFOLLOW;
  const int fd = ::open(path.c_str(), flags, options.mode);
  if (fd < 0) {
    if (errno == ELOOP && !options.follow_symlink)
      return FailedPrecondition(StrCat(path, " is a symbolic link"));
    return ErrnoError(errno, StrCat("open ", path));
  }
  OpenDescriptor open(fd);
  auto file = std::make_unique<PosixFile>(open, path);
  const StatusOr<FileInfo> info = file->Stat();
  if (!info.ok()) return info.status();
  if (info->kind != FileInfo::Kind::kRegular)
    return FailedPrecondition(StrCat(path, " is not a regular file"));
  return std::unique_ptr<File>(std::move(file));
}

Status PosixFiles::Rename(const std::string& from, const std::string& to) {
  return Result(::rename(from.c_str(), to.c_str()), "rename", StrCat(from, " to ", to));
}
Status PosixFiles::Link(const std::string& from, const std::string& to) {
  return Result(::link(from.c_str(), to.c_str()), "link", StrCat(from, " to ", to));
}
Status PosixFiles::Unlink(const std::string& path) {
  return Result(::unlink(path.c_str()), "unlink", path);
}
Status PosixFiles::MakeDirectory(const std::string& path, uint32_t mode) {
  const Status made = Result(::mkdir(path.c_str(), mode), "mkdir", path);
  // A folder that others write in (sticky) is meant so, whatever the umask takes away.
  if (!made.ok() || (mode & S_ISVTX) == 0) return made;
  return Result(::chmod(path.c_str(), mode), "chmod", path);
}
Status PosixFiles::RemoveDirectory(const std::string& path) {
  return Result(::rmdir(path.c_str()), "rmdir", path);
}

StatusOr<std::vector<DirectoryEntry>> PosixFiles::List(const std::string& path) {
  DIR* const directory = ::opendir(path.c_str());
  if (directory == nullptr) return ErrnoError(errno, StrCat("list ", path));
  struct Close {
    DIR* directory;
    ~Close() { ::closedir(directory); }
  } const close_at_end{directory};
  std::vector<DirectoryEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    FileInfo::Kind kind = FileInfo::Kind::kOther;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat st {};
      if (::fstatat(::dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        kind = KindOfMode(st.st_mode);
      errno = 0;
    } else {
      kind = KindOfMode(DTTOIF(entry->d_type));
    }
    entries.push_back({.name = std::string(name), .kind = kind, .inode = entry->d_ino});
  }
  const int error = errno;
  if (error != 0) return ErrnoError(error, StrCat("list ", path));
  return entries;
}

StatusOr<FileInfo> PosixFiles::Stat(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return ErrnoError(errno, StrCat("stat ", path));
  return InfoOfStat(st);
}

Status PosixFiles::SyncDirectory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, StrCat("open ", path));
  const OpenDescriptor open(fd);
  return Result(::fsync(fd), "sync", path);
}

StatusOr<SpaceInfo> PosixFiles::Space(const std::string& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) != 0) return ErrnoError(errno, StrCat("statvfs ", path));
  return SpaceInfo{.free_bytes = static_cast<uint64_t>(st.f_bavail) * st.f_frsize,
                   .total_bytes = static_cast<uint64_t>(st.f_blocks) * st.f_frsize,
                   .free_inodes = st.f_favail,
                   .total_inodes = st.f_files};
}

Status PosixFiles::SetOwner(const std::string& path, uint32_t uid, uint32_t gid) {
  return Result(::lchown(path.c_str(), uid, gid), "chown", path);
}

namespace {

class PosixFilesAs final : public PosixFiles {
 public:
  explicit PosixFilesAs(Credentials who) : who_(std::move(who)) {}

  StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                       const OpenOptions& options) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::Open(path, options);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::Rename(from, to);
  }
  Status Link(const std::string& from, const std::string& to) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::Link(from, to);
  }
  Status Unlink(const std::string& path) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::Unlink(path);
  }
  Status MakeDirectory(const std::string& path, uint32_t mode) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::MakeDirectory(path, mode);
  }
  Status RemoveDirectory(const std::string& path) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::RemoveDirectory(path);
  }
  StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::List(path);
  }
  StatusOr<FileInfo> Stat(const std::string& path) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::Stat(path);
  }
  Status SyncDirectory(const std::string& path) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::SyncDirectory(path);
  }
  StatusOr<SpaceInfo> Space(const std::string& path) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::Space(path);
  }
  Status SetOwner(const std::string& path, uint32_t uid, uint32_t gid) override {
    ActingAs acting(who_);
    if (!acting.failure().ok()) return acting.failure();
    return PosixFiles::SetOwner(path, uid, gid);
  }
  const char* SqliteVfs() const override {
    std::call_once(vfs_made_, [this] { vfs_ = std::make_unique<SqliteVfsAs>(who_); });
    return vfs_->name();
  }

 private:
  Credentials who_;
  mutable std::once_flag vfs_made_;
  mutable std::unique_ptr<SqliteVfsAs> vfs_;
};

}  // namespace

std::unique_ptr<Files> PosixFiles::As(const Credentials& who) {
  return std::make_unique<PosixFilesAs>(who);
}

}  // namespace postern::rt
