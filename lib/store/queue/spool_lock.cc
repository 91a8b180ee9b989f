#include "lib/store/queue/spool_lock.h"

#include <array>
#include <span>
#include <unistd.h>

#include "lib/core/base/strings.h"

namespace postern::store {
namespace {

// The id is padded, so that a shorter one leaves nothing of a longer one before it.
constexpr size_t kIdBytes = 12;

// HolderOf reads the id in the file; "" when there is none that can be one: the holder has the lock
// a moment before it has written.
std::string HolderOf(rt::File& file) {
  std::array<char, kIdBytes> octets = {};
  const StatusOr<size_t> got = file.ReadAt(0, std::span<char>(octets));
  if (!got.ok()) return "";
  const std::string_view text = Trim(std::string_view(octets.data(), *got));
  for (const char c : text) {
    if (c < '0' || c > '9') return "";
  }
  return std::string(text);
}

}  // namespace

StatusOr<SpoolLock> SpoolLock::Take(rt::Files& files, const std::string& spool) {
  rt::OpenOptions open;
  open.write = open.create = true;
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(spool + "/lock", open);
  if (file.status().code() == StatusCode::kResourceExhausted) return SpoolLock(nullptr);
  if (!file.ok()) return file.status();
  // Root may lock the spool of an account that could have given another's file this name, too.
  const StatusOr<rt::FileInfo> info = (*file)->Stat();
  if (!info.ok()) return info.status();
  if (info->links > 1) return FailedPrecondition(StrCat(spool, "/lock has more than one name"));
  if (const Status locked = (*file)->TryLock(); !locked.ok()) {
    if (locked.code() != StatusCode::kUnavailable) return locked;
    const std::string holder = HolderOf(**file);
    return Unavailable(StrCat("another postern",
                              holder.empty() ? "" : StrCat(" (pid ", holder, ")"),
                              " uses this spool"));
  }
  std::string id = StrCat(::getpid());
  id.resize(kIdBytes - 1, ' ');
  id.push_back('\n');
  // Who holds it is for people: without room the lock holds as well.
  (void)(*file)->WriteAt(0, id);
  return SpoolLock(*std::move(file));
}

}  // namespace postern::store
