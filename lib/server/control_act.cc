// What the control socket has the server do: tables, configurations, and mail that is handed in.
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/server/control_gate.h"
#include "lib/server/runtime.h"
#include "lib/server/submission_words.h"

namespace postern::server {
namespace {

// sysexits.h, which the callers of sendmail know.
constexpr int kUsage = 64;
constexpr int kDataError = 65;
constexpr int kNoUser = 67;
constexpr int kUnavailable = 69;
constexpr int kTemporary = 75;

int ExitOf(const Status& status) {
  if (status.ok()) return 0;
  return status.code() == StatusCode::kInvalidArgument ? kDataError : kTemporary;
}

int ExitOf(const mail::Reply& reply) {
  if (reply.IsPositive()) return 0;
  if (reply.IsTransient()) return kTemporary;
  return reply.code == 550 ? kNoUser : kUnavailable;
}

// Held counts octets as long as it lives.
struct Held {
  size_t* counter;
  size_t octets = 0;
  ~Held() { *counter -= octets; }
  void Add(size_t more) {
    octets += more;
    *counter += more;
  }
};

}  // namespace

Status ControlGate::Pauses(const control::Command& command) {
  using control::Verb;
  schedule::Scheduler& scheduler = *parts_.scheduler;
  const auto all = [&scheduler](bool local, bool pause) {
    if (scheduler.paused(local) == pause)
      return FailedPrecondition(pause ? "it is paused already" : "it is not paused");
    pause ? scheduler.Pause(local) : scheduler.Resume(local);
    return OkStatus();
  };
  switch (command.verb) {
    case Verb::kPauseMda: return all(true, true);
    case Verb::kPauseMta: return all(false, true);
    case Verb::kResumeMda: return all(true, false);
    case Verb::kResumeMta: return all(false, false);
    case Verb::kPauseSmtp:
      if (parts_.ports->smtp_paused()) return FailedPrecondition("it is paused already");
      parts_.ports->PauseSmtp();
      return OkStatus();
    case Verb::kResumeSmtp:
      if (!parts_.ports->smtp_paused()) return FailedPrecondition("it is not paused");
      parts_.ports->ResumeSmtp();
      return OkStatus();
    default: break;
  }
  relay::PausedRelay what{AsciiLower(command.operands[0]), AsciiLower(command.operands[1])};
  if (what.source != "any") {
    const std::optional<IpAddress> source = IpAddress::Parse(what.source);
    if (!source.has_value())
      return InvalidArgument(
          "from wants one of this machine's addresses, or any: also where an action names none");
    what.source = source->ToString();
  }
  bool changed = false;
  for (relay::RelayDeliverer* const relay : parts_.relays) {
    const bool done = command.verb == Verb::kPauseMtaFor ? relay->PauseDestination(what)
                                                         : relay->ResumeDestination(what);
    changed = changed || done;
  }
  if (changed) return OkStatus();
  return FailedPrecondition(command.verb == Verb::kPauseMtaFor
                                ? "it is paused already, or too many others are"
                                : "it is not paused");
}

rt::Task<int> ControlGate::UpdateTable(Call* call, std::string name) {
  const std::shared_ptr<const Runtime> runtime = parts_.runtimes->Get();
  policy::Diagnostics diagnostics;
  bool updated = false;
  auto update = parts_.world->main_loop().RunOutside([&] {
    const std::lock_guard<std::mutex> lock(update_mutex_);
    updated = runtime->UpdateTable(name, &diagnostics);
  });
  co_await update;
  Status status = OkStatus();
  if (!updated) {
    std::string why = "there is no such table, or it cannot be read again";
    if (!diagnostics.empty()) why = diagnostics.front().ToString();
    status = InvalidArgument(std::move(why));
  }
  const int done = co_await Done(call, std::move(status));
  co_return done;
}

rt::Task<int> ControlGate::Reload(Call* call) {
  policy::Diagnostics diagnostics;
  auto reload = parts_.world->main_loop().RunOutside([&] { return parts_.reload(&diagnostics); });
  Status status = co_await reload;
  std::string told;
  for (const policy::Diagnostic& each : diagnostics) StrAppend(told, each.ToString(), "\n");
  if (!told.empty()) (void)co_await call->Error(std::move(told));
  const int done = co_await Done(call, std::move(status));
  co_return done;
}

rt::Task<int> ControlGate::Submit(Call* call, std::vector<std::string> operands) {
  Submission submission;
  const Status read = ReadSubmission(operands, &submission);
  Held held{&input_bytes_};
  Status status = OkStatus();
  if (!read.ok()) {
    std::string text = StrCat(Message(read), "\n");
    (void)co_await call->Error(std::move(text));
    co_return kUsage;
  }
  const auto limit = static_cast<size_t>(parts_.runtimes->Get()->config().smtp.max_message_bytes);
  for (;;) {
    StatusOr<std::optional<std::string>> piece = co_await call->Input();
    if (!piece.ok()) co_return kDataError;  // nobody is there to hear it
    if (!piece->has_value()) break;
    held.Add((*piece)->size());
    if (held.octets > limit) {
      std::string text = StrCat("552 5.3.4 Message too big: more than ", limit, " octets\n");
      (void)co_await call->Error(std::move(text));
      co_return kUnavailable;
    }
    if (input_bytes_ > kMaxInputBytes) {
      std::string text = "452 4.3.1 Too much is being handed in, try again later\n";
      (void)co_await call->Error(std::move(text));
      co_return kTemporary;
    }
    submission.content += **piece;
  }
  submission.uid = call->uid();
  const SubmissionResult result = co_await parts_.submit(std::move(submission));
  int exit_status = ExitOf(result.status);
  std::string text;
  if (!result.status.ok()) {
    text = StrCat(Message(result.status), "\n");
  } else {
    exit_status = ExitOf(result.reply);
    text = StrCat(result.reply.ToString(), "\n");
  }
  if (exit_status != 0) {
    (void)co_await call->Error(std::move(text));
  } else {
    (void)co_await call->Output(std::move(text));
  }
  co_return exit_status;
}

}  // namespace postern::server
