// PosixFiles: the file system of this machine.
#pragma once

#include "lib/rt/files.h"

namespace postern::rt {

class PosixFiles : public Files {
 public:
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
  Status GiveOwned(const std::string& path, const std::vector<std::string>& names, uint32_t uid,
                   uint32_t gid) override;
  std::unique_ptr<Files> As(const Credentials& who) override;
};

// FileOfDescriptor makes a File of an open descriptor, which it closes; `name` is for errors.
std::unique_ptr<File> FileOfDescriptor(int fd, std::string name);

}  // namespace postern::rt
