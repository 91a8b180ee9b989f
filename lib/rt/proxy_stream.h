// A connection that a proxy passes on, with the addresses that the proxy tells (PROXY protocol 2,
// core/base/proxy_header.h).
#pragma once

#include <memory>

#include "lib/rt/stream.h"
#include "lib/rt/task.h"

namespace postern::rt {

// ProxyAccept reads the header that `inner` has to begin with, and nothing behind it, and returns
// the stream whose local() and remote() are those of the header; for a header that the proxy sends
// for itself, `inner`. On failure `inner` is closed and the Status is a sentence for the log:
// kInvalidArgument, no header or a wrong one; kDeadlineExceeded, it did not come whole by
// `deadline`; kUnavailable, the connection went. Whoever calls it must know that the peer is the
// proxy: a header says what its sender likes.
Task<StatusOr<std::unique_ptr<Stream>>> ProxyAccept(std::unique_ptr<Stream> inner,
                                                    Instant deadline);

}  // namespace postern::rt
