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

enum class Earlier {
  kWhole,   // the message is there, whatever a mail program has made of it since
  kTorn,    // an append was cut short, and what it left is the end of the file
  kBuried,  // it was cut short, and another message stands behind it
};

// StateAt tells what an append that was cut short at `at` would have left there. A crash may leave
// zeros where octets were to be; then comes the end, or the next message: its From_ line, or, as
// the comparison may run a little into that, the rest of it. Anything else is a mail program's
// work, done on a whole message. `least` is where the message's own From_ line is over.
StatusOr<Earlier> StateAt(rt::File& file, uint64_t at, uint64_t least, uint64_t size) {
  static constexpr std::string_view kFrom = "\nFrom ";
  std::vector<char> chunk(kChunkBytes);
  uint64_t next = at;
  while (next < size) {
    const StatusOr<size_t> got = file.ReadAt(next, chunk);
    if (!got.ok()) return got.status();
    if (*got == 0) break;
    const auto end = chunk.begin() + static_cast<ptrdiff_t>(*got);
    const auto zeros = std::find_if(chunk.begin(), end, [](char c) { return c != '\0'; });
    next += static_cast<uint64_t>(zeros - chunk.begin());
    if (zeros != end) break;
  }
  if (next >= size) return Earlier::kTorn;
  // Two line ends at most are put between a cut and the next message.
  const uint64_t from = std::max(least, next - std::min<uint64_t>(next, kFrom.size() - 1));
  std::string window(next - from + 1 + kFrom.size(), '\0');
  const StatusOr<size_t> got = file.ReadAt(from, window);
  if (!got.ok()) return got.status();
  window.resize(*got);
  return window.find(kFrom) == std::string::npos ? Earlier::kWhole : Earlier::kBuried;
}

// Compare tells how the file from `begin` on relates to the text of `delivery`, whose From_ line is
// `first_line` octets long.
StatusOr<Earlier> Compare(rt::File& file, uint64_t begin, uint64_t first_line, uint64_t size,
                          const Delivery& delivery, const std::string& headers) {
  uint64_t offset = begin;
  std::optional<uint64_t> differs_at;
  std::string there;
  const Status status = WriteMboxText(
      *delivery.envelope, headers, *delivery.body, [&](std::string_view piece) -> Status {
        if (differs_at.has_value()) return OkStatus();
        there.resize(piece.size());
        const StatusOr<size_t> got = file.ReadAt(offset, there);
        if (!got.ok()) return got.status();
        const auto differs = std::mismatch(
            there.begin(), there.begin() + static_cast<ptrdiff_t>(*got), piece.begin());
        const size_t same = static_cast<size_t>(differs.first - there.begin());
        offset += same;
        if (same < piece.size()) differs_at = offset;
        return OkStatus();
      });
  if (!status.ok()) return status;
  if (!differs_at.has_value()) return Earlier::kWhole;
  return StateAt(file, *differs_at, begin + first_line, size);
}

// LineEndsMissing is how many line ends are wanted behind the first `end` octets of the file, so
// that an empty line stands there.
StatusOr<int> LineEndsMissing(rt::File& file, uint64_t end) {
  if (end == 0) return 0;
  std::string last(std::min<uint64_t>(end, 2), '\0');
  const StatusOr<size_t> got = file.ReadAt(end - last.size(), last);
  if (!got.ok()) return got.status();
  if (last.back() != '\n') return 2;
  return last == "\n\n" ? 0 : 1;
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
  const std::string headers = mark + HeadersOf(delivery);

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
    // The From_ line is the one line before the mark; its length is known, as its text is.
    std::string first;
    POSTERN_RETURN_IF_ERROR(
        WriteMboxText(*delivery.envelope, headers, *delivery.body, [&](std::string_view piece) {
          if (first.empty()) first = piece.substr(0, piece.find('\n'));
          return OkStatus();
        }));
    // What another message stands behind stays as it is, torn or not; a whole one may come later.
    for (uint64_t from = 0;;) {
      const StatusOr<std::optional<uint64_t>> found = FindText(file, from, "\n" + mark);
      if (!found.ok()) return found.status();
      if (!found->has_value()) break;
      from = **found + 1;
      if (**found < first.size()) return OkStatus();
      const uint64_t begin = **found - first.size();
      const StatusOr<Earlier> earlier = Compare(file, begin, first.size(), end, delivery, headers);
      if (!earlier.ok()) return earlier.status();
      if (*earlier == Earlier::kWhole) {
        POSTERN_RETURN_IF_ERROR(file.Sync());
        return names->Ensure(folder_files, path);
      }
      if (*earlier == Earlier::kBuried) continue;
      POSTERN_RETURN_IF_ERROR(file.Truncate(begin));
      end = begin;
      break;
    }
  }

  uint64_t offset = end;
  Status status = OkStatus();
  const StatusOr<int> missing = LineEndsMissing(file, end);
  if (!missing.ok()) return missing.status();
  if (*missing > 0) {
    status =
        file.WriteAt(offset, std::string_view("\n\n").substr(0, static_cast<size_t>(*missing)));
    offset += static_cast<uint64_t>(*missing);
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
