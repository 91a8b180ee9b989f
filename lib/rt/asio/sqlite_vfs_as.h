// SqliteVfsAs: SQLite on this machine's files, with the rights of another user.
//
// A privileged server opens the index in a user's home. SQLite's own VFS would open it, its log and
// its shared memory with the server's rights: through a symbolic link that the user left there,
// into files that are not theirs. This one is SQLite's own, with the calling thread acting as the
// user wherever a name is looked up; what is open already needs no right.
#pragma once

#include <string>

#include <sqlite3.h>

#include "lib/rt/files.h"

namespace postern::rt {

class SqliteVfsAs {
 public:
  // SqliteVfsAs registers itself with SQLite under a name of its own. Databases opened through it
  // are closed before it goes.
  explicit SqliteVfsAs(Credentials who);
  ~SqliteVfsAs();
  SqliteVfsAs(const SqliteVfsAs&) = delete;
  SqliteVfsAs& operator=(const SqliteVfsAs&) = delete;

  const char* name() const { return name_.c_str(); }

 private:
  friend struct VfsAsCalls;

  Credentials who_;
  std::string name_;
  sqlite3_vfs* base_;
  sqlite3_vfs vfs_{};
};

}  // namespace postern::rt
