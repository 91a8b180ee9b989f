// Log records in the forms that others take: JSON, syslog, journald.
#pragma once

#include <cstdint>
#include <string>

#include "lib/core/base/log.h"
#include "lib/core/base/time.h"

namespace postern {

// LogStamp is what a line says beside its record. Times are in `zone`.
struct LogStamp {
  WallTime time;
  absl::TimeZone zone = absl::UTCTimeZone();
  std::string host;  // of this machine
  std::string tag;   // of the program: "smtpd"
  int64_t process_id = 0;
};

// Each gives one record without a line end, and with none inside whatever the values hold.

// PlainLogLine is "Nov 21 22:54:08 " and FormatLogRecord's text, with "warn: " before it from
// warnings on: for standard error and files.
std::string PlainLogLine(const LogRecord& record, const LogStamp& stamp);
// JsonLogLine is an object: time, level, subsystem, session, event, and the fields.
std::string JsonLogLine(const LogRecord& record, const LogStamp& stamp);
// LocalSyslog is a datagram for /dev/log: "<22>Nov 21 22:54:08 smtpd[77]: text" (RFC 3164 §4.1,
// without a host as local ones are). The facility is mail. With `json` the text is the object.
std::string LocalSyslog(const LogRecord& record, const LogStamp& stamp, bool json);
// Syslog5424 is RFC 5424 §6: "<22>1 2026-11-21T22:54:08.123456Z host smtpd 77 - - text".
std::string Syslog5424(const LogRecord& record, const LogStamp& stamp, bool json);
// JournalEntry is a datagram for systemd's journal in its native form: MESSAGE, PRIORITY,
// SYSLOG_IDENTIFIER, SYSLOG_FACILITY, SYSLOG_PID, and POSTERN_SUBSYSTEM, _SESSION, _EVENT and one
// for each field.
std::string JournalEntry(const LogRecord& record, const LogStamp& stamp);

// The bound of a datagram: longer ones are cut off (a local socket takes some 200 KiB).
inline constexpr size_t kMaxLogDatagramBytes = 32 * 1024;

}  // namespace postern
