// TLS over any Stream: of the real machine or of the simulated one.
#pragma once

#include <memory>
#include <string>

#include "lib/core/tls/engine.h"
#include "lib/rt/stream.h"
#include "lib/rt/task.h"

namespace postern::rt {

// TlsAccept does the server's part of the handshake on `inner` and returns the stream inside. `now`
// is the wall clock, by which certificates are judged. On failure `inner` is closed, after the
// alert that tells the peer why was sent as far as it goes without waiting long; the Status is a
// sentence for the log: kInvalidArgument, the peer does not speak TLS or not as it should;
// kFailedPrecondition, its certificate or its wishes do not fit ours; kDeadlineExceeded;
// kUnavailable, the connection went. Nothing may have been read from `inner` that belongs to TLS.
Task<StatusOr<std::unique_ptr<Stream>>> TlsAccept(std::unique_ptr<Stream> inner,
                                                  std::shared_ptr<const tls::ServerConfig> config,
                                                  WallTime now, Instant deadline);

// TlsConnect does the client's part. `server_name` is who we think answers (SNI, and what is
// verified when `config` verifies). An error of the certificate is kFailedPrecondition.
Task<StatusOr<std::unique_ptr<Stream>>> TlsConnect(std::unique_ptr<Stream> inner,
                                                   std::shared_ptr<const tls::ClientConfig> config,
                                                   std::string server_name, WallTime now,
                                                   Instant deadline);

}  // namespace postern::rt
