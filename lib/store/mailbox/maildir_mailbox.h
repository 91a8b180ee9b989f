// MaildirMailbox: an opened mailbox of a Maildir. Not for users of the store.
//
// It is the snapshot that a session works on (maildir_mailbox.cc) and the changes that it makes
// (maildir_changes.cc, maildir_transfer.cc). Functions of the Mailbox interface take the account's
// lock; the private ones expect it to be held.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/store/mailbox/maildir_account.h"
#include "lib/store/mailbox/snapshot_mailbox.h"

namespace postern::mailbox {

// NamedBits are the keywords of `table` that have a name.
KeywordBits NamedBits(const KeywordTable& table);

class MaildirMailbox final : public SnapshotMailbox {
 public:
  MaildirMailbox(std::shared_ptr<MaildirAccount> account, std::string folder, std::string name,
                 bool read_only)
      : SnapshotMailbox(std::move(name), read_only),
        account_(std::move(account)),
        folder_(std::move(folder)) {}

  ~MaildirMailbox() override;

  Status Sync() override;
  StatusOr<StoreResult> StoreFlags(const UidSet& uids, const StoreRequest& request) override;
  StatusOr<UidSet> Expunge(const UidSet* uids) override;
  StatusOr<CopyResult> Copy(const UidSet& uids, const std::string& target) override;
  StatusOr<CopyResult> Move(const UidSet& uids, const std::string& target) override;
  StatusOr<std::unique_ptr<MessageContent>> OpenContent(uint32_t uid) override;
  std::optional<std::string> Cached(uint32_t uid, CacheKind kind) override;
  void PutCached(uint32_t uid, CacheKind kind, std::string_view text) override;

  // Start is the first Sync.
  Status Start();

 private:
  struct Pending {
    uint32_t uid;
    CacheKind kind;
    std::string text;
  };

  // Row is the folder's row, which must be what this session opened.
  StatusOr<FolderRow> Row();

  // SyncLocked is Sync; `publish`, when not null, is set when others are to hear of it.
  Status SyncLocked(bool* publish);

  // ScanNow scans in a transaction of its own. `doubt`: a file was not where the index has it, so
  // the directories are read whatever their times say.
  Status ScanNow(bool* publish, bool doubt = false);

  // Refresh brings the snapshot up to `row`.
  Status Refresh(const FolderRow& row);

  // StoreOne changes the flags of one message, of which `named` are the keywords with a name.
  Status StoreOne(FolderRow& row, MessageRow& message, const StoreRequest& request,
                  KeywordBits bits, KeywordBits named, uint64_t modseq, StoreResult& result);

  // RemoveFiles unlinks first and forgets then: after a crash in between a message is gone, and
  // never comes back as a new one.
  Status RemoveFiles(FolderRow& row, const std::vector<uint32_t>& uids, UidSet& removed);

  // Original is a message to be copied and where its file was.
  struct Original {
    uint32_t uid;
    std::string path;
  };
  struct Prepared;

  // Transfer is Copy or Move. Prepare is its work without the lock: it makes the originals durable,
  // or, where a file can have no second name in the target, stages copies of them (Stage).
  // TransferLocked is the rest, in one transaction; PlaceCopies the new names there, of which
  // `made` is told so that a failure can take them back.
  StatusOr<CopyResult> Transfer(const UidSet& uids, const std::string& target, bool move);
  Status Prepare(const std::vector<Original>& originals, const std::string& target_folder,
                 Prepared& prepared);
  Status Stage(const std::vector<Original>& originals, const std::string& target_folder,
               Prepared& prepared);
  StatusOr<CopyResult> TransferLocked(const std::vector<Original>& originals,
                                      const std::string& target_folder, bool move,
                                      Prepared& prepared);
  Status PlaceCopies(const std::vector<Original>& originals, Prepared& prepared, FolderRow& source,
                     FolderRow& to, const KeywordTable& from_table, KeywordTable& to_table,
                     CopyResult& result, std::vector<std::string>& made);
  Status PlaceCopy(uint32_t uid, const std::string& from, const std::string& to,
                   Prepared& prepared);
  // CopyOctets writes a second file, which is not durable yet. It leaves none behind when it fails.
  StatusOr<std::unique_ptr<rt::File>> CopyOctets(const std::string& from, const std::string& to);
  // NewTmpPath takes the lock.
  std::string NewTmpPath(const std::string& folder);

  // Serve gives the text of an open file, and puts right a size that was not counted by us.
  StatusOr<std::unique_ptr<MessageContent>> Serve(const FolderRow& row, MessageRow& message,
                                                  std::unique_ptr<rt::File> file);

  // FlushCache writes what PutCached has gathered.
  void FlushCache();

  std::shared_ptr<MaildirAccount> account_;
  const std::string folder_;
  std::set<uint32_t> recent_;
  std::vector<Pending> pending_;
};

}  // namespace postern::mailbox
