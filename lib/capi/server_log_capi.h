// The log of a server.
#pragma once

#include "lib/capi/server_capi.h"

namespace postern::capi {

// MakeLog sets the log of `handle`, whose world is there: the caller's callbacks, or what the
// library writes itself where `output` is given.
postern_status MakeLog(postern_server* handle, const postern_log_callbacks& callbacks,
                       const postern_log_output* output, postern_error** out_error);

}  // namespace postern::capi
