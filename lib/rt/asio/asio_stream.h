// AsioStream: a TCP or Unix socket as an rt::Stream.
#pragma once

#include <memory>

#include "lib/rt/asio/asio_executor.h"
#include "lib/rt/stream.h"

namespace postern::rt {

// MakeAsioStream takes over the connected, non-blocking socket `fd`.
std::unique_ptr<Stream> MakeAsioStream(AsioExecutor& loop, int fd, Endpoint local, Endpoint remote,
                                       bool on_reserve);

// AsioConnect opens a stream; see Network::Connect.
Task<StatusOr<std::unique_ptr<Stream>>> AsioConnect(AsioExecutor& loop, Endpoint remote,
                                                    std::optional<IpAddress> source,
                                                    Instant deadline);

// SocketName turns a socket address into an Endpoint.
Endpoint EndpointOfSocket(int fd, bool remote);

}  // namespace postern::rt
