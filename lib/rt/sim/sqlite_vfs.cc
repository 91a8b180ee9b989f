#include "lib/rt/sim/sqlite_vfs.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/life.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/sqlite_vfs_table.h"

namespace postern::rt::sim {
namespace {

constexpr int kPathLimit = 1024;
constexpr int kSectorSize = 4096;  // as the unix VFS says
// 1970-01-01 in milliseconds of the Julian day
constexpr int64_t kUnixEpochJulianMs = 210866760000000;
constexpr int kNewJournal = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

// Locks are those that connections of one life hold on one file, and its shared memory.
struct SqliteVfs::Locks {
  int users = 0;
  int shared = 0;
  OpenDatabase* reserved = nullptr;
  OpenDatabase* pending = nullptr;
  OpenDatabase* exclusive = nullptr;
  int mapped = 0;
  std::vector<std::unique_ptr<char[]>> regions;
  int shm_shared[SQLITE_SHM_NLOCK] = {};
  OpenDatabase* shm_exclusive[SQLITE_SHM_NLOCK] = {};
};

struct SqliteVfs::OpenDatabase {
  SqliteVfs* vfs = nullptr;
  std::unique_ptr<File> file;
  InodePtr inode;
  std::string path;
  bool delete_on_close = false;
  bool sync_directory = false;
  int level = SQLITE_LOCK_NONE;
  Locks* locks = nullptr;
  bool mapped = false;
  bool shm_shared[SQLITE_SHM_NLOCK] = {};

  // Fail remembers the errno and gives `code`, or SQLITE_FULL when there is no space.
  int Fail(const Status& status, int code) {
    vfs->last_errno_ = ErrnoOf(status);
    return vfs->last_errno_ == ENOSPC ? SQLITE_FULL : code;
  }
};

// VfsCalls are the functions that SQLite calls.
struct VfsCalls : SqliteNoLibraries {
  using Open = SqliteVfs::OpenDatabase;
  struct SqliteFile {
    sqlite3_file base;
    Open* open;
  };
  static Open& Of(sqlite3_file* file) { return *reinterpret_cast<SqliteFile*>(file)->open; }
  static SqliteVfs& Of(sqlite3_vfs* vfs) { return *static_cast<SqliteVfs*>(vfs->pAppData); }

  // --- files ---

  static int Close(sqlite3_file* file) {
    Open* const open = &Of(file);
    Unlock(file, SQLITE_LOCK_NONE);
    ShmUnmap(file, 0);
    if (--open->locks->users == 0) open->vfs->locks_.erase(open->inode->number);
    open->file.reset();
    if (open->delete_on_close && !open->path.empty()) (void)open->vfs->files_.Unlink(open->path);
    delete open;
    reinterpret_cast<SqliteFile*>(file)->open = nullptr;
    return SQLITE_OK;
  }

  static int Read(sqlite3_file* file, void* into, int amount, sqlite3_int64 offset) {
    Open& open = Of(file);
    const std::span<char> target(static_cast<char*>(into), static_cast<size_t>(amount));
    const StatusOr<size_t> got = open.file->ReadAt(static_cast<uint64_t>(offset), target);
    if (!got.ok()) return open.Fail(got.status(), SQLITE_IOERR_READ);
    if (*got == target.size()) return SQLITE_OK;
    std::memset(target.data() + *got, 0, target.size() - *got);
    return SQLITE_IOERR_SHORT_READ;
  }

  static int Write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
    Open& open = Of(file);
    const std::string_view data(static_cast<const char*>(from), static_cast<size_t>(amount));
    const Status status = open.file->WriteAt(static_cast<uint64_t>(offset), data);
    return status.ok() ? SQLITE_OK : open.Fail(status, SQLITE_IOERR_WRITE);
  }

  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    Open& open = Of(file);
    const Status status = open.file->Truncate(static_cast<uint64_t>(size));
    return status.ok() ? SQLITE_OK : open.Fail(status, SQLITE_IOERR_TRUNCATE);
  }

  static int Sync(sqlite3_file* file, int) {
    Open& open = Of(file);
    Status status = open.file->Sync();
    if (!status.ok()) return open.Fail(status, SQLITE_IOERR_FSYNC);
    if (open.sync_directory) {
      status = open.vfs->files_.SyncDirectory(DirectoryOf(open.path));
      if (!status.ok()) return open.Fail(status, SQLITE_IOERR_DIR_FSYNC);
      open.sync_directory = false;
    }
    return SQLITE_OK;
  }

  static int FileSize(sqlite3_file* file, sqlite3_int64* out_size) {
    Open& open = Of(file);
    const StatusOr<FileInfo> info = open.file->Stat();
    if (!info.ok()) return open.Fail(info.status(), SQLITE_IOERR_FSTAT);
    *out_size = static_cast<sqlite3_int64>(info->size_bytes);
    return SQLITE_OK;
  }

  // --- locks of the rollback journal (sqlite.org/lockingv3.html) ---

  static int Lock(sqlite3_file* file, int level) {
    Open& open = Of(file);
    SqliteVfs::Locks& locks = *open.locks;
    if (open.level >= level) return SQLITE_OK;
    if (level == SQLITE_LOCK_SHARED) {
      if (locks.pending != nullptr || locks.exclusive != nullptr) return SQLITE_BUSY;
      ++locks.shared;
      open.level = SQLITE_LOCK_SHARED;
      return SQLITE_OK;
    }
    if (locks.reserved != nullptr && locks.reserved != &open) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_RESERVED) {
      locks.reserved = &open;
      open.level = SQLITE_LOCK_RESERVED;
      return SQLITE_OK;
    }
    if (locks.pending != nullptr && locks.pending != &open) return SQLITE_BUSY;
    locks.pending = &open;
    if (open.level < SQLITE_LOCK_PENDING) open.level = SQLITE_LOCK_PENDING;
    if (level == SQLITE_LOCK_EXCLUSIVE) {
      if (locks.shared > 1) return SQLITE_BUSY;
      locks.exclusive = &open;
      open.level = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
  }

  static int Unlock(sqlite3_file* file, int level) {
    Open& open = Of(file);
    SqliteVfs::Locks& locks = *open.locks;
    if (open.level <= level) return SQLITE_OK;
    if (locks.exclusive == &open) locks.exclusive = nullptr;
    if (locks.pending == &open) locks.pending = nullptr;
    if (locks.reserved == &open) locks.reserved = nullptr;
    if (level == SQLITE_LOCK_NONE) --locks.shared;
    open.level = level;
    return SQLITE_OK;
  }

  static int CheckReservedLock(sqlite3_file* file, int* out_held) {
    *out_held = Of(file).locks->reserved != nullptr ? 1 : 0;
    return SQLITE_OK;
  }

  static int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int SectorSize(sqlite3_file*) { return kSectorSize; }
  // The disk tears writes at sectors and leaves the octets beside them alone, which is what this
  // promises.
  static int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  // --- shared memory of the WAL ---

  static int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
    Open& open = Of(file);
    SqliteVfs::Locks& locks = *open.locks;
    if (!open.mapped) {
      open.mapped = true;
      ++locks.mapped;
    }
    const size_t index = static_cast<size_t>(region);
    *out = nullptr;
    if (index >= locks.regions.size()) {
      if (extend == 0) return SQLITE_OK;
      while (locks.regions.size() <= index)
        locks.regions.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));
    }
    *out = locks.regions[index].get();
    return SQLITE_OK;
  }

  static int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
    Open& open = Of(file);
    SqliteVfs::Locks& locks = *open.locks;
    const bool shared = (flags & SQLITE_SHM_SHARED) != 0;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      for (int i = offset; i < offset + count; ++i) {
        if (locks.shm_exclusive[i] == &open) locks.shm_exclusive[i] = nullptr;
        if (std::exchange(open.shm_shared[i], false)) --locks.shm_shared[i];
      }
      return SQLITE_OK;
    }
    for (int i = offset; i < offset + count; ++i) {
      if (locks.shm_exclusive[i] != nullptr && locks.shm_exclusive[i] != &open) return SQLITE_BUSY;
      if (!shared && locks.shm_shared[i] > (open.shm_shared[i] ? 1 : 0)) return SQLITE_BUSY;
    }
    for (int i = offset; i < offset + count; ++i) {
      if (!shared) {
        locks.shm_exclusive[i] = &open;
      } else if (!std::exchange(open.shm_shared[i], true)) {
        ++locks.shm_shared[i];
      }
    }
    return SQLITE_OK;
  }

  static void ShmBarrier(sqlite3_file*) {}

  static int ShmUnmap(sqlite3_file* file, int) {
    Open& open = Of(file);
    if (!open.mapped) return SQLITE_OK;
    ShmLock(file, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK);
    open.mapped = false;
    if (--open.locks->mapped == 0) open.locks->regions.clear();
    return SQLITE_OK;
  }

  // --- names ---

  static int OpenFile(sqlite3_vfs* base, const char* name, sqlite3_file* file, int flags,
                      int* out_flags) {
    SqliteVfs& vfs = Of(base);
    file->pMethods = nullptr;
    auto open = std::make_unique<Open>();
    open->vfs = &vfs;
    StatusOr<std::unique_ptr<File>> opened = NotFound("not opened");
    if (name == nullptr) {
      opened = vfs.files_.OpenNameless(&open->inode);
    } else {
      open->path = name;
      OpenOptions options;
      options.write = (flags & SQLITE_OPEN_READWRITE) != 0;
      options.create = (flags & SQLITE_OPEN_CREATE) != 0;
      options.exclusive = (flags & SQLITE_OPEN_EXCLUSIVE) != 0;
      options.follow_symlink = true;
      opened = vfs.files_.OpenFile(open->path, options, &open->inode);
      if (!opened.ok() && options.write &&
          opened.status().code() == StatusCode::kPermissionDenied) {
        options.write = options.create = options.exclusive = false;
        opened = vfs.files_.OpenFile(open->path, options, &open->inode);
        flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
      }
    }
    if (!opened.ok()) return open->Fail(opened.status(), SQLITE_CANTOPEN);
    open->file = std::move(*opened);
    open->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    open->sync_directory = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & kNewJournal) != 0;
    std::unique_ptr<SqliteVfs::Locks>& locks = vfs.locks_[open->inode->number];
    if (locks == nullptr) locks = std::make_unique<SqliteVfs::Locks>();
    ++locks->users;
    open->locks = locks.get();
    reinterpret_cast<SqliteFile*>(file)->open = open.release();
    file->pMethods = SqliteMethods<VfsCalls>();
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }

  static int Delete(sqlite3_vfs* base, const char* name, int sync_directory) {
    SqliteVfs& vfs = Of(base);
    const std::string path = name;
    Status status = vfs.files_.Unlink(path);
    if (!status.ok()) {
      vfs.last_errno_ = ErrnoOf(status);
      return status.code() == StatusCode::kNotFound ? SQLITE_IOERR_DELETE_NOENT
                                                    : SQLITE_IOERR_DELETE;
    }
    if (sync_directory == 0) return SQLITE_OK;
    status = vfs.files_.SyncDirectory(DirectoryOf(path));
    vfs.last_errno_ = ErrnoOf(status);
    return status.ok() ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
  }

  static int Access(sqlite3_vfs* base, const char* name, int, int* out_result) {
    SqliteVfs& vfs = Of(base);
    const StatusOr<FileInfo> info = vfs.files_.Stat(name);
    *out_result = 0;
    if (!info.ok())
      return info.status().code() == StatusCode::kNotFound ? SQLITE_OK : SQLITE_IOERR_ACCESS;
    // As the unix VFS: an empty file is as good as none (a journal that was created but never
    // written).
    *out_result = info->kind != FileInfo::Kind::kRegular || info->size_bytes > 0 ? 1 : 0;
    return SQLITE_OK;
  }

  static int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
    const std::string full = name[0] == '/' ? std::string(name) : StrCat("/", name);
    if (full.size() + 1 > static_cast<size_t>(size)) return SQLITE_CANTOPEN;
    std::memcpy(out, full.c_str(), full.size() + 1);
    return SQLITE_OK;
  }

  // --- the rest of the machine ---

  static int Randomness(sqlite3_vfs* base, int size, char* out) {
    Of(base).random_.Fill(
        std::span<uint8_t>(reinterpret_cast<uint8_t*>(out), static_cast<size_t>(size)));
    return size;
  }
  static int Sleep(sqlite3_vfs* base, int microseconds) {
    Of(base).life_->simulation().SpendTime(absl::Microseconds(microseconds));
    return microseconds;
  }
  static int CurrentTimeInt64(sqlite3_vfs* base, sqlite3_int64* out) {
    Life& life = *Of(base).life_;
    *out = kUnixEpochJulianMs +
           absl::ToUnixMillis(life.simulation().wall_now() + life.host().wall_jump());
    return SQLITE_OK;
  }
  static int CurrentTime(sqlite3_vfs* base, double* out) {
    sqlite3_int64 ms = 0;
    CurrentTimeInt64(base, &ms);
    *out = static_cast<double>(ms) / 86400000.0;
    return SQLITE_OK;
  }
  static int GetLastError(sqlite3_vfs* base, int, char*) { return Of(base).last_errno_; }
};

SqliteVfs::SqliteVfs(Disk* disk, Life* life)
    : life_(life),
      files_(disk, life,
             Credentials{life->host().options().self.uid, life->host().options().self.gid,
                         life->host().options().self.groups}),
      random_(life->random().Fork("sqlite")) {
  static std::atomic<uint64_t> last_name{0};
  name_ = StrCat("postern-sim-", ++last_name);
  vfs_ = SqliteVfsTable<VfsCalls>(name_.c_str(), sizeof(VfsCalls::SqliteFile), kPathLimit, this);
  POSTERN_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
  registered_ = true;
  const int seed = static_cast<int>(random_.Draw() & 0x7fffffff) | 1;
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed, static_cast<sqlite3*>(nullptr));
}

SqliteVfs::~SqliteVfs() { Unregister(); }

void SqliteVfs::Unregister() {
  if (!registered_) return;
  registered_ = false;
  sqlite3_vfs_unregister(&vfs_);
}

}  // namespace postern::rt::sim
