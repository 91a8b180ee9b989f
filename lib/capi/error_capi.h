// How the C API tells what went wrong.
#pragma once

#include "postern/error.h"
#include <new>
#include <string>

#include "lib/core/base/status.h"

struct postern_error {
  postern_status status = POSTERN_OK;
  std::string reason;
  std::string message;
  int os_errno = 0;
  postern_status callback_status = 0;
  bool is_static = false;  // the one for when there is no memory for another
};

namespace postern::capi {

// StatusCodeOf maps a Status to the kinds of the C API.
postern_status StatusCodeOf(const Status& status);

// Fail sets `*out_error`, when there is one, and returns `status`.
postern_status Fail(postern_error** out_error, postern_status status, std::string reason,
                    std::string message);
// FailWith does so from a Status.
postern_status FailWith(postern_error** out_error, const Status& status);
// FailNoMemory gives the error that needs no memory.
postern_status FailNoMemory(postern_error** out_error) noexcept;

// Guard runs `call` and keeps every exception on this side of the boundary.
template <typename Call>
postern_status Guard(postern_error** out_error, Call call) noexcept {
  if (out_error != nullptr) *out_error = nullptr;
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return FailNoMemory(out_error);
  } catch (const std::exception& e) {
    try {
      return Fail(out_error, POSTERN_ERR_INTERNAL, "internal", e.what());
    } catch (...) {
      return FailNoMemory(out_error);
    }
  } catch (...) {
    return POSTERN_ERR_INTERNAL;
  }
}

}  // namespace postern::capi
