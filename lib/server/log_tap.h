// LogTap stands between the server and its log: it counts what the records tell, shows those that
// somebody watches, and leaves out what is below the level in force.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/control/stats.h"

namespace postern::server {

// Watch is what somebody wants to see of the log as it is written. Its lines are taken by Take.
class Watch {
 public:
  static constexpr size_t kMaxLines = 1000;  // that wait to be taken; further ones are counted
  static constexpr size_t kMaxKnown = 1000;  // sessions, and messages, that are followed

  // `selector` is an envelope's, a message's or a session's id, or a part of an address.
  Watch(std::string_view selector, bool json);

  // Take gives the lines since the last call, each with a line end, and `*lost`, how many there was
  // no room for.
  std::vector<std::string> Take(size_t* lost);

 private:
  friend class LogTap;
  // Offer takes `record` when it tells of what is watched, or of a session or message that an
  // earlier one led to. With the tap's mutex held.
  void Offer(const LogRecord& record);
  bool Wants(const LogRecord& record);

  const std::string selector_;
  const bool json_;
  std::mutex mutex_;
  std::set<std::string> sessions_;
  std::set<std::string> messages_;
  std::deque<std::string> lines_;
  size_t lost_ = 0;
};

// HostStat is what mail for a domain met with last.
struct HostStat {
  int64_t unix_s = 0;
  std::string status;
};

// Any thread.
class LogTap final : public LogSink {
 public:
  static constexpr size_t kMaxHostStats = 10'000;

  // `out` outlives it. `clock_unix_s` tells the time for HostStat.
  LogTap(LogSink* out, std::function<int64_t()> clock_unix_s);

  void Write(const LogRecord& record) override;

  // SetLevel is the least level that is written on.
  void SetLevel(LogLevel least);
  LogLevel level() const;
  // SetTrace has everything of one subsystem written, whatever the level; or ends that. "all" is
  // every one.
  void SetTrace(std::string_view subsystem, bool on);

  std::shared_ptr<Watch> AddWatch(std::string_view selector, bool json);
  void DropWatch(const std::shared_ptr<Watch>& watch);

  control::StatBook Numbers() const;
  // HostStats are by domain; those of the last four hours.
  std::map<std::string, HostStat> HostStats() const;

 private:
  void NoteHost(const LogRecord& record);

  LogSink* out_;
  const std::function<int64_t()> clock_unix_s_;
  mutable std::mutex mutex_;
  LogLevel least_ = LogLevel::kDebug;
  std::set<std::string, std::less<>> traced_;
  std::list<std::shared_ptr<Watch>> watches_;
  control::StatBook book_;
  std::map<std::string, HostStat> hosts_;
};

}  // namespace postern::server
