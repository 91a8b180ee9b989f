// SimFiles: rt::Files over a Disk, as one user in one life of a machine.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/rt/files.h"
#include "lib/rt/sim/disk.h"

namespace postern::rt::sim {

class SimFiles : public Files {
 public:
  // `life` is null for the test's own view. `vfs_name`, if any, is what SqliteVfs says; borrowed.
  SimFiles(Disk* disk, Life* life, Credentials who, const char* vfs_name = nullptr)
      : disk_(disk), life_(life), who_(std::move(who)), vfs_name_(vfs_name) {}

  StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                       const OpenOptions& options) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Link(const std::string& from, const std::string& to) override;
  Status Unlink(const std::string& path) override;
  Status MakeDirectory(const std::string& path, uint32_t mode) override;
  Status RemoveDirectory(const std::string& path) override;
  StatusOr<std::vector<DirectoryEntry>> List(const std::string& path) override;
  StatusOr<FileInfo> Stat(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  StatusOr<SpaceInfo> Space(const std::string& path) override;
  Status SetOwner(const std::string& path, uint32_t uid, uint32_t gid) override;
  std::unique_ptr<Files> As(const Credentials& who) override;
  const char* SqliteVfs() const override { return vfs_name_; }

  // OpenInode is Open for the VFS, which keeps its locks on the inode. OpenFile gives `*out_inode`
  // the file's inode.
  StatusOr<std::unique_ptr<File>> OpenFile(const std::string& path, const OpenOptions& options,
                                           InodePtr* out_inode);
  // OpenNameless makes a file without a name, gone when closed.
  StatusOr<std::unique_ptr<File>> OpenNameless(InodePtr* out_inode);
  Status MakeSymlink(const std::string& target, const std::string& path);
  Disk& disk() { return *disk_; }

 private:
  // Place is where a path leads: the directory, the last name, and what is there (null: nothing).
  struct Place {
    InodePtr directory;
    std::string name;
    InodePtr inode;
  };
  StatusOr<Place> Find(const std::string& path, bool follow_last, std::string_view what);
  bool May(const Inode& inode, uint32_t wanted) const;
  Status MayChange(const Place& place, std::string_view what, const std::string& path) const;
  // Change runs `effect` as one operation that faults and crash points can strike.
  template <typename Effect>
  Status Change(FileOperation operation, const std::string& path, Effect effect);
  static FileInfo InfoOf(const Inode& inode);

  friend class SimFile;
  Disk* disk_;
  Life* life_;
  Credentials who_;
  const char* vfs_name_;
};

}  // namespace postern::rt::sim
