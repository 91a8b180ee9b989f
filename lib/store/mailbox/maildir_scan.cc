// What other programs did to a Maildir: the scan of new/ and cur/.

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/maildir_account.h"
#include "lib/store/mailbox/maildir_name.h"

namespace postern::mailbox {
namespace {

// A file that is being renamed while a directory is read may be seen under both names or under
// neither. So often do we look again before we believe that a message is gone.
constexpr int kMaxLooks = 4;
constexpr int64_t kLongNs = int64_t{10} * 1000000000;

}  // namespace

StatusOr<bool> MaildirAccount::NeedsScan(const FolderRow& row) {
  const StatusOr<Times> times = TimesOf(row.folder);
  if (!times.ok()) return times.status();
  if (times->new_ns != row.new_time_ns || times->cur_ns != row.cur_time_ns) return true;
  if (row.recheck_ns == 0) return false;
  // A clock that was set back must not put the second look off for long.
  const int64_t now = NowNs();
  return now >= row.recheck_ns || row.recheck_ns - now > kLongNs;
}

Status MaildirAccount::ListInto(const std::string& folder, bool in_new, std::vector<Found>& found) {
  StatusOr<std::vector<rt::DirectoryEntry>> entries =
      files.List(StrCat(FolderPath(folder), in_new ? "/new" : "/cur"));
  if (!entries.ok()) return entries.status();
  for (rt::DirectoryEntry& entry : *entries) {
    if (entry.kind != rt::FileInfo::Kind::kRegular || !ParseMaildirName(entry.name)) continue;
    if (found.size() >= options.max_messages) break;
    found.push_back({std::move(entry.name), in_new});
  }
  return OkStatus();
}

StatusOr<uint64_t> MaildirAccount::CrlfSizeOf(const std::string& path) {
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, {});
  if (!file.ok()) return file.status();
  return CountCrlf(**file);
}

// Arrive gives new files their UIDs, in the order in which they came.
Status MaildirAccount::Arrive(FolderRow& row, std::vector<Found*>& arrivals) {
  struct Arrival {
    MessageRow row;
    int64_t time_ns;
  };
  std::vector<Arrival> arrived;
  arrived.reserve(arrivals.size());
  for (const Found* found : arrivals) {
    const MaildirName name = *ParseMaildirName(found->name);
    Arrival arrival;
    arrival.row.base = name.base;
    arrival.row.suffix = name.suffix;
    arrival.row.in_new = found->in_new;
    arrival.row.info.flags = FlagsOfLetters(name.letters);
    arrival.row.info.keywords = LowKeywordsOfLetters(name.letters);
    const std::string path = FilePath(row.folder, arrival.row);
    const StatusOr<rt::FileInfo> info = files.Stat(path);
    if (!info.ok() || info->kind != rt::FileInfo::Kind::kRegular)
      continue;  // gone again: the next scan will tell
    arrival.time_ns = absl::ToUnixNanos(info->modified);
    arrival.row.info.internal_date_s = name.date_s.value_or(absl::ToUnixSeconds(info->modified));
    if (name.crlf_size) {
      arrival.row.info.size_bytes = *name.crlf_size;
    } else {
      // A file that we may not read is a message all the same: opening it will give the error.
      const StatusOr<uint64_t> size = CrlfSizeOf(path);
      if (!size.ok() && size.status().code() == StatusCode::kNotFound) continue;
      arrival.row.info.size_bytes = size.ok() ? *size : info->size_bytes;
    }
    arrived.push_back(std::move(arrival));
  }
  std::sort(arrived.begin(), arrived.end(), [](const Arrival& a, const Arrival& b) {
    return std::tie(a.time_ns, a.row.base) < std::tie(b.time_ns, b.row.base);
  });
  if (kMaxNumber - row.uid_next < arrived.size()) POSTERN_RETURN_IF_ERROR(Renumber(row));
  for (Arrival& arrival : arrived) {
    POSTERN_RETURN_IF_ERROR(AssignUid(row, arrival.row.info));
    POSTERN_RETURN_IF_ERROR(index->Put(row.id, arrival.row));
  }
  return OkStatus();
}

// Renumber starts over at 1 under a new UIDVALIDITY, for a mailbox whose numbers are used up (RFC
// 3501 §2.3.1.1).
Status MaildirAccount::Renumber(FolderRow& row) {
  StatusOr<std::vector<MessageRow>> messages = index->All(row.id);
  if (!messages.ok()) return messages.status();
  const StatusOr<uint32_t> uid_validity = NextUidValidity();
  if (!uid_validity.ok()) return uid_validity.status();
  POSTERN_RETURN_IF_ERROR(index->DeleteMessages(row.id));
  row.uid_validity = *uid_validity;
  row.uid_next = 1;
  row.vanished_floor = row.highest_modseq;
  for (MessageRow& message : *messages) {
    POSTERN_RETURN_IF_ERROR(AssignUid(row, message.info));
    POSTERN_RETURN_IF_ERROR(index->Put(row.id, message));
  }
  return OkStatus();
}

// TakeIn compares what was found with the index and writes the differences. `whole`: `found` is all
// of new/ and cur/, else all of new/. What the index has and `found` has not goes to `missing`.
// Returns whether a message or flag changed.
StatusOr<bool> MaildirAccount::TakeIn(FolderRow& row, std::vector<Found>& found, bool whole,
                                      std::vector<MessageRow>& missing) {
  bool changed = false;
  missing.clear();
  StatusOr<std::vector<MessageRow>> known = whole ? index->All(row.id) : index->InNew(row.id);
  if (!known.ok()) return known.status();
  std::unordered_map<std::string_view, MessageRow*> by_base;
  by_base.reserve(known->size());
  for (MessageRow& message : *known) by_base.emplace(message.base, &message);
  std::unordered_map<std::string_view, Found*> taken;  // by base: one file is one message
  taken.reserve(found.size());
  std::vector<Found*> arrivals;
  std::vector<std::pair<MessageRow*, Found*>> renamed;
  std::vector<Found*> doubles;

  for (Found& file : found) {
    const MaildirName name = *ParseMaildirName(file.name);
    const auto [slot, first] = taken.emplace(name.base, &file);
    const auto at = by_base.find(name.base);
    if (at == by_base.end()) {
      first ? arrivals.push_back(&file) : doubles.push_back(&file);
      continue;
    }
    MessageRow* message = at->second;
    const bool as_known = message->in_new == file.in_new && message->suffix == name.suffix;
    if (!first) {
      // Of two files with one base, the one under the name that we know is the message.
      if (as_known) std::swap(*slot->second, file);
      doubles.push_back(&file);
      continue;
    }
  }
  for (const auto& [base, file] : taken) {
    const auto at = by_base.find(base);
    if (at == by_base.end()) continue;
    const MaildirName name = *ParseMaildirName(file->name);
    MessageRow* message = at->second;
    if (message->in_new != file->in_new || message->suffix != name.suffix)
      renamed.emplace_back(message, file);
  }
  for (MessageRow& message : *known) {
    // Beyond the limit not all files were looked at: nothing is known to be gone.
    if (!taken.contains(message.base) && found.size() < options.max_messages)
      missing.push_back(message);
  }

  // A UID given out now would be forgotten, and another message would get it.
  if (!trouble.ok() && !new_rows.contains(row.id)) arrivals.clear();
  if (!arrivals.empty() || !renamed.empty()) ++row.highest_modseq;
  if (!renamed.empty()) {
    const StatusOr<KeywordTable> table = KeywordsOf(row);
    if (!table.ok()) return table.status();
    for (const auto& [message, file] : renamed) {
      const MaildirName name = *ParseMaildirName(file->name);
      const SystemFlags flags = FlagsOfLetters(name.letters);
      const KeywordBits keywords =
          (message->info.keywords & ~kLetterKeywords) | LowKeywordsOfLetters(name.letters);
      if (flags != message->info.flags || keywords != message->info.keywords) {
        message->info.flags = flags;
        message->info.keywords = keywords;
        message->info.modseq = row.highest_modseq;
        changed = true;
      }
      MessageRow updated = *message;
      updated.suffix = name.suffix;
      updated.in_new = file->in_new;
      POSTERN_RETURN_IF_ERROR(index->Put(row.id, updated));
    }
  }
  if (!arrivals.empty()) {
    if (!whole) {
      // In new/ alone the index was asked for files in new/ only: one that it knows in cur/ is no
      // arrival.
      std::erase_if(arrivals, [&](Found* file) {
        const StatusOr<std::optional<MessageRow>> elsewhere =
            index->FindBase(row.id, ParseMaildirName(file->name)->base);
        return !elsewhere.ok() || elsewhere->has_value();
      });
    }
    const uint32_t before = row.uid_next;
    POSTERN_RETURN_IF_ERROR(Arrive(row, arrivals));
    changed = changed || row.uid_next != before;
  }
  // A second file of the same base is a message of its own when it is another file: it gets a base
  // of its own, and is found under it by the next scan.
  for (const Found* file : doubles) {
    const MaildirName name = *ParseMaildirName(file->name);
    const std::string folder = FolderPath(row.folder);
    const std::string path = StrCat(folder, file->in_new ? "/new/" : "/cur/", file->name);
    const Found* other = taken[name.base];
    const StatusOr<rt::FileInfo> a = files.Stat(path);
    const StatusOr<rt::FileInfo> b =
        files.Stat(StrCat(folder, other->in_new ? "/new/" : "/cur/", other->name));
    if (!a.ok() || !b.ok() || a->inode == b->inode) continue;
    (void)files.Rename(path, StrCat(folder, file->in_new ? "/new/" : "/cur/",
                                    NewBase(std::nullopt, std::nullopt), name.suffix));
  }
  return changed;
}

StatusOr<MaildirAccount::ScanResult> MaildirAccount::Scan(FolderRow& row, bool claim) {
  ScanResult result;
  std::vector<Found> found;
  std::vector<MessageRow> missing;
  Times before;
  bool settled = false;
  for (int look = 0; look < kMaxLooks && !settled; ++look) {
    const StatusOr<Times> times = TimesOf(row.folder);
    if (!times.ok()) return times.status();
    before = *times;
    // new/ first: what moves to cur/ in between is then seen in one of them, or both.
    found.clear();
    POSTERN_RETURN_IF_ERROR(ListInto(row.folder, true, found));
    const bool cur_changed = times->cur_ns != row.cur_time_ns || row.recheck_ns != 0 || look > 0;
    if (cur_changed) POSTERN_RETURN_IF_ERROR(ListInto(row.folder, false, found));
    const StatusOr<bool> changed = TakeIn(row, found, cur_changed, missing);
    if (!changed.ok()) return changed.status();
    result.changed = result.changed || *changed;
    const StatusOr<Times> after = TimesOf(row.folder);
    if (!after.ok()) return after.status();
    settled = missing.empty() || (cur_changed && *after == before);
  }
  // With directories that do not come to rest, nothing is declared gone: the next Sync looks again.
  if (settled && !missing.empty()) {
    ++row.highest_modseq;
    for (const MessageRow& message : missing) {
      POSTERN_RETURN_IF_ERROR(index->Remove(row.id, message.info.uid, row.highest_modseq));
    }
    POSTERN_RETURN_IF_ERROR(index->TrimVanished(row, options.max_vanished));
    result.changed = true;
  }
  row.recheck_ns = 0;
  row.new_time_ns = before.new_ns;
  row.cur_time_ns = before.cur_ns;
  const int64_t age_ns = NowNs() - std::max(before.new_ns, before.cur_ns);
  const bool coarse = before.new_ns % 1000000000 == 0 && before.cur_ns % 1000000000 == 0;
  const Duration grain = coarse ? absl::Seconds(2) : options.recheck_after_scan;
  if (!settled) {
    row.recheck_ns = 1;
  } else if (age_ns < absl::ToInt64Nanoseconds(grain)) {
    Recheck(row, grain);
  }
  if (!claim) return result;

  StatusOr<std::vector<MessageRow>> fresh = index->InNew(row.id);
  if (!fresh.ok()) return fresh.status();
  if (fresh->empty()) return result;
  OwnChange own(*this, row);
  for (MessageRow& message : *fresh) {
    const std::string from = FilePath(row.folder, message);
    message.in_new = false;
    if (message.suffix.empty()) message.suffix = ":2,";
    result.claimed.push_back(message.info.uid);
    // Where it cannot be moved (it has just gone, or we may not) it stays as it is, and the next
    // scan sees what became of it.
    if (!files.Rename(from, FilePath(row.folder, message)).ok()) continue;
    POSTERN_RETURN_IF_ERROR(index->Put(row.id, message));
  }
  own.Done();
  return result;
}

}  // namespace postern::mailbox
