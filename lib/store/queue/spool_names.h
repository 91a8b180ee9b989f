// The names that a queue makes in its spool, for who has to tell its folder from another one.
#pragma once

#include <string_view>

namespace postern::store {

// kProbeName is a file that is made and removed at once, to see whether one can be written.
inline constexpr char kProbeName[] = "probe";

// IsSpoolName tells whether an entry `name` of a folder can be a queue's: its database and what
// SQLite makes beside it, the messages, the lock, the witness, the name of the key, what a rebuild
// makes, and what the server keeps there: its sockets (server/ports.h, server/control_gate.h), the
// folder for mail that was handed in while it was down (server/offline_mail.h) and the
// configurations that mail waits for (server/action_archive.h).
inline bool IsSpoolName(std::string_view name) {
  for (const std::string_view exact :
       {"queue.db", "queue.db-wal", "queue.db-shm", "queue.db-journal", "queue.db-new",
        "queue.db-new-wal", "queue.db-new-shm", "queue.db-new-journal", "bodies", "lock", "recent",
        "rebuild", "submit.sock", "control.sock", "offline", "config", "key-id", "key-id.new",
        kProbeName}) {
    if (name == exact) return true;
  }
  return name.starts_with("damaged-") || name.starts_with("rebuild.");
}

}  // namespace postern::store
