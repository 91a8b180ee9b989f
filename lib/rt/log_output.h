// LogOutput: where finished log lines go.
#pragma once

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

}  // namespace postern::rt
