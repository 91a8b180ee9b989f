// What `show` and `monitor` print, to the column, and the same as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/json.h"
#include "lib/core/control/stats.h"
#include "lib/core/queue/envelope.h"

namespace postern::control {

// QueueRow is an envelope as `show queue` tells of it.
struct QueueRow {
  enum class State : uint8_t { kPending, kInFlight, kOffline };
  State state = State::kPending;
  WallTime now;      // of the queue
  WallTime started;  // kInFlight: of this attempt
};

// QueueLine is one line of `show queue`: 14 fields between bars, as smtpctl(8) has them,
//   EVPID|local|inet4|…|sender|rcpt|dest|ctime|expire|last-try|retries|state|secs|error
// with a line end. What came from outside is escaped, its bars as \x7c.
std::string QueueLine(const queue::Envelope& envelope, const QueueRow& row);
void QueueJson(const queue::Envelope& envelope, const QueueRow& row, JsonWriter* json);

// StatsText is `show stats`: "key=value" by key, and the uptime last.
std::string StatsText(const StatBook& book, int64_t uptime_seconds);
std::string StatsJson(const StatBook& book, int64_t uptime_seconds);

// MonitorHeader stands above each 25 lines of `monitor`; MonitorLine is what happened from `before`
// to `now`.
std::string MonitorHeader();
std::string MonitorLine(const StatBook& before, const StatBook& now);
std::string MonitorJson(const StatBook& before, const StatBook& now);

// LfLines gives the lines of a message (CRLF) as the system's files have them, piece by piece.
class LfLines {
 public:
  std::string Take(std::string_view octets);
  // End gives what a last lone CR held back.
  std::string End() { return std::exchange(cr_, false) ? "\r" : ""; }

 private:
  bool cr_ = false;  // the piece before ended in a CR that is not written yet
};

// MessageJson is a message with its text, as `show message` has it, with a line end.
std::string MessageJson(queue::MessageId id, std::string_view content);

// CountText is "3 envelopes removed", and "0 envelope removed"; smtpctl(8) says "0 envelopes" of
// discovered ones alone.
std::string CountText(uint64_t count, std::string_view what);

}  // namespace postern::control
