// AsioStream: a TCP or Unix socket as an rt::Stream.
#pragma once

#include <memory>
#include <unistd.h>
#include <utility>

#include "lib/rt/asio/asio_executor.h"
#include "lib/rt/stream.h"

namespace postern::rt {

// SocketHolder closes a socket that nothing took over, as when there is no memory for what would.
class SocketHolder {
 public:
  explicit SocketHolder(int fd) : fd_(fd) {}
  SocketHolder(SocketHolder&& other) noexcept : fd_(other.Release()) {}
  SocketHolder& operator=(SocketHolder&&) = delete;
  ~SocketHolder() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int Release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// MakeAsioStream takes over the connected, non-blocking socket `fd`.
std::unique_ptr<Stream> MakeAsioStream(AsioExecutor& loop, SocketHolder fd, Endpoint local,
                                       Endpoint remote, bool on_reserve);

// AsioConnect opens a stream; see Network::Connect.
Task<StatusOr<std::unique_ptr<Stream>>> AsioConnect(AsioExecutor& loop, Endpoint remote,
                                                    std::optional<IpAddress> source,
                                                    Instant deadline);

// SocketName turns a socket address into an Endpoint.
Endpoint EndpointOfSocket(int fd, bool remote);

}  // namespace postern::rt
