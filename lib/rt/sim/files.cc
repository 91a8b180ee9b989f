#include "lib/rt/sim/files.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/life.h"

namespace postern::rt::sim {
namespace {

constexpr int kSymlinkLimit = 40;  // as Linux: ELOOP beyond
constexpr uint32_t kRead = 4;
constexpr uint32_t kWrite = 2;
constexpr uint32_t kSearch = 1;
constexpr size_t kNameLimit = 255;
constexpr uint64_t kDevice = 1;
// The path by which faults and lies name a sync of the whole disk.
constexpr std::string_view kFileSystem = "file system";

Status Failed(int error_number, std::string_view what, const std::string& path) {
  return ErrnoError(error_number, StrCat(what, " ", path));
}

}  // namespace

// SimFile is one open file. It keeps what it needs of its SimFiles by value: an As() view may die
// before it.
class SimFile : public File {
 public:
  SimFile(Disk* disk, Life* life, uint32_t uid, InodePtr inode, std::string path, bool readable,
          bool writable)
      : disk_(disk),
        life_(life),
        uid_(uid),
        inode_(std::move(inode)),
        path_(std::move(path)),
        readable_(readable),
        writable_(writable) {
    disk_->Opened(*inode_);
  }
  ~SimFile() override {
    if (life_ != nullptr) life_->ReleaseDescriptor();
    // A crash has already closed the files of its life.
    if (life_ != nullptr && !life_->alive()) return;
    if (inode_->lock_owner == this) inode_->lock_owner = nullptr;
    disk_->Closed(*inode_);
  }

  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kRead, path_);
    if (!verdict.status.ok()) return verdict.status;
    if (!readable_) return Failed(EBADF, "read", path_);
    const std::string& content = inode_->content;
    if (offset >= content.size()) return size_t{0};
    return content.copy(into.data(), into.size(), offset);
  }

  Status WriteAt(uint64_t offset, std::string_view data) override {
    if (!writable_) return Failed(EBADF, "write", path_);
    if (data.empty()) return life_ != nullptr && !life_->alive() ? HostIsDown() : OkStatus();
    Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kWrite, path_, data.size());
    if (!verdict.status.ok()) return verdict.status;
    const Status status = disk_->Write(inode_, offset, data.substr(0, verdict.partial), path_);
    return After(verdict, status);
  }
  Status Append(std::string_view data) override { return WriteAt(inode_->content.size(), data); }

  Status Truncate(uint64_t size_bytes) override {
    if (!writable_) return Failed(EBADF, "truncate", path_);
    Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kTruncate, path_, size_bytes);
    if (!verdict.status.ok()) return verdict.status;
    return After(verdict, disk_->Truncate(inode_, size_bytes, path_));
  }

  Status Sync() override {
    Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kSync, path_);
    if (verdict.sync_failure) disk_->FailSync(*inode_);
    if (!verdict.status.ok()) return verdict.status;
    if (life_ == nullptr || !disk_->Lies(path_)) disk_->Sync(*inode_);
    return After(verdict, OkStatus());
  }

  // As Linux since 5.8: a failure since this file was opened is told once, whoever caused it.
  Status SyncFileSystem() override {
    Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kSync, kFileSystem);
    if (verdict.sync_failure) {
      disk_->FailSyncEverything();
      told_failed_syncs_ = disk_->failed_syncs();
    }
    if (!verdict.status.ok()) return verdict.status;
    if (life_ == nullptr || !disk_->Lies(kFileSystem)) disk_->SyncEverything();
    const uint64_t failures = disk_->failed_syncs();
    const bool failed = std::exchange(told_failed_syncs_, failures) != failures;
    return After(verdict, failed ? Failed(EIO, "syncfs", path_) : OkStatus());
  }

  StatusOr<FileInfo> Stat() override {
    Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kRead, path_);
    if (!verdict.status.ok()) return verdict.status;
    return SimFiles::InfoOf(*inode_);
  }

  Status SetMode(uint32_t mode) override {
    if (life_ != nullptr && !life_->alive()) return HostIsDown();
    if (uid_ != 0 && uid_ != inode_->uid) return Failed(EPERM, "chmod", path_);
    inode_->mode = mode & 07777;
    return OkStatus();
  }

  Status TryLock() override {
    if (life_ != nullptr && !life_->alive()) return HostIsDown();
    if (inode_->lock_owner != nullptr && inode_->lock_owner != this) {
      return Unavailable(StrCat(path_, " is locked by another"));
    }
    inode_->lock_owner = this;
    return OkStatus();
  }

 private:
  Status After(const Disk::Verdict& verdict, const Status& status) {
    if (!verdict.crash_after) return status;
    disk_->CrashNow();
    return HostIsDown();
  }

  Disk* disk_;
  Life* life_;
  uint32_t uid_;
  InodePtr inode_;
  uint64_t told_failed_syncs_ = disk_->failed_syncs();
  std::string path_;
  bool readable_;
  bool writable_;
};

FileInfo SimFiles::InfoOf(const Inode& inode) {
  FileInfo info;
  info.kind = inode.kind;
  info.size_bytes = inode.content.size();
  info.mode = inode.mode;
  info.uid = inode.uid;
  info.gid = inode.gid;
  info.device = kDevice;
  info.inode = inode.number;
  info.links = inode.links;
  info.modified = inode.modified;
  return info;
}

bool SimFiles::May(const Inode& inode, uint32_t wanted) const {
  if (who_.uid == 0) return true;
  uint32_t bits = inode.mode & 7;
  if (who_.uid == inode.uid) {
    bits = (inode.mode >> 6) & 7;
  } else if (who_.gid == inode.gid ||
             std::find(who_.groups.begin(), who_.groups.end(), inode.gid) != who_.groups.end()) {
    bits = (inode.mode >> 3) & 7;
  }
  return (bits & wanted) == wanted;
}

StatusOr<SimFiles::Place> SimFiles::Find(const std::string& path, bool follow_last,
                                         std::string_view what) {
  if (life_ != nullptr && !life_->alive()) return HostIsDown();
  Place place;
  place.directory = disk_->root();
  place.inode = disk_->root();
  std::vector<std::string> waiting;  // components still to walk, the next one last
  const auto push = [&waiting](std::string_view text) {
    const size_t first = waiting.size();
    for (const std::string_view part : Split(text, '/')) {
      if (!part.empty() && part != ".") waiting.emplace_back(part);
    }
    std::reverse(waiting.begin() + static_cast<ptrdiff_t>(first), waiting.end());
  };
  push(path);
  std::vector<InodePtr> above;  // for ".."
  int symlinks = 0;
  while (!waiting.empty()) {
    if (place.inode == nullptr) return Failed(ENOENT, what, path);
    if (place.inode->kind != FileInfo::Kind::kDirectory) return Failed(ENOTDIR, what, path);
    std::string part = std::move(waiting.back());
    waiting.pop_back();
    if (part == "..") {
      if (!above.empty()) {
        place.inode = above.back();
        above.pop_back();
      }
      place.directory = place.inode;
      place.name.clear();
      continue;
    }
    if (part.size() > kNameLimit) return Failed(ENAMETOOLONG, what, path);
    if (!May(*place.inode, kSearch)) return Failed(EACCES, what, path);
    above.push_back(place.inode);
    place.directory = std::move(place.inode);
    auto entry = place.directory->entries.find(part);
    place.inode = entry == place.directory->entries.end() ? nullptr : entry->second;
    place.name = std::move(part);
    const bool last = waiting.empty();
    if (place.inode != nullptr && place.inode->kind == FileInfo::Kind::kSymlink &&
        (!last || follow_last)) {
      if (++symlinks > kSymlinkLimit) return Failed(ELOOP, what, path);
      const std::string target = place.inode->content;
      if (target.starts_with('/')) {
        above.clear();
        place.inode = disk_->root();
      } else {
        place.inode = place.directory;
        above.pop_back();
      }
      push(target);
    }
  }
  return place;
}

Status SimFiles::MayChange(const Place& place, std::string_view what,
                           const std::string& path) const {
  if (place.name.empty()) return Failed(EBUSY, what, path);
  if (!May(*place.directory, kWrite | kSearch)) return Failed(EACCES, what, path);
  return OkStatus();
}

template <typename Effect>
Status SimFiles::Change(FileOperation operation, const std::string& path, Effect effect) {
  Disk::Verdict verdict = disk_->Gate(life_, operation, path);
  if (!verdict.status.ok()) return verdict.status;
  const Status status = effect();
  if (!verdict.crash_after) return status;
  disk_->CrashNow();
  return HostIsDown();
}

StatusOr<std::unique_ptr<File>> SimFiles::Open(const std::string& path,
                                               const OpenOptions& options) {
  InodePtr inode;
  return OpenFile(path, options, &inode);
}

StatusOr<std::unique_ptr<File>> SimFiles::OpenFile(const std::string& path,
                                                   const OpenOptions& options,
                                                   InodePtr* out_inode) {
  const bool writes = options.write || options.append;
  if (life_ != nullptr && !life_->alive()) return HostIsDown();
  if (path.empty()) return Failed(ENOENT, "open", path);
  StatusOr<Place> place = Find(path, options.follow_symlink && !options.exclusive, "open");
  if (!place.ok()) return place.status();
  InodePtr inode = place->inode;
  if (inode == nullptr && !options.create) return Failed(ENOENT, "open", path);
  if (inode != nullptr && options.create && options.exclusive) return Failed(EEXIST, "open", path);
  if (inode != nullptr && inode->kind == FileInfo::Kind::kSymlink)
    return Failed(ELOOP, "open", path);
  if (inode != nullptr && inode->kind == FileInfo::Kind::kDirectory && writes)
    return Failed(EISDIR, "open", path);
  if (inode != nullptr && !May(*inode, (options.read ? kRead : 0) | (writes ? kWrite : 0))) {
    return Failed(EACCES, "open", path);
  }
  if (life_ != nullptr && !life_->TakeDescriptor()) return Failed(EMFILE, "open", path);

  Status status;
  if (inode == nullptr) {
    status = MayChange(*place, "open", path);
    if (status.ok()) {
      status = Change(FileOperation::kCreate, path, [&]() -> Status {
        StatusOr<InodePtr> made =
            disk_->NewInode(FileInfo::Kind::kRegular, options.mode & 07777, who_);
        if (!made.ok()) return made.status();
        inode = *made;
        disk_->SetEntry(place->directory, place->name, inode);
        return OkStatus();
      });
    }
  } else if (options.truncate && writes && !inode->content.empty()) {
    status =
        Change(FileOperation::kTruncate, path, [&] { return disk_->Truncate(inode, 0, path); });
  } else {
    status = disk_->Gate(life_, FileOperation::kRead, path).status;
  }
  if (!status.ok()) {
    if (life_ != nullptr) life_->ReleaseDescriptor();
    return status;
  }
  *out_inode = inode;
  return std::unique_ptr<File>(std::make_unique<SimFile>(disk_, life_, who_.uid, std::move(inode),
                                                         path, options.read, writes));
}

StatusOr<std::unique_ptr<File>> SimFiles::OpenNameless(InodePtr* out_inode) {
  if (life_ != nullptr && !life_->alive()) return HostIsDown();
  if (life_ != nullptr && !life_->TakeDescriptor())
    return ErrnoError(EMFILE, "open a temporary file");
  StatusOr<InodePtr> made = disk_->NewInode(FileInfo::Kind::kRegular, 0600, who_);
  if (!made.ok()) {
    if (life_ != nullptr) life_->ReleaseDescriptor();
    return made.status();
  }
  *out_inode = *made;
  return std::unique_ptr<File>(
      std::make_unique<SimFile>(disk_, life_, who_.uid, *made, "(temporary)", true, true));
}

Status SimFiles::Rename(const std::string& from, const std::string& to) {
  StatusOr<Place> source = Find(from, false, "rename");
  if (!source.ok()) return source.status();
  StatusOr<Place> target = Find(to, false, "rename to");
  if (!target.ok()) return target.status();
  if (source->inode == nullptr) return Failed(ENOENT, "rename", from);
  POSTERN_RETURN_IF_ERROR(MayChange(*source, "rename", from));
  POSTERN_RETURN_IF_ERROR(MayChange(*target, "rename to", to));
  if (target->inode != nullptr && target->inode != source->inode) {
    const bool target_directory = target->inode->kind == FileInfo::Kind::kDirectory;
    const bool source_directory = source->inode->kind == FileInfo::Kind::kDirectory;
    if (target_directory && !source_directory) return Failed(EISDIR, "rename to", to);
    if (!target_directory && source_directory) return Failed(ENOTDIR, "rename to", to);
    if (target_directory && !target->inode->entries.empty())
      return Failed(ENOTEMPTY, "rename to", to);
  }
  return Change(FileOperation::kRename, to, [&] {
    // Two names of one file: rename(2) does nothing.
    if (target->inode != source->inode)
      disk_->MoveEntry(source->directory, source->name, target->directory, target->name);
    return OkStatus();
  });
}

Status SimFiles::Link(const std::string& from, const std::string& to) {
  StatusOr<Place> source = Find(from, false, "link");
  if (!source.ok()) return source.status();
  StatusOr<Place> target = Find(to, false, "link to");
  if (!target.ok()) return target.status();
  if (source->inode == nullptr) return Failed(ENOENT, "link", from);
  if (source->inode->kind == FileInfo::Kind::kDirectory) return Failed(EPERM, "link", from);
  if (target->inode != nullptr) return Failed(EEXIST, "link to", to);
  POSTERN_RETURN_IF_ERROR(MayChange(*target, "link to", to));
  return Change(FileOperation::kLink, to, [&] {
    disk_->SetEntry(target->directory, target->name, source->inode);
    return OkStatus();
  });
}

Status SimFiles::Unlink(const std::string& path) {
  StatusOr<Place> place = Find(path, false, "unlink");
  if (!place.ok()) return place.status();
  if (place->inode == nullptr) return Failed(ENOENT, "unlink", path);
  if (place->inode->kind == FileInfo::Kind::kDirectory) return Failed(EISDIR, "unlink", path);
  POSTERN_RETURN_IF_ERROR(MayChange(*place, "unlink", path));
  return Change(FileOperation::kUnlink, path, [&] {
    disk_->SetEntry(place->directory, place->name, nullptr);
    return OkStatus();
  });
}

Status SimFiles::MakeDirectory(const std::string& path, uint32_t mode) {
  StatusOr<Place> place = Find(path, false, "mkdir");
  if (!place.ok()) return place.status();
  if (place->inode != nullptr) return Failed(EEXIST, "mkdir", path);
  POSTERN_RETURN_IF_ERROR(MayChange(*place, "mkdir", path));
  return Change(FileOperation::kMakeDirectory, path, [&]() -> Status {
    StatusOr<InodePtr> made = disk_->NewInode(FileInfo::Kind::kDirectory, mode & 07777, who_);
    if (!made.ok()) return made.status();
    disk_->SetEntry(place->directory, place->name, *made);
    return OkStatus();
  });
}

Status SimFiles::MakeSymlink(const std::string& target, const std::string& path) {
  StatusOr<Place> place = Find(path, false, "symlink");
  if (!place.ok()) return place.status();
  if (place->inode != nullptr) return Failed(EEXIST, "symlink", path);
  StatusOr<InodePtr> made = disk_->NewInode(FileInfo::Kind::kSymlink, 0777, who_);
  if (!made.ok()) return made.status();
  (*made)->content = target;
  disk_->SetEntry(place->directory, place->name, *made);
  return OkStatus();
}

Status SimFiles::RemoveDirectory(const std::string& path) {
  StatusOr<Place> place = Find(path, false, "rmdir");
  if (!place.ok()) return place.status();
  if (place->inode == nullptr) return Failed(ENOENT, "rmdir", path);
  if (place->inode->kind != FileInfo::Kind::kDirectory) return Failed(ENOTDIR, "rmdir", path);
  if (!place->inode->entries.empty()) return Failed(ENOTEMPTY, "rmdir", path);
  POSTERN_RETURN_IF_ERROR(MayChange(*place, "rmdir", path));
  return Change(FileOperation::kRemoveDirectory, path, [&] {
    disk_->SetEntry(place->directory, place->name, nullptr);
    return OkStatus();
  });
}

StatusOr<std::vector<DirectoryEntry>> SimFiles::List(const std::string& path) {
  Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kRead, path);
  if (!verdict.status.ok()) return verdict.status;
  StatusOr<Place> place = Find(path, true, "list");
  if (!place.ok()) return place.status();
  if (place->inode == nullptr) return Failed(ENOENT, "list", path);
  if (place->inode->kind != FileInfo::Kind::kDirectory) return Failed(ENOTDIR, "list", path);
  if (!May(*place->inode, kRead)) return Failed(EACCES, "list", path);
  std::vector<DirectoryEntry> entries;
  entries.reserve(place->inode->entries.size());
  for (const auto& [name, inode] : place->inode->entries)
    entries.push_back({name, inode->kind, inode->number});
  // readdir gives them in no order that a program may rely on.
  if (life_ != nullptr && entries.size() > 1) {
    for (size_t i = entries.size() - 1; i > 0; --i)
      std::swap(entries[i], entries[life_->random().Below(i + 1)]);
  }
  return entries;
}

StatusOr<FileInfo> SimFiles::Stat(const std::string& path) {
  Disk::Verdict verdict = disk_->Gate(life_, FileOperation::kRead, path);
  if (!verdict.status.ok()) return verdict.status;
  StatusOr<Place> place = Find(path, false, "stat");
  if (!place.ok()) return place.status();
  if (place->inode == nullptr) return Failed(ENOENT, "stat", path);
  return InfoOf(*place->inode);
}

Status SimFiles::SyncDirectory(const std::string& path) {
  StatusOr<Place> place = Find(path, true, "sync directory");
  if (!place.ok()) return place.status();
  if (place->inode == nullptr) return Failed(ENOENT, "sync directory", path);
  if (place->inode->kind != FileInfo::Kind::kDirectory)
    return Failed(ENOTDIR, "sync directory", path);
  return Change(FileOperation::kSyncDirectory, path, [&] {
    if (life_ == nullptr || !disk_->Lies(path)) disk_->SyncNames(*place->inode);
    return OkStatus();
  });
}

StatusOr<SpaceInfo> SimFiles::Space(const std::string& path) {
  StatusOr<FileInfo> info = Stat(path);
  if (!info.ok()) return info.status();
  return disk_->Space();
}

Status SimFiles::SetOwner(const std::string& path, uint32_t uid, uint32_t gid) {
  if (life_ != nullptr && !life_->alive()) return HostIsDown();
  StatusOr<Place> place = Find(path, false, "chown");
  if (!place.ok()) return place.status();
  if (place->inode == nullptr) return Failed(ENOENT, "chown", path);
  const bool unchanged = place->inode->uid == uid && place->inode->gid == gid;
  if (who_.uid != 0 && !unchanged) return Failed(EPERM, "chown", path);
  place->inode->uid = uid;
  place->inode->gid = gid;
  return OkStatus();
}

std::unique_ptr<Files> SimFiles::As(const Credentials& who) {
  // Without privilege nobody becomes somebody else: the caller stays who it is, as setfsuid(2) has
  // it.
  const bool allowed = who_.uid == 0 || who.uid == who_.uid;
  return std::make_unique<SimFiles>(disk_, life_, allowed ? who : who_, vfs_name_);
}

}  // namespace postern::rt::sim
