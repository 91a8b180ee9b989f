// What smtpctl(8) says of the queue of a server that does not run.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lib/core/control/frames.h"
#include "lib/core/policy/model.h"
#include "lib/rt/world.h"

namespace postern::server {

using OfflineOutput = std::function<void(bool error, std::string_view text)>;

// AnswerOffline answers `show queue`, `show envelope` and `show message` (and their shortened
// words, and JSON) from the queue in `spool`, as the server would, with "offline" for each
// envelope's state; it gives the exit status. kUnimplemented: the words ask for something that
// takes a server. `config` has the key where the queue is encrypted; one that is asked for on a
// terminal is not known here. Nothing is changed in the spool. Blocks.
StatusOr<int> AnswerOffline(rt::World& world, const policy::Config& config,
                            const std::string& spool, const control::Request& request,
                            const OfflineOutput& output);

}  // namespace postern::server
