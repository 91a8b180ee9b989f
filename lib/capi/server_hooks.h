// The callbacks of a server's host as the hooks that the server calls.
#pragma once

#include "postern/server.h"

#include "lib/server/hooks.h"

namespace postern::capi {

// SetHooks sets those hooks for which `handle` has callbacks; it outlives them.
void SetHooks(postern_server* handle, server::Hooks* hooks);

}  // namespace postern::capi
