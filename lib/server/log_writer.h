// LogWriter: a LogSink that writes where an operator wants his log.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/core/base/log.h"
#include "lib/core/base/log_format.h"
#include "lib/core/base/time.h"
#include "lib/rt/log_output.h"
#include "lib/rt/world.h"

namespace postern::server {

struct LogTarget {
  enum class Form : uint8_t { kPlain, kLocalSyslog, kSyslog5424, kJournal };
  Form form = Form::kPlain;
  std::string path;  // of the file or socket; empty with kPlain: standard error
};

// ParseLogTarget reads
//   stderr | file:/path | syslog[:/path of a socket] | syslog5424:/path | journal[:/path]
// where syslog's socket is /dev/log and the journal's /run/systemd/journal/socket.
StatusOr<LogTarget> ParseLogTarget(std::string_view text);

// LogQueueLimits bound what waits for a log daemon that is slow, or away for a moment.
struct LogQueueLimits {
  size_t max_bytes = 1 << 20;  // of lines
  // Between two tries to bring them: at first, and at most (each is twice the one before).
  Duration first_wait = absl::Milliseconds(10);
  Duration most_wait = absl::Milliseconds(500);
  Duration last_wait = absl::Milliseconds(200);  // for what waits when the writer goes
};

// LogWriter writes one record a line. Lines that the output cannot take yet wait in a queue, in
// their order, and are brought from the main loop; who writes a record never waits. Where the queue
// is full further lines are lost, and counted: behind the ones that waited there is a line that
// says how many ("log lines-lost count=7"). Any thread.
class LogWriter final : public LogSink {
 public:
  // `world` outlives the writer. `tag` is what the program is called there; `json` has every text
  // as an object (the journal keeps its fields as they are).
  LogWriter(rt::World* world, LogTarget::Form form, bool json, std::string tag,
            std::unique_ptr<rt::LogOutput> output, LogQueueLimits limits = {});
  // What waits is brought as far as it can be within last_wait; standard error hears of the rest.
  ~LogWriter() override;

  void Write(const LogRecord& record) override;
  // Reopen opens a file anew, as after its rotation.
  Status Reopen();

 private:
  struct Waiting;

  std::string Format(const LogRecord& record) const;

  rt::World* world_;
  const LogTarget::Form form_;
  const bool json_;
  LogStamp stamp_;  // but for its time
  const std::shared_ptr<Waiting> waiting_;
};

}  // namespace postern::server
