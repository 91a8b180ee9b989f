#include "lib/service/deliver/mbox.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/mail_file.h"

namespace postern::deliver {
namespace {

constexpr size_t kChunkBytes = 64 * 1024;
const Duration kStaleLock = absl::Minutes(15);

// DotLock holds PATH.lock until it goes.
class DotLock {
 public:
  DotLock(rt::Files& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~DotLock() {
    if (held_) (void)files_.Unlink(path_);
  }
  DotLock(const DotLock&) = delete;
  DotLock& operator=(const DotLock&) = delete;

  Status Take(WallTime now) {
    rt::OpenOptions open;
    open.write = open.create = open.exclusive = true;
    Status status = files_.Open(path_, open).status();
    if (status.code() == StatusCode::kAlreadyExists) {
      const StatusOr<rt::FileInfo> info = files_.Stat(path_);
      if (info.ok() && now - info->modified > kStaleLock) {
        (void)files_.Unlink(path_);
        status = files_.Open(path_, open).status();
      }
    }
    held_ = status.ok();
    if (status.code() == StatusCode::kAlreadyExists) return Unavailable("mailbox is locked");
    // Where the folder may not be written, the locks on the file itself must do.
    if (status.code() == StatusCode::kPermissionDenied) return OkStatus();
    return status;
  }

 private:
  rt::Files& files_;
  std::string path_;
  bool held_ = false;
};

// FindText returns where `text` stands in the file at or after `from`, or nothing.
StatusOr<std::optional<uint64_t>> FindText(rt::File& file, uint64_t from, const std::string& text) {
  std::string window;
  std::vector<char> chunk(kChunkBytes);
  uint64_t start = from;  // offset of window[0]
  while (true) {
    const StatusOr<size_t> got = file.ReadAt(start + window.size(), chunk);
    if (!got.ok()) return got.status();
    window.append(chunk.data(), *got);
    const size_t found = window.find(text);
    if (found != std::string::npos) return std::optional<uint64_t>(start + found);
    if (*got < chunk.size()) return std::optional<uint64_t>();
    const size_t keep = std::min(window.size(), text.size() - 1);
    start += window.size() - keep;
    window.erase(0, window.size() - keep);
  }
}

enum class Earlier { kNone, kWhole, kBroken };

// Compare tells how the file from `begin` on relates to the text of `delivery`.
StatusOr<Earlier> Compare(rt::File& file, uint64_t begin, uint64_t size, const Delivery& delivery,
                          const std::string& headers) {
  uint64_t offset = begin;
  Earlier result = Earlier::kWhole;
  bool decided = false;
  const Status status = WriteMboxText(
      *delivery.envelope, headers, *delivery.body, [&](std::string_view piece) -> Status {
        if (decided) return OkStatus();
        std::string there(piece.size(), '\0');
        const StatusOr<size_t> got = file.ReadAt(offset, there);
        if (!got.ok()) return got.status();
        const auto differs = std::mismatch(
            there.begin(), there.begin() + static_cast<ptrdiff_t>(*got), piece.begin());
        const bool same = differs.first == there.begin() + static_cast<ptrdiff_t>(*got);
        if (!same) {
          // A crash may leave zeros where octets were to be; anything else is a mail program's
          // work, done on a whole message.
          decided = true;
          uint64_t at = offset + static_cast<uint64_t>(differs.first - there.begin());
          std::vector<char> rest(kChunkBytes);
          result = Earlier::kBroken;
          while (at < size) {
            const StatusOr<size_t> more = file.ReadAt(at, rest);
            if (!more.ok()) return more.status();
            if (*more == 0) break;
            if (std::any_of(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(*more),
                            [](char c) { return c != '\0'; })) {
              result = Earlier::kWhole;
              break;
            }
            at += *more;
          }
        } else if (*got < piece.size()) {
          decided = true;
          result = Earlier::kBroken;
        }
        offset += *got;
        return OkStatus();
      });
  if (!status.ok()) return status;
  return result;
}

// MakeInSpool makes the mailbox of a user in the system's folder, empty and theirs, if it is not
// there.
Status MakeInSpool(rt::Files& own_files, const rt::Credentials& user, const std::string& path) {
  StatusOr<rt::FileInfo> info = own_files.Stat(path);
  if (info.status().code() == StatusCode::kNotFound) {
    rt::OpenOptions open;
    open.write = open.create = open.exclusive = true;
    const StatusOr<std::unique_ptr<rt::File>> made = own_files.Open(path, open);
    if (!made.ok()) return made.status();
    info = (*made)->Stat();
  }
  if (!info.ok()) return info.status();
  // An earlier attempt may have been cut short between the two steps. Nobody's mail is in an empty
  // file with one name.
  const bool ours = info->kind == rt::FileInfo::Kind::kRegular && info->links == 1 &&
                    info->size_bytes == 0 && info->uid == 0;
  return ours && user.uid != 0 ? own_files.SetOwner(path, user.uid, user.gid) : OkStatus();
}

}  // namespace

Status AppendToMbox(const Delivery& delivery, rt::Files& own_files, WallTime now,
                    rt::DurableNames* names) {
  const std::string& path = delivery.target.path;
  const std::string mark =
      StrCat("X-Postern-Queue-Id: ", queue::EnvelopeIdText(delivery.envelope->id), "\n");
  const std::string headers = mark + DeliveryHeaders(*delivery.envelope);

  // Outside of the system's folder nothing is done with rights that the user has not: a folder
  // there may be a link to anywhere.
  const bool in_spool = delivery.target.in_mail_spool;
  rt::Files& folder_files = in_spool ? own_files : *delivery.files;
  DotLock lock(folder_files, path + ".lock");
  POSTERN_RETURN_IF_ERROR(lock.Take(now));
  if (in_spool && delivery.target.run_as.has_value()) {
    POSTERN_RETURN_IF_ERROR(MakeInSpool(own_files, *delivery.target.run_as, path));
  }
  rt::OpenOptions open;
  open.write = true;
  StatusOr<std::unique_ptr<rt::File>> opened = delivery.files->Open(path, open);
  if (opened.status().code() == StatusCode::kNotFound) {
    open.create = open.exclusive = true;
    opened = delivery.files->Open(path, open);
  }
  if (!opened.ok()) return opened.status();
  rt::File& file = **opened;
  POSTERN_RETURN_IF_ERROR(file.TryLock());
  // Before the lock is ours its size is somebody else's to change.
  const StatusOr<rt::FileInfo> info = file.Stat();
  if (!info.ok()) return info.status();
  // A second name means that somebody wants this file to be another one as well (CVE-2020-8793 was
  // of this kind).
  if (info->links > 1) return FailedPrecondition(StrCat(path, " has more than one name"));

  uint64_t end = info->size_bytes;
  // An empty one may be new.
  if (end == 0) names->Forget(path);
  if (!delivery.envelope->fresh && end > 0) {
    const StatusOr<std::optional<uint64_t>> found = FindText(file, 0, "\n" + mark);
    if (!found.ok()) return found.status();
    if (*found) {
      // The From_ line is the one line before the mark; its length is known, as its text is.
      std::string first;
      POSTERN_RETURN_IF_ERROR(
          WriteMboxText(*delivery.envelope, headers, *delivery.body, [&](std::string_view piece) {
            if (first.empty()) first = piece.substr(0, piece.find('\n'));
            return OkStatus();
          }));
      if (**found < first.size()) return OkStatus();
      const uint64_t begin = **found - first.size();
      const StatusOr<Earlier> earlier = Compare(file, begin, end, delivery, headers);
      if (!earlier.ok()) return earlier.status();
      if (*earlier == Earlier::kWhole) {
        POSTERN_RETURN_IF_ERROR(file.Sync());
        return names->Ensure(folder_files, path);
      }
      POSTERN_RETURN_IF_ERROR(file.Truncate(begin));
      end = begin;
    }
  }

  uint64_t offset = end;
  Status status = OkStatus();
  if (end > 0) {
    char last = '\n';
    const StatusOr<size_t> got = file.ReadAt(end - 1, std::span<char>(&last, 1));
    if (!got.ok()) return got.status();
    if (last != '\n') status = file.WriteAt(offset++, "\n");
  }
  if (status.ok()) {
    status =
        WriteMboxText(*delivery.envelope, headers, *delivery.body, [&](std::string_view piece) {
          const Status written = file.WriteAt(offset, piece);
          offset += piece.size();
          return written;
        });
  }
  if (status.ok()) status = file.Sync();
  if (!status.ok()) {
    (void)file.Truncate(end);
    return status;
  }
  return names->Ensure(folder_files, path);
}

}  // namespace postern::deliver
