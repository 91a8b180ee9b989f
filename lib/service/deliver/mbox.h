// Appending to an mbox, once.
//
// The file is locked as Debian's mail programs do (Debian Policy §11.6): PATH.lock (removed when
// older than fifteen minutes), fcntl and flock, each without waiting. Text is appended, then
// synced; a failure cuts the file back to where it was.
//
// Exactly once: the message carries its queue id in a header, X-Postern-Queue-Id, and its text is
// the same in every attempt. An attempt that may not be the first looks for that header. Found, and
// the text behind it is whole, or was changed by a mail program since: delivered. Found as the last
// thing in the file and broken off (by a crash): cut off and written anew.
#pragma once

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/rt/durable_names.h"
#include "lib/rt/files.h"
#include "lib/service/deliver/maildir_batch.h"

namespace postern::deliver {

// AppendToMbox delivers `delivery` to the file delivery.target.path. `own_files` is the file system
// with the server's own rights: in the system's mail spool they make the mailbox and PATH.lock,
// elsewhere they are not used. `now` is wall time. kUnavailable when somebody else has the lock.
// `names` is what all deliveries of a process know in common. Blocks.
Status AppendToMbox(const Delivery& delivery, rt::Files& own_files, WallTime now,
                    rt::DurableNames* names);

}  // namespace postern::deliver
