#include "lib/server/acceptor.h"

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

// How long to wait when the system has nothing left for another connection, so that a full table
// costs no spinning.
constexpr Duration kPauseWithoutResources = absl::Milliseconds(100);

}  // namespace

Acceptor::Acceptor(rt::World* world, std::unique_ptr<rt::Listener> listener, Handler handler,
                   LogSink* log)
    : world_(world),
      listener_(std::move(listener)),
      handler_(std::move(handler)),
      log_(log),
      stop_(&world->main_loop()) {}

void Acceptor::Start() { tasks_.Spawn(Accept()); }

rt::Task<void> Acceptor::Accept() {
  rt::Executor& main = world_->main_loop();
  for (size_t turn = 0;; ++turn) {
    const size_t worker = turn % world_->worker_count();
    rt::Executor& loop = world_->worker(worker);
    StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener_->Accept(loop);
    if (stop_.is_set()) co_return;
    if (!stream.ok()) {
      if (stream.status().code() == StatusCode::kCancelled) co_return;
      log_->Write(LogRecord{.level = LogLevel::kError,
                            .subsystem = "server",
                            .session = "",
                            .event = "accept-failed",
                            .fields = {{"listener", local().ToString()},
                                       {"error", std::string(Message(stream.status()))}}});
      (void)co_await stop_.Wait(main.Now() + kPauseWithoutResources);
      continue;
    }
    if (loop.IsCurrent()) {
      handler_(worker, std::move(*stream));
      continue;
    }
    // std::function wants something that can be copied.
    auto held = std::make_shared<std::unique_ptr<rt::Stream>>(std::move(*stream));
    loop.Post([this, worker, held] { handler_(worker, std::move(*held)); });
  }
}

rt::Task<void> Acceptor::Stop() {
  stop_.Set();
  listener_->Close();
  co_await tasks_.Join();
}

}  // namespace postern::server
