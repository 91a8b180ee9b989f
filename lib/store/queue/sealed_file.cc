#include "lib/store/queue/sealed_file.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace postern::store {
namespace {

class SealedFile final : public Body {
 public:
  SealedFile(std::unique_ptr<rt::File> file, SealReader reader)
      : file_(std::move(file)), reader_(std::move(reader)) {}

  Status FindChunks(uint64_t limit_bytes) {
    uint64_t at = kSealHeadOctets;
    for (;;) {
      char head[kSealChunkHeadOctets];
      const StatusOr<size_t> got = file_->ReadAt(at, head);
      if (!got.ok()) return got.status();
      StatusOr<SealReader::Chunk> chunk = reader_.ParseChunk(std::string_view(head, *got));
      if (!chunk.ok()) return chunk.status();
      at += kSealChunkHeadOctets;
      const bool last = chunk->last;
      chunks_.push_back(Place{at, size_bytes_, *chunk});
      at += chunk->stored_bytes;
      size_bytes_ += chunk->plain_bytes;
      if (size_bytes_ > limit_bytes) return InvalidArgument("sealed record: it is too long");
      if (last) break;
    }
    const StatusOr<rt::FileInfo> info = file_->Stat();
    if (!info.ok()) return info.status();
    if (info->size_bytes != at) return InvalidArgument("sealed record: it does not fill its file");
    return OkStatus();
  }

  uint64_t size_bytes() const override { return size_bytes_; }

  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    const std::lock_guard lock(mutex_);
    size_t read = 0;
    while (read < into.size() && offset + read < size_bytes_) {
      const uint64_t at = offset + read;
      const auto next = std::upper_bound(
          chunks_.begin(), chunks_.end(), at,
          [](uint64_t wanted, const Place& place) { return wanted < place.plain_at; });
      const auto index = static_cast<size_t>(next - chunks_.begin()) - 1;
      POSTERN_RETURN_IF_ERROR(Load(index));
      const auto from = static_cast<size_t>(at - chunks_[index].plain_at);
      const size_t n = std::min(into.size() - read, plain_.size() - from);
      std::memcpy(into.data() + read, plain_.data() + from, n);
      read += n;
    }
    return read;
  }

 private:
  struct Place {
    uint64_t file_at, plain_at;
    SealReader::Chunk chunk;
  };

  Status Load(size_t index) const {
    if (loaded_ == index) return OkStatus();
    loaded_ = kNone;
    const Place& place = chunks_[index];
    std::string stored(place.chunk.stored_bytes, '\0');
    const StatusOr<size_t> got = file_->ReadAt(place.file_at, stored);
    if (!got.ok()) return got.status();
    if (*got != stored.size()) return InvalidArgument("sealed record: it ends too soon");
    POSTERN_RETURN_IF_ERROR(reader_.OpenChunk(index, place.chunk, stored, &plain_));
    loaded_ = index;
    return OkStatus();
  }

  static constexpr size_t kNone = SIZE_MAX;

  std::unique_ptr<rt::File> file_;
  const SealReader reader_;
  std::vector<Place> chunks_;
  uint64_t size_bytes_ = 0;
  mutable std::mutex mutex_;
  mutable size_t loaded_ = kNone;
  mutable std::string plain_;  // of the chunk `loaded_`
};

}  // namespace

StatusOr<bool> FileIsSealed(rt::File& file) {
  char head[8];
  const StatusOr<size_t> got = file.ReadAt(0, head);
  if (!got.ok()) return got.status();
  return IsSealed(std::string_view(head, *got));
}

StatusOr<std::shared_ptr<const Body>> OpenSealedFile(std::unique_ptr<rt::File> file,
                                                     const SpoolSeal& seal, uint64_t id,
                                                     uint64_t limit_bytes) {
  char head[kSealHeadOctets];
  const StatusOr<size_t> got = file->ReadAt(0, head);
  if (!got.ok()) return got.status();
  StatusOr<SealReader> reader =
      SealReader::Begin(seal, SealedKind::kText, id, std::string_view(head, *got));
  if (!reader.ok()) return reader.status();
  auto body = std::make_shared<SealedFile>(std::move(file), *std::move(reader));
  POSTERN_RETURN_IF_ERROR(body->FindChunks(limit_bytes));
  return std::shared_ptr<const Body>(std::move(body));
}

}  // namespace postern::store
