// COPY and MOVE between mailboxes of a Maildir. What takes long (making the originals durable, and
// octets where a file can have no second name) comes first and without the account's lock; the new
// names and the index then follow in one short transaction.

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_mailbox.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

// A sync of the whole file system costs as much as a few of one file.
constexpr size_t kFewFiles = 3;

}  // namespace

// Prepared is what was done before the lock was taken. What is not used dies with it.
struct MaildirMailbox::Prepared {
  explicit Prepared(rt::Files& files_in) : files(files_in) {}
  ~Prepared() {
    for (const auto& [uid, path] : staged) UnlinkQuietly(files, path);
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  rt::Files& files;
  bool all_durable = false;                // every original, whatever its name is now
  std::set<uint32_t> durable;              // these originals
  std::map<uint32_t, std::string> staged;  // by UID: a durable copy in the target's tmp/
};

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
  std::vector<Original> originals;
  {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<FolderRow> found = account_->FindFolder(target_folder);
    if (!found.ok()) return found.status();
    const StatusOr<FolderRow> source = Row();
    if (!source.ok()) return source.status();
    for (const uint32_t uid : KnownOf(uids)) {
      const StatusOr<std::optional<MessageRow>> message = account_->index->FindUid(source->id, uid);
      if (!message.ok()) return message.status();
      if (*message) originals.push_back({uid, account_->FilePath(folder_, **message)});
    }
  }
  Prepared prepared(account_->files);
  POSTERN_RETURN_IF_ERROR(Prepare(originals, target_folder, prepared));
  CopyResult result;
  {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    StatusOr<CopyResult> copied = TransferLocked(originals, target_folder, move, prepared);
    if (!copied.ok()) return copied;
    result = std::move(*copied);
  }
  if (!result.source.empty()) {
    account_->Publish(target_folder);
    if (move) account_->Publish(folder_);
  }
  return result;
}

Status MaildirMailbox::Prepare(const std::vector<Original>& originals,
                               const std::string& target_folder, Prepared& prepared) {
  // The first of them that is where it was tells how it is done. One that was renamed meanwhile is
  // looked for under the lock.
  for (const Original& original : originals) {
    const StatusOr<std::unique_ptr<rt::File>> file = account_->files.Open(original.path, {});
    if (!file.ok()) continue;
    const std::string probe = NewTmpPath(target_folder);
    const bool links = account_->files.Link(original.path, probe).ok();
    if (!links) return Stage(originals, target_folder, prepared);
    (void)account_->files.Unlink(probe);
    // The copies are promised to be durable, and whoever delivered the originals may not have
    // synced them.
    if (originals.size() > kFewFiles) {
      const Status together = (*file)->SyncFileSystem();
      prepared.all_durable = together.ok();
      if (together.code() != StatusCode::kUnimplemented) return together;
    }
    break;
  }
  for (const Original& original : originals) {
    const StatusOr<std::unique_ptr<rt::File>> file = account_->files.Open(original.path, {});
    if (!file.ok()) continue;
    POSTERN_RETURN_IF_ERROR((*file)->Sync());
    prepared.durable.insert(original.uid);
  }
  return OkStatus();
}

Status MaildirMailbox::Stage(const std::vector<Original>& originals,
                             const std::string& target_folder, Prepared& prepared) {
  std::unique_ptr<rt::File> witness;  // the first, which tells of what failed since
  for (const Original& original : originals) {
    const std::string path = NewTmpPath(target_folder);
    StatusOr<std::unique_ptr<rt::File>> copy = CopyOctets(original.path, path);
    if (copy.status().code() == StatusCode::kNotFound) continue;
    if (!copy.ok()) return copy.status();
    prepared.staged.emplace(original.uid, path);
    (*copy)->StartWriteback();
    if (originals.size() <= kFewFiles) POSTERN_RETURN_IF_ERROR((*copy)->Sync());
    if (witness == nullptr) witness = std::move(*copy);
  }
  if (witness == nullptr || originals.size() <= kFewFiles) return OkStatus();
  const Status together = witness->SyncFileSystem();
  if (together.code() != StatusCode::kUnimplemented) return together;
  for (const auto& [uid, path] : prepared.staged) {
    const StatusOr<std::unique_ptr<rt::File>> copy = account_->files.Open(path, {});
    if (!copy.ok()) return copy.status();
    POSTERN_RETURN_IF_ERROR((*copy)->Sync());
  }
  return OkStatus();
}

std::string MaildirMailbox::NewTmpPath(const std::string& folder) {
  const std::lock_guard<std::mutex> lock(account_->mutex);
  return StrCat(account_->FolderPath(folder), "/tmp/",
                account_->NewBase(std::nullopt, std::nullopt));
}

StatusOr<CopyResult> MaildirMailbox::TransferLocked(const std::vector<Original>& originals,
                                                    const std::string& target_folder, bool move,
                                                    Prepared& prepared) {
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
  Status status =
      PlaceCopies(originals, prepared, *source, to, *from_table, *to_table, result, made);
  if (status.ok() && result.source.empty()) return result;
  UidSet removed;
  if (status.ok()) {
    own.Done();
    // What could not be removed is in both mailboxes now, unless nothing could.
    const Status unlinked = move ? RemoveFiles(*source, result.source, removed) : OkStatus();
    if (removed.empty()) status = unlinked;
  }
  if (status.ok()) status = index.SaveFolder(*source);
  if (status.ok() && !same) status = index.SaveFolder(to);
  if (status.ok()) status = transaction.Commit();
  if (!status.ok()) {
    // RFC 3501 §6.4.7: the target is then as it was. Of what a MOVE took away the copy is all there
    // is: the next scan takes it in.
    if (removed.empty()) {
      for (const std::string& path : made) (void)account_->files.Unlink(path);
    }
    return status;
  }
  POSTERN_RETURN_IF_ERROR(Refresh(*source));
  return result;
}

Status MaildirMailbox::PlaceCopies(const std::vector<Original>& originals, Prepared& prepared,
                                   FolderRow& source, FolderRow& to, const KeywordTable& from_table,
                                   KeywordTable& to_table, CopyResult& result,
                                   std::vector<std::string>& made) {
  ++to.highest_modseq;
  bool in_new = false;
  bool in_cur = false;
  for (const Original& original : originals) {
    const uint32_t uid = original.uid;
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
    Status placed = PlaceCopy(uid, account_->FilePath(folder_, **message), path, prepared);
    if (placed.code() == StatusCode::kNotFound) {
      source.recheck_ns = 1;
      const StatusOr<MaildirAccount::ScanResult> scanned = account_->Scan(source, false);
      if (!scanned.ok()) return scanned.status();
      message = account_->index->FindUid(source.id, uid);
      if (!message.ok()) return message.status();
      if (!*message) continue;
      placed = PlaceCopy(uid, account_->FilePath(folder_, **message), path, prepared);
    }
    POSTERN_RETURN_IF_ERROR(placed);
    made.push_back(path);
    (copy.in_new ? in_new : in_cur) = true;
    POSTERN_RETURN_IF_ERROR(account_->AssignUid(to, copy.info));
    POSTERN_RETURN_IF_ERROR(account_->index->Put(to.id, copy));
    result.source.push_back(uid);
    result.target.push_back(copy.info.uid);
  }
  if (in_cur) POSTERN_RETURN_IF_ERROR(account_->SyncFolder(to.folder, "/cur"));
  if (in_new) POSTERN_RETURN_IF_ERROR(account_->SyncFolder(to.folder, "/new"));
  return OkStatus();
}

Status MaildirMailbox::PlaceCopy(uint32_t uid, const std::string& from, const std::string& to,
                                 Prepared& prepared) {
  if (const auto staged = prepared.staged.find(uid); staged != prepared.staged.end()) {
    POSTERN_RETURN_IF_ERROR(account_->files.Rename(staged->second, to));
    prepared.staged.erase(staged);
    return OkStatus();
  }
  if (!prepared.all_durable && !prepared.durable.contains(uid)) {
    const StatusOr<std::unique_ptr<rt::File>> file = account_->files.Open(from, {});
    if (!file.ok()) return file.status();
    POSTERN_RETURN_IF_ERROR((*file)->Sync());
  }
  const Status linked = account_->files.Link(from, to);
  if (linked.ok() || linked.code() == StatusCode::kNotFound) return linked;
  // A file may have all the names that its file system allows it.
  const StatusOr<std::unique_ptr<rt::File>> copy = CopyOctets(from, to);
  return copy.ok() ? (*copy)->Sync() : copy.status();
}

StatusOr<std::unique_ptr<rt::File>> MaildirMailbox::CopyOctets(const std::string& from,
                                                               const std::string& to) {
  const StatusOr<std::unique_ptr<rt::File>> file = account_->files.Open(from, {});
  if (!file.ok()) return file.status();
  rt::OpenOptions options;
  options.write = options.create = options.exclusive = true;
  StatusOr<std::unique_ptr<rt::File>> copy = account_->files.Open(to, options);
  if (!copy.ok()) return copy.status();
  Status status = OkStatus();
  std::string chunk(64 << 10, '\0');
  for (uint64_t offset = 0; status.ok();) {
    const StatusOr<size_t> got =
        (*file)->ReadAt(offset, std::span<char>(chunk.data(), chunk.size()));
    status = got.status();
    if (!status.ok() || *got == 0) break;
    status = (*copy)->WriteAt(offset, std::string_view(chunk).substr(0, *got));
    offset += *got;
  }
  if (status.ok()) return copy;
  (void)account_->files.Unlink(to);
  return status;
}

}  // namespace postern::mailbox
