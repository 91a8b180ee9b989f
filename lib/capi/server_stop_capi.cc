// The end of a server.
#include <new>

#include "lib/capi/server_capi.h"

namespace {

using postern::Duration;
using postern::capi::BeginStop;
using postern::capi::Guard;
using postern::capi::kDefaultGraceMs;
using postern::capi::StopRequest;
namespace rt = postern::rt;

constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);

void TryToStop(StopRequest* stop) noexcept {
  try {
    BeginStop(stop->handle, stop->grace);
  } catch (const std::bad_alloc&) {
    rt::Executor& loop = stop->handle->world->main_loop();
    loop.Arm(stop, loop.Now() + kPauseWithoutMemory);
  }
}

}  // namespace

namespace postern::capi {

rt::Task<void> StopServer(postern_server* handle, Duration grace) {
  rt::Executor& loop = handle->world->main_loop();
  for (bool ended = false; !ended;) {
    try {
      co_await handle->server->Stop(grace);
      ended = true;
    } catch (const std::bad_alloc&) {
      // It goes on where it was.
    }
    rt::Event never(&loop);
    const postern::Instant again = loop.Now() + kPauseWithoutMemory;
    if (!ended) (void)co_await never.Wait(again);
  }
  handle->stopped = true;
  handle->world->Stop();
}

void BeginStop(postern_server* handle, Duration grace) {
  if (handle->stopping) return;
  rt::Task<void> stop = StopServer(handle, grace);
  handle->stopping = true;
  try {
    handle->tasks.Spawn(std::move(stop));
  } catch (...) {
    handle->stopping = false;
    throw;
  }
}

}  // namespace postern::capi

extern "C" {

void postern_server_stop(postern_server* handle, int64_t grace_ms) {
  if (handle == nullptr) return;
  StopRequest& stop = handle->stop;
  if (stop.asked.exchange(true)) return;
  stop.handle = handle;
  stop.grace = absl::Milliseconds(grace_ms > 0 ? grace_ms : kDefaultGraceMs);
  stop.Job::run = [](rt::Job* job) { TryToStop(static_cast<StopRequest*>(job)); };
  stop.Timer::run = [](rt::Timer* timer) { TryToStop(static_cast<StopRequest*>(timer)); };
  handle->world->main_loop().PostJob(&stop);
}

void postern_server_free(postern_server* handle) {
  if (handle == nullptr) return;
  (void)Guard(nullptr, [&]() -> postern_status {
    if (handle->started && !handle->stopped) {
      // Nothing is freed before it has ended, however long there is no memory for that.
      while (!handle->stopped) {
        try {
          BeginStop(handle, absl::ZeroDuration());
          handle->world->Poll(absl::Milliseconds(100));
        } catch (const std::bad_alloc&) {
        }
      }
    }
    return POSTERN_OK;
  });
  delete handle;
}

}  // extern "C"
