// What the functions of configurations share.
#pragma once

#include "postern/config.h"
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "lib/core/policy/diagnostic.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/server/server.h"

struct postern_findings {
  postern::policy::Diagnostics list;
  std::string json;
};

namespace postern::capi {

// ReadConfigOptions takes what the caller gave into `server`; or fails.
postern_status ReadConfigOptions(const postern_config_options* given,
                                 postern_config_options* options, server::ServerOptions* server,
                                 postern_error** out_error);

// AddMacros takes "name=value" texts; or fails.
postern_status AddMacros(const char* const* macros, size_t count, server::ServerOptions* server,
                         postern_error** out_error);

// MakeFindings gives the findings that the C API hands out.
std::unique_ptr<postern_findings> MakeFindings(policy::Diagnostics diagnostics);

// RunTask runs `make(world)`, a task of the main loop, on a world without threads, until it ends.
// It throws what the task throws.
template <typename T, typename Make>
T RunTask(rt::AsioWorld& world, Make make) {
  struct Slot {
    std::optional<T> result;
    static rt::Task<void> Await(rt::Task<T> task, Slot* slot) {
      slot->result = co_await std::move(task);
    }
  };
  Slot slot;
  std::exception_ptr failure;
  rt::TaskGroup tasks([&failure](std::exception_ptr thrown) { failure = std::move(thrown); });
  tasks.Spawn(Slot::Await(make(&world), &slot));
  // The group must not go before its task.
  while (tasks.running() > 0) {
    try {
      world.Poll(absl::Milliseconds(100));
    } catch (const std::bad_alloc&) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return *std::move(slot.result);
}

}  // namespace postern::capi
