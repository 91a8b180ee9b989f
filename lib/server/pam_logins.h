// PamLogins: logins that PAM judges (`auth pam "NAME"`), one for all listeners and loops.
//
// Each question is a process of its own, made by the helper (rt/pam.h), so a module that hangs,
// exits, crashes or leaks costs its own login and nothing of the server's: that login is a
// temporary failure, and there is nothing to start again. What is bounded here is how long that may
// take, how many there are at once, and how soon PAM is asked again when nothing but silence comes
// from it.
#pragma once

#include <atomic>
#include <mutex>

#include "lib/core/base/log.h"
#include "lib/core/policy/model.h"
#include "lib/rt/pam.h"
#include "lib/rt/task.h"
#include "lib/rt/world.h"

namespace postern::server {

struct PamLimits {
  Duration answer = absl::Seconds(30);    // of one question, `smtp timeout auth-pam`
  size_t max_at_once = 16;                // questions under way, `smtp limit max-auth-pam`
  Duration patience = absl::Seconds(10);  // how long one waits for its turn among those
  // After so many questions in a row of which none was answered nobody is asked for first_pause,
  // and behind that one question at a time; each that is not answered doubles the pause.
  int silences = 3;
  Duration first_pause = absl::Seconds(1);
  Duration longest_pause = absl::Minutes(1);
  // A refusal is told when a multiple of this has passed since the question, as an unknown user is
  // refused sooner than a known one, whose password is hashed. It doubles when an answer took more
  // than three quarters of it, so that both fall into the first.
  Duration refusal_step = absl::Seconds(1);
  Duration longest_refusal_step = absl::Seconds(8);
};

// PamLimitsOf puts what the configuration says in place of the defaults.
PamLimits PamLimitsOf(const policy::SmtpSettings& settings);

class PamLogins {
 public:
  // `world` and `log` outlive it.
  PamLogins(rt::World* world, LogSink* log) : world_(world), log_(log) {}

  // Check tells whether PAM lets `question` in. An error is a temporary failure, with its reason;
  // that of a refusal is logged here. kAborted is a failure that may be a wrong password all the
  // same: it takes as long as a refusal, and is to count as a guess. On `loop`, any one.
  rt::Task<StatusOr<bool>> Check(rt::Executor* loop, rt::PamQuestion question, PamLimits limits);

  // Stop ends the waiting of all who are in Check, soon, as temporary failures. Any thread.
  void Stop() { stopping_ = true; }

 private:
  // Turn is a place among those who ask, which its end gives back.
  struct Turn;
  // Enter takes a place: a Turn is to be made of it.
  rt::Task<Status> Enter(rt::Executor* loop, PamLimits limits);
  rt::Task<StatusOr<rt::PamAnswer>> Ask(rt::Executor* loop, rt::PamQuestion question,
                                        Duration limit);
  // Leave notes whether there was an answer, and tells how long a refusal is to take from `asked`
  // on.
  Duration Leave(Instant asked, Instant now, const Status& outcome, const PamLimits& limits);
  void LogRefusal(const rt::PamQuestion& question, const std::string& reason);

  rt::World* world_;
  LogSink* log_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;  // guards what follows
  size_t asking_ = 0;
  int silences_ = 0;  // in a row
  Duration pause_ = absl::ZeroDuration();
  Instant not_before_;
  Duration step_ = absl::ZeroDuration();
};

}  // namespace postern::server
