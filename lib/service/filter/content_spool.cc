#include "lib/service/filter/content_spool.h"

#include <algorithm>
#include <span>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {

ContentSpool::ContentSpool(rt::Executor* loop, rt::Files* files, ContentSpoolOptions options,
                           std::string_view mark)
    : loop_(loop), files_(files), options_(std::move(options)) {
  if (!options_.directory.empty())
    path_ = StrCat(options_.directory, "/", kContentSpoolPrefix, mark);
}

ContentSpool::~ContentSpool() = default;

rt::Task<Status> ContentSpool::Append(std::string_view octets) {
  if (octets.size() > options_.limit_bytes || size_bytes() > options_.limit_bytes - octets.size())
    co_return ResourceExhausted("the message is larger than a filter may hold");
  memory_.append(octets);
  if (memory_.size() <= options_.memory_bytes) co_return OkStatus();
  if (path_.empty())
    co_return ResourceExhausted("the message is larger than a filter may hold in memory");
  auto flush = loop_->RunBlocking([this] { return Flush(); });
  Status flushed = co_await flush;
  co_return flushed;
}

// Flush blocks.
Status ContentSpool::Flush() {
  if (file_ == nullptr) {
    rt::OpenOptions options;
    options.write = true;
    options.create = true;
    options.exclusive = true;
    options.mode = 0600;
    StatusOr<std::unique_ptr<rt::File>> opened = files_->Open(path_, options);
    if (!opened.ok()) return opened.status();
    file_ = std::move(*opened);
    // Without a name it goes with us, however we go.
    const Status unlinked = files_->Unlink(path_);
    if (!unlinked.ok()) return unlinked;
  }
  const Status written = file_->WriteAt(file_bytes_, memory_);
  if (!written.ok()) return written;
  file_bytes_ += memory_.size();
  memory_.clear();
  return OkStatus();
}

rt::Task<Status> ContentSpool::CopyTo(ContentSink* sink, uint64_t offset) {
  std::string piece;
  while (offset < file_bytes_) {
    piece.resize(
        static_cast<size_t>(std::min<uint64_t>(options_.piece_bytes, file_bytes_ - offset)));
    auto read = loop_->RunBlocking(
        [&] { return file_->ReadAt(offset, std::span<char>(piece.data(), piece.size())); });
    const StatusOr<size_t> got = co_await read;
    if (!got.ok()) co_return got.status();
    if (*got != piece.size()) co_return DataLoss("the held message became shorter");
    const Status written = co_await sink->Write(piece);
    if (!written.ok()) co_return written;
    offset += piece.size();
  }
  std::string_view rest = std::string_view(memory_).substr(
      static_cast<size_t>(std::min<uint64_t>(offset - file_bytes_, memory_.size())));
  if (rest.empty()) co_return OkStatus();
  Status written = co_await sink->Write(rest);
  co_return written;
}

StatusOr<size_t> ContentSpool::ReadAt(uint64_t offset, std::span<char> into) const {
  size_t have = 0;
  if (offset < file_bytes_) {
    const size_t of_file =
        static_cast<size_t>(std::min<uint64_t>(into.size(), file_bytes_ - offset));
    while (have < of_file) {
      const StatusOr<size_t> got = file_->ReadAt(offset + have, into.subspan(have, of_file - have));
      if (!got.ok()) return got.status();
      if (*got == 0) return DataLoss("the held message became shorter");
      have += *got;
    }
  }
  const uint64_t at = offset + have;
  if (have < into.size() && at >= file_bytes_ && at < size_bytes()) {
    const std::string_view rest =
        std::string_view(memory_).substr(static_cast<size_t>(at - file_bytes_), into.size() - have);
    std::copy(rest.begin(), rest.end(), into.begin() + static_cast<ptrdiff_t>(have));
    have += rest.size();
  }
  return have;
}

void ContentSpool::Clear() {
  file_.reset();
  file_bytes_ = 0;
  std::string().swap(memory_);
}

}  // namespace postern::service
