// MilterRest: a milter that takes a whole connect timeout to be away costs it once, and not each
// session.
//
// Whoever waited in vain for a connection says so; for a pause that doubles nobody else tries, and
// mail gets at once what the filter's default says. When the pause is over one session tries, for
// all. A milter that refuses at once (nobody listens) costs nothing and is never rested: it is
// there again with the next session that comes.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "lib/core/base/time.h"
#include "lib/rt/network.h"

namespace postern::service {

struct MilterRestOptions {
  Duration slow = absl::Seconds(1);           // a failure that took less is none to rest for
  Duration first_pause = absl::Seconds(1);    // behind the first failure; doubles …
  Duration longest_pause = absl::Minutes(1);  // … up to this
};

// MilterRest is what all sessions know of one socket. Any thread.
class MilterRest {
 public:
  explicit MilterRest(MilterRestOptions options = {}) : options_(options) {}

  // Refusal says why the milter is not to be tried now. nullopt: try, for `patience` at most, and
  // call Reached or Failed; until then, or that time, others are refused where one failed before.
  std::optional<std::string> Refusal(Instant now, Duration patience);
  void Reached();
  // Failed says that a try that began at `begun` failed at `now`, and why.
  void Failed(Instant begun, Instant now, std::string why);

 private:
  const MilterRestOptions options_;
  std::mutex mutex_;  // guards what follows
  bool resting_ = false;
  Instant until_;
  Instant failed_;  // when the failure was seen for which it rests
  Duration pause_ = absl::ZeroDuration();
  std::string why_;
};

// MilterRests keeps one for each socket, of all configurations. Any thread.
class MilterRests {
 public:
  std::shared_ptr<MilterRest> Of(const Endpoint& endpoint);

 private:
  // Sockets of configurations that were replaced are forgotten with all others past this many.
  static constexpr size_t kMaxSockets = 256;
  std::mutex mutex_;  // guards rests_
  std::map<std::string, std::shared_ptr<MilterRest>> rests_;
};

}  // namespace postern::service
