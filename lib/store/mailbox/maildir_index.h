// MaildirIndex: what one account's SQLite file remembers about its Maildir. The SQL of the Maildir
// store, all of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mailbox/mailbox.h"
#include "lib/rt/files.h"
#include "lib/store/sqlite/database.h"

namespace postern::mailbox {

// FolderRow is one mailbox. Times are of the directories as they were when last taken in, in ns
// since 1970; 0: never.
struct FolderRow {
  int64_t id = 0;
  std::string folder;  // "" is INBOX
  uint32_t uid_validity = 0;
  uint32_t uid_next = 1;
  uint64_t highest_modseq = 1;
  // Removals up to this modseq are not on record any more: who is older must read all.
  uint64_t vanished_floor = 0;
  int64_t new_time_ns = 0;
  int64_t cur_time_ns = 0;
  // When to look again although the times say that nothing changed (a change within the clock's
  // grain); 0: no need.
  int64_t recheck_ns = 0;
};

// MessageRow is one message and the name of its file.
struct MessageRow {
  MessageInfo info;  // without `recent`
  std::string base;
  std::string suffix;  // ":2,S"
  bool in_new = false;
};

// MaildirIndex is one connection; one thread at a time. Calls that change rows stand inside a
// sqlite::Transaction on database().
class MaildirIndex {
 public:
  // Open opens or makes `path`. A damaged index is moved aside (to `path`.broken) and a new one
  // begun: new UIDVALIDITYs follow.
  static StatusOr<std::unique_ptr<MaildirIndex>> Open(rt::Files& files, const std::string& path,
                                                      int busy_timeout_ms);

  // OpenCopy is a copy in memory of what `path` holds, for a disk that cannot be written: changes
  // to it are lost.
  static StatusOr<std::unique_ptr<MaildirIndex>> OpenCopy(rt::Files& files,
                                                          const std::string& path);

  sqlite::Database& database() { return *database_; }

  StatusOr<std::optional<FolderRow>> FindFolder(const std::string& folder);
  StatusOr<std::vector<FolderRow>> Folders();
  // AddFolder fills in `row.id`.
  Status AddFolder(FolderRow& row);
  Status SaveFolder(const FolderRow& row);
  Status RenameFolder(int64_t id, const std::string& folder);
  // DeleteFolder removes the folder and all that hangs on it; DeleteMessages all but the folder.
  Status DeleteFolder(int64_t id);
  Status DeleteMessages(int64_t id);

  StatusOr<std::optional<MessageRow>> FindUid(int64_t folder, uint32_t uid);
  StatusOr<std::optional<MessageRow>> FindBase(int64_t folder, std::string_view base);
  // All lists the messages by rising UID; InNew those whose file is in new/.
  StatusOr<std::vector<MessageRow>> All(int64_t folder);
  StatusOr<std::vector<MessageRow>> InNew(int64_t folder);
  // EachInfo calls `visit` for each message with a modseq above `since`, by rising UID when `since`
  // is 0; `in_new` goes with it.
  Status EachInfo(int64_t folder, uint64_t since,
                  const std::function<void(const MessageInfo&, bool in_new)>& visit);
  // Put adds or replaces a message.
  Status Put(int64_t folder, const MessageRow& row);
  // Remove forgets a message and records its removal under `modseq`.
  Status Remove(int64_t folder, uint32_t uid, uint64_t modseq);
  // Vanished gives the UIDs removed after `since`.
  StatusOr<UidSet> Vanished(int64_t folder, uint64_t since);
  // TrimVanished drops all but the newest `keep` removals and raises row.vanished_floor.
  Status TrimVanished(FolderRow& row, size_t keep);

  StatusOr<KeywordTable> Keywords(int64_t folder);
  Status SetKeyword(int64_t folder, size_t bit, std::string_view name);

  // Totals fills in the counts of STATUS.
  Status Totals(int64_t folder, MailboxStatus& status);

  StatusOr<std::optional<std::string>> Cached(int64_t folder, uint32_t uid, CacheKind kind);
  Status PutCached(int64_t folder, uint32_t uid, CacheKind kind, std::string_view text);

 private:
  MaildirIndex() = default;
  // Get prepares the statement at its first use. The result is reset and stays the index's.
  StatusOr<sqlite::Statement*> Get(size_t which);

  std::unique_ptr<sqlite::Database> database_;
  std::vector<std::optional<sqlite::Statement>> statements_;
};

}  // namespace postern::mailbox
