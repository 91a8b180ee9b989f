// The client's end of the control socket.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lib/core/control/frames.h"
#include "lib/rt/world.h"

namespace postern::service {

// ControlOutput gets what the server says, as it comes: for standard output, or for standard error.
using ControlOutput = std::function<void(bool error, std::string_view text)>;

// AskControl asks the server behind the socket `path` and returns the exit status that it gives.
// `input` follows the request when `has_input`. It waits for the answer for as long as the server
// takes. kNotFound, kUnavailable: nobody listens there (the server does not run);
// kPermissionDenied; kInvalidArgument: the request is beyond a bound; kDataLoss: the answer broke
// off.
rt::Task<StatusOr<int>> AskControl(rt::World* world, std::string path, control::Request request,
                                   bool has_input, std::string input, ControlOutput output);

}  // namespace postern::service
