#include "lib/rt/sim/disk.h"

#include <algorithm>
#include <cerrno>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/files.h"
#include "lib/rt/sim/life.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {

std::string_view NameOf(FileOperation operation) {
  switch (operation) {
    case FileOperation::kCreate: return "create";
    case FileOperation::kWrite: return "write";
    case FileOperation::kTruncate: return "truncate";
    case FileOperation::kSync: return "sync";
    case FileOperation::kRename: return "rename";
    case FileOperation::kLink: return "link";
    case FileOperation::kUnlink: return "unlink";
    case FileOperation::kMakeDirectory: return "mkdir";
    case FileOperation::kRemoveDirectory: return "rmdir";
    case FileOperation::kSyncDirectory: return "sync directory";
    case FileOperation::kRead: return "read";
  }
  return "?";
}

Disk::Disk(Simulation* simulation, const DiskOptions& options, SeededRandom random)
    : simulation_(simulation), options_(options), random_(random) {
  root_ = std::make_shared<Inode>();
  root_->number = ++last_inode_;
  root_->kind = FileInfo::Kind::kDirectory;
  root_->mode = 0755;
  root_->links = 1;
  root_->modified = simulation->wall_now();
  view_ = std::make_unique<SimFiles>(this, nullptr, Credentials());
}

Disk::~Disk() = default;

// --- faults and crash points ---

Disk::Verdict Disk::Gate(Life* life, FileOperation operation, std::string_view path,
                         uint64_t length) {
  Verdict verdict;
  if (life == nullptr) return verdict;
  if (!life->alive()) {
    verdict.status = HostIsDown();
    return verdict;
  }
  // A file operation on a loop blocks all its sessions.
  POSTERN_CHECK(!options_.check_off_loop || simulation_->current() == nullptr);
  if (operation != FileOperation::kRead) {
    ++operations_;
    simulation_->Note(static_cast<uint64_t>(operation) + 1, length ^ (path.size() << 48));
    if (simulation_->tracing())
      simulation_->Tell(StrCat("disk ", NameOf(operation), " ", path, " ", length));
    if (crash_ && operations_ == crash_at_) {
      const uint64_t choice =
          random_.Below(operation == FileOperation::kWrite && length > 1 ? 3 : 2);
      if (choice == 0) {
        CrashNow();
        verdict.status = HostIsDown();
      } else if (choice == 1) {
        verdict.crash_after = true;
      } else {
        verdict.partial = random_.Between(1, length - 1);
        verdict.crash_after = true;
      }
      return verdict;
    }
  }
  for (FileFault& fault : faults_) {
    if (fault.operation.has_value() && *fault.operation != operation) continue;
    if (path.find(fault.path_contains) == std::string_view::npos) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.times == 0) continue;
    --fault.times;
    verdict.status = ErrnoError(fault.error_number, StrCat(NameOf(operation), " ", path));
    verdict.sync_failure = operation == FileOperation::kSync;
    return verdict;
  }
  return verdict;
}

void Disk::CrashAt(uint64_t n, std::function<void()> crash) {
  crash_at_ = operations_ + n;
  crash_ = std::move(crash);
}

void Disk::CrashNow() {
  std::function<void()> crash = std::move(crash_);
  crash_ = nullptr;
  crash();
}

// --- contents ---

StatusOr<InodePtr> Disk::NewInode(FileInfo::Kind kind, uint32_t mode, const Credentials& owner) {
  if (inodes_ >= options_.space_inodes) return ErrnoError(ENOSPC, "no free inode");
  auto inode = std::make_shared<Inode>();
  ++inodes_;
  inode->number = ++last_inode_;
  inode->kind = kind;
  inode->mode = mode;
  inode->uid = owner.uid;
  inode->gid = owner.gid;
  inode->modified = simulation_->wall_now();
  return inode;
}

void Disk::Gone(Inode& inode) {
  --inodes_;
  used_bytes_ -= inode.content.size();
}

void Disk::Closed(Inode& inode) {
  if (--inode.opens == 0 && inode.links == 0) Gone(inode);
}

void Disk::ListDirty(const InodePtr& inode) {
  if (inode->listed_dirty) return;
  inode->listed_dirty = true;
  dirty_.push_back(inode);
  // Files that are clean again, or gone, leave the list now and then.
  if (dirty_.size() > 4096 && (dirty_.size() & 4095) == 0) {
    std::erase_if(dirty_, [](const InodePtr& listed) {
      if (!listed->changes.empty()) return false;
      listed->listed_dirty = false;
      return true;
    });
  }
}

Status Disk::Write(const InodePtr& inode, uint64_t offset, std::string_view data,
                   std::string_view path) {
  Inode& file = *inode;
  const uint64_t old_size = file.content.size();
  Status status;
  const uint64_t end = offset + data.size();
  if (end > old_size) {
    const uint64_t growth = end - old_size;
    const uint64_t free =
        options_.space_bytes > used_bytes_ ? options_.space_bytes - used_bytes_ : 0;
    if (growth > free) {
      status = ErrnoError(ENOSPC, StrCat("write ", path));
      // What fits is written, as write(2) does.
      const uint64_t fits = old_size + free > offset ? old_size + free - offset : 0;
      data = data.substr(0, fits);
    }
  }
  if (data.empty()) return status;
  Inode::Change change;
  change.offset = offset;
  change.length = data.size();
  change.old_size = old_size;
  if (offset < old_size) change.saved = file.content.substr(offset, data.size());
  const uint64_t new_end = offset + data.size();
  if (new_end > old_size) {
    used_bytes_ += new_end - old_size;
    if (offset == old_size) {
      file.content.append(data);
    } else {
      file.content.resize(new_end);
    }
  }
  if (offset != old_size) file.content.replace(offset, data.size(), data);
  file.modified = simulation_->wall_now();
  file.changes.push_back(std::move(change));
  if (file.changes.size() > options_.unsynced_limit && !file.any_lost) {
    file.changes.erase(file.changes.begin(),
                       file.changes.begin() + static_cast<ptrdiff_t>(file.changes.size() / 2));
  }
  ListDirty(inode);
  return status;
}

Status Disk::Truncate(const InodePtr& inode, uint64_t size, std::string_view path) {
  Inode& file = *inode;
  const uint64_t old_size = file.content.size();
  if (size == old_size) return OkStatus();
  if (size > old_size && size - old_size + used_bytes_ > options_.space_bytes) {
    return ErrnoError(ENOSPC, StrCat("truncate ", path));
  }
  Inode::Change change;
  change.is_write = false;
  change.offset = size;
  change.old_size = old_size;
  if (size < old_size) change.saved = file.content.substr(size);
  file.content.resize(size);
  used_bytes_ += size - old_size;  // wraps as it should when the file shrinks
  file.modified = simulation_->wall_now();
  file.changes.push_back(std::move(change));
  ListDirty(inode);
  return OkStatus();
}

namespace {
void WriteBack(Inode& inode) {
  if (!inode.any_lost) {
    inode.changes.clear();
    return;
  }
  for (Inode::Change& change : inode.changes) change.durable = !change.lost;
}
}  // namespace

void Disk::Sync(Inode& inode) {
  ++syncs_;
  WriteBack(inode);
}

// As Linux does: the pages that could not be written are clean from now on. Who syncs again is told
// that all is well, and what was lost stays lost (the fsyncgate of 2018).
void Disk::FailSync(Inode& inode) {
  ++failed_syncs_;
  for (Inode::Change& change : inode.changes) {
    if (change.durable) continue;
    change.lost = true;
    inode.any_lost = true;
  }
}

void Disk::SyncEverything() {
  ++syncs_;
  std::set<const Inode*> lied_about;
  if (!lies_.empty()) CollectLies(*root_, "", lied_about);
  for (const InodePtr& inode : dirty_) {
    if (!lied_about.contains(inode.get())) WriteBack(*inode);
  }
  std::erase_if(dirty_, [](const InodePtr& listed) {
    if (!listed->changes.empty()) return false;
    listed->listed_dirty = false;
    return true;
  });
  for (const NameOperation& operation : names_) {
    if (!lied_about.contains(operation.owner.get()))
      operation.owner->names_synced = last_name_operation_;
  }
  TrimNames();
}

void Disk::FailSyncEverything() {
  ++failed_syncs_;
  for (const InodePtr& inode : dirty_) {
    if (random_.Chance(0.5)) {
      FailSync(*inode);
    } else {
      WriteBack(*inode);
    }
  }
}

void Disk::CollectLies(const Inode& directory, const std::string& path,
                       std::set<const Inode*>& found) const {
  for (const auto& [name, inode] : directory.entries) {
    const std::string below = StrCat(path, "/", name);
    if (Lies(below)) found.insert(inode.get());
    if (inode->kind == FileInfo::Kind::kDirectory) CollectLies(*inode, below, found);
  }
}

bool Disk::Lies(std::string_view path) const {
  return std::any_of(lies_.begin(), lies_.end(), [path](const std::string& part) {
    return path.find(part) != std::string_view::npos;
  });
}

void Disk::LoseData(Inode& inode) {
  std::string& content = inode.content;
  for (auto change = inode.changes.rbegin(); change != inode.changes.rend(); ++change) {
    if (change->is_write) {
      std::string written = content.substr(change->offset, change->length);
      content.resize(change->old_size);
      content.replace(change->offset < content.size() ? change->offset : content.size(),
                      change->saved.size(), change->saved);
      change->saved = std::move(written);
    } else {
      content.resize(change->offset);
      if (change->old_size > change->offset) content.append(change->saved);
      content.resize(change->old_size);
    }
  }
  // Which unsynced changes had reached the platter? One style for the whole file, drawn anew for
  // each: nothing, everything, the first k, whole writes at random, sectors at random.
  const uint64_t style = random_.Below(5);
  const uint64_t cut = random_.Below(inode.changes.size() + 1);
  uint64_t index = 0;
  for (const Inode::Change& change : inode.changes) {
    const uint64_t position = index++;
    if (change.lost) continue;
    double chance = 1;
    if (!change.durable) {
      if (style == 0) chance = 0;
      if (style == 2) chance = position < cut ? 1 : position == cut ? 0.5 : 0;
      if (style == 3) chance = random_.Chance(0.5) ? 1 : 0;
      if (style == 4) chance = 0.5;
    }
    if (!change.is_write) {
      if (chance == 1 || random_.Chance(chance)) content.resize(change.offset);
      continue;
    }
    uint64_t at = change.offset;
    const uint64_t end = change.offset + change.length;
    while (at < end) {
      const uint64_t sector_end = chance == 1 ? end : std::min(end, (at / 512 + 1) * 512);
      if (chance == 1 || random_.Chance(chance)) {
        if (content.size() < sector_end) content.resize(sector_end);
        content.replace(at, sector_end - at, change.saved, at - change.offset, sector_end - at);
      }
      at = sector_end;
    }
  }
  inode.changes.clear();
  inode.any_lost = false;
}

void Disk::LosePower() {
  LoseNames();
  for (const InodePtr& inode : dirty_) {
    inode->listed_dirty = false;
    if (!inode->changes.empty()) LoseData(*inode);
  }
  dirty_.clear();
  Recount();
}

namespace {
void CountBelow(const Inode& directory, std::set<uint64_t>& seen, uint64_t& bytes) {
  for (const auto& [name, inode] : directory.entries) {
    if (!seen.insert(inode->number).second) continue;
    if (inode->kind == FileInfo::Kind::kDirectory) {
      CountBelow(*inode, seen, bytes);
    } else {
      bytes += inode->content.size();
    }
  }
}
}  // namespace

void Disk::Recount() {
  std::set<uint64_t> seen{root_->number};
  used_bytes_ = 0;
  CountBelow(*root_, seen, used_bytes_);
  inodes_ = seen.size();
}

namespace {
void ForgetOpens(Inode& directory) {
  for (const auto& [name, inode] : directory.entries) {
    inode->opens = 0;
    inode->lock_owner = nullptr;
    inode->sqlite = nullptr;
    if (inode->kind == FileInfo::Kind::kDirectory) ForgetOpens(*inode);
  }
}
}  // namespace

void Disk::EndLife() {
  ForgetOpens(*root_);
  Recount();
  crash_ = nullptr;
}

void Disk::SyncAll() {
  for (const InodePtr& inode : dirty_) {
    inode->listed_dirty = false;
    inode->changes.clear();
    inode->any_lost = false;
  }
  dirty_.clear();
  names_.clear();
}

Status Disk::MakeSymlink(const std::string& target, const std::string& path) {
  return static_cast<SimFiles&>(*view_).MakeSymlink(target, path);
}

SpaceInfo Disk::Space() const {
  SpaceInfo info;
  info.total_bytes = options_.space_bytes;
  info.free_bytes = options_.space_bytes > used_bytes_ ? options_.space_bytes - used_bytes_ : 0;
  info.total_inodes = options_.space_inodes;
  info.free_inodes = options_.space_inodes > inodes_ ? options_.space_inodes - inodes_ : 0;
  return info;
}

}  // namespace postern::rt::sim
