#include "lib/capi/server_capi.h"

#include <new>

#include "lib/capi/server_helper.h"
#include "lib/capi/server_mistakes.h"

namespace {

using postern::Duration;
using postern::Status;
using postern::capi::Ended;
using postern::capi::Fail;
using postern::capi::FailInCallback;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::InCallback;
using postern::capi::PollUntil;
using postern::capi::StopServer;
using postern::capi::Waited;
namespace rt = postern::rt;

// StartServer stops the server when its start threw: what runs of it already must have ended before
// it is freed.
rt::Task<void> StartServer(postern_server* handle, Status* result, Waited* waited) {
  // Made while there may be memory for it; it runs only when it is awaited.
  rt::Task<void> stop = StopServer(handle, absl::ZeroDuration());
  try {
    *result = co_await handle->server->Start();
  } catch (...) {
    waited->failure = std::current_exception();
  }
  if (waited->failure) {
    handle->stopping = true;
    co_await std::move(stop);
  }
  waited->done = true;
}

rt::Task<void> AskMetrics(postern_server* handle, std::string* text, Waited* waited) {
  try {
    *text = co_await handle->server->Metrics();
  } catch (...) {
    waited->failure = std::current_exception();
  }
  waited->done = true;
}

postern_status Start(postern_server* handle, postern_error** out_error) {
  if (handle->started || handle->stopping)
    return Fail(out_error, POSTERN_ERR_BUSY, "started", "the server was started before");
  Status result;
  Waited waited;
  handle->tasks.Spawn(StartServer(handle, &result, &waited));
  PollUntil(handle, waited);
  if (!result.ok()) return FailWith(out_error, result);
  handle->started = true;
  postern::capi::WatchHelper(handle);
  for (const postern::Endpoint& endpoint : handle->server->endpoints())
    handle->endpoints.push_back(endpoint.ToString());
  return POSTERN_OK;
}

postern_status Reload(postern_server* handle, postern_error** out_error) {
  postern::policy::Diagnostics diagnostics;
  const Status reloaded = handle->server->Reload(&diagnostics);
  postern::capi::LogWarnings(handle->log.get(), diagnostics);
  if (postern::policy::HasErrors(diagnostics)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config",
                postern::capi::AllErrors(diagnostics));
  }
  return reloaded.ok() ? POSTERN_OK : FailWith(out_error, reloaded);
}

}  // namespace

namespace postern::capi {

bool InCallback(postern_server* server) {
  // A submission calls back outside of the loop.
  if (server->callbacks_running != 0) return true;
  for (size_t i = 0; i < server->world->worker_count(); ++i) {
    if (server->world->worker(i).IsCurrent()) return true;
  }
  return false;
}

postern_status FailInCallback(postern_error** out_error) {
  return Fail(out_error, POSTERN_ERR_BUSY, "in-callback", "called from a callback of the server");
}

void PollUntil(postern_server* server, const Waited& waited) {
  while (!waited.done) {
    try {
      server->world->Poll(absl::Milliseconds(100));
    } catch (const std::bad_alloc&) {
      // What is under way goes on, and writes where the caller waits for it.
    }
  }
  if (waited.failure) std::rethrow_exception(waited.failure);
}

}  // namespace postern::capi

extern "C" {

postern_status postern_server_start(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    return Start(handle, out_error);
  });
}

postern_status postern_server_poll(postern_server* handle, size_t* out_ran, int64_t timeout_ms,
                                   postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out_ran != nullptr) *out_ran = 0;
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (!handle->started)
      return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server was not started");
    if (handle->world->worker_count() != 1) {
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                  "a server with several workers is run, not polled");
    }
    if (InCallback(handle)) return FailInCallback(out_error);
    if (handle->stopped) return Ended(handle, POSTERN_DONE, out_error);
    const Duration wait =
        timeout_ms < 0 ? absl::InfiniteDuration() : absl::Milliseconds(timeout_ms);
    const size_t ran = handle->world->Poll(wait);
    if (out_ran != nullptr) *out_ran = ran;
    return handle->stopped ? Ended(handle, POSTERN_DONE, out_error) : POSTERN_OK;
  });
}

postern_status postern_server_run(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (!handle->started)
      return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server was not started");
    if (InCallback(handle)) return FailInCallback(out_error);
    if (!handle->stopped) handle->world->Run();
    return Ended(handle, POSTERN_OK, out_error);
  });
}

postern_status postern_server_reload(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    return Reload(handle, out_error);
  });
}

size_t postern_server_endpoint_count(const postern_server* handle) {
  return handle == nullptr ? 0 : handle->endpoints.size();
}

const char* postern_server_endpoint(const postern_server* handle, size_t index) {
  if (handle == nullptr || index >= handle->endpoints.size()) return nullptr;
  return handle->endpoints[index].c_str();
}

uint16_t postern_server_endpoint_port(const postern_server* handle, size_t index) {
  if (handle == nullptr || index >= handle->endpoints.size()) return 0;
  return handle->server->endpoints()[index].port;
}

postern_status postern_server_metrics(postern_server* handle, postern_buf* out,
                                      postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr || out == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "an argument is NULL");
    if (InCallback(handle)) return FailInCallback(out_error);
    if (!handle->started || handle->stopping)
      return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server is not running");
    std::string text;
    Waited waited;
    handle->tasks.Spawn(AskMetrics(handle, &text, &waited));
    PollUntil(handle, waited);
    postern::capi::Give(out, text);
    return static_cast<postern_status>(POSTERN_OK);
  });
}

}  // extern "C"
