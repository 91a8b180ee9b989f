// Numbers by name, as `show stats` prints them and metrics.h exports them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "lib/core/base/log.h"
#include "lib/core/base/time.h"

namespace postern::control {

// Histogram counts durations: how many took at most each of kBounds, and all.
struct Histogram {
  static constexpr std::array<int64_t, 7> kBounds = {1,    10,    60,   600,
                                                     3600, 14400, 86400};  // seconds
  std::array<uint64_t, kBounds.size()> buckets{};
  uint64_t count = 0;
  int64_t sum_seconds = 0;
  void Add(int64_t seconds);
};

// StatBook is the numbers of a server. A name appears once it is touched. The names are ours, not a
// client's, so there are few.
class StatBook {
 public:
  void Add(std::string_view name, int64_t change);
  void Set(std::string_view name, int64_t value);
  int64_t Get(std::string_view name) const;
  const std::map<std::string, int64_t, std::less<>>& all() const { return numbers_; }

  Histogram local_delay;  // from the commit of a message to its delivery
  Histogram relay_delay;

  // Count takes what a log record tells: sessions, logins, messages, deliveries.
  void Count(const LogRecord& record);

 private:
  // kMaxSecureSessions bounds what is remembered of sessions; further ones are not counted.
  static constexpr size_t kMaxSecureSessions = 100'000;

  std::map<std::string, int64_t, std::less<>> numbers_;
  std::map<std::string, std::string, std::less<>> secure_;  // open sessions: the count they are in
};

// ParseDelay reads what a delivery's record says of its delay ("1h2s"), in seconds; -1: it is none.
int64_t ParseDelay(std::string_view text);

// UptimeText is a duration as `show stats` has it: "9d4m21s", parts of zero left out.
std::string UptimeText(int64_t seconds);

}  // namespace postern::control
