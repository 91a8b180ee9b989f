// AsioNetwork: listening and connecting on this machine.
#pragma once

#include <functional>
#include <mutex>

#include "lib/rt/network.h"

namespace postern::rt {

// Binder binds `socket` where bind(2) was refused with EACCES; it gives 0 or the errno.
using Binder = std::function<int(int socket, const Endpoint& endpoint)>;

// AsioListen is AsioNetwork's Listen. `binder` may be empty.
StatusOr<std::unique_ptr<Listener>> AsioListen(Executor& loop, const Endpoint& endpoint,
                                               const ListenOptions& options, const Binder& binder);

class AsioNetwork final : public Network {
 public:
  StatusOr<std::unique_ptr<Listener>> Listen(Executor& loop, const Endpoint& endpoint,
                                             const ListenOptions& options) override;
  Task<StatusOr<std::unique_ptr<Stream>>> Connect(Executor& loop, Endpoint remote,
                                                  ConnectOptions options,
                                                  Instant deadline) override;
  std::vector<InterfaceAddress> Interfaces() override;
  std::string HostName() override;

 private:
  std::mutex mutex_;
  std::string plain_name_, full_name_;  // the last that was found
};

}  // namespace postern::rt
