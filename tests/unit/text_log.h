// A log that tests read.
#pragma once

#include <string>
#include <utility>

#include "lib/core/base/log.h"

namespace postern {

// TextLog keeps the log as text, a line a record, as FormatLogRecord gives it. It has no lock.
class TextLog final : public LogSink {
 public:
  void Write(const LogRecord& record) override { text += FormatLogRecord(record) + "\n"; }
  // Take gives what has come since it was called last.
  std::string Take() { return std::exchange(text, ""); }
  std::string text;
};

}  // namespace postern
