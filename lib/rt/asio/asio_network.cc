#include "lib/rt/asio/asio_network.h"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netdb.h>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/posix/stream_descriptor.hpp>

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_stream.h"
#include "lib/rt/asio/socket_address.h"

namespace postern::rt {
namespace {

using Descriptor = asio::posix::stream_descriptor;

struct ListeningSocket {
  ListeningSocket(AsioExecutor& executor, SocketHolder& fd)
      : loop(executor), descriptor(executor.io(), fd.get()) {
    fd.Release();
  }
  AsioExecutor& loop;
  Descriptor descriptor;
  bool closed = false;
};

struct AcceptableAwaiter {
  std::shared_ptr<ListeningSocket> socket;
  bool await_ready() const { return socket->closed; }
  void await_suspend(std::coroutine_handle<> waiter) const {
    // The operation keeps the socket alive: the listener may be gone when it is cancelled.
    socket->descriptor.async_wait(
        Descriptor::wait_read,
        [held = socket, waiter](const asio::error_code&) { waiter.resume(); });
  }
  void await_resume() const {}
};

class AsioListener final : public Listener {
 public:
  AsioListener(AsioExecutor& loop, SocketHolder& fd, Endpoint local)
      : socket_(std::make_shared<ListeningSocket>(loop, fd)), local_(std::move(local)) {
    RefillReserve();
  }
  ~AsioListener() override {
    Close();
    if (reserve_ >= 0) ::close(reserve_);
  }

  Task<StatusOr<std::unique_ptr<Stream>>> Accept(Executor& worker) override {
    const std::shared_ptr<ListeningSocket> socket = socket_;
    for (;;) {
      if (socket->closed) co_return Cancelled("the listener was closed");
      SocketAddress peer;
      socklen_t length = peer.capacity();
      if (reserve_ < 0) RefillReserve();
      bool on_reserve = false;
      int fd = ::accept4(socket->descriptor.native_handle(), peer.get(), &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0 && (errno == EMFILE || errno == ENFILE) && reserve_ >= 0) {
        // Out of descriptors: the reserve serves to tell one client so, instead of spinning on a
        // readable listener.
        ::close(std::exchange(reserve_, -1));
        on_reserve = true;
        length = peer.capacity();
        fd = ::accept4(socket->descriptor.native_handle(), peer.get(), &length,
                       SOCK_NONBLOCK | SOCK_CLOEXEC);
      }
      if (fd >= 0) {
        SocketHolder connected(fd);
        Endpoint remote = peer.ToEndpoint(length);
        Endpoint local = local_.is_unix() ? local_ : EndpointOfSocket(fd, false);
        co_return MakeAsioStream(static_cast<AsioExecutor&>(worker), std::move(connected),
                                 std::move(local), std::move(remote), on_reserve);
      }
      switch (errno) {
        case EAGAIN:
        case EINTR:
        // accept(2): errors of the new connection, not of the listener.
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ENONET:
        case EOPNOTSUPP:
        case ENOPROTOOPT: break;
        default:
          co_return Unavailable(StrCat("accept: ", Message(ErrnoError(errno, local_.ToString()))));
      }
      AcceptableAwaiter acceptable{socket};
      co_await acceptable;
    }
  }

  void Close() override {
    if (socket_->closed) return;
    socket_->closed = true;
    asio::error_code ignored;
    socket_->descriptor.close(ignored);
    if (local_.is_unix()) ::unlink(local_.unix_path.c_str());
  }

  const Endpoint& local() const override { return local_; }

 private:
  void RefillReserve() { reserve_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

  std::shared_ptr<ListeningSocket> socket_;
  Endpoint local_;
  int reserve_ = -1;
};

Status ListenError(int error, const Endpoint& endpoint) {
  const Status plain = ErrnoError(error, StrCat("listen on ", endpoint.ToString()));
  switch (error) {
    case EADDRINUSE:
      return SameCause(plain, StatusCode::kAlreadyExists,
                       StrCat(endpoint.ToString(), " is in use by another program"));
    case EACCES:
      return SameCause(
          plain, StatusCode::kPermissionDenied,
          StrCat("no permission to listen on ", endpoint.ToString(),
                 endpoint.port != 0 && endpoint.port < 1024 ? " (ports below 1024 need privilege)"
                                                            : ""));
    case EADDRNOTAVAIL:
      return SameCause(plain, StatusCode::kInvalidArgument,
                       StrCat(endpoint.address.ToString(), " is not an address of this machine"));
    default: return plain;
  }
}

// A socket file that nobody listens on is a crashed server's: it may be replaced; a live one may
// not.
bool IsStaleSocket(const Endpoint& endpoint) {
  struct stat info {};
  if (::lstat(endpoint.unix_path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  SocketAddress address;
  if (!address.Set(endpoint)) return false;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool refused = ::connect(fd, address.get(), address.length()) != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return refused;
}

std::set<std::string> InterfacesWithDefaultRoute() {
  std::set<std::string> names;
  std::string line;
  std::ifstream v4("/proc/net/route");
  while (std::getline(v4, line)) {
    std::istringstream fields(line);
    std::string name, destination, gateway, flags, refs, use, metric, mask;
    fields >> name >> destination >> gateway >> flags >> refs >> use >> metric >> mask;
    if (destination == "00000000" && mask == "00000000") names.insert(name);
  }
  std::ifstream v6("/proc/net/ipv6_route");
  while (std::getline(v6, line)) {
    const std::vector<std::string_view> fields = SplitWords(line);
    if (fields.size() >= 10 && fields[0] == std::string(32, '0') && fields[1] == "00" &&
        fields[9] != "lo") {
      names.insert(std::string(fields[9]));
    }
  }
  return names;
}

}  // namespace

StatusOr<std::unique_ptr<Listener>> AsioNetwork::Listen(Executor& loop, const Endpoint& endpoint,
                                                        const ListenOptions& options) {
  return AsioListen(loop, endpoint, options, Binder());
}

StatusOr<std::unique_ptr<Listener>> AsioListen(Executor& loop, const Endpoint& endpoint,
                                               const ListenOptions& options, const Binder& binder) {
  SocketAddress address;
  if (!address.Set(endpoint))
    return InvalidArgument(StrCat(endpoint.unix_path, ": socket path too long"));
  if (endpoint.is_unix() && IsStaleSocket(endpoint)) ::unlink(endpoint.unix_path.c_str());
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "socket");
  SocketHolder holder(fd);
  const int on = 1;
  if (!endpoint.is_unix()) {
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (endpoint.address.is_v6()) {
      const int v6_only = options.v6_only ? 1 : 0;
      ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    }
  }
  int error = ::bind(fd, address.get(), address.length()) == 0 ? 0 : errno;
  if (error == EACCES && binder && !endpoint.is_unix()) error = binder(fd, endpoint);
  if (error == 0 && ::listen(fd, options.backlog) != 0) error = errno;
  if (error != 0) return ListenError(error, endpoint);
  if (endpoint.is_unix()) ::chmod(endpoint.unix_path.c_str(), options.unix_mode);
  Endpoint local = endpoint.is_unix() ? endpoint : EndpointOfSocket(fd, false);
  return std::unique_ptr<Listener>(
      std::make_unique<AsioListener>(static_cast<AsioExecutor&>(loop), holder, std::move(local)));
}

Task<StatusOr<std::unique_ptr<Stream>>> AsioNetwork::Connect(Executor& loop, Endpoint remote,
                                                             ConnectOptions options,
                                                             Instant deadline) {
  return AsioConnect(static_cast<AsioExecutor&>(loop), std::move(remote), options.source, deadline);
}

std::vector<InterfaceAddress> AsioNetwork::Interfaces() {
  std::vector<InterfaceAddress> found;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return found;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(first, &::freeifaddrs);
  const std::set<std::string> egress = InterfacesWithDefaultRoute();
  for (const ifaddrs* each = list.get(); each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    std::optional<IpAddress> address;
    if (each->ifa_addr->sa_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
      address =
          IpAddress::FromBytes(std::string_view(reinterpret_cast<const char*>(&in->sin_addr), 4));
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(each->ifa_addr);
      // Link-local addresses need a zone to be used: they are not for mail.
      if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) continue;
      address = IpAddress::FromBytes(
          std::string_view(reinterpret_cast<const char*>(&in6->sin6_addr), 16));
    }
    if (!address.has_value()) continue;
    found.push_back({.interface_name = each->ifa_name,
                     .address = *address,
                     .is_loopback = (each->ifa_flags & IFF_LOOPBACK) != 0,
                     .has_default_route = egress.count(each->ifa_name) != 0});
  }
  return found;
}

std::string AsioNetwork::HostName() {
  char name[256] = "localhost";
  ::gethostname(name, sizeof name - 1);
  if (std::string_view(name).find('.') != std::string_view::npos) return name;
  const std::lock_guard lock(mutex_);
  if (plain_name_ == name) return full_name_;
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  std::string full = name;
  if (::getaddrinfo(name, nullptr, &hints, &found) == 0) {
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> result(found, &::freeaddrinfo);
    if (result->ai_canonname != nullptr &&
        std::string_view(result->ai_canonname).find('.') != std::string_view::npos) {
      full = result->ai_canonname;
      plain_name_ = name;
      full_name_ = full;
    }
  }
  return full;
}

}  // namespace postern::rt
