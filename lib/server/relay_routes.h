// RelayRoutes tells the relay where an envelope goes under the configuration in force.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "lib/rt/world.h"
#include "lib/server/filters.h"
#include "lib/server/runtime.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/relay/route_source.h"

namespace postern::server {

class Ports;

class RelayRoutes final : public relay::RouteSource {
 public:
  // `ports`, where there are any, tell which addresses are ours.
  RelayRoutes(rt::World* world, RuntimeHolder* runtimes, const Ports* ports = nullptr)
      : world_(world), runtimes_(runtimes), ports_(ports) {}
  // UseFilters says what the filters of actions work with. Before it mail of an action that has one
  // waits. Any thread.
  void UseFilters(const FilterPlace& place);
  StatusOr<relay::RelaySettings> RouteFor(const queue::Envelope& envelope) override;

 private:
  // ClientTls gives the shared configuration of an action's connections that verify, or of those
  // that do not.
  StatusOr<std::shared_ptr<const tls::ClientConfig>> ClientTls(
      const std::shared_ptr<const Runtime>& runtime, const policy::Action& action, bool verify);

  rt::World* world_;
  RuntimeHolder* runtimes_;
  const Ports* ports_;
  std::mutex mutex_;
  std::optional<FilterPlace> filters_;
  // of one Runtime: by the action's name, or "" for those that ask for nothing of their own, and
  // whether it verifies
  std::shared_ptr<const Runtime> client_tls_of_;
  std::map<std::pair<std::string, bool>, std::shared_ptr<const tls::ClientConfig>> client_tls_;
};

}  // namespace postern::server
