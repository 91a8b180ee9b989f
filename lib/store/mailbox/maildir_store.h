// MaildirStore: the mailboxes of one account in a Maildir++ (INBOX is the root, ".Work.Reports" the
// mailbox "Work.Reports"), as Dovecot and OpenSMTPD lay it out and mutt and others use it at the
// same time.
//
// Who is the authority for what:
//   - that a message exists, and its system flags: the files and their names. Other programs may
//   add, move, rename and remove
//     them; Sync takes it in. The part of a name before ':' identifies the message.
//   - keywords: the letters a..z of the name, named by Dovecot's file dovecot-keywords, for the
//   first 26; the index for the rest.
//   - UIDs, UIDVALIDITY, modseqs, dates and sizes: the index (`postern.index`, SQLite). When it is
//   lost it is made anew from the
//     files, with new UIDVALIDITYs; the last one issued is also in `postern.uidvalidity`, so none
//     is ever used twice.
//   - subscriptions: Dovecot's file `subscriptions`.
// Files are written with LF and served with CRLF; sizes are of the latter. A size in a name (",W=")
// is believed.
//
// Durability: APPEND, COPY and MOVE return after file, directory and index are synced. Flags are in
// the index durably, in the name as soon as the file system writes it: after a power cut the last
// moments' flag changes may be undone.
//
// Several sessions of one process share a store or have their own; several processes may work on
// one account: UIDs are handed out under the index's write lock.
#pragma once

#include <memory>
#include <string>

#include "lib/core/mailbox/mailbox.h"
#include "lib/rt/durable_names.h"
#include "lib/rt/world.h"
#include "lib/store/mailbox/change_hub.h"

namespace postern::mailbox {

struct MaildirStoreOptions {
  NameLimits name_limits;
  size_t max_mailboxes = 10000;
  // Most files that are looked at in one mailbox; more are left alone.
  size_t max_messages = 1000000;
  // Largest message that APPEND takes.
  uint64_t max_message_bytes = uint64_t{256} << 20;
  // How long a call waits for another process that holds the index; after it, kUnavailable.
  int busy_timeout_ms = 5000;
  // Removals kept on record for other sessions and QRESYNC.
  size_t max_vanished = 10000;
  // A directory that changed less than this before we looked is looked at again this much later,
  // because a file system's clock may give two changes one time.
  Duration recheck_after_scan = absl::Milliseconds(20);
  Duration recheck_after_own_change = absl::Milliseconds(500);
  // Files in tmp/ older than this are somebody's leftovers and are removed (maildir(5): 36 hours).
  Duration tmp_lifetime = absl::Hours(36);
  // Those of an APPEND are locked by who writes them: without the lock they are the leftovers of a
  // process that was killed, unless they were made less than this ago and the lock is yet to come.
  Duration lock_settles = absl::Seconds(1);
  // What all stores of a process know to be on the disk, so that each does not sync the way to its
  // mailboxes anew; null: the store's own. It outlives the store.
  rt::DurableNames* durable_names = nullptr;
};

// OpenMaildirStore opens the account whose Maildir is `root` (no trailing slash), making what is
// missing; on a disk that is full or read-only it opens it for reading. `files` already acts as the
// account's user (rt::Files::As). `hub` may be null: then only sessions of this store hear of each
// other's changes. All references outlive the store and what it hands out.
StatusOr<std::unique_ptr<MailStore>> OpenMaildirStore(rt::Files& files, rt::Clock& clock,
                                                      rt::Random& random, const std::string& root,
                                                      ChangeHub* hub = nullptr,
                                                      const MaildirStoreOptions& options = {});

}  // namespace postern::mailbox
