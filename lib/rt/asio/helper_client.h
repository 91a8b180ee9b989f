// The server's end of its helper process.
#pragma once

#include <memory>
#include <sys/types.h>

#include "lib/rt/helper.h"

namespace postern::rt {

// NewProcessHelper speaks with the helper of process id `pid` over the socket `control`, which it
// closes when it goes; it waits for the helper's end then, for a while.
std::unique_ptr<Helper> NewProcessHelper(int control, pid_t pid);

}  // namespace postern::rt
