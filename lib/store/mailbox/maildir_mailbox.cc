// An opened mailbox of a Maildir: the snapshot that a session works on, and the changes it makes.

#include <algorithm>
#include <set>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_account.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

// Cached texts are written in batches: each transaction costs a sync.
constexpr size_t kMaxPendingCache = 256;

class MaildirMailbox final : public Mailbox {
 public:
  MaildirMailbox(std::shared_ptr<MaildirAccount> account, std::string folder, std::string name,
                 bool read_only)
      : account_(std::move(account)),
        folder_(std::move(folder)),
        name_(std::move(name)),
        read_only_(read_only) {}

  ~MaildirMailbox() override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    FlushCache();
  }

  const std::string& name() const override { return name_; }
  bool read_only() const override { return read_only_; }
  uint32_t uid_validity() const override { return uid_validity_; }
  uint32_t uid_next() const override { return uid_next_; }
  uint64_t highest_modseq() const override { return highest_modseq_; }
  std::span<const MessageInfo> messages() const override { return messages_; }
  const KeywordTable& keywords() const override { return keywords_; }
  uint64_t generation() const override { return generation_; }

  Status Sync() override {
    bool publish = false;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      FlushCache();
      POSTERN_RETURN_IF_ERROR(SyncLocked(&publish));
    }
    if (publish) account_->Publish(folder_);
    return OkStatus();
  }

  StatusOr<StoreResult> StoreFlags(const UidSet& uids, const StoreRequest& request) override {
    if (read_only_) return PermissionDenied("the mailbox is open read-only");
    StoreResult result;
    Status first_error = OkStatus();
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      StatusOr<FolderRow> row = Row();
      if (!row.ok()) return row.status();
      sqlite::Transaction transaction(account_->index->database());
      POSTERN_RETURN_IF_ERROR(transaction.begun());
      row = Row();
      if (!row.ok()) return row.status();
      StatusOr<KeywordTable> table = account_->KeywordsOf(*row);
      if (!table.ok()) return table.status();
      if (request.change != FlagChange::kRemove) {
        POSTERN_RETURN_IF_ERROR(account_->AddKeywords(*row, request.flags.keywords, *table));
      }
      const KeywordBits bits = table->BitsOf(request.flags);
      const KeywordBits named = NamedBits(*table);
      MaildirAccount::OwnChange own(*account_, *row);
      const uint64_t modseq = row->highest_modseq + 1;
      for (const uint32_t uid : KnownOf(uids)) {
        StatusOr<std::optional<MessageRow>> message = account_->index->FindUid(row->id, uid);
        if (!message.ok()) return message.status();
        if (!*message) {
          result.gone.Add(uid);
          continue;
        }
        const Status stored = StoreOne(*row, **message, request, bits, named, modseq, result);
        if (!stored.ok() && first_error.ok()) first_error = stored;
      }
      if (!result.changed.empty()) row->highest_modseq = modseq;
      own.Done();
      POSTERN_RETURN_IF_ERROR(account_->index->SaveFolder(*row));
      POSTERN_RETURN_IF_ERROR(transaction.Commit());
      POSTERN_RETURN_IF_ERROR(Refresh(*row));
    }
    if (!result.changed.empty()) account_->Publish(folder_);
    if (!first_error.ok()) return first_error;
    return result;
  }

  StatusOr<UidSet> Expunge(const UidSet* uids) override {
    if (read_only_) return PermissionDenied("the mailbox is open read-only");
    UidSet removed;
    Status first_error = OkStatus();
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      sqlite::Transaction transaction(account_->index->database());
      POSTERN_RETURN_IF_ERROR(transaction.begun());
      StatusOr<FolderRow> row = Row();
      if (!row.ok()) return row.status();
      std::vector<uint32_t> deleted;
      POSTERN_RETURN_IF_ERROR(
          account_->index->EachInfo(row->id, 0, [&](const MessageInfo& info, bool) {
            if ((info.flags & kDeleted) != 0 && (uids == nullptr || uids->Contains(info.uid)))
              deleted.push_back(info.uid);
          }));
      if (deleted.empty()) return removed;
      first_error = RemoveFiles(*row, deleted, removed);
      POSTERN_RETURN_IF_ERROR(account_->index->SaveFolder(*row));
      POSTERN_RETURN_IF_ERROR(transaction.Commit());
      POSTERN_RETURN_IF_ERROR(Refresh(*row));
    }
    if (!removed.empty()) account_->Publish(folder_);
    if (!first_error.ok()) return first_error;
    return removed;
  }

  StatusOr<CopyResult> Copy(const UidSet& uids, const std::string& target) override {
    return Transfer(uids, target, false);
  }
  StatusOr<CopyResult> Move(const UidSet& uids, const std::string& target) override {
    if (read_only_) return PermissionDenied("the mailbox is open read-only");
    return Transfer(uids, target, true);
  }

  StatusOr<std::unique_ptr<MessageContent>> OpenContent(uint32_t uid) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<FolderRow> row = Row();
    if (!row.ok()) return row.status();
    for (int attempt = 0;; ++attempt) {
      StatusOr<std::optional<MessageRow>> message = account_->index->FindUid(row->id, uid);
      if (!message.ok()) return message.status();
      if (!*message) return NotFound("the message is gone");
      StatusOr<std::unique_ptr<rt::File>> file =
          account_->files.Open(account_->FilePath(folder_, **message), {});
      if (file.ok()) return Serve(*row, **message, std::move(*file));
      if (file.status().code() != StatusCode::kNotFound || attempt > 1) return file.status();
      // It was renamed or removed since the last look.
      POSTERN_RETURN_IF_ERROR(ScanNow(nullptr, true));
    }
  }

  std::optional<std::string> Cached(uint32_t uid, CacheKind kind) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    for (const Pending& pending : pending_) {
      if (pending.uid == uid && pending.kind == kind) return pending.text;
    }
    const StatusOr<FolderRow> row = Row();
    if (!row.ok()) return std::nullopt;
    StatusOr<std::optional<std::string>> text = account_->index->Cached(row->id, uid, kind);
    if (!text.ok()) return std::nullopt;
    return std::move(*text);
  }

  void PutCached(uint32_t uid, CacheKind kind, std::string_view text) override {
    pending_.push_back({uid, kind, std::string(text)});
    if (pending_.size() < kMaxPendingCache) return;
    const std::lock_guard<std::mutex> lock(account_->mutex);
    FlushCache();
  }

  // Start is the first Sync.
  Status Start() {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    if (!read_only_) RemoveOldTmp();
    return SyncLocked(nullptr);
  }

 private:
  struct Pending {
    uint32_t uid;
    CacheKind kind;
    std::string text;
  };

  // Row is the folder's row, which must be what this session opened.
  StatusOr<FolderRow> Row() {
    StatusOr<std::optional<FolderRow>> row = account_->index->FindFolder(folder_);
    if (!row.ok()) return row.status();
    if (!*row) return NotFound("the mailbox was deleted");
    if (uid_validity_ != 0 && (**row).uid_validity != uid_validity_) {
      return FailedPrecondition("the mailbox has new UIDs; select it again");
    }
    return std::move(**row);
  }

  std::vector<uint32_t> KnownOf(const UidSet& uids) const {
    std::vector<uint32_t> known;
    for (const UidRange& range : uids.ranges()) {
      auto at = std::lower_bound(messages_.begin(), messages_.end(), range.first,
                                 [](const MessageInfo& m, uint32_t uid) { return m.uid < uid; });
      for (; at != messages_.end() && at->uid <= range.last; ++at) known.push_back(at->uid);
    }
    return known;
  }

  static KeywordBits NamedBits(const KeywordTable& table) {
    KeywordBits named = 0;
    for (size_t bit = 0; bit < table.names().size(); ++bit) {
      if (!table.names()[bit].empty()) named |= KeywordBits{1} << bit;
    }
    return named;
  }

  Status SyncLocked(bool* publish) {
    StatusOr<FolderRow> row = account_->FindFolder(folder_);
    if (!row.ok()) return row.status();
    StatusOr<bool> needed = account_->NeedsScan(*row);
    if (!needed.ok() && needed.status().code() == StatusCode::kNotFound) {
      // The folder is there but new/ or cur/ is not.
      POSTERN_RETURN_IF_ERROR(account_->MakeFolder(folder_));
      needed = true;
    }
    if (!needed.ok()) return needed.status();
    if (!*needed && !read_only_) {
      const StatusOr<std::vector<MessageRow>> fresh = account_->index->InNew(row->id);
      if (!fresh.ok()) return fresh.status();
      needed = !fresh->empty();
    }
    if (*needed) {
      const Status scanned = ScanNow(publish);
      // On a disk that cannot be written just now the mailbox stays as it was last known.
      if (!scanned.ok() && !IsDiskTrouble(scanned)) return scanned;
    }
    row = Row();
    if (!row.ok()) return row.status();
    return Refresh(*row);
  }

  // ScanNow scans in a transaction of its own. `doubt`: a file was not where the index has it, so
  // the directories are read whatever their times say.
  Status ScanNow(bool* publish, bool doubt = false) {
    sqlite::Transaction transaction(account_->index->database());
    POSTERN_RETURN_IF_ERROR(transaction.begun());
    StatusOr<FolderRow> row = Row();
    if (!row.ok()) return row.status();
    if (doubt) row->recheck_ns = 1;
    const StatusOr<MaildirAccount::ScanResult> scanned = account_->Scan(*row, !read_only_);
    if (!scanned.ok()) return scanned.status();
    POSTERN_RETURN_IF_ERROR(account_->index->SaveFolder(*row));
    POSTERN_RETURN_IF_ERROR(transaction.Commit());
    recent_.insert(scanned->claimed.begin(), scanned->claimed.end());
    if (publish != nullptr) *publish = scanned->changed;
    return OkStatus();
  }

  // Refresh brings the snapshot up to `row`.
  Status Refresh(const FolderRow& row) {
    if (generation_ != 0 && row.highest_modseq == highest_modseq_ && row.uid_next == uid_next_)
      return OkStatus();
    StatusOr<KeywordTable> table = account_->KeywordsOf(row);
    if (!table.ok()) return table.status();
    const auto as_seen = [this](const MessageInfo& info, bool in_new) {
      MessageInfo seen = info;
      seen.recent = read_only_ ? in_new : recent_.contains(info.uid);
      return seen;
    };
    if (generation_ == 0 || highest_modseq_ < row.vanished_floor) {
      messages_.clear();
      POSTERN_RETURN_IF_ERROR(
          account_->index->EachInfo(row.id, 0, [&](const MessageInfo& info, bool in_new) {
            messages_.push_back(as_seen(info, in_new));
          }));
    } else {
      const StatusOr<UidSet> vanished = account_->index->Vanished(row.id, highest_modseq_);
      if (!vanished.ok()) return vanished.status();
      if (!vanished->empty()) {
        std::erase_if(messages_,
                      [&](const MessageInfo& message) { return vanished->Contains(message.uid); });
        std::erase_if(recent_, [&](uint32_t uid) { return vanished->Contains(uid); });
      }
      std::vector<MessageInfo> changed;
      POSTERN_RETURN_IF_ERROR(account_->index->EachInfo(
          row.id, highest_modseq_,
          [&](const MessageInfo& info, bool in_new) { changed.push_back(as_seen(info, in_new)); }));
      std::sort(changed.begin(), changed.end(),
                [](const MessageInfo& a, const MessageInfo& b) { return a.uid < b.uid; });
      const uint32_t last = messages_.empty() ? 0 : messages_.back().uid;
      for (const MessageInfo& info : changed) {
        if (info.uid > last) {
          messages_.push_back(info);
          continue;
        }
        const auto at =
            std::lower_bound(messages_.begin(), messages_.end(), info.uid,
                             [](const MessageInfo& m, uint32_t uid) { return m.uid < uid; });
        if (at != messages_.end() && at->uid == info.uid) {
          *at = info;
        } else {
          messages_.insert(at, info);
        }
      }
    }
    uid_validity_ = row.uid_validity;
    uid_next_ = row.uid_next;
    highest_modseq_ = row.highest_modseq;
    keywords_ = std::move(*table);
    ++generation_;
    return OkStatus();
  }

  Status StoreOne(FolderRow& row, MessageRow& message, const StoreRequest& request,
                  KeywordBits bits, KeywordBits named, uint64_t modseq, StoreResult& result) {
    for (int attempt = 0;; ++attempt) {
      if (request.unchanged_since && message.info.modseq > *request.unchanged_since) {
        result.modified.Add(message.info.uid);
        return OkStatus();
      }
      MessageRow changed = message;
      switch (request.change) {
        case FlagChange::kReplace:
          changed.info.flags = request.flags.system;
          changed.info.keywords = bits;
          break;
        case FlagChange::kAdd:
          changed.info.flags |= request.flags.system;
          changed.info.keywords |= bits;
          break;
        case FlagChange::kRemove:
          changed.info.flags = static_cast<SystemFlags>(changed.info.flags & ~request.flags.system);
          changed.info.keywords &= ~bits;
          break;
      }
      if (changed.info == message.info) return OkStatus();
      changed.suffix = FormatSuffix(message.suffix, changed.info.flags,
                                    changed.info.keywords & kLetterKeywords, named);
      changed.in_new = false;
      changed.info.modseq = modseq;
      if (changed.suffix != message.suffix || message.in_new) {
        const Status renamed = account_->files.Rename(account_->FilePath(folder_, message),
                                                      account_->FilePath(folder_, changed));
        if (renamed.code() == StatusCode::kNotFound && attempt == 0) {
          // Another program was at it: see what it did, then do ours on top.
          row.recheck_ns = 1;
          const StatusOr<MaildirAccount::ScanResult> scanned = account_->Scan(row, false);
          if (!scanned.ok()) return scanned.status();
          StatusOr<std::optional<MessageRow>> again =
              account_->index->FindUid(row.id, message.info.uid);
          if (!again.ok()) return again.status();
          if (!*again) {
            result.gone.Add(message.info.uid);
            return OkStatus();
          }
          message = std::move(**again);
          continue;
        }
        POSTERN_RETURN_IF_ERROR(renamed);
      }
      POSTERN_RETURN_IF_ERROR(account_->index->Put(row.id, changed));
      result.changed.Add(message.info.uid);
      return OkStatus();
    }
  }

  // RemoveFiles unlinks first and forgets then: after a crash in between a message is gone, and
  // never comes back as a new one.
  Status RemoveFiles(FolderRow& row, const std::vector<uint32_t>& uids, UidSet& removed) {
    Status first_error = OkStatus();
    MaildirAccount::OwnChange own(*account_, row);
    for (const uint32_t uid : uids) {
      StatusOr<std::optional<MessageRow>> message = account_->index->FindUid(row.id, uid);
      if (!message.ok()) return message.status();
      if (!*message) continue;
      Status unlinked = account_->files.Unlink(account_->FilePath(folder_, **message));
      if (unlinked.code() == StatusCode::kNotFound) {
        // Renamed, perhaps: a message that only got another flag is still to be removed.
        row.recheck_ns = 1;
        const StatusOr<MaildirAccount::ScanResult> scanned = account_->Scan(row, false);
        if (!scanned.ok()) return scanned.status();
        message = account_->index->FindUid(row.id, uid);
        if (!message.ok()) return message.status();
        if (!*message) {
          removed.Add(uid);
          continue;
        }
        unlinked = account_->files.Unlink(account_->FilePath(folder_, **message));
      }
      if (!unlinked.ok()) {
        if (first_error.ok()) first_error = unlinked;
        continue;
      }
      removed.Add(uid);
    }
    if (removed.empty()) return first_error;
    for (const char* part : {"/cur", "/new"}) {
      POSTERN_RETURN_IF_ERROR(account_->files.SyncDirectory(account_->FolderPath(folder_) + part));
    }
    ++row.highest_modseq;
    for (const uint32_t uid : removed.Numbers()) {
      POSTERN_RETURN_IF_ERROR(account_->index->Remove(row.id, uid, row.highest_modseq));
    }
    POSTERN_RETURN_IF_ERROR(account_->index->TrimVanished(row, account_->options.max_vanished));
    own.Done();
    return first_error;
  }

  StatusOr<CopyResult> Transfer(const UidSet& uids, const std::string& target, bool move) {
    if (!account_->trouble.ok()) return account_->trouble;
    const StatusOr<std::string> canonical =
        CanonicalName(target, '.', account_->options.name_limits);
    if (!canonical.ok()) return canonical.status();
    const std::string target_folder = FolderOfName(*canonical);
    CopyResult result;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      const StatusOr<FolderRow> found = account_->FindFolder(target_folder);
      if (!found.ok()) return found.status();
      StatusOr<CopyResult> copied = TransferLocked(uids, target_folder, move);
      if (!copied.ok()) return copied;
      result = std::move(*copied);
    }
    if (!result.source.empty()) {
      account_->Publish(target_folder);
      if (move) account_->Publish(folder_);
    }
    return result;
  }

  StatusOr<CopyResult> TransferLocked(const UidSet& uids, const std::string& target_folder,
                                      bool move) {
    MaildirIndex& index = *account_->index;
    sqlite::Transaction transaction(index.database());
    POSTERN_RETURN_IF_ERROR(transaction.begun());
    StatusOr<FolderRow> source = Row();
    if (!source.ok()) return source.status();
    // A copy into the mailbox itself works on one row.
    const bool same = target_folder == folder_;
    StatusOr<std::optional<FolderRow>> found = index.FindFolder(target_folder);
    if (!found.ok()) return found.status();
    if (!*found) return NotFound("no such mailbox");
    FolderRow& to = same ? *source : **found;

    const StatusOr<KeywordTable> from_table = account_->KeywordsOf(*source);
    if (!from_table.ok()) return from_table.status();
    StatusOr<KeywordTable> to_table = account_->KeywordsOf(to);
    if (!to_table.ok()) return to_table.status();

    MaildirAccount::OwnChange own(*account_, to);
    CopyResult result;
    result.uid_validity = to.uid_validity;
    std::vector<std::string> made;
    const Status copied = CopyFiles(uids, *source, to, *from_table, *to_table, result, made);
    if (!copied.ok()) {
      for (const std::string& path : made) (void)account_->files.Unlink(path);
      return copied;
    }
    if (result.source.empty()) return result;
    own.Done();
    if (move) {
      UidSet removed;
      const Status unlinked = RemoveFiles(*source, result.source, removed);
      // What could not be removed is in both mailboxes now.
      if (!unlinked.ok() && removed.empty()) return unlinked;
    }
    POSTERN_RETURN_IF_ERROR(index.SaveFolder(*source));
    if (!same) POSTERN_RETURN_IF_ERROR(index.SaveFolder(to));
    POSTERN_RETURN_IF_ERROR(transaction.Commit());
    POSTERN_RETURN_IF_ERROR(Refresh(*source));
    return result;
  }

  Status CopyFiles(const UidSet& uids, FolderRow& source, FolderRow& to,
                   const KeywordTable& from_table, KeywordTable& to_table, CopyResult& result,
                   std::vector<std::string>& made) {
    ++to.highest_modseq;
    for (const uint32_t uid : KnownOf(uids)) {
      StatusOr<std::optional<MessageRow>> message = account_->index->FindUid(source.id, uid);
      if (!message.ok()) return message.status();
      if (!*message) continue;
      MessageRow copy;
      copy.info = (**message).info;
      const std::vector<std::string_view> names = from_table.NamesOf(copy.info.keywords);
      POSTERN_RETURN_IF_ERROR(account_->AddKeywords(
          to, std::vector<std::string>(names.begin(), names.end()), to_table));
      copy.info.keywords = 0;
      for (const std::string_view name : names)
        copy.info.keywords |= KeywordBits{1} << to_table.Find(name);
      copy.base = account_->NewBase(copy.info.size_bytes, copy.info.internal_date_s);
      copy.in_new = copy.info.flags == 0 && copy.info.keywords == 0;
      if (!copy.in_new) {
        copy.suffix = FormatSuffix("", copy.info.flags, copy.info.keywords & kLetterKeywords,
                                   NamedBits(to_table));
      }
      const std::string path = account_->FilePath(to.folder, copy);
      Status linked = LinkOrCopy(account_->FilePath(folder_, **message), path);
      if (linked.code() == StatusCode::kNotFound) {
        source.recheck_ns = 1;
        const StatusOr<MaildirAccount::ScanResult> scanned = account_->Scan(source, false);
        if (!scanned.ok()) return scanned.status();
        message = account_->index->FindUid(source.id, uid);
        if (!message.ok()) return message.status();
        if (!*message) continue;
        linked = LinkOrCopy(account_->FilePath(folder_, **message), path);
      }
      POSTERN_RETURN_IF_ERROR(linked);
      made.push_back(path);
      POSTERN_RETURN_IF_ERROR(account_->AssignUid(to, copy.info));
      POSTERN_RETURN_IF_ERROR(account_->index->Put(to.id, copy));
      result.source.push_back(uid);
      result.target.push_back(copy.info.uid);
    }
    if (made.empty()) return OkStatus();
    for (const char* part : {"/cur", "/new"}) {
      POSTERN_RETURN_IF_ERROR(account_->SyncFolder(to.folder, part));
    }
    return OkStatus();
  }

  // LinkOrCopy gives a file a second name; where that is not possible it makes a second file.
  Status LinkOrCopy(const std::string& from, const std::string& to) {
    StatusOr<std::unique_ptr<rt::File>> file = account_->files.Open(from, {});
    if (!file.ok()) return file.status();
    // The copy is promised to be durable, and whoever delivered the original may not have synced
    // it.
    POSTERN_RETURN_IF_ERROR((*file)->Sync());
    if (account_->files.Link(from, to).ok()) return OkStatus();
    rt::OpenOptions options;
    options.write = options.create = options.exclusive = true;
    StatusOr<std::unique_ptr<rt::File>> copy = account_->files.Open(to, options);
    if (!copy.ok()) return copy.status();
    std::string chunk(64 << 10, '\0');
    for (uint64_t offset = 0;;) {
      const StatusOr<size_t> got =
          (*file)->ReadAt(offset, std::span<char>(chunk.data(), chunk.size()));
      if (!got.ok()) return got.status();
      POSTERN_RETURN_IF_ERROR((*copy)->WriteAt(offset, std::string_view(chunk).substr(0, *got)));
      offset += *got;
      if (*got < chunk.size()) break;
    }
    return (*copy)->Sync();
  }

  StatusOr<std::unique_ptr<MessageContent>> Serve(const FolderRow& row, MessageRow& message,
                                                  std::unique_ptr<rt::File> file) {
    const StatusOr<rt::FileInfo> info = file->Stat();
    if (!info.ok()) return info.status();
    // A size that we did not count ourselves may be wrong, and a file may have been replaced: the
    // octets decide.
    const bool ours = message.base.find(".postern,W=") != std::string::npos &&
                      info->size_bytes <= message.info.size_bytes;
    if (!ours) {
      const StatusOr<uint64_t> counted = CountCrlf(*file);
      if (!counted.ok()) return counted.status();
      if (*counted != message.info.size_bytes) {
        message.info.size_bytes = *counted;
        sqlite::Transaction transaction(account_->index->database());
        if (transaction.begun().ok() && account_->index->Put(row.id, message).ok())
          (void)transaction.Commit();
        const auto at =
            std::lower_bound(messages_.begin(), messages_.end(), message.info.uid,
                             [](const MessageInfo& m, uint32_t uid) { return m.uid < uid; });
        if (at != messages_.end() && at->uid == message.info.uid) at->size_bytes = *counted;
      }
    }
    return MakeMaildirContent(std::move(file), info->size_bytes, message.info.size_bytes);
  }

  void FlushCache() {
    if (pending_.empty()) return;
    const std::vector<Pending> pending = std::exchange(pending_, {});
    const StatusOr<FolderRow> row = Row();
    if (!row.ok()) return;
    sqlite::Transaction transaction(account_->index->database());
    if (!transaction.begun().ok()) return;
    for (const Pending& entry : pending) {
      if (!account_->index->PutCached(row->id, entry.uid, entry.kind, entry.text).ok()) return;
    }
    (void)transaction.Commit();
  }

  void RemoveOldTmp() {
    const std::string path = account_->FolderPath(folder_) + "/tmp";
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = account_->files.List(path);
    if (!entries.ok()) return;
    const WallTime limit = account_->clock.WallNow() - account_->options.tmp_lifetime;
    for (const rt::DirectoryEntry& entry : *entries) {
      const std::string file = StrCat(path, "/", entry.name);
      const StatusOr<rt::FileInfo> info = account_->files.Stat(file);
      if (info.ok() && info->kind == rt::FileInfo::Kind::kRegular && info->modified < limit) {
        (void)account_->files.Unlink(file);
      }
    }
  }

  std::shared_ptr<MaildirAccount> account_;
  const std::string folder_;
  const std::string name_;
  const bool read_only_;
  uint32_t uid_validity_ = 0;
  uint32_t uid_next_ = 0;
  uint64_t highest_modseq_ = 0;
  uint64_t generation_ = 0;
  std::vector<MessageInfo> messages_;
  std::set<uint32_t> recent_;
  KeywordTable keywords_;
  std::vector<Pending> pending_;
};

}  // namespace

StatusOr<std::unique_ptr<Mailbox>> MakeMaildirMailbox(std::shared_ptr<MaildirAccount> account,
                                                      std::string folder, std::string name,
                                                      bool read_only) {
  auto mailbox = std::make_unique<MaildirMailbox>(std::move(account), std::move(folder),
                                                  std::move(name), read_only);
  POSTERN_RETURN_IF_ERROR(mailbox->Start());
  return std::unique_ptr<Mailbox>(std::move(mailbox));
}

}  // namespace postern::mailbox
