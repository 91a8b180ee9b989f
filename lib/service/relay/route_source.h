// RouteSource: where a relay action sends mail, and how. The server's composition answers this from
// the configuration.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/queue/envelope.h"
#include "lib/core/queue/relay_plan.h"
#include "lib/core/smtp/client_session.h"
#include "lib/core/tls/config.h"
#include "lib/rt/task.h"
#include "lib/store/queue/queue.h"

namespace postern::relay {

// RelayLimits are `mta limit` of smtpd.conf, with its names: how much one destination is given at a
// time, and how often. 0 is no bound. A connector is one of our addresses on one relay; a relay is
// what mail goes by in one way (the domain or server, its port, TLS); a route is one of our
// addresses and one of theirs.
struct RelayLimits {
  size_t max_conn_per_host = 10;  // to one address
  size_t max_conn_per_route = 0;
  size_t max_conn_per_source = 0;  // from one of our addresses
  size_t max_conn_per_connector = 0;
  size_t max_conn_per_relay = 0;
  size_t max_conn_per_domain = 100;  // to one domain, or server that is named
  // how long after a connection the next one waits
  Duration conn_delay_host;
  Duration conn_delay_route;
  Duration conn_delay_source;
  Duration conn_delay_connector;
  Duration conn_delay_relay;
  Duration conn_delay_domain;
  size_t session_mail_max = 100;                   // messages on one connection
  Duration session_keepalive = absl::Seconds(10);  // how long it waits for the next message
  Duration session_transaction_delay;              // between two messages on it
  size_t max_failures_per_session = 25;  // refused recipients, after which it is not used again
  enum class Family : uint8_t { kAny, kV4, kV6 };
  Family family = Family::kAny;
};

// Outgoing is a message as it is about to be sent.
struct Outgoing {
  mail::ReversePath sender;
  std::vector<mail::ForwardPath> recipients;
  std::vector<queue::EnvelopeId> envelopes;  // of the recipients, in their order; for a filter
  std::shared_ptr<const store::Body> text;
};
// OutgoingVerdict is what a filter made of it. `fates`, one for each recipient, has a reply for
// those who do not get it: 2xx, it is done with; 4xx, later; 5xx, never.
struct OutgoingVerdict {
  Outgoing outgoing;
  std::vector<std::optional<mail::Reply>> fates;
};
// OutgoingFilter looks at a message before it goes out. `first` is the envelope of one of its
// recipients. On the relay's loop; it ends by itself.
using OutgoingFilter =
    std::function<rt::Task<OutgoingVerdict>(queue::Envelope first, Outgoing outgoing)>;

struct RelaySettings {
  queue::RelayRoute route;
  bool other_hosts = false;  // asked again, RouteFor may name another server: there are several
  std::string helo_name;     // what EHLO says
  // helo_by_address gives another name for a connection from `ours`; "" for helo_name. Called on
  // the pool; may block. Empty: there is none.
  std::function<std::string(const IpAddress& ours)> helo_by_address;
  std::optional<IpAddress> source;  // bind to it
  // mail_from replaces the sender's address where it is not null ("@domain" keeps the user part);
  // empty: unchanged.
  std::string mail_from;
  // to_account: the recipients are named by their accounts, without a domain, in place of their
  // addresses: what a delivery agent of this machine knows them by.
  bool to_account = false;
  OutgoingFilter filter;  // empty: there is none
  // wrapped: what goes there has been through a program first. Only DeliverText sends it.
  bool wrapped = false;
  // Credentials for AUTH; empty user: none. They are sent over TLS only.
  std::string auth_user;
  std::string auth_password;
  // tls_config verifies when route.verify is set. Not null unless route.tls is kNever.
  std::shared_ptr<const tls::ClientConfig> tls_config;
  // shared_as: connections are shared only among settings with the same, where more than the fields
  // above makes them differ (certificates, ciphers).
  std::string shared_as;
  // own_names are ours: an MX of one of these names is us, and to it or a worse one mail would
  // loop.
  std::vector<std::string> own_names;
  // own_listener tells whether whoever connects to that address and port comes to a listener of
  // ours, and the mail would only be where it is now. Empty: nobody knows. On the relay's loop; it
  // does not block.
  std::function<bool(const IpAddress& address, uint16_t port)> own_listener;
  // loop_advice is what the postmaster should edit where mail loops back to us: a clause for the
  // notice.
  std::string loop_advice;
  // backup_mx is the exchanger that we are a backup beside, or below; empty: we are none.
  std::string backup_mx;
  RelayLimits limits;
  std::optional<Duration> connect_timeout;  // unset: RelayOptions'
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
