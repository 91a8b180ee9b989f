// Disk: a file system in memory that knows what was synced.
//
// It promises what lib/rt/files.h promises and forgets the rest when the power goes:
//  - Of a file, the data that was synced stays. Of the writes and truncations since then a random
//  subset stays, torn at
//    sectors of 512 octets. A file that was never synced may be empty or torn though its name is
//    there.
//  - Of a directory, the names that were synced stay. Of the operations since then (create, link,
//  unlink, rename, mkdir,
//    rmdir) a random prefix stays (NameLoss::kPrefix, as a journal leaves it) or a random subset
//    (kAnySubset). A rename is one operation; it is durable when the directory of the new name was
//    synced. Syncing a file does not sync its name.
//  - Owner and permission bits never get lost.
// What a write replaced is kept beside it until a sync, so writing costs what it changes and a
// crash what was not synced.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/rt/files.h"
#include "lib/rt/sim/random.h"

namespace postern::rt::sim {

class Life;
class Simulation;

// FileOperation names what faults and crash points can strike. Those up to kSyncDirectory are
// counted; kRead (ReadAt, List, Stat, opening without creating) is not, as a crash before it is one
// after the operation before.
enum class FileOperation {
  kCreate,
  kWrite,
  kTruncate,
  kSync,
  kRename,
  kLink,
  kUnlink,
  kMakeDirectory,
  kRemoveDirectory,
  kSyncDirectory,
  kRead,
};
std::string_view NameOf(FileOperation operation);

enum class NameLoss { kPrefix, kAnySubset };

struct DiskOptions {
  // of file contents together; writing beyond is ENOSPC after what fits
  uint64_t space_bytes = 1ull << 34;
  uint64_t space_inodes = 1'000'000;
  NameLoss name_loss = NameLoss::kPrefix;
  // A file with more unsynced changes than this, or a disk with more unsynced names, writes the
  // older half back, as a kernel does in time.
  size_t unsynced_limit = 16384;
  // Files are for the pool (lib/rt/files.h). With this set, a call from a loop fails a check: the
  // test finds who blocks it.
  bool check_off_loop = false;
};

// FileFault makes operations fail.
struct FileFault {
  std::optional<FileOperation> operation;  // any when not set
  std::string path_contains;               // any when empty
  uint64_t skip = 0;                       // lets so many that match pass
  uint64_t times = 1;                      // then fails so many
  int error_number = 5;                    // EIO
};

// Inode is a file, directory or symbolic link. Internal to rt/sim.
struct Inode {
  // Change is a write or truncation since the last sync. While it is applied, `saved` has the
  // octets that it replaced; while it is rolled back, those that it wrote.
  struct Change {
    bool is_write = true;
    bool lost = false;     // a failed sync dropped it: it will never reach the disk
    bool durable = false;  // synced, but kept because lost ones are before it
    uint64_t offset = 0;   // of a truncation: the new size
    uint64_t length = 0;
    uint64_t old_size = 0;
    std::string saved;
  };

  uint64_t number = 0;
  FileInfo::Kind kind = FileInfo::Kind::kRegular;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t links = 0;
  int opens = 0;
  WallTime modified;
  std::string content;  // of a file; of a symbolic link its target
  std::map<std::string, std::shared_ptr<Inode>, std::less<>> entries;
  std::vector<Change> changes;
  bool any_lost = false;
  bool listed_dirty = false;
  uint64_t names_synced = 0;  // name operations of this directory up to this one are durable
  const void* lock_owner = nullptr;
  void* sqlite = nullptr;  // the VFS's locks on this file in the current life
};
using InodePtr = std::shared_ptr<Inode>;

class Disk {
 public:
  Disk(Simulation* simulation, const DiskOptions& options, SeededRandom random);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // view is the whole disk as root, for the test: no faults, no counting, works while the host is
  // down. What is written through it is durable at once when made durable with SyncAll.
  Files& view() { return *view_; }
  // SyncAll makes the present state durable: the starting point of a test.
  void SyncAll();
  // MakeSymlink makes a symbolic link (Files has no call for it).
  Status MakeSymlink(const std::string& target, const std::string& path);

  // Inject arms `fault`; several may be armed, the first that matches strikes. ClearFaults disarms
  // all.
  void Inject(FileFault fault) { faults_.push_back(std::move(fault)); }
  void ClearFaults() { faults_.clear(); }
  // LieAbout makes Sync and SyncDirectory of paths that contain `part` answer that all is well and
  // do nothing, as a drive with a volatile cache does; SyncFileSystem, whose path is "file system",
  // leaves them out. It plants the bug "a sync is missing here"
  // without a change to the code under test.
  void LieAbout(std::string part) { lies_.push_back(std::move(part)); }
  // SetSpace changes the size of the disk: smaller than what is used makes it full.
  void SetSpace(uint64_t bytes) { options_.space_bytes = bytes; }
  void set_name_loss(NameLoss loss) { options_.name_loss = loss; }
  uint64_t used_bytes() const { return used_bytes_; }

  // operations counts the counted operations of the code under test since the start.
  uint64_t operations() const { return operations_; }
  // syncs counts Sync, SyncFileSystem and SyncDirectory calls that reached the disk.
  uint64_t syncs() const { return syncs_; }

  // --- for the other parts of rt/sim ---
  // LosePower forgets what was not synced; Forget ends the open files and locks of the life that
  // ended.
  void LosePower();
  void EndLife();
  // CrashAt calls `crash` at the n-th counted operation from now.
  void CrashAt(uint64_t n, std::function<void()> crash);

  // Gate decides about one operation: what to do before it, and after it.
  struct Verdict {
    Status status;                  // not OK: do nothing and return this
    bool crash_after = false;       // do it, then call CrashNow and return HostIsDown
    uint64_t partial = UINT64_MAX;  // of a write: apply only so many octets, then CrashNow
    // the status comes from a fault and the operation is kSync: drop the dirty data
    bool sync_failure = false;
  };
  // `life` is null for the view.
  Verdict Gate(Life* life, FileOperation operation, std::string_view path, uint64_t length = 0);
  void CrashNow();

  const InodePtr& root() const { return root_; }
  StatusOr<InodePtr> NewInode(FileInfo::Kind kind, uint32_t mode, const Credentials& owner);
  Status Write(const InodePtr& inode, uint64_t offset, std::string_view data,
               std::string_view path);
  Status Truncate(const InodePtr& inode, uint64_t size, std::string_view path);
  void Sync(Inode& inode);
  void FailSync(Inode& inode);
  // SyncEverything makes all data and names durable, but those that the disk lies about, as syncfs
  // does. FailSyncEverything is one that fails on its way: of each file the unsynced data is
  // dropped or written, as chance has it, and the names stay in doubt.
  void SyncEverything();
  void FailSyncEverything();
  // failed_syncs counts the syncs that failed: a sync of the file system tells of those that its
  // file has not been told of yet.
  uint64_t failed_syncs() const { return failed_syncs_; }
  bool Lies(std::string_view path) const;
  // SetEntry is one name operation: `directory`/`name` becomes `inode` (null: is removed).
  void SetEntry(const InodePtr& directory, const std::string& name, const InodePtr& inode);
  void MoveEntry(const InodePtr& from, const std::string& from_name, const InodePtr& to,
                 const std::string& to_name);
  void SyncNames(Inode& directory);
  void Opened(Inode& inode) { ++inode.opens; }
  void Closed(Inode& inode);
  SpaceInfo Space() const;
  Simulation& simulation() { return *simulation_; }

 private:
  struct NameChange {
    InodePtr directory;
    std::string name;
    InodePtr before;
    InodePtr after;
  };
  struct NameOperation {
    uint64_t number = 0;
    InodePtr owner;  // whose sync makes it durable
    NameChange changes[2];
    int count = 1;
  };

  void Apply(const NameChange& change, const InodePtr& value);
  void Record(NameOperation operation);
  void TrimNames();
  void LoseNames();
  void LoseData(Inode& inode);
  void ListDirty(const InodePtr& inode);
  void Recount();
  void Gone(Inode& inode);
  // CollectLies gathers the files and directories below `directory` whose path is lied about.
  void CollectLies(const Inode& directory, const std::string& path,
                   std::set<const Inode*>& found) const;

  Simulation* simulation_;
  DiskOptions options_;
  SeededRandom random_;
  InodePtr root_;
  uint64_t last_inode_ = 0;
  uint64_t inodes_ = 1;
  uint64_t used_bytes_ = 0;
  uint64_t last_name_operation_ = 0;
  std::deque<NameOperation> names_;
  std::vector<InodePtr> dirty_;
  std::vector<FileFault> faults_;
  std::vector<std::string> lies_;
  uint64_t operations_ = 0;
  uint64_t syncs_ = 0;
  uint64_t failed_syncs_ = 0;
  uint64_t crash_at_ = 0;
  std::function<void()> crash_;
  std::unique_ptr<Files> view_;
};

}  // namespace postern::rt::sim
