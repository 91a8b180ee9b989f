// What two SQLite VFSs of ours have in common: the tables by which SQLite finds their functions.
//
// A VFS is a struct of static functions, `Calls`, with the names used below; Calls::OpenFile gives
// its files SqliteMethods<Calls>() as their methods.
#pragma once

#include <sqlite3.h>

namespace postern::rt {

// SqliteNoLibraries is the part of Calls that loads extensions: none.
struct SqliteNoLibraries {
  static void* DlOpen(sqlite3_vfs*, const char*) { return nullptr; }
  static void DlError(sqlite3_vfs*, int size, char* out) {
    if (size > 0) *out = '\0';
  }
  static void (*DlSym(sqlite3_vfs*, void*, const char*))(void) { return nullptr; }
  static void DlClose(sqlite3_vfs*, void*) {}
};

// SqliteMethods are the functions of an open file, with the shared memory of the write-ahead log.
template <typename Calls>
const sqlite3_io_methods* SqliteMethods() {
  static const sqlite3_io_methods methods = [] {
    sqlite3_io_methods m{};
    m.iVersion = 2;
    m.xClose = Calls::Close;
    m.xRead = Calls::Read;
    m.xWrite = Calls::Write;
    m.xTruncate = Calls::Truncate;
    m.xSync = Calls::Sync;
    m.xFileSize = Calls::FileSize;
    m.xLock = Calls::Lock;
    m.xUnlock = Calls::Unlock;
    m.xCheckReservedLock = Calls::CheckReservedLock;
    m.xFileControl = Calls::FileControl;
    m.xSectorSize = Calls::SectorSize;
    m.xDeviceCharacteristics = Calls::DeviceCharacteristics;
    m.xShmMap = Calls::ShmMap;
    m.xShmLock = Calls::ShmLock;
    m.xShmBarrier = Calls::ShmBarrier;
    m.xShmUnmap = Calls::ShmUnmap;
    return m;
  }();
  return &methods;
}

// SqliteVfsTable is a VFS that is not registered yet. `name` outlives it; `owner` is what Calls
// find in pAppData; `file_bytes` is the size of what Calls::OpenFile is given to build a file in.
template <typename Calls>
sqlite3_vfs SqliteVfsTable(const char* name, int file_bytes, int path_limit, void* owner) {
  sqlite3_vfs vfs{};
  vfs.iVersion = 2;
  vfs.szOsFile = file_bytes;
  vfs.mxPathname = path_limit;
  vfs.zName = name;
  vfs.pAppData = owner;
  vfs.xOpen = Calls::OpenFile;
  vfs.xDelete = Calls::Delete;
  vfs.xAccess = Calls::Access;
  vfs.xFullPathname = Calls::FullPathname;
  vfs.xDlOpen = Calls::DlOpen;
  vfs.xDlError = Calls::DlError;
  vfs.xDlSym = Calls::DlSym;
  vfs.xDlClose = Calls::DlClose;
  vfs.xRandomness = Calls::Randomness;
  vfs.xSleep = Calls::Sleep;
  vfs.xCurrentTime = Calls::CurrentTime;
  vfs.xGetLastError = Calls::GetLastError;
  vfs.xCurrentTimeInt64 = Calls::CurrentTimeInt64;
  return vfs;
}

}  // namespace postern::rt
