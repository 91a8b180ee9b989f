// LmtpRoutes tells where the mail of an `lmtp` action goes under the configuration in force.
#pragma once

#include "lib/server/runtime.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/relay/route_source.h"

namespace postern::server {

class LmtpRoutes final : public relay::RouteSource {
 public:
  explicit LmtpRoutes(RuntimeHolder* runtimes) : runtimes_(runtimes) {}
  // RouteFor gives no permanent failure: what is wrong here is mended by the operator, and the
  // mail waits for that.
  StatusOr<relay::RelaySettings> RouteFor(const queue::Envelope& envelope) override;

 private:
  RuntimeHolder* runtimes_;
};

// LmtpOptions are the bounds of all connections to delivery agents together. A delivery agent is
// near and answers soon, or it is being restarted: it is asked again within a minute.
relay::RelayOptions LmtpOptions(const Runtime& runtime);

}  // namespace postern::server
