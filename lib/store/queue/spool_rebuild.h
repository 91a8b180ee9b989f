// What happens to a queue whose database is damaged: it is put aside, and a new one is made of what
// can be read of it.
//
// Nothing is deleted: `spool/damaged-<time>/` gets the database, its log, the texts that nobody
// claims, and `report.txt`, which says what was found and what became of each message that is not
// as it was. The log names the same messages. A crash anywhere is made good by the next start: the
// file `spool/rebuild` stands from before the first file is moved until the new queue has its name.
#pragma once

#include <string>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/queue/envelope.h"
#include "lib/rt/files.h"
#include "lib/store/queue/queue.h"

namespace postern::store {

// RebuildIsUnfinished tells whether a rebuild was begun and its end is not known.
bool RebuildIsUnfinished(rt::Files& files, const std::string& spool);

struct RebuildRequest {
  std::string reason;                 // what is wrong, for the report
  std::vector<std::string> findings;  // what SQLite's own check said, if it was asked
  WallTime now;
  // starting: nobody is putting new texts into `spool/bodies`, so all that no message claims are
  // put aside; otherwise only those that a lost message owned.
  bool starting = true;
};

// RebuildSpool puts the files aside and makes the new database; nobody has the old one open. It
// goes on with an unfinished rebuild when there is one. After an error (no room, a broken disk) it
// is unfinished: call again. Blocks, for as long as it takes to read the old database once.
Status RebuildSpool(rt::Files& files, LogSink& log, const std::string& spool,
                    const QueueOptions& options, const RebuildRequest& request);

}  // namespace postern::store
