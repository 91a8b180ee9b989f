// An opened mailbox of a Maildir: flags, removals, copies.

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_mailbox.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

KeywordBits NamedBits(const KeywordTable& table) {
  KeywordBits named = 0;
  for (size_t bit = 0; bit < table.names().size(); ++bit) {
    if (!table.names()[bit].empty()) named |= KeywordBits{1} << bit;
  }
  return named;
}

}  // namespace

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

StatusOr<CopyResult> MaildirMailbox::Copy(const UidSet& uids, const std::string& target) {
  return Transfer(uids, target, false);
}

StatusOr<CopyResult> MaildirMailbox::Move(const UidSet& uids, const std::string& target) {
  if (read_only_) return PermissionDenied("the mailbox is open read-only");
  return Transfer(uids, target, true);
}

StatusOr<CopyResult> MaildirMailbox::Transfer(const UidSet& uids, const std::string& target,
                                              bool move) {
  if (!account_->trouble.ok()) return account_->trouble;
  const StatusOr<std::string> canonical = CanonicalName(target, '.', account_->options.name_limits);
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

StatusOr<CopyResult> MaildirMailbox::TransferLocked(const UidSet& uids,
                                                    const std::string& target_folder, bool move) {
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

Status MaildirMailbox::CopyFiles(const UidSet& uids, FolderRow& source, FolderRow& to,
                                 const KeywordTable& from_table, KeywordTable& to_table,
                                 CopyResult& result, std::vector<std::string>& made) {
  ++to.highest_modseq;
  for (const uint32_t uid : KnownOf(uids)) {
    StatusOr<std::optional<MessageRow>> message = account_->index->FindUid(source.id, uid);
    if (!message.ok()) return message.status();
    if (!*message) continue;
    MessageRow copy;
    copy.info = (**message).info;
    const std::vector<std::string_view> names = from_table.NamesOf(copy.info.keywords);
    POSTERN_RETURN_IF_ERROR(
        account_->AddKeywords(to, std::vector<std::string>(names.begin(), names.end()), to_table));
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

Status MaildirMailbox::LinkOrCopy(const std::string& from, const std::string& to) {
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

std::vector<uint32_t> MaildirMailbox::KnownOf(const UidSet& uids) const {
  std::vector<uint32_t> known;
  for (const UidRange& range : uids.ranges()) {
    auto at = std::lower_bound(messages_.begin(), messages_.end(), range.first,
                               [](const MessageInfo& m, uint32_t uid) { return m.uid < uid; });
    for (; at != messages_.end() && at->uid <= range.last; ++at) known.push_back(at->uid);
  }
  return known;
}

}  // namespace postern::mailbox
