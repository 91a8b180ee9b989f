// An opened mailbox of a Maildir: the snapshot that a session works on.

#include "lib/store/mailbox/maildir_mailbox.h"

#include <algorithm>
#include <new>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::mailbox {
namespace {

// Cached texts are written in batches: each transaction costs a sync.
constexpr size_t kMaxPendingCache = 256;

}  // namespace

MaildirMailbox::~MaildirMailbox() {
  const std::lock_guard<std::mutex> lock(account_->mutex);
  try {
    FlushCache();
  } catch (const std::bad_alloc&) {
    // What is not kept is read from the message the next time.
  }
}

Status MaildirMailbox::Start() {
  const std::lock_guard<std::mutex> lock(account_->mutex);
  if (!read_only_) account_->RemoveOldTmp(folder_);
  return SyncLocked(nullptr);
}

Status MaildirMailbox::Sync() {
  bool publish = false;
  {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    FlushCache();
    POSTERN_RETURN_IF_ERROR(SyncLocked(&publish));
  }
  if (publish) account_->Publish(folder_);
  return OkStatus();
}

StatusOr<std::unique_ptr<MessageContent>> MaildirMailbox::OpenContent(uint32_t uid) {
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

std::optional<std::string> MaildirMailbox::Cached(uint32_t uid, CacheKind kind) {
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

void MaildirMailbox::PutCached(uint32_t uid, CacheKind kind, std::string_view text) {
  pending_.push_back({uid, kind, std::string(text)});
  if (pending_.size() < kMaxPendingCache) return;
  const std::lock_guard<std::mutex> lock(account_->mutex);
  FlushCache();
}

StatusOr<FolderRow> MaildirMailbox::Row() {
  StatusOr<std::optional<FolderRow>> row = account_->index->FindFolder(folder_);
  if (!row.ok()) return row.status();
  if (!*row) return NotFound("the mailbox was deleted");
  if (uid_validity_ != 0 && (**row).uid_validity != uid_validity_) {
    return FailedPrecondition("the mailbox has new UIDs; select it again");
  }
  return std::move(**row);
}

Status MaildirMailbox::SyncLocked(bool* publish) {
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

Status MaildirMailbox::ScanNow(bool* publish, bool doubt) {
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

Status MaildirMailbox::Refresh(const FolderRow& row) {
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
    POSTERN_RETURN_IF_ERROR(account_->index->EachInfo(
        row.id, 0,
        [&](const MessageInfo& info, bool in_new) { messages_.push_back(as_seen(info, in_new)); }));
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

StatusOr<std::unique_ptr<MessageContent>> MaildirMailbox::Serve(const FolderRow& row,
                                                                MessageRow& message,
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

void MaildirMailbox::FlushCache() {
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

StatusOr<std::unique_ptr<Mailbox>> MakeMaildirMailbox(std::shared_ptr<MaildirAccount> account,
                                                      std::string folder, std::string name,
                                                      bool read_only) {
  auto mailbox = std::make_unique<MaildirMailbox>(std::move(account), std::move(folder),
                                                  std::move(name), read_only);
  POSTERN_RETURN_IF_ERROR(mailbox->Start());
  return std::unique_ptr<Mailbox>(std::move(mailbox));
}

}  // namespace postern::mailbox
