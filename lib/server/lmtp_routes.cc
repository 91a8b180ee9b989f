#include "lib/server/lmtp_routes.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

namespace postern::server {
namespace {

// What a server on this machine is waited for. RFC 5321 §4.5.3.2 is for servers on the other side
// of the world; the end of the text may still take as long as a disk that is busy.
constexpr Duration kDialogTimeout = absl::Minutes(1);
constexpr Duration kDataEndTimeout = absl::Minutes(5);

}  // namespace

StatusOr<relay::RelaySettings> LmtpRoutes::RouteFor(const queue::Envelope& envelope) {
  const auto [runtime, found] = runtimes_->FindAction(envelope.action, /*is_local=*/true);
  if (found == nullptr)
    return Unavailable(StrCat("no action is called \"", envelope.action, "\" any more"));
  const policy::Action& action = *found;
  if (action.kind != policy::ActionKind::kLmtp)
    return Unavailable(StrCat("action \"", envelope.action, "\" does not speak LMTP any more"));
  const StatusOr<policy::LmtpDestination> destination =
      policy::ParseLmtpDestination(action.lmtp_destination);
  if (!destination.ok()) return Unavailable(std::string(Message(destination.status())));

  relay::RelaySettings settings;
  settings.helo_name = runtime->server_name();
  settings.to_account = !action.lmtp_rcpt_to;
  settings.wrapped = action.wrapper != policy::kNoIndex;
  settings.route.by_mx = false;
  settings.route.tls = queue::RelayTls::kNever;
  settings.route.lmtp = true;
  settings.route.port = destination->port;
  settings.route.socket_path = destination->socket_path;
  settings.route.host =
      destination->socket_path.empty() ? destination->host : destination->socket_path;
  if (destination->host_is_address) settings.route.address = IpAddress::Parse(destination->host);
  // RFC 6761 §6.3: the name is answered without asking anybody.
  if (destination->host == "localhost") settings.route.address = IpAddress::Parse("127.0.0.1");
  const size_t most = static_cast<size_t>(runtime->config().mda_limits.max_session);
  settings.limits.max_conn_per_domain = most;
  settings.limits.max_conn_per_host = most;
  smtp::ClientOptions& session = settings.session;
  session.greeting_timeout = kDialogTimeout;
  session.hello_timeout = kDialogTimeout;
  session.mail_timeout = kDialogTimeout;
  session.rcpt_timeout = kDialogTimeout;
  session.data_timeout = kDialogTimeout;
  session.data_block_timeout = kDialogTimeout;
  session.data_end_timeout = kDataEndTimeout;
  return settings;
}

relay::RelayOptions LmtpOptions(const Runtime& runtime) {
  const policy::MdaLimits& limits = runtime.config().mda_limits;
  relay::RelayOptions options;
  options.by_action = true;
  options.max_batches = static_cast<size_t>(limits.max_session);
  options.connect_timeout = absl::Seconds(10);
  options.conn_wait = absl::Minutes(1);
  options.route_penalty = absl::Seconds(5);
  options.route_penalty_max = absl::Minutes(1);
  return options;
}

}  // namespace postern::server
