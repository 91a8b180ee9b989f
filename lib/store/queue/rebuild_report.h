// RebuildReport: what a rebuild tells of a damaged queue, in its `report.txt` and in the log.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/log.h"
#include "lib/core/queue/envelope.h"
#include "lib/rt/files.h"

namespace postern::store {

// Parties are the sender and the recipient of an envelope, as far as they are known; the sender of
// a notice is "".
struct Parties {
  std::optional<std::string> sender, recipient;
};

Parties PartiesOf(const queue::Envelope& envelope);

// One thread at a time; blocks.
class RebuildReport {
 public:
  explicit RebuildReport(LogSink& log) : log_(log) {}

  // Open begins the file at `path`, in place of what an interrupted rebuild wrote there.
  Status Open(rt::Files& files, const std::string& path);
  // Tell puts one line into the file.
  void Tell(std::string_view line);
  // Name says of one message or envelope what became of it: `event`, then `field` (a literal, for
  // the log) and `id`, then who wrote to whom. The file has all of them, the log the first ten
  // thousand.
  void Name(LogLevel level, std::string_view event, std::string_view field, std::string id,
            const Parties& parties = {});
  // Finish brings the file to the disk; an error also when an earlier part could not be written.
  Status Finish();

 private:
  void Write();

  LogSink& log_;
  std::unique_ptr<rt::File> file_;
  std::string text_;  // not written yet
  uint64_t written_bytes_ = 0;
  Status outcome_;  // of writing so far
  size_t named_ = 0;
};

}  // namespace postern::store
