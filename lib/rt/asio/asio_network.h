// AsioNetwork: listening and connecting on this machine.
#pragma once

#include "lib/rt/network.h"

namespace postern::rt {

class AsioNetwork final : public Network {
 public:
  StatusOr<std::unique_ptr<Listener>> Listen(Executor& loop, const Endpoint& endpoint,
                                             const ListenOptions& options) override;
  Task<StatusOr<std::unique_ptr<Stream>>> Connect(Executor& loop, Endpoint remote,
                                                  ConnectOptions options,
                                                  Instant deadline) override;
  std::vector<InterfaceAddress> Interfaces() override;
  std::string HostName() override;
};

}  // namespace postern::rt
