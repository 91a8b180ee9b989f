// AsioNetwork: listening and connecting on this machine.
#pragma once

#include <mutex>

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

 private:
  std::mutex mutex_;
  std::string plain_name_, full_name_;  // the last that was found
};

}  // namespace postern::rt
