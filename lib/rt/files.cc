#include "lib/rt/files.h"

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Status MakeDirectories(Files& files, const std::string& path, uint32_t mode) {
  const StatusOr<FileInfo> present = files.Stat(path);
  if (present.ok()) {
    if (present->kind == FileInfo::Kind::kDirectory) return OkStatus();
    return FailedPrecondition(StrCat(path, " is not a directory"));
  }
  if (present.status().code() != StatusCode::kNotFound) return present.status();
  const std::string parent = ParentOf(path);
  if (parent != path && parent != "." && parent != "/") {
    POSTERN_RETURN_IF_ERROR(MakeDirectories(files, parent, mode));
  }
  const Status made = files.MakeDirectory(path, mode);
  // Another delivery may have made it in the meantime.
  if (!made.ok() && made.code() != StatusCode::kAlreadyExists) return made;
  return files.SyncDirectory(parent);
}

StatusOr<std::string> ReadFile(Files& files, const std::string& path, uint64_t limit_bytes) {
  OpenOptions options;
  options.follow_symlink = true;
  StatusOr<std::unique_ptr<File>> file = files.Open(path, options);
  if (!file.ok()) return file.status();
  const StatusOr<FileInfo> info = (*file)->Stat();
  if (!info.ok()) return info.status();
  if (info->size_bytes > limit_bytes) {
    return ResourceExhausted(
        StrCat(path, ": ", info->size_bytes, " bytes, at most ", limit_bytes, " are read"));
  }
  std::string data(info->size_bytes, '\0');
  const StatusOr<size_t> got = (*file)->ReadAt(0, std::span<char>(data.data(), data.size()));
  if (!got.ok()) return got.status();
  data.resize(*got);
  return data;
}

Status WriteFileDurably(Files& files, const std::string& path, std::string_view data,
                        uint32_t mode) {
  const std::string temporary = path + ".new";
  Status status = OkStatus();
  {
    OpenOptions options;
    options.write = options.create = options.truncate = true;
    options.mode = mode;
    StatusOr<std::unique_ptr<File>> file = files.Open(temporary, options);
    if (!file.ok()) return file.status();
    status = (*file)->WriteAt(0, data);
    if (status.ok()) status = (*file)->Sync();
  }
  if (status.ok()) status = files.Rename(temporary, path);
  if (!status.ok()) {
    // On a full disk half a file would take the room that is wanted.
    (void)files.Unlink(temporary);
    return status;
  }
  return files.SyncDirectory(ParentOf(path));
}

}  // namespace postern::rt
