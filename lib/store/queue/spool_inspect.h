// What speaks against a queue's database before SQLite opens it.
#pragma once

#include <string>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/queue/envelope.h"
#include "lib/rt/files.h"

namespace postern::store {

struct SpoolInspection {
  // damage is why the database cannot be used as it is: IsCorrupt, or what kept its files from
  // being read. OkStatus when nothing of what is looked at speaks against it: the header, the log,
  // and that it is there at all.
  Status damage;
  // torn: messages in a last transaction that is not whole. Nobody was promised them, unless the
  // log was damaged there.
  std::vector<queue::MessageId> torn;
};

// InspectSpool looks at the database in `spool` before SQLite does, which passes over some kinds of
// damage without a word. Blocks; reads a page and the log.
SpoolInspection InspectSpool(rt::Files& files, const std::string& spool);

}  // namespace postern::store
