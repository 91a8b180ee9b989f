#include "lib/store/mailbox/maildir_account.h"

#include <algorithm>
#include <array>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

constexpr uint64_t kMaxKeywordFileBytes = 64 << 10;

}  // namespace

std::string MaildirAccount::FolderPath(const std::string& folder) const {
  return folder.empty() ? root : StrCat(root, "/", folder);
}

std::string MaildirAccount::FilePath(const std::string& folder, const MessageRow& row) const {
  return StrCat(FolderPath(folder), row.in_new ? "/new/" : "/cur/", row.base, row.suffix);
}

Status MaildirAccount::MakeFolder(const std::string& folder) {
  const std::string path = FolderPath(folder);
  for (const char* part : {"/tmp", "/new", "/cur"}) {
    if (!files.Stat(path + part).ok()) durable_names.Forget(path + part);
    POSTERN_RETURN_IF_ERROR(rt::MakeDirectories(files, path + part, 0700));
  }
  // INBOX is made when an account is opened, which must not fail because a disk is read-only.
  if (folder.empty()) return OkStatus();
  // That a directory was there does not say that its name is on the disk, nor those above it.
  for (const char* part : {"/tmp", "/new", "/cur"}) {
    POSTERN_RETURN_IF_ERROR(durable_names.Ensure(files, path + part));
  }
  // Maildir++ marks a folder with an empty file, by which a delivery agent finds the root above it.
  rt::OpenOptions make;
  make.write = make.create = true;
  const StatusOr<std::unique_ptr<rt::File>> mark = files.Open(StrCat(path, "/maildirfolder"), make);
  if (!mark.ok()) return mark.status();
  return files.SyncDirectory(path);
}

Status MaildirAccount::SyncFolder(const std::string& folder, std::string_view part) {
  const std::string path = StrCat(FolderPath(folder), part);
  POSTERN_RETURN_IF_ERROR(files.SyncDirectory(path));
  return durable_names.Ensure(files, path);
}

StatusOr<FolderRow> MaildirAccount::FindFolder(const std::string& folder) {
  const StatusOr<rt::FileInfo> info = files.Stat(FolderPath(folder));
  if (!info.ok()) {
    if (info.status().code() == StatusCode::kNotFound) return NotFound("no such mailbox");
    return info.status();
  }
  if (info->kind != rt::FileInfo::Kind::kDirectory) return NotFound("no such mailbox");
  StatusOr<std::optional<FolderRow>> present = index->FindFolder(folder);
  if (!present.ok()) return present.status();
  if (*present) return std::move(**present);

  if (trouble.ok()) POSTERN_RETURN_IF_ERROR(MakeFolder(folder));
  sqlite::Transaction transaction(index->database());
  POSTERN_RETURN_IF_ERROR(transaction.begun());
  // Another process may have been first.
  present = index->FindFolder(folder);
  if (!present.ok()) return present.status();
  if (*present) return std::move(**present);
  FolderRow row;
  row.folder = folder;
  const StatusOr<uint32_t> uid_validity = NextUidValidity();
  if (!uid_validity.ok()) return uid_validity.status();
  row.uid_validity = *uid_validity;
  POSTERN_RETURN_IF_ERROR(index->AddFolder(row));
  if (!trouble.ok()) new_rows.insert(row.id);
  POSTERN_RETURN_IF_ERROR(transaction.Commit());
  return row;
}

StatusOr<uint32_t> MaildirAccount::NextUidValidity() {
  const std::string path = StrCat(root, "/postern.uidvalidity");
  uint64_t last = 0;
  const StatusOr<std::string> text = rt::ReadFile(files, path, 64);
  if (text.ok()) {
    last = ParseUint(Trim(*text), kMaxNumber).value_or(0);
  } else if (text.status().code() != StatusCode::kNotFound) {
    return text.status();
  }
  // The time of day, so that a lost file does not matter; the last number, so that the clock does
  // not.
  const int64_t now_s = absl::ToUnixSeconds(clock.WallNow());
  const uint64_t next =
      std::max(last + 1, static_cast<uint64_t>(std::clamp<int64_t>(now_s, 1, kMaxNumber - 1)));
  if (next > kMaxNumber) return ResourceExhausted("no UIDVALIDITY is left");
  // A number that cannot be kept is right all the same: it ends with the copy of the index, and the
  // next one is later.
  if (trouble.ok())
    POSTERN_RETURN_IF_ERROR(rt::WriteFileDurably(files, path, StrCat(next, "\n"), 0600));
  return static_cast<uint32_t>(next);
}

Status MaildirAccount::LoadKeywordFile(const FolderRow& row, KeywordTable& table) {
  const StatusOr<std::string> text = rt::ReadFile(
      files, StrCat(FolderPath(row.folder), "/dovecot-keywords"), kMaxKeywordFileBytes);
  if (!text.ok()) return text.status().code() == StatusCode::kNotFound ? OkStatus() : text.status();
  for (const std::string_view line : Split(*text, '\n')) {
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos) continue;
    const std::optional<uint64_t> bit = ParseUint(line.substr(0, blank), 25);
    const std::string_view name = line.substr(blank + 1);
    if (bit && IsValidKeyword(name)) table.Set(*bit, name);
  }
  return OkStatus();
}

StatusOr<KeywordTable> MaildirAccount::KeywordsOf(const FolderRow& row) {
  StatusOr<KeywordTable> table = index->Keywords(row.id);
  if (!table.ok()) return table.status();
  POSTERN_RETURN_IF_ERROR(LoadKeywordFile(row, *table));
  return table;
}

Status MaildirAccount::AddKeywords(const FolderRow& row, const std::vector<std::string>& names,
                                   KeywordTable& table) {
  std::vector<int> added;
  for (const std::string& name : names) {
    if (table.Find(name) >= 0) continue;
    const int bit = table.FindOrAdd(name);
    if (bit < 0) return ResourceExhausted("the mailbox has too many keywords");
    added.push_back(bit);
  }
  if (added.empty()) return OkStatus();
  for (const int bit : added) {
    POSTERN_RETURN_IF_ERROR(index->SetKeyword(row.id, static_cast<size_t>(bit),
                                              table.names()[static_cast<size_t>(bit)]));
  }
  if (added.front() >= 26) return OkStatus();
  std::string text;
  for (size_t bit = 0; bit < std::min<size_t>(table.names().size(), 26); ++bit) {
    if (!table.names()[bit].empty()) StrAppend(text, bit, " ", table.names()[bit], "\n");
  }
  return rt::WriteFileDurably(files, StrCat(FolderPath(row.folder), "/dovecot-keywords"), text,
                              0600);
}

std::string MaildirAccount::NewBase(std::optional<uint64_t> crlf_size,
                                    std::optional<int64_t> date_s) {
  const int64_t now_us = absl::ToUnixMicros(clock.WallNow());
  // The random number alone makes the name unique, whatever the clock does.
  std::string base =
      StrCat(now_us / 1000000, ".M", now_us % 1000000, "R", Hex(random.Next(), 16), ".postern");
  if (crlf_size) StrAppend(base, ",W=", *crlf_size);
  if (date_s && *date_s >= 0) StrAppend(base, ",T=", *date_s);
  return base;
}

void MaildirAccount::RemoveOldTmp(const std::string& folder) {
  const std::string path = FolderPath(folder) + "/tmp";
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(path);
  if (!entries.ok()) return;
  const WallTime now = clock.WallNow();
  for (const rt::DirectoryEntry& entry : *entries) {
    const std::string file = StrCat(path, "/", entry.name);
    const StatusOr<rt::FileInfo> info = files.Stat(file);
    if (!info.ok() || info->kind != rt::FileInfo::Kind::kRegular) continue;
    bool left = info->modified < now - options.tmp_lifetime;
    if (!left && entry.name.ends_with(kLockedMark) && info->modified < now - options.lock_settles) {
      rt::OpenOptions open;
      open.write = true;
      const StatusOr<std::unique_ptr<rt::File>> opened = files.Open(file, open);
      // Whoever writes it holds the lock.
      left = opened.ok() && (*opened)->TryLock().ok();
    }
    if (left) (void)files.Unlink(file);
  }
}

Status MaildirAccount::AssignUid(FolderRow& row, MessageInfo& info) {
  if (row.uid_next == kMaxNumber) return ResourceExhausted("no UIDs are left");
  info.uid = row.uid_next++;
  info.modseq = row.highest_modseq;
  return OkStatus();
}

void MaildirAccount::Publish(const std::string& folder) {
  const std::optional<std::string> name = NameOfFolder(folder);
  if (name) hub.Publish(root, *name);
}

MaildirAccount::OwnChange::OwnChange(MaildirAccount& account, FolderRow& row)
    : account_(account), row_(row) {
  const StatusOr<Times> times = account.TimesOf(row.folder);
  quiet_ = times.ok() && times->new_ns == row.new_time_ns && times->cur_ns == row.cur_time_ns;
}

void MaildirAccount::OwnChange::Done() {
  if (!quiet_) return;
  const StatusOr<Times> times = account_.TimesOf(row_.folder);
  if (!times.ok()) return;
  row_.new_time_ns = times->new_ns;
  row_.cur_time_ns = times->cur_ns;
  // Somebody else's change in the same moment would have gone unnoticed.
  account_.Recheck(row_, account_.options.recheck_after_own_change);
}

void MaildirAccount::Recheck(FolderRow& row, Duration later) {
  if (row.recheck_ns == 0) row.recheck_ns = NowNs() + absl::ToInt64Nanoseconds(later);
}

StatusOr<MaildirAccount::Times> MaildirAccount::TimesOf(const std::string& folder) {
  Times times;
  for (const bool in_new : {true, false}) {
    const StatusOr<rt::FileInfo> info =
        files.Stat(StrCat(FolderPath(folder), in_new ? "/new" : "/cur"));
    if (!info.ok()) return info.status();
    (in_new ? times.new_ns : times.cur_ns) = absl::ToUnixNanos(info->modified);
  }
  return times;
}

}  // namespace postern::mailbox
