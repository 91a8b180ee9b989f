#include "lib/rt/asio/sqlite_vfs_as.h"

#include <atomic>
#include <new>
#include <utility>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/rt/asio/acting_as.h"
#include "lib/rt/sqlite_vfs_table.h"

namespace postern::rt {

// VfsAsCalls are the functions that SQLite calls. Each hands on to SQLite's own VFS.
struct VfsAsCalls : SqliteNoLibraries {
  // SqliteFile stands before the file of SQLite's own VFS, in memory that SQLite gave, which it
  // aligns to 8 octets.
  struct SqliteFile {
    sqlite3_file base;
    const SqliteVfsAs* vfs;
  };
  static SqliteVfsAs& Of(sqlite3_vfs* vfs) { return *static_cast<SqliteVfsAs*>(vfs->pAppData); }
  static sqlite3_file* Real(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<SqliteFile*>(file) + 1);
  }

  // Acting calls `call` as the user, or gives `failure`.
  template <typename Call>
  static int Acting(const SqliteVfsAs& vfs, int failure, Call call) {
    const ActingAs acting(vfs.who_);
    return acting.failure().ok() ? call() : failure;
  }
  template <typename Call>
  static int Acting(sqlite3_file* file, int failure, Call call) {
    return Acting(*reinterpret_cast<SqliteFile*>(file)->vfs, failure, call);
  }

  // --- files ---

  static int Close(sqlite3_file* file) {
    // It must be closed whatever happens; a name that cannot be removed stays.
    const ActingAs acting(reinterpret_cast<SqliteFile*>(file)->vfs->who_);
    return Real(file)->pMethods->xClose(Real(file));
  }
  static int Read(sqlite3_file* file, void* into, int amount, sqlite3_int64 offset) {
    return Real(file)->pMethods->xRead(Real(file), into, amount, offset);
  }
  static int Write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
    return Real(file)->pMethods->xWrite(Real(file), from, amount, offset);
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    return Real(file)->pMethods->xTruncate(Real(file), size);
  }
  // The first sync of a journal opens its directory.
  static int Sync(sqlite3_file* file, int flags) {
    return Acting(file, SQLITE_IOERR_FSYNC,
                  [&] { return Real(file)->pMethods->xSync(Real(file), flags); });
  }
  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    return Real(file)->pMethods->xFileSize(Real(file), size);
  }
  static int Lock(sqlite3_file* file, int level) {
    return Real(file)->pMethods->xLock(Real(file), level);
  }
  static int Unlock(sqlite3_file* file, int level) {
    return Real(file)->pMethods->xUnlock(Real(file), level);
  }
  static int CheckReservedLock(sqlite3_file* file, int* held) {
    return Real(file)->pMethods->xCheckReservedLock(Real(file), held);
  }
  static int FileControl(sqlite3_file* file, int what, void* argument) {
    return Real(file)->pMethods->xFileControl(Real(file), what, argument);
  }
  static int SectorSize(sqlite3_file* file) {
    return Real(file)->pMethods->xSectorSize(Real(file));
  }
  static int DeviceCharacteristics(sqlite3_file* file) {
    return Real(file)->pMethods->xDeviceCharacteristics(Real(file));
  }
  // The first mapping makes the file of the shared memory.
  static int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
    return Acting(file, SQLITE_CANTOPEN, [&] {
      return Real(file)->pMethods->xShmMap(Real(file), region, size, extend, out);
    });
  }
  static int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
    return Real(file)->pMethods->xShmLock(Real(file), offset, count, flags);
  }
  static void ShmBarrier(sqlite3_file* file) { Real(file)->pMethods->xShmBarrier(Real(file)); }
  static int ShmUnmap(sqlite3_file* file, int remove) {
    const ActingAs acting(reinterpret_cast<SqliteFile*>(file)->vfs->who_);
    return Real(file)->pMethods->xShmUnmap(Real(file), remove);
  }

  // --- names ---

  static int OpenFile(sqlite3_vfs* base, const char* name, sqlite3_file* file, int flags,
                      int* out_flags) {
    SqliteVfsAs& vfs = Of(base);
    SqliteFile* const ours = new (file) SqliteFile{};
    ours->vfs = &vfs;
    return Acting(vfs, SQLITE_CANTOPEN, [&] {
      const int code = vfs.base_->xOpen(vfs.base_, name, Real(file), flags, out_flags);
      // SQLite closes a file whose opening failed when it has methods.
      if (Real(file)->pMethods != nullptr) file->pMethods = SqliteMethods<VfsAsCalls>();
      return code;
    });
  }
  static int Delete(sqlite3_vfs* base, const char* name, int sync_directory) {
    SqliteVfsAs& vfs = Of(base);
    return Acting(vfs, SQLITE_IOERR_DELETE,
                  [&] { return vfs.base_->xDelete(vfs.base_, name, sync_directory); });
  }
  static int Access(sqlite3_vfs* base, const char* name, int what, int* result) {
    SqliteVfsAs& vfs = Of(base);
    return Acting(vfs, SQLITE_IOERR_ACCESS,
                  [&] { return vfs.base_->xAccess(vfs.base_, name, what, result); });
  }
  static int FullPathname(sqlite3_vfs* base, const char* name, int size, char* out) {
    SqliteVfsAs& vfs = Of(base);
    return Acting(vfs, SQLITE_CANTOPEN,
                  [&] { return vfs.base_->xFullPathname(vfs.base_, name, size, out); });
  }

  // --- the rest of the machine ---

  static int Randomness(sqlite3_vfs* base, int size, char* out) {
    return Of(base).base_->xRandomness(Of(base).base_, size, out);
  }
  static int Sleep(sqlite3_vfs* base, int microseconds) {
    return Of(base).base_->xSleep(Of(base).base_, microseconds);
  }
  static int CurrentTime(sqlite3_vfs* base, double* out) {
    return Of(base).base_->xCurrentTime(Of(base).base_, out);
  }
  static int CurrentTimeInt64(sqlite3_vfs* base, sqlite3_int64* out) {
    return Of(base).base_->xCurrentTimeInt64(Of(base).base_, out);
  }
  static int GetLastError(sqlite3_vfs* base, int size, char* out) {
    return Of(base).base_->xGetLastError(Of(base).base_, size, out);
  }
};

SqliteVfsAs::SqliteVfsAs(Credentials who) : who_(std::move(who)), base_(sqlite3_vfs_find("unix")) {
  POSTERN_CHECK(base_ != nullptr);
  static std::atomic<uint64_t> last_name{0};
  name_ = StrCat("postern-as-", who_.uid, "-", ++last_name);
  vfs_ = SqliteVfsTable<VfsAsCalls>(
      name_.c_str(), static_cast<int>(sizeof(VfsAsCalls::SqliteFile)) + base_->szOsFile,
      base_->mxPathname, this);
  POSTERN_CHECK(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK);
}

SqliteVfsAs::~SqliteVfsAs() { sqlite3_vfs_unregister(&vfs_); }

}  // namespace postern::rt
