// LogWriter: a LogSink that writes where an operator wants his log.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "lib/core/base/log.h"
#include "lib/core/base/log_format.h"
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

// LogWriter writes one record a line. Lines that the output could not take are counted, and the
// next that it takes says how many there were. Any thread.
class LogWriter final : public LogSink {
 public:
  // `world` outlives the writer. `tag` is what the program is called there; `json` has every text
  // as an object (the journal keeps its fields as they are).
  LogWriter(rt::World* world, LogTarget::Form form, bool json, std::string tag,
            std::unique_ptr<rt::LogOutput> output);

  void Write(const LogRecord& record) override;
  // Reopen opens a file anew, as after its rotation.
  Status Reopen() { return output_->Reopen(); }

 private:
  std::string Format(const LogRecord& record) const;

  rt::World* world_;
  const LogTarget::Form form_;
  const bool json_;
  LogStamp stamp_;  // but for its time
  std::unique_ptr<rt::LogOutput> output_;
  std::atomic<uint64_t> lost_ = 0;
};

}  // namespace postern::server
