// LogOutput: where finished log lines go.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::rt {

// LogOutput takes whole lines (without line end) or datagrams. Any thread; no call waits for
// anybody.
class LogOutput {
 public:
  enum class Taken : uint8_t {
    kYes,
    kLater,  // who reads it is slow, or not there: try again
    kNever,  // it is too long for this output
  };
  virtual ~LogOutput() = default;
  // Write hands `text` over.
  virtual Taken Write(std::string_view text) = 0;
  // Finish writes what there was no room for of a line that was taken; false: some of it waits
  // still. Write does so first.
  virtual bool Finish() { return true; }
  // Reopen opens the file or socket anew under the name that it had: for a file that was moved
  // away. An error leaves the old one in use.
  virtual Status Reopen() = 0;
};

}  // namespace postern::rt
