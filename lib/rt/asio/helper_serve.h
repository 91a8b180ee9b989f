// The helper's own process: the one with the privileges.
#pragma once

#include "lib/rt/helper.h"

namespace postern::rt {

// ServeHelper is the life of the helper. It never waits for one of its children: each is watched,
// and killed with what it runs when nobody awaits its answer any more, when its time is up, and
// when somebody stops it (the user, whose process it is by then: SIGSTOP would keep it for ever).
// `control` is its end of the socket; it ends when the other one is closed.
[[noreturn]] void ServeHelper(const HelperOptions& options, int control);

}  // namespace postern::rt
