#include "lib/server/relay_routes.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/tls/certificate.h"

namespace postern::server {
namespace {

using policy::RelayScheme;
using policy::RelayUrl;

// Where Debian's ca-certificates puts the authorities of the world.
constexpr char kSystemAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr uint64_t kMaxAuthoritiesBytes = tls::kMaxPemBytes;

struct SchemeMeaning {
  queue::RelayTls tls;
  bool verify;
  bool lmtp;
};

SchemeMeaning MeaningOf(RelayScheme scheme) {
  switch (scheme) {
    case RelayScheme::kSmtp: return {queue::RelayTls::kOpportunistic, false, false};
    case RelayScheme::kSmtpTls: return {queue::RelayTls::kRequired, true, false};
    case RelayScheme::kSmtpNoTls: return {queue::RelayTls::kNever, false, false};
    case RelayScheme::kSmtps: return {queue::RelayTls::kImplicit, true, false};
    case RelayScheme::kLmtp: return {queue::RelayTls::kNever, false, true};
  }
  return {queue::RelayTls::kOpportunistic, false, false};
}

StatusOr<queue::RelayRoute> RouteOfUrl(const std::string& text, RelayUrl* url) {
  const StatusOr<RelayUrl> parsed = policy::ParseRelayUrl(text);
  if (!parsed.ok())
    return Unavailable(StrCat("Cannot parse smarthost: ", Message(parsed.status())));
  *url = *parsed;
  const SchemeMeaning meaning = MeaningOf(url->scheme);
  queue::RelayRoute route;
  route.host = url->host;
  route.by_mx = false;
  if (url->host_is_address) route.address = IpAddress::Parse(url->host);
  route.port = url->port;
  route.tls = meaning.tls;
  route.verify = meaning.verify;
  route.lmtp = meaning.lmtp;
  return route;
}

// FetchOne takes the next entry of a list table.
StatusOr<std::string> FetchOne(const Runtime& runtime, policy::TableId table,
                               policy::Service service, const char* missing) {
  const StatusOr<std::optional<std::string>> entry = runtime.tables().Get(table)->Fetch(service);
  if (!entry.ok()) return Unavailable(std::string(Message(entry.status())));
  if (!entry->has_value()) return Unavailable(missing);
  return **entry;
}

// LookUpCredentials finds the user and password that a relay URL's label names.
Status LookUpCredentials(const Runtime& runtime, const policy::Action& action, const RelayUrl& url,
                         relay::RelaySettings* settings) {
  if (url.label.empty()) return OkStatus();
  if (action.relay.auth == policy::kNoIndex) return Unavailable("No auth table for relaying");
  const StatusOr<std::optional<std::string>> value =
      runtime.tables().Get(action.relay.auth)->Lookup(policy::Service::kCredentials, url.label);
  if (!value.ok()) return Unavailable(std::string(Message(value.status())));
  if (!value->has_value()) return Unavailable(StrCat("No credentials for the label ", url.label));
  const policy::TableCredentials credentials = policy::ParseCredentials(url.label, **value);
  settings->auth_user = credentials.user;
  settings->auth_password = credentials.secret;
  return OkStatus();
}

// SessionOptionsOf puts what `mta timeout` and `mta limit` say in place of the session's defaults.
smtp::ClientOptions SessionOptionsOf(const policy::Config& config) {
  const policy::MtaTimeouts& asked = config.mta_timeouts;
  smtp::ClientOptions options;
  options.greeting_timeout = asked.greeting.value_or(options.greeting_timeout);
  options.hello_timeout = asked.helo.value_or(options.hello_timeout);
  options.starttls_timeout = asked.starttls.value_or(options.starttls_timeout);
  options.auth_timeout = asked.auth.value_or(options.auth_timeout);
  options.mail_timeout = asked.mail_from.value_or(options.mail_timeout);
  options.rcpt_timeout = asked.rcpt_to.value_or(options.rcpt_timeout);
  options.data_timeout = asked.data_init.value_or(options.data_timeout);
  options.data_block_timeout = asked.data_block.value_or(options.data_block_timeout);
  options.data_end_timeout = asked.data_end.value_or(options.data_end_timeout);
  options.rset_timeout = asked.rset.value_or(options.rset_timeout);
  options.quit_timeout = asked.quit.value_or(options.quit_timeout);
  if (config.mta_limits.max_reply_line_bytes > 0) {
    options.max_reply_line_bytes = static_cast<size_t>(config.mta_limits.max_reply_line_bytes);
  }
  return options;
}

}  // namespace

StatusOr<std::shared_ptr<const tls::ClientConfig>> RelayRoutes::ClientTls(bool verify) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<const tls::ClientConfig>& known = client_tls_[verify];
  if (known != nullptr) return known;
  tls::ClientOptions options;
  options.verify = verify;
  options.alpn = {};
  if (verify) {
    const StatusOr<std::string> authorities =
        store::ReadTextFile(world_->files(), kSystemAuthorities, kMaxAuthoritiesBytes);
    if (!authorities.ok()) {
      return Unavailable(
          StrCat("no certificate authorities to verify with: ", Message(authorities.status())));
    }
    options.ca_pem = *authorities;
  }
  StatusOr<std::shared_ptr<const tls::ClientConfig>> made = tls::ClientConfig::Make(options);
  if (!made.ok()) return Unavailable(std::string(Message(made.status())));
  known = *made;
  return known;
}

StatusOr<relay::RelaySettings> RelayRoutes::RouteFor(const queue::Envelope& envelope) {
  const std::shared_ptr<const Runtime> runtime = runtimes_->Get();
  const int index = runtime->config().FindAction(envelope.action);
  if (index == policy::kNoIndex)
    return Unavailable(StrCat("no action is called \"", envelope.action, "\" any more"));
  const policy::Action& action = runtime->config().actions[static_cast<size_t>(index)];
  if (action.kind != policy::ActionKind::kRelay) {
    return Unavailable(StrCat("action \"", envelope.action, "\" does not relay any more"));
  }
  const policy::RelayOptions& asked = action.relay;

  relay::RelaySettings settings;
  settings.helo_name = asked.helo.empty() ? runtime->server_name() : asked.helo;
  settings.mail_from = asked.mail_from;
  settings.own_names = {runtime->server_name()};
  settings.session = SessionOptionsOf(runtime->config());
  if (asked.host != policy::kNoIndex) {
    const StatusOr<std::string> host =
        FetchOne(*runtime, asked.host, policy::Service::kRelayhost, "Cannot retrieve smarthost");
    if (!host.ok()) return host.status();
    RelayUrl url;
    StatusOr<queue::RelayRoute> route = RouteOfUrl(*host, &url);
    if (!route.ok()) return route.status();
    settings.route = std::move(*route);
    POSTERN_RETURN_IF_ERROR(LookUpCredentials(*runtime, action, url, &settings));
  } else {
    settings.route.host = envelope.destination.domain;
    settings.route.address = envelope.destination.DomainLiteral();
    settings.route.by_mx = !settings.route.address.has_value();
    if (asked.backup) {
      settings.own_names.push_back(asked.backup_mx.empty() ? runtime->server_name()
                                                           : AsciiLower(asked.backup_mx));
    }
  }
  if (asked.tls != policy::RelayTls::kDefault) {
    if (settings.route.tls == queue::RelayTls::kNever)
      return Unavailable("TLS required for relaying");
    if (settings.route.tls == queue::RelayTls::kOpportunistic)
      settings.route.tls = queue::RelayTls::kRequired;
    settings.route.verify = asked.tls == policy::RelayTls::kRequired;
  }
  if (asked.source != policy::kNoIndex) {
    const StatusOr<std::string> source = FetchOne(*runtime, asked.source, policy::Service::kSource,
                                                  "Could not retrieve source address");
    if (!source.ok()) return source.status();
    settings.source = IpAddress::Parse(*source);
    if (!settings.source.has_value())
      return Unavailable(StrCat("source ", *source, " is no address"));
  }
  if (settings.route.tls != queue::RelayTls::kNever) {
    StatusOr<std::shared_ptr<const tls::ClientConfig>> config = ClientTls(settings.route.verify);
    if (!config.ok()) return config.status();
    settings.tls_config = std::move(*config);
  }
  return settings;
}

relay::RelayOptions RelayOptionsOf(const Runtime& runtime) {
  const policy::MtaLimits& limits = runtime.config().mta_limits;
  relay::RelayOptions options;
  options.max_conn_per_host = static_cast<size_t>(limits.max_conn_per_host);
  options.max_conn_per_domain = static_cast<size_t>(limits.max_conn_per_domain);
  options.session_mail_max = static_cast<size_t>(limits.session_mail_max);
  options.session_keepalive = absl::Seconds(limits.session_keepalive);
  options.connect_timeout = runtime.config().mta_timeouts.connect.value_or(options.connect_timeout);
  if (limits.family == policy::AddressFamily::kInet4)
    options.family = relay::RelayOptions::Family::kV4;
  if (limits.family == policy::AddressFamily::kInet6)
    options.family = relay::RelayOptions::Family::kV6;
  return options;
}

}  // namespace postern::server
