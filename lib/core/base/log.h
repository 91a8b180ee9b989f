// Log records as values. Whoever has something to say is handed a LogSink; there is no global
// logger.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"

namespace postern {

enum class LogLevel : int32_t { kDebug = 1, kInfo = 2, kWarning = 3, kError = 4 };

// LogField is one name and value; the value may hold any octets: the sink escapes it.
struct LogField {
  std::string_view name;
  std::string value;
};

// LogRecord is one line: what happened ("smtp connected"), to which session or message, and the
// particulars in order.
struct LogRecord {
  LogLevel level = LogLevel::kInfo;
  std::string_view subsystem;  // "smtp", "mda", "mta", "imap", "queue", …; a literal
  std::string session;         // 16 hex digits, or empty
  std::string event;           // "connected", "delivery", …
  std::vector<LogField> fields;
};

// FormatLogRecord gives the one-line text form "SESSION subsystem event name=value …"; values with
// blanks, quotes or control octets are quoted and escaped, so that one record is one line whatever
// a client sends.
std::string FormatLogRecord(const LogRecord& record);

// LogSink takes records. Write may be called from any thread and must not block for long.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Write(const LogRecord& record) = 0;
};

// NullLogSink drops everything.
class NullLogSink final : public LogSink {
 public:
  void Write(const LogRecord&) override {}
};

}  // namespace postern
