// ContentSpool keeps the content of one message for a filter that must see all of it before it lets
// any of it go: a little in memory, the rest in a file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/rt/executor.h"
#include "lib/rt/files.h"
#include "lib/rt/task.h"
#include "lib/service/smtp/session_filter.h"

namespace postern::service {

struct ContentSpoolOptions {
  // Where the file is made; empty: there is none, and what does not fit is kResourceExhausted.
  std::string directory;
  size_t memory_bytes = 256 * 1024;  // more goes into the file
  uint64_t limit_bytes = 64 << 20;   // more is kResourceExhausted
  size_t piece_bytes = 64 * 1024;    // of what CopyTo writes at a time
};

inline constexpr std::string_view kContentSpoolPrefix = "filter.";

// ContentSpool is of one loop. It leaves nothing behind, as its file (kContentSpoolPrefix + mark)
// loses its name as soon as it is made.
class ContentSpool {
 public:
  // `loop` and `files` outlive the spool. `mark` tells its file from all others in the directory.
  ContentSpool(rt::Executor* loop, rt::Files* files, ContentSpoolOptions options,
               std::string_view mark);
  ~ContentSpool();
  ContentSpool(const ContentSpool&) = delete;
  ContentSpool& operator=(const ContentSpool&) = delete;

  // Append keeps `octets`, which must stay until the Task ends.
  rt::Task<Status> Append(std::string_view octets);
  uint64_t size_bytes() const { return file_bytes_ + memory_.size(); }

  // CopyTo writes the content from `offset` on to `sink`. It may be called again.
  rt::Task<Status> CopyTo(ContentSink* sink, uint64_t offset = 0);

  // ReadAt fills `into` from `offset` and returns how much there was; less than asked only at the
  // end. It blocks where there is a file: on the pool. Nothing is appended meanwhile.
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const;
  // InMemory lends the whole content where none of it is in a file.
  std::optional<std::string_view> InMemory() const {
    if (file_bytes_ > 0) return std::nullopt;
    return memory_;
  }

  // Clear forgets the content.
  void Clear();

 private:
  Status Flush();

  rt::Executor* loop_;
  rt::Files* files_;
  ContentSpoolOptions options_;
  std::string path_;
  std::unique_ptr<rt::File> file_;
  uint64_t file_bytes_ = 0;
  std::string memory_;  // what stands behind the file
};

}  // namespace postern::service
