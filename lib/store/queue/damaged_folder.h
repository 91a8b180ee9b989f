// Where a damaged queue is put aside: a folder of the spool, spool/damaged-TIME. For
// spool_rebuild.h.
#pragma once

#include <string>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/rt/files.h"

namespace postern::store {

// DamagedFolder finds the folder of an unfinished rebuild, which the file `marker` names, or makes
// a new one and says so durably. Blocks.
StatusOr<std::string> DamagedFolder(rt::Files& files, const std::string& spool,
                                    const std::string& marker, WallTime now);

// PutDatabaseAside moves the files that SQLite knows into `folder`. The new database gets its name
// only after the old one has left it, so a database beside one that is in the folder already is the
// new one. Blocks.
Status PutDatabaseAside(rt::Files& files, const std::string& spool, const std::string& folder);

}  // namespace postern::store
