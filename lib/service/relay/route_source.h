// RouteSource: where a relay action sends mail, and how. The server's composition answers this from
// the configuration.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/core/base/status.h"
#include "lib/core/queue/envelope.h"
#include "lib/core/queue/relay_plan.h"
#include "lib/core/smtp/client_session.h"
#include "lib/core/tls/config.h"

namespace postern::relay {

struct RelaySettings {
  queue::RelayRoute route;
  std::string helo_name;            // what EHLO says
  std::optional<IpAddress> source;  // bind to it
  // mail_from replaces the sender's address where it is not null ("@domain" keeps the user part);
  // empty: unchanged.
  std::string mail_from;
  // to_account: the recipients are named by their accounts, without a domain, in place of their
  // addresses: what a delivery agent of this machine knows them by.
  bool to_account = false;
  // Credentials for AUTH; empty user: none. They are sent over TLS only.
  std::string auth_user;
  std::string auth_password;
  // tls_config verifies when route.verify is set. Not null unless route.tls is kNever.
  std::shared_ptr<const tls::ClientConfig> tls_config;
  // own_names are ours: an MX of one of these names is us (backup MX, loops).
  std::vector<std::string> own_names;
  // session holds the bounds and times of the dialogue; its helo_name and lmtp are not read.
  smtp::ClientOptions session;
};

class RouteSource {
 public:
  virtual ~RouteSource() = default;
  // RouteFor tells where `envelope` goes. It is called on the pool and may block. kNotFound,
  // kInvalidArgument and kFailedPrecondition are permanent failures, anything else is temporary;
  // the message is what the log and a notice say.
  virtual StatusOr<RelaySettings> RouteFor(const queue::Envelope& envelope) = 0;
};

}  // namespace postern::relay
