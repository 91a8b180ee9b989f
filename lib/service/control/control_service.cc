#include "lib/service/control/control_service.h"

#include <exception>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

constexpr int kTemporaryFailure = 75;  // EX_TEMPFAIL of sysexits.h, which sendmail's callers know

}  // namespace

ControlService::ControlService(rt::World* world, ControlBackend* backend, LogSink* log,
                               ControlLimits limits)
    : world_(world),
      backend_(backend),
      limits_(limits),
      stop_(&world->main_loop()),
      all_gone_(&world->main_loop()),
      tasks_([log](std::exception_ptr failure) {
        std::string what = "unknown";
        try {
          std::rethrow_exception(failure);
        } catch (const std::exception& e) {
          what = e.what();
        } catch (...) {
        }
        log->Write(LogRecord{.level = LogLevel::kError,
                             .subsystem = "control",
                             .session = "",
                             .event = "session-failed",
                             .fields = {{"reason", what}}});
      }) {}

ControlService::~ControlService() = default;

void ControlService::Serve(std::unique_ptr<rt::Stream> stream) {
  tasks_.Spawn(ServeClient(std::move(stream)));
}

rt::Task<void> ControlService::ServeClient(std::unique_ptr<rt::Stream> stream) {
  ControlCall call(stream.get(), &stop_, &limits_);
  const auto at = sessions_.insert(sessions_.end(), &call);
  const std::optional<uint32_t> uid = stream->peer_uid();
  std::exception_ptr failure;
  bool counted = false;
  try {
    size_t own = 1;
    if (uid.has_value()) {
      own = ++sessions_by_user_[*uid];
      counted = true;
    }
    const bool crowded = sessions_.size() > limits_.max_sessions && uid.value_or(1) != 0;
    if (stream->accepted_on_reserve() || crowded ||
        (own > limits_.max_sessions_per_user && uid.value_or(1) != 0)) {
      std::string text = "too many sessions on the control socket, try again later\n";
      (void)co_await call.Error(std::move(text));
      co_await call.End(kTemporaryFailure);
    } else {
      co_await Converse(&call);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  stream->Close();
  if (counted) {
    const auto count = sessions_by_user_.find(*uid);
    if (--count->second == 0) sessions_by_user_.erase(count);
  }
  sessions_.erase(at);
  if (sessions_.empty()) all_gone_.Set();
  if (failure) std::rethrow_exception(failure);
}

rt::Task<void> ControlService::Converse(ControlCall* call) {
  const Status asked = co_await call->ReadRequest();
  if (!asked.ok()) {
    if (asked.code() == StatusCode::kUnavailable || asked.code() == StatusCode::kCancelled)
      co_return;
    std::string text = StrCat(Message(asked), "\n");
    (void)co_await call->Error(std::move(text));
    co_await call->End(1);
    co_return;
  }
  const int exit_status = co_await backend_->Answer(call);
  co_await call->End(exit_status);
}

rt::Task<void> ControlService::Stop(Duration grace) {
  stop_.Set();
  const Instant deadline = world_->main_loop().Now() + grace;
  if (!sessions_.empty()) {
    all_gone_.Reset();
    for (ControlCall* call : sessions_) call->EndIfIdle();
    const bool gone = co_await all_gone_.Wait(deadline);
    if (!gone) {
      for (ControlCall* call : sessions_) call->Close();
    }
  }
  co_await tasks_.Join();
}

}  // namespace postern::service
