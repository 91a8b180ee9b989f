// LogOutput: where finished log lines go.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::rt {

// LogOutput takes whole lines (without line end) or datagrams. Any thread; no call waits for
// anybody: what cannot be taken at once is lost, and counted.
class LogOutput {
 public:
  virtual ~LogOutput() = default;
  // Write hands `text` over; false: it is lost.
  virtual bool Write(std::string_view text) = 0;
  // Reopen opens the file or socket anew under the name that it had: for a file that was moved
  // away. An error leaves the old one in use.
  virtual Status Reopen() = 0;
};

// OpenLogFile appends to `path`, which is made (mode 0640) where there is none. Several processes
// may: a line is one write.
StatusOr<std::unique_ptr<LogOutput>> OpenLogFile(const std::string& path);
// LogToStandardError writes there.
std::unique_ptr<LogOutput> LogToStandardError();
// OpenLogSocket sends datagrams to the Unix socket `path`. When nobody listens there, then or
// later, each call tries again: a log daemon may be restarted.
std::unique_ptr<LogOutput> OpenLogSocket(const std::string& path);

}  // namespace postern::rt
