#include "lib/store/queue/stored_body.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <zlib.h>

#include "lib/core/base/strings.h"
#include "lib/store/queue/memory_body.h"
#include "lib/store/queue/sealed_file.h"

namespace postern::store {

using queue::MessageId;

namespace {

// FileBody reads a large body from its file, which stays readable after its name is gone.
class FileBody final : public Body {
 public:
  FileBody(std::unique_ptr<rt::File> file, uint64_t size_bytes)
      : file_(std::move(file)), size_bytes_(size_bytes) {}
  uint64_t size_bytes() const override { return size_bytes_; }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    const std::lock_guard lock(mutex_);
    return file_->ReadAt(offset, into);
  }

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<rt::File> file_;
  uint64_t size_bytes_;
};

StatusOr<uint32_t> ChecksumOf(const Body& body) {
  uLong sum = crc32(0, nullptr, 0);
  std::vector<char> chunk(static_cast<size_t>(std::min<uint64_t>(body.size_bytes(), 64 * 1024)));
  for (uint64_t offset = 0; offset < body.size_bytes();) {
    const StatusOr<size_t> got = body.ReadAt(offset, chunk);
    if (!got.ok()) return got.status();
    if (*got == 0) break;
    sum = crc32_z(sum, reinterpret_cast<const unsigned char*>(chunk.data()), *got);
    offset += *got;
  }
  return static_cast<uint32_t>(sum);
}

// Read opens what is stored; null: its file is gone.
StatusOr<std::shared_ptr<const Body>> Read(rt::Files& files, const std::string& spool,
                                           const SpoolSeal& seal, MessageId id, StoredBody row) {
  std::shared_ptr<const Body> body;
  if (!row.in_file) {
    if (IsSealed(row.body)) {
      StatusOr<std::string> text = seal.Open(SealedKind::kText, id, row.body, row.size_bytes);
      if (!text.ok()) return text.status();
      row.body = *std::move(text);
    }
    body = std::make_shared<MemoryBody>(std::move(row.body));
    return body;
  }
  StatusOr<std::unique_ptr<rt::File>> file = files.Open(BodyFileOf(spool, id), rt::OpenOptions{});
  if (file.status().code() == StatusCode::kNotFound) return body;
  if (!file.ok()) return file.status();
  const StatusOr<bool> sealed = FileIsSealed(**file);
  if (!sealed.ok()) return sealed.status();
  if (*sealed) return OpenSealedFile(*std::move(file), seal, id, row.size_bytes);
  const StatusOr<rt::FileInfo> info = (*file)->Stat();
  if (!info.ok()) return info.status();
  body = std::make_shared<FileBody>(*std::move(file), info->size_bytes);
  return body;
}

}  // namespace

std::string BodyFileOf(const std::string& spool, MessageId id) {
  return StrCat(spool, "/bodies/", queue::MessageIdText(id));
}

StatusOr<std::shared_ptr<const Body>> OpenStoredBody(rt::Files& files, const std::string& spool,
                                                     const SpoolSeal& seal, MessageId id,
                                                     StoredBody row) {
  const uint64_t size_bytes = row.size_bytes;
  const uint32_t wanted = row.checksum;
  StatusOr<std::shared_ptr<const Body>> body = Read(files, spool, seal, id, std::move(row));
  if (!body.ok()) return body;
  if (*body != nullptr && (*body)->size_bytes() == size_bytes) {
    const StatusOr<uint32_t> checksum = ChecksumOf(**body);
    if (!checksum.ok()) return checksum.status();
    if (*checksum == wanted) return body;
  }
  return InvalidArgument(*body == nullptr ? "its file is gone" : "its checksum is wrong");
}

}  // namespace postern::store
