// Network: where streams come from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/rt/stream.h"

namespace postern::rt {

// Listener accepts streams on one address. It belongs to the loop it was made on.
class Listener {
 public:
  virtual ~Listener() = default;

  // Accept waits for the next connection and gives it a life on `worker` (which may be another loop
  // than the listener's; the Stream may then only be touched there). When the process is out of
  // descriptors it uses one kept in reserve (see Stream::accepted_on_reserve). kCancelled after
  // Close; kUnavailable when the system is out of memory or descriptors even so: wait a little and
  // try again.
  virtual Task<StatusOr<std::unique_ptr<Stream>>> Accept(Executor& worker) = 0;
  virtual void Close() = 0;
  // local is the bound endpoint; its port is the real one when 0 was asked for.
  virtual const Endpoint& local() const = 0;
};

struct ListenOptions {
  int backlog = 1024;
  bool v6_only = true;
  uint32_t unix_mode = 0600;  // permissions of a Unix socket's path
};

struct ConnectOptions {
  std::optional<IpAddress> source;  // bind to this address first
};

// Interface is one address of this machine.
struct InterfaceAddress {
  std::string interface_name;  // "lo", "eth0"
  IpAddress address;
  bool is_loopback = false;
  bool has_default_route = false;  // member of the group "egress"
};

class Network {
 public:
  virtual ~Network() = default;

  // Listen binds and listens. kAlreadyExists when the address is in use, kPermissionDenied for a
  // port below 1024 without privilege, kInvalidArgument for an address that is not this machine's.
  virtual StatusOr<std::unique_ptr<Listener>> Listen(Executor& loop, const Endpoint& endpoint,
                                                     const ListenOptions& options) = 0;

  // Connect opens a stream to `remote` on `loop`.
  virtual Task<StatusOr<std::unique_ptr<Stream>>> Connect(Executor& loop, Endpoint remote,
                                                          ConnectOptions options,
                                                          Instant deadline) = 0;

  // Interfaces lists this machine's addresses.
  virtual std::vector<InterfaceAddress> Interfaces() = 0;

  // HostName is this machine's fully qualified name, or its plain name when it has none. It may ask
  // DNS and take as long as that does; a full name is remembered as long as the plain one stays.
  // Safe from any thread.
  virtual std::string HostName() = 0;
};

}  // namespace postern::rt
