// What the functions of servers share: the handle, and what each of them asks of it.
#pragma once

#include "postern/server.h"
#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/log.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/rt/asio/helped_world.h"
#include "lib/server/log_writer.h"
#include "lib/server/server.h"

namespace postern::capi {

// StopRequest brings postern_server_stop to the main loop; as a Timer it tries again when memory
// was short.
struct StopRequest : rt::Job, rt::Timer {
  postern_server* handle = nullptr;
  Duration grace;
  std::atomic<bool> asked{false};
};

}  // namespace postern::capi

struct postern_server {
  // Declared in the order of dependence: what is below uses what is above and dies first.
  postern::capi::OnFree free_log_data;
  postern::capi::OnFree free_message_data;
  postern::capi::OnFree free_filter_data;
  postern_filter_callbacks filter{};
  postern::capi::OnFree free_login_data;
  postern_message_callbacks message{};
  postern_login_callbacks login{};
  postern::capi::StopRequest stop;
  std::unique_ptr<postern::rt::AsioWorld> world;
  std::unique_ptr<postern::LogSink> log;
  postern::server::LogWriter* log_writer = nullptr;  // `log`, where it is one
  std::string log_path;                              // of the file that `log` writes; empty: none
  std::unique_ptr<postern::rt::HelpedWorld> helped;  // null: the process stays who it is
  std::unique_ptr<postern::server::Server> server;
  postern::rt::TaskGroup tasks;
  std::vector<std::string> endpoints;
  std::atomic<postern_status> last_callback_status{POSTERN_OK};
  std::atomic<int> callbacks_running{0};  // of on_message, on_step and on_event
  std::unique_ptr<postern::rt::FdWatch>
      helper_watch;  // on the main loop, from the start to the end
  bool helper_lost = false;
  bool started = false;
  bool stopping = false;
  std::atomic<bool> stopped{false};
};

namespace postern::capi {

inline constexpr int64_t kDefaultGraceMs = 5000;

// InCallback tells whether the caller is one of this server's callbacks: it then runs on a loop,
// which cannot go on before the callback has returned.
bool InCallback(postern_server* server);
postern_status FailInCallback(postern_error** out_error);

// Waited is the end of a task that a call waits for.
struct Waited {
  bool done = false;
  std::exception_ptr failure;  // what the task threw
};

// PollUntil runs the loops on this thread until the task is done, before and after
// postern_server_run, and throws what the task threw.
void PollUntil(postern_server* server, const Waited& waited);

// BeginStop spawns the end of the server, once. On the main loop, or where no loop runs. Throws
// std::bad_alloc, and may then be called again.
void BeginStop(postern_server* handle, Duration grace);

// StopServer is that end. `handle` is stopped when it returns; memory that runs out puts it off.
rt::Task<void> StopServer(postern_server* handle, Duration grace);

}  // namespace postern::capi
