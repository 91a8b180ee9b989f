// An opened mailbox of a Maildir: flags and removals.

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_mailbox.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {

KeywordBits NamedBits(const KeywordTable& table) {
  KeywordBits named = 0;
  for (size_t bit = 0; bit < table.names().size(); ++bit) {
    if (!table.names()[bit].empty()) named |= KeywordBits{1} << bit;
  }
  return named;
}

StatusOr<StoreResult> MaildirMailbox::StoreFlags(const UidSet& uids, const StoreRequest& request) {
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

Status MaildirMailbox::StoreOne(FolderRow& row, MessageRow& message, const StoreRequest& request,
                                KeywordBits bits, KeywordBits named, uint64_t modseq,
                                StoreResult& result) {
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

StatusOr<UidSet> MaildirMailbox::Expunge(const UidSet* uids) {
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

Status MaildirMailbox::RemoveFiles(FolderRow& row, const std::vector<uint32_t>& uids,
                                   UidSet& removed) {
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

}  // namespace postern::mailbox
