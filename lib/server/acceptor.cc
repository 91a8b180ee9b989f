#include "lib/server/acceptor.h"

#include <exception>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

// How long to wait when the system has nothing left for another connection, so that a full table
// costs no spinning.
constexpr Duration kPauseWithoutResources = absl::Milliseconds(100);

void LogFailure(LogSink& log, const Endpoint& listener, std::string_view error) {
  log.Write(
      LogRecord{.level = LogLevel::kError,
                .subsystem = "server",
                .session = "",
                .event = "accept-failed",
                .fields = {{"listener", listener.ToString()}, {"error", std::string(error)}}});
}

void TryToLogFailure(LogSink& log, const Endpoint& listener, const char* error) noexcept {
  try {
    LogFailure(log, listener, error);
  } catch (...) {
    // There is no memory for that either.
  }
}

}  // namespace

Acceptor::Acceptor(rt::World* world, std::unique_ptr<rt::Listener> listener, LogSink* log)
    : world_(world),
      listener_(std::move(listener)),
      log_(log),
      stop_(&world->main_loop()),
      resumed_(&world->main_loop()) {
  resumed_.Set();
}

void Acceptor::SetHandler(Handler handler) {
  handler_ = std::make_shared<const Handler>(std::move(handler));
}

void Acceptor::Start() { tasks_.Spawn(Accept()); }

// What fails for one connection, memory that runs out included, is the end of that one and not of
// the listener.
rt::Task<void> Acceptor::Accept() {
  bool pause = false;
  for (size_t turn = 0; !stop_.is_set(); ++turn) {
    try {
      if (std::exchange(pause, false))
        (void)co_await stop_.Wait(world_->main_loop().Now() + kPauseWithoutResources);
      const Status accepted = co_await AcceptOne(turn % world_->worker_count());
      if (accepted.code() == StatusCode::kCancelled) co_return;
      pause = !accepted.ok();
      if (pause && !stop_.is_set()) LogFailure(*log_, local(), Message(accepted));
    } catch (const std::exception& failure) {
      pause = true;
      TryToLogFailure(*log_, local(), failure.what());
    }
  }
}

rt::Task<Status> Acceptor::AcceptOne(size_t worker) {
  rt::Executor& loop = world_->worker(worker);
  StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener_->Accept(loop);
  if (!resumed_.is_set()) co_await resumed_.Wait();
  if (stop_.is_set()) co_return Cancelled("");
  if (!stream.ok()) co_return stream.status();
  if (loop.IsCurrent()) {
    (*handler_)(worker, std::move(*stream));
    co_return OkStatus();
  }
  // std::function wants something that can be copied.
  auto held = std::make_shared<std::unique_ptr<rt::Stream>>(std::move(*stream));
  loop.Post([handler = handler_, log = log_, at = local(), worker, held] {
    try {
      (*handler)(worker, std::move(*held));
    } catch (const std::exception& failure) {
      TryToLogFailure(*log, at, failure.what());
    }
  });
  co_return OkStatus();
}

rt::Task<void> Acceptor::Stop() {
  stop_.Set();
  resumed_.Set();
  listener_->Close();
  co_await tasks_.Join();
}

}  // namespace postern::server
