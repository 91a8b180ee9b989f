// MaildirBatch: many messages into many Maildirs, made durable together.
//
// Each message is written to tmp/ under a name made of its queue id, so that no two attempts at one
// delivery can have different names. Then, for all of them: the kernel is asked to begin writing,
// each file is synced (one commit of the file system's journal serves them all), each is renamed
// into new/, and each new/ that changed is synced once; before the first delivery to a folder, the
// names on the way to it as well, as whoever made it may not have come to that. Only then does any
// of them count as delivered; the queue has kept its copy so far.
//
// An attempt that may not be the first looks for its name in every folder of the account, in new/
// and cur/, where a mail program may have moved it: what is found there was delivered before a
// crash and is not delivered again.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/rt/durable_names.h"
#include "lib/rt/files.h"
#include "lib/service/deliver/local_target.h"
#include "lib/store/queue/queue.h"

namespace postern::deliver {

// Delivery is one message for one mailbox.
struct Delivery {
  const queue::Envelope* envelope = nullptr;
  std::shared_ptr<const store::Body> body;
  LocalTarget target;
  rt::Files* files = nullptr;  // with the rights of the account
  // has_headers: `body` has been through a wrapper, which was given the headers of final delivery
  // above it; all but Return-Path stay as it left them.
  bool has_headers = false;
  // names_known: an earlier delivery made the names of target.path and of all above it durable.
  // (helper_jobs.h)
  bool names_known = false;
  Status outcome;  // set by the batch
};

// HeadersOf gives what is written above the body of `delivery`.
std::string HeadersOf(const Delivery& delivery);

// MaildirName is the name of `envelope`'s file up to its size: "<created>.Q<id>.<host>". Octets of
// the host name that a Maildir name cannot have are written as \057 and \072.
std::string MaildirName(const queue::Envelope& envelope, const std::string& host_name);

// IsSafeFolderName tells whether a sub-address may name a folder: no slash, no control octet, no
// dot at the start or the end.
bool IsSafeFolderName(std::string_view name);

class MaildirBatch {
 public:
  // `names` is what all batches of a process know in common; it outlives them. `mark`, if not
  // empty, is of this attempt alone and part of the names in tmp/: an attempt that was given up may
  // not have ended yet, and must not take the file of this one for its own.
  MaildirBatch(std::string host_name, rt::DurableNames* names, std::string mark = "")
      : host_name_(std::move(host_name)), names_(names), mark_(std::move(mark)) {}

  // Deliver attempts each of `deliveries`, which are for Maildirs, and sets its outcome. Blocks.
  void Deliver(const std::vector<Delivery*>& deliveries);

 private:
  struct Item {
    Delivery* delivery = nullptr;
    std::string folder;      // the Maildir or one of its subfolders
    std::string temporary;   // full path in tmp/
    std::string final_path;  // full path in new/
    std::unique_ptr<rt::File> file;
    uint64_t device = 0;
  };
  // Folder is a Maildir that got a new name; its account's rights are needed to sync it.
  struct Folder {
    rt::Files* files = nullptr;
    uint64_t device = 0;
    Status synced;
  };

  void SyncFiles(std::vector<Item>& items);
  void SyncFolders(std::map<std::string, Folder>& folders);
  Status Prepare(Item& item);
  Status Write(Item& item);
  Status OpenTemporary(Item& item, const std::string& name);
  // RemoveEarlierTemporaries takes away what attempts with other marks left in tmp/: one that still
  // goes on then has nothing to rename.
  void RemoveEarlierTemporaries(rt::Files& files, const std::string& folder,
                                const std::string& name);
  Status MakeFolder(rt::Files& files, const std::string& folder);
  // ShowJunk makes the folder Junk, so that it can be seen before mail comes to it.
  void ShowJunk(const Delivery& delivery);
  StatusOr<std::string> ChooseFolder(const Delivery& delivery);
  // FindEarlier tells in which directory an earlier attempt left this delivery; "" when there is
  // none.
  StatusOr<std::string> FindEarlier(const Delivery& delivery);

  const std::string host_name_;
  rt::DurableNames* const names_;
  const std::string mark_;
  // By device, the first file of the batch: it is what SyncFileSystem is asked of.
  std::map<uint64_t, std::unique_ptr<rt::File>> witnesses_;
  std::set<std::string> junk_seen_;  // folders of ShowJunk
  // What was found in each Maildir, by "Q<id>": read once for a batch, and only when an attempt may
  // not be the first.
  std::map<std::string, std::map<std::string, std::string>> earlier_;
};

}  // namespace postern::deliver
