// SqliteVfs: SQLite on a simulated disk, for one life of a machine.
//
// It does what SQLite's own unix VFS does, as far as durability sees it: xSync syncs the file, and
// the directory after a journal or WAL was created; xDelete syncs the directory when asked. Locks
// and the WAL's shared memory live in the process and end with the life. Time is the simulation's:
// a busy handler that sleeps lets virtual time pass, but lets nobody else run, so it waits in vain
// for another connection: take locks on one pool thread at a time, as with any SQLite database.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sqlite3.h>

#include "lib/rt/sim/disk.h"
#include "lib/rt/sim/files.h"
#include "lib/rt/sim/random.h"

namespace postern::rt::sim {

class SqliteVfs {
 public:
  // SqliteVfs registers itself with SQLite under a name of its own, and seeds SQLite's generator
  // (one in the process) from the simulation, or the salts of a WAL would differ from run to run.
  SqliteVfs(Disk* disk, Life* life);
  ~SqliteVfs();
  SqliteVfs(const SqliteVfs&) = delete;
  SqliteVfs& operator=(const SqliteVfs&) = delete;

  const char* name() const { return name_.c_str(); }
  // Unregister takes it from SQLite's list; open databases may still be closed. Idempotent.
  void Unregister();

 private:
  friend struct VfsCalls;
  struct Locks;
  struct OpenDatabase;

  std::string name_;
  Life* life_;
  SimFiles files_;
  SeededRandom random_;
  sqlite3_vfs vfs_{};
  bool registered_ = false;
  int last_errno_ = 0;
  std::map<uint64_t, std::unique_ptr<Locks>> locks_;  // by inode number
};

}  // namespace postern::rt::sim
