#include "lib/rt/asio/asio_stream.h"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio/posix/stream_descriptor.hpp>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/socket_address.h"

namespace postern::rt {
namespace {

using Descriptor = asio::posix::stream_descriptor;

// Readiness is one direction of a socket. A wait that times out leaves its reactor operation armed
// for the next wait, so that a deadline costs a timer and no cancellation.
struct Readiness {
  bool armed = false;
  bool ready = false;
  bool timed_out = false;
  std::coroutine_handle<> waiter;
};

// Socket is shared by the stream and its armed operations, which may outlive the stream.
struct Socket {
  Socket(AsioExecutor& executor, SocketHolder& fd)
      : loop(executor), descriptor(executor.io(), fd.get()) {
    fd.Release();
  }
  AsioExecutor& loop;
  Descriptor descriptor;
  Readiness read;
  Readiness write;
  bool closed = false;
};

void Arm(const std::shared_ptr<Socket>& socket, Readiness Socket::*direction) {
  Readiness& state = (*socket).*direction;
  if (state.armed) return;
  const auto kind = direction == &Socket::read ? Descriptor::wait_read : Descriptor::wait_write;
  socket->descriptor.async_wait(kind, [socket, direction](const asio::error_code&) {
    Readiness& fired = (*socket).*direction;
    fired.armed = false;
    fired.ready = true;
    if (fired.waiter) std::exchange(fired.waiter, nullptr).resume();
  });
  state.armed = true;
}

// ReadinessAwaiter gives true when the direction is ready or closed, false when the deadline came
// first.
struct ReadinessAwaiter : Timer {
  ReadinessAwaiter(std::shared_ptr<Socket> on, Readiness Socket::*way, Instant until)
      : socket(std::move(on)), direction(way), deadline(until) {}

  bool await_ready() const { return socket->closed; }
  // Without memory for the wait it throws, and nothing waits.
  void await_suspend(std::coroutine_handle<> handle) {
    Readiness& state = (*socket).*direction;
    state.ready = false;
    state.timed_out = false;
    Arm(socket, direction);
    state.waiter = handle;
    run = [](Timer* timer) {
      auto* const self = static_cast<ReadinessAwaiter*>(timer);
      Readiness& late = (*self->socket).*(self->direction);
      late.timed_out = true;
      if (late.waiter) std::exchange(late.waiter, nullptr).resume();
    };
    socket->loop.Arm(this, deadline);
  }
  bool await_resume() {
    socket->loop.Disarm(this);
    return !((*socket).*direction).timed_out;
  }

  std::shared_ptr<Socket> socket;
  Readiness Socket::*direction;
  Instant deadline;
};

Status ClosedStatus() { return Cancelled("the stream was closed"); }

class AsioStream final : public Stream {
 public:
  AsioStream(AsioExecutor& loop, SocketHolder& fd, Endpoint local, Endpoint remote, bool on_reserve)
      : socket_(std::make_shared<Socket>(loop, fd)),
        local_(std::move(local)),
        remote_(std::move(remote)),
        on_reserve_(on_reserve) {}
  ~AsioStream() override { Close(); }

  Task<Status> WaitReadable(Instant deadline) override {
    if (socket_->closed) co_return ClosedStatus();
    ReadinessAwaiter awaiter(socket_, &Socket::read, deadline);
    const bool ready = co_await awaiter;
    if (awaiter.socket->closed) co_return ClosedStatus();
    if (!ready) co_return DeadlineExceeded("nothing came in time");
    co_return OkStatus();
  }

  StatusOr<size_t> TryRead(std::span<char> into) override {
    if (socket_->closed) return ClosedStatus();
    for (;;) {
      const ssize_t got =
          ::recv(socket_->descriptor.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return WouldBlock();
      return ErrnoError(errno, "receive");
    }
  }

  Task<Status> Write(std::string_view data, Instant deadline) override {
    const std::shared_ptr<Socket> socket = socket_;
    while (!data.empty()) {
      if (socket->closed) co_return ClosedStatus();
      const ssize_t sent = ::send(socket->descriptor.native_handle(), data.data(), data.size(),
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) {
        data.remove_prefix(static_cast<size_t>(sent));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) co_return ErrnoError(errno, "send");
      ReadinessAwaiter awaiter(socket, &Socket::write, deadline);
      const bool ready = co_await awaiter;
      if (!ready) co_return DeadlineExceeded("the peer did not read in time");
    }
    co_return OkStatus();
  }

  Task<Status> ShutdownWrite(Instant) override {
    if (socket_->closed) co_return ClosedStatus();
    if (::shutdown(socket_->descriptor.native_handle(), SHUT_WR) != 0 && errno != ENOTCONN) {
      co_return ErrnoError(errno, "shutdown");
    }
    co_return OkStatus();
  }

  void Close() override {
    if (socket_->closed) return;
    socket_->closed = true;
    asio::error_code ignored;
    socket_->descriptor.close(ignored);
    // Waiters are resumed by their cancelled operations, in a later turn.
  }

  const Endpoint& local() const override { return local_; }
  const Endpoint& remote() const override { return remote_; }
  Executor& executor() override { return socket_->loop; }
  bool accepted_on_reserve() const override { return on_reserve_; }
  std::optional<uint32_t> peer_uid() const override {
    if (!local_.is_unix() || socket_->closed) return std::nullopt;
    ucred peer{};
    socklen_t length = sizeof peer;
    const int fd = socket_->descriptor.native_handle();
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return std::nullopt;
    return peer.uid;
  }

 private:
  std::shared_ptr<Socket> socket_;
  Endpoint local_;
  Endpoint remote_;
  bool on_reserve_;
};

StatusOr<int> OpenAndStartConnect(const Endpoint& remote, const std::optional<IpAddress>& source,
                                  bool* in_progress) {
  SocketAddress address;
  if (!address.Set(remote))
    return InvalidArgument(StrCat(remote.unix_path, ": socket path too long"));
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "socket");
  SocketHolder holder(fd);
  if (source.has_value() && !remote.is_unix()) {
    SocketAddress from;
    from.Set(Endpoint{*source, 0, ""});
    if (::bind(fd, from.get(), from.length()) != 0)
      return ErrnoError(errno, StrCat("bind to source ", source->ToString()));
  }
  *in_progress = false;
  if (::connect(fd, address.get(), address.length()) == 0) return holder.Release();
  if (errno == EINPROGRESS || errno == EAGAIN) {
    *in_progress = true;
    return holder.Release();
  }
  return ErrnoError(errno, StrCat("connect to ", remote.ToString()));
}

}  // namespace

Endpoint EndpointOfSocket(int fd, bool remote) {
  SocketAddress address;
  socklen_t length = address.capacity();
  const int got = remote ? ::getpeername(fd, address.get(), &length)
                         : ::getsockname(fd, address.get(), &length);
  return got == 0 ? address.ToEndpoint(length) : Endpoint{};
}

std::unique_ptr<Stream> MakeAsioStream(AsioExecutor& loop, SocketHolder fd, Endpoint local,
                                       Endpoint remote, bool on_reserve) {
  if (!local.is_unix() && !remote.is_unix()) {
    const int on = 1;
    // Replies are small and wanted at once; Nagle's algorithm would hold each back for the peer's
    // delayed acknowledgement.
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  return std::make_unique<AsioStream>(loop, fd, std::move(local), std::move(remote), on_reserve);
}

Task<StatusOr<std::unique_ptr<Stream>>> AsioConnect(AsioExecutor& loop, Endpoint remote,
                                                    std::optional<IpAddress> source,
                                                    Instant deadline) {
  bool in_progress = false;
  StatusOr<int> opened = OpenAndStartConnect(remote, source, &in_progress);
  if (!opened.ok()) co_return opened.status();
  const int fd = *opened;
  SocketHolder holder(fd);
  auto socket = std::make_shared<Socket>(loop, holder);
  if (in_progress) {
    ReadinessAwaiter awaiter(socket, &Socket::write, deadline);
    const bool ready = co_await awaiter;
    if (!ready) {
      asio::error_code ignored;
      socket->closed = true;
      socket->descriptor.close(ignored);
      co_return DeadlineExceeded(StrCat("connect to ", remote.ToString(), ": no answer in time"));
    }
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) co_return ErrnoError(error, StrCat("connect to ", remote.ToString()));
  }
  Endpoint local = remote.is_unix() ? Endpoint{} : EndpointOfSocket(fd, false);
  SocketHolder connected(socket->descriptor.release());
  co_return MakeAsioStream(loop, std::move(connected), std::move(local), std::move(remote), false);
}

}  // namespace postern::rt
