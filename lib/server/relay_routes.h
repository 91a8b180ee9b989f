// RelayRoutes tells the relay where an envelope goes under the configuration in force.
#pragma once

#include <map>
#include <mutex>

#include "lib/rt/world.h"
#include "lib/server/runtime.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/relay/route_source.h"

namespace postern::server {

class RelayRoutes final : public relay::RouteSource {
 public:
  RelayRoutes(rt::World* world, RuntimeHolder* runtimes) : world_(world), runtimes_(runtimes) {}
  StatusOr<relay::RelaySettings> RouteFor(const queue::Envelope& envelope) override;

 private:
  // ClientTls gives the shared configuration of connections that verify, or of those that do not.
  StatusOr<std::shared_ptr<const tls::ClientConfig>> ClientTls(bool verify);

  rt::World* world_;
  RuntimeHolder* runtimes_;
  std::mutex mutex_;
  std::map<bool, std::shared_ptr<const tls::ClientConfig>> client_tls_;  // by whether it verifies
};

// RelayOptionsOf gives `mta limit` as the relay wants it.
relay::RelayOptions RelayOptionsOf(const Runtime& runtime);

}  // namespace postern::server
