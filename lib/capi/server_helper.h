// The helper process of a server that gives root's privileges up.
#pragma once

#include "lib/capi/server_capi.h"
#include "lib/server/runtime.h"

namespace postern::capi {

// StartHelperFor starts the helper of `handle`, whose world and log are there, where root starts
// the server and it shall run as another: `run_as` (null: as who starts it), whose account
// `options` then has.
postern_status StartHelperFor(postern_server* handle, const char* run_as,
                              server::ServerOptions* options, postern_error** out_error);

// ArrangePrivileges arranges what becomes of root's privileges when a server with a helper starts:
// it becomes the account of `options`, or the log says why not.
void ArrangePrivileges(postern_server* handle, const server::Runtime& runtime,
                       server::ServerOptions* options);

// WatchHelper stops the server when its helper ends (killed for want of memory, say): without one
// no mail can be delivered, and without root's privileges there can be no other. Whoever started
// the server hears of it, and can start it anew.
void WatchHelper(postern_server* handle);

// Ended is what the end of a server means to its host: `status`, or that the helper was lost.
postern_status Ended(const postern_server* handle, postern_status status,
                     postern_error** out_error);

}  // namespace postern::capi
