// MaildirAccount: what the store of one account and its opened mailboxes share. Not for users of
// the store.
//
// Every function here expects `mutex` to be held. Those that change rows expect a
// sqlite::Transaction on the index as well, and the FolderRow that they are given is the caller's
// to save.
#pragma once

#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/rt/durable_names.h"
#include "lib/rt/world.h"
#include "lib/store/mailbox/change_hub.h"
#include "lib/store/mailbox/maildir_index.h"
#include "lib/store/mailbox/maildir_store.h"

namespace postern::mailbox {

// IsDiskTrouble tells whether `status` says that a disk is full or read-only: what is there can be
// read all the same.
inline bool IsDiskTrouble(const Status& status) {
  return status.code() == StatusCode::kResourceExhausted ||
         status.code() == StatusCode::kPermissionDenied;
}

// UnlinkQuietly is for destructors: what stays behind because memory ran out is cleared from tmp/
// with the rest of it one day.
inline void UnlinkQuietly(rt::Files& files, const std::string& path) noexcept {
  try {
    (void)files.Unlink(path);
  } catch (const std::bad_alloc&) {
  }
}

// kLockedMark ends the name of a file in tmp/ that is locked for as long as somebody writes it.
inline constexpr std::string_view kLockedMark = ".locked";

class MaildirAccount {
 public:
  MaildirAccount(rt::Files& files_in, rt::Clock& clock_in, rt::Random& random_in,
                 std::string root_in, ChangeHub* hub_in, const MaildirStoreOptions& options_in)
      : files(files_in),
        clock(clock_in),
        random(random_in),
        root(std::move(root_in)),
        options(options_in),
        durable_names(options_in.durable_names != nullptr ? *options_in.durable_names : own_names_),
        hub(hub_in != nullptr ? *hub_in : own_hub_) {}

  rt::Files& files;
  rt::Clock& clock;
  rt::Random& random;
  const std::string root;
  const MaildirStoreOptions options;
  std::mutex mutex;
  std::unique_ptr<MaildirIndex> index;
  // durable_names is what is known to be on the disk.
  rt::DurableNames& durable_names;
  // trouble: why the disk cannot be written. Then `index` is a copy in memory, the mailboxes are
  // read-only, and UIDs that the copy does not know are given out only in `new_rows`, the mailboxes
  // that the index never had.
  Status trouble;
  std::set<int64_t> new_rows;

  // Paths.
  std::string FolderPath(const std::string& folder) const;
  std::string FilePath(const std::string& folder, const MessageRow& row) const;

  // MakeFolder makes a mailbox's directories. Those of all but INBOX ("") have durable names then,
  // and so have the directories on the way to them, whose maker may have died before the sync.
  Status MakeFolder(const std::string& folder);
  // SyncFolder makes the names in `part` ("/new", "/cur") of `folder` durable, and the way to it.
  Status SyncFolder(const std::string& folder, std::string_view part);
  // FindFolder gives the row of `folder`, made when the directory is there and the row is not.
  // kNotFound without a directory.
  StatusOr<FolderRow> FindFolder(const std::string& folder);
  // NextUidValidity issues a number that this account never had.
  StatusOr<uint32_t> NextUidValidity();

  // NeedsScan tells, at the cost of two looks at directories, whether something may have changed.
  // `claim` as in Scan.
  StatusOr<bool> NeedsScan(const FolderRow& row);

  // ScanResult: what a scan gave.
  struct ScanResult {
    bool changed = false;           // messages or flags
    std::vector<uint32_t> claimed;  // UIDs whose files were moved from new/ to cur/
  };
  // Scan takes in what the directories hold. With `claim` it moves the files of new/ to cur/, as a
  // mail reader does that has seen them (maildir(5)).
  StatusOr<ScanResult> Scan(FolderRow& row, bool claim);

  // KeywordsOf reads the table of a folder, dovecot-keywords included; AddKeywords adds names to
  // both.
  StatusOr<KeywordTable> KeywordsOf(const FolderRow& row);
  Status AddKeywords(const FolderRow& row, const std::vector<std::string>& names,
                     KeywordTable& table);

  // RemoveOldTmp removes from `folder`'s tmp/ what was left there longer than its lifetime
  // (maildir(5)), and what an APPEND of a killed process left.
  void RemoveOldTmp(const std::string& folder);

  // NewBase makes a file name that nobody has. `crlf_size` and `date_s` go into it where they are
  // given.
  std::string NewBase(std::optional<uint64_t> crlf_size, std::optional<int64_t> date_s);

  // AssignUid gives `row` the next UID and modseq; kResourceExhausted at the end of the numbers.
  Status AssignUid(FolderRow& row, MessageInfo& info);

  void Publish(const std::string& folder);

  // OwnChange brackets changes of a folder's directories that we make ourselves, so that they do
  // not cause a scan.
  class OwnChange {
   public:
    OwnChange(MaildirAccount& account, FolderRow& row);
    // Done records the new times if nobody else had changed the directories before we began.
    void Done();

   private:
    MaildirAccount& account_;
    FolderRow& row_;
    bool quiet_ = false;
  };

 private:
  struct Found {
    std::string name;
    bool in_new = false;
  };
  struct Times {
    int64_t new_ns = 0;
    int64_t cur_ns = 0;
    friend bool operator==(const Times&, const Times&) = default;
  };
  StatusOr<Times> TimesOf(const std::string& folder);
  int64_t NowNs() { return absl::ToUnixNanos(clock.WallNow()); }
  void Recheck(FolderRow& row, Duration later);
  Status ListInto(const std::string& folder, bool in_new, std::vector<Found>& found);
  StatusOr<bool> TakeIn(FolderRow& row, std::vector<Found>& found, bool whole,
                        std::vector<MessageRow>& missing);
  Status Arrive(FolderRow& row, std::vector<Found*>& arrivals);
  Status Renumber(FolderRow& row);
  StatusOr<uint64_t> CrlfSizeOf(const std::string& path);
  Status LoadKeywordFile(const FolderRow& row, KeywordTable& table);

  rt::DurableNames own_names_;
  ChangeHub own_hub_;

 public:
  ChangeHub& hub;
};

// MakeMaildirMailbox opens `folder` (which FindFolder found); MakeMaildirAppender starts an APPEND
// to it. Both take the lock.
StatusOr<std::unique_ptr<Mailbox>> MakeMaildirMailbox(std::shared_ptr<MaildirAccount> account,
                                                      std::string folder, std::string name,
                                                      bool read_only);
std::unique_ptr<Appender> MakeMaildirAppender(std::shared_ptr<MaildirAccount> account,
                                              std::string folder);

// MakeMaildirContent serves an open file whose canonical size is known.
std::unique_ptr<MessageContent> MakeMaildirContent(std::unique_ptr<rt::File> file,
                                                   uint64_t file_bytes, uint64_t crlf_bytes);

// CountCrlf reads a file through and returns its size with CRLF line ends.
StatusOr<uint64_t> CountCrlf(rt::File& file);

}  // namespace postern::mailbox
