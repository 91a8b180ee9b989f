// Files: the file system. Every call blocks and belongs on the pool (Executor::RunBlocking), never
// on a loop.
//
// What survives a crash is what POSIX promises and no more: a file's data after Sync on it, a name
// after SyncDirectory on its directory. The simulated world forgets the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"

namespace postern::rt {

struct FileInfo {
  enum class Kind { kRegular, kDirectory, kSymlink, kOther };
  Kind kind = Kind::kRegular;
  uint64_t size_bytes = 0;
  uint32_t mode = 0;  // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t inode = 0;
  uint64_t device = 0;  // which file system it is on; 0 when that is not known
  uint64_t links = 1;
  WallTime modified;
};

struct OpenOptions {
  bool read = true;
  bool write = false;
  bool append = false;  // implies write
  bool create = false;
  bool exclusive = false;  // with create: kAlreadyExists when the name is taken
  bool truncate = false;
  bool follow_symlink = false;  // a symbolic link as last component is refused unless this is set
  uint32_t mode = 0600;         // of a created file
};

// File is an open file. Calls on one File come from one thread at a time. Closed when destroyed.
class File {
 public:
  virtual ~File() = default;
  // ReadAt fills `into` from `offset` and returns how much there was; less than asked only at the
  // end of the file.
  virtual StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) = 0;
  // WriteAt writes all of `data`; Append at the end of the file.
  virtual Status WriteAt(uint64_t offset, std::string_view data) = 0;
  virtual Status Append(std::string_view data) = 0;
  virtual Status Truncate(uint64_t size_bytes) = 0;
  // Sync makes data and size durable. After a failure the file's content is unknown: write it anew
  // under another name.
  virtual Status Sync() = 0;
  // StartWriteback asks the kernel to begin writing what is dirty, without waiting: called on each
  // file of a batch before the first Sync, it lets one journal commit serve all of them. A hint:
  // errors are not reported.
  virtual void StartWriteback() {}
  // SyncFileSystem makes durable all data and names that were written to this file's file system
  // before. It fails when the writing of any of them failed since this file was opened, so of a
  // batch the file that was opened first is asked. One call costs as much as a few Syncs; for a
  // batch of a hundred files it is many times cheaper than one for each. kUnimplemented where there
  // is no such thing: Sync each file then.
  virtual Status SyncFileSystem() { return Unimplemented("no sync of a file system"); }
  virtual StatusOr<FileInfo> Stat() = 0;
  virtual Status SetMode(uint32_t mode) = 0;
  // Lock takes an advisory exclusive lock (fcntl and flock, as mail programs expect for mbox) or
  // returns kUnavailable at once.
  virtual Status TryLock() = 0;
};

struct DirectoryEntry {
  std::string name;  // without "." and ".."
  FileInfo::Kind kind = FileInfo::Kind::kRegular;
  uint64_t inode = 0;
};

struct SpaceInfo {
  uint64_t free_bytes = 0;  // to an unprivileged user
  uint64_t total_bytes = 0;
  uint64_t free_inodes = 0;
  uint64_t total_inodes = 0;
};

struct Credentials {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
};

class Files {
 public:
  virtual ~Files() = default;

  virtual StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                               const OpenOptions& options) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Link(const std::string& from, const std::string& to) = 0;
  virtual Status Unlink(const std::string& path) = 0;
  virtual Status MakeDirectory(const std::string& path, uint32_t mode) = 0;
  virtual Status RemoveDirectory(const std::string& path) = 0;
  virtual StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) = 0;
  // Stat does not follow a symbolic link.
  virtual StatusOr<FileInfo> Stat(const std::string& path) = 0;
  // SyncDirectory makes the names in `path` durable: creations, renames, removals.
  virtual Status SyncDirectory(const std::string& path) = 0;
  virtual StatusOr<SpaceInfo> Space(const std::string& path) = 0;
  virtual Status SetOwner(const std::string& path, uint32_t uid, uint32_t gid) = 0;
  // GiveOwned makes uid:gid the owner of what root owns in the folder `path`: of its entries
  // `names`, of all that is in those of them that are root's folders (four deep; each is given when
  // all in it is), and of the folder itself. What others own, files with a second name and links
  // stay, and no link is followed but `path` itself; a name that is not there is passed over.
  // Nobody who can write there meanwhile gets more. For root. kUnimplemented where there are no
  // owners.
  virtual Status GiveOwned(const std::string& path, const std::vector<std::string>& names,
                           uint32_t uid, uint32_t gid) {
    (void)path, (void)names, (void)uid, (void)gid;
    return Unimplemented("no owners here");
  }

  // As returns this file system seen and changed as another user (of whom created files are), for
  // delivery. It dies before this object. Needs privilege unless `who` is who we are.
  virtual std::unique_ptr<Files> As(const Credentials& who) = 0;

  // SqliteVfs names the VFS that SQLite databases on this file system use, or is null for SQLite's
  // own.
  virtual const char* SqliteVfs() const { return nullptr; }
};

// MakeDirectories makes `path` and its missing parents and syncs each parent whose entry is new.
Status MakeDirectories(Files& files, const std::string& path, uint32_t mode);

// ReadFile reads a whole file of at most `limit_bytes`; a larger one is kResourceExhausted.
StatusOr<std::string> ReadFile(Files& files, const std::string& path, uint64_t limit_bytes);

// WriteFileDurably writes `data` to a new name beside `path`, syncs, renames over `path` and syncs
// the directory.
Status WriteFileDurably(Files& files, const std::string& path, std::string_view data,
                        uint32_t mode);

}  // namespace postern::rt
