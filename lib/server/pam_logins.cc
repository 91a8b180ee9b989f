#include "lib/server/pam_logins.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/helper.h"

namespace postern::server {
namespace {

// How soon one who waits looks whether it is his turn, or the server stops.
constexpr Duration kLook = absl::Milliseconds(50);
constexpr Duration kLookForStop = absl::Milliseconds(250);
// What it may take to tell of an end: the limit itself is the helper's.
constexpr Duration kTelling = absl::Seconds(10);

// IsSilence tells whether the process that was to ask PAM has hung or died.
bool IsSilence(const Status& outcome) {
  return outcome.code() == StatusCode::kInternal || outcome.code() == StatusCode::kDeadlineExceeded;
}

}  // namespace

PamLimits PamLimitsOf(const policy::SmtpSettings& settings) {
  PamLimits limits;
  limits.answer = settings.timeouts.auth_pam.value_or(limits.answer);
  if (settings.max_auth_pam > 0) limits.max_at_once = static_cast<size_t>(settings.max_auth_pam);
  return limits;
}

struct PamLogins::Turn {
  explicit Turn(PamLogins* in) : of(in) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    const std::lock_guard<std::mutex> lock(of->mutex_);
    --of->asking_;
  }
  PamLogins* of;
};

rt::Task<Status> PamLogins::Enter(rt::Executor* loop, PamLimits limits) {
  rt::Event never(loop);
  const Instant end = loop->Now() + limits.patience;
  for (;;) {
    const Instant now = loop->Now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const bool silent = silences_ >= limits.silences;
      if (silent && (now < not_before_ || asking_ > 0)) {
        co_return Unavailable(StrCat("PAM has left ", silences_,
                                     " questions in a row without an answer and is asked again ",
                                     "in a while"));
      }
      if (asking_ < limits.max_at_once) {
        ++asking_;
        co_return OkStatus();
      }
    }
    if (stopping_) co_return Unavailable("the server stops");
    if (now >= end) co_return Unavailable("too many logins wait for PAM");
    (void)co_await never.Wait(now + kLook);
  }
}

rt::Task<StatusOr<rt::PamAnswer>> PamLogins::Ask(rt::Executor* loop, rt::PamQuestion question,
                                                 Duration limit) {
  rt::Helper* const helper = world_->login_helper();
  if (helper == nullptr) co_return FailedPrecondition("there is no helper process to ask PAM");
  auto begin =
      loop->RunBlocking([helper, &question, limit] { return helper->BeginPam(question, limit); });
  StatusOr<std::unique_ptr<rt::HelperAnswer>> begun = co_await begin;
  if (!begun.ok()) co_return begun.status();
  rt::HelperAnswer* const answer = begun->get();
  rt::Event come(loop);
  const Instant asked = loop->Now();
  const Instant end = asked + limit + kTelling;
  {
    const std::unique_ptr<rt::FdWatch> watch =
        loop->WatchFd(answer->descriptor(), {.read = true}, [&](rt::FdInterest) {
          if (answer->Take()) come.Set();
        });
    while (!answer->Take() && !stopping_ && loop->Now() < end) {
      const Instant until = std::min(end, loop->Now() + kLookForStop);
      (void)co_await come.Wait(until);
    }
  }
  if (stopping_ && !answer->Take()) co_return Unavailable("the server stops");
  const StatusOr<std::string> octets = answer->Result();
  if (octets.ok()) co_return rt::DecodePamAnswer(*octets);
  if (!IsSilence(octets.status())) co_return octets.status();
  if (loop->Now() - asked >= limit)
    co_return DeadlineExceeded(StrCat("PAM did not answer within ", absl::FormatDuration(limit)));
  co_return Internal("the process that asked PAM died");
}

Duration PamLogins::Leave(Instant asked, Instant now, const Status& outcome,
                          const PamLimits& limits) {
  Duration paused = absl::ZeroDuration();
  Duration step;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    step_ = std::max(step_, limits.refusal_step);
    if (outcome.ok()) {
      const Duration took = now - asked;
      while (4 * took > 3 * step_ && step_ < limits.longest_refusal_step) step_ *= 2;
    }
    step = step_;
    if (!IsSilence(outcome)) {
      silences_ = 0;
      pause_ = absl::ZeroDuration();
    } else if (++silences_ >= limits.silences) {
      pause_ = std::clamp(2 * pause_, limits.first_pause, limits.longest_pause);
      not_before_ = now + pause_;
      paused = pause_;
    }
  }
  if (paused > absl::ZeroDuration()) {
    log_->Write(LogRecord{.level = LogLevel::kError,
                          .subsystem = "server",
                          .session = "",
                          .event = "pam silent",
                          .fields = {{"reason", std::string(Message(outcome))},
                                     {"pause", absl::FormatDuration(paused)}}});
  }
  return ((now - asked) / step + 1) * step;
}

rt::Task<StatusOr<bool>> PamLogins::Check(rt::Executor* loop, rt::PamQuestion question,
                                          PamLimits limits) {
  const Status entered = co_await Enter(loop, limits);
  if (!entered.ok()) co_return entered;
  // However this ends, the place is another's then.
  std::optional<Turn> turn(std::in_place, this);
  const Instant asked = loop->Now();
  rt::PamQuestion asking = question;
  StatusOr<rt::PamAnswer> answer = co_await Ask(loop, std::move(asking), limits.answer);
  turn.reset();
  const Duration telling = Leave(asked, loop->Now(), answer.status(), limits);
  if (answer.ok() && answer->accepted) co_return true;
  StatusOr<bool> told = false;
  if (answer.ok()) {
    LogRefusal(question, answer->reason);
  } else {
    const std::string why =
        StrCat("PAM's service ", question.service.name, ": ", Message(answer.status()));
    if (answer.status().code() != StatusCode::kAborted) co_return Unavailable(why);
    told = Error(StatusCode::kAborted, why);
  }
  rt::Event never(loop);
  const Instant end = asked + telling;
  while (!stopping_ && loop->Now() < end) {
    const Instant until = std::min(end, loop->Now() + kLookForStop);
    (void)co_await never.Wait(until);
  }
  co_return told;
}

void PamLogins::LogRefusal(const rt::PamQuestion& question, const std::string& reason) {
  log_->Write(LogRecord{.level = LogLevel::kInfo,
                        .subsystem = "server",
                        .session = "",
                        .event = "pam refused",
                        .fields = {{"service", question.service.name},
                                   {"user", question.user},
                                   {"address", question.remote},
                                   {"reason", reason}}});
}

}  // namespace postern::server
