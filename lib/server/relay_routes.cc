#include "lib/server/relay_routes.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/srs.h"
#include "lib/server/authorities.h"
#include "lib/server/ports.h"
#include "lib/server/relay_filter.h"

namespace postern::server {
namespace {

using policy::RelayScheme;
using policy::RelayUrl;

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

// HasOwnTls tells whether the action's connections differ from those of others in TLS.
bool HasOwnTls(const policy::RelayOptions& asked) {
  return asked.pki != policy::kNoIndex || asked.ca != policy::kNoIndex ||
         !asked.protocols.empty() || !asked.ciphers.empty();
}

// HeloFor looks up what EHLO says from the address `ours`; "" where the table has no name for it,
// or none that EHLO may say. Blocks as much as the table does.
std::string HeloFor(const Runtime& runtime, policy::TableId table, const IpAddress& ours) {
  const StatusOr<std::optional<std::string>> name =
      runtime.tables().Get(table)->Lookup(policy::Service::kAddrname, ours.ToString());
  if (!name.ok() || !name->has_value() || !mail::IsValidDomainName(**name)) return "";
  return **name;
}

// SmarthostFor gives the relay URL that the action's `host` or `domain` has for a recipient's
// domain.
StatusOr<std::string> SmarthostFor(const Runtime& runtime, const policy::RelayOptions& asked,
                                   const std::string& domain) {
  constexpr char kMissing[] = "Cannot retrieve smarthost";
  if (asked.host != policy::kNoIndex)
    return FetchOne(runtime, asked.host, policy::Service::kRelayhost, kMissing);
  const StatusOr<std::optional<std::string>> url =
      runtime.tables().Get(asked.domain)->Lookup(policy::Service::kRelayhost, AsciiLower(domain));
  if (!url.ok()) return Unavailable(std::string(Message(url.status())));
  if (!url->has_value()) return Unavailable(StrCat(kMissing, " for ", domain));
  return **url;
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

// LimitsOf gives `mta limit` as the relay wants it: that of `domain` where there is one.
relay::RelayLimits LimitsOf(const policy::Config& config, const std::string& domain) {
  const policy::MtaLimits* asked = &config.mta_limits;
  for (const policy::DomainMtaLimits& row : config.mta_domain_limits) {
    if (EqualsIgnoreCase(row.domain, domain)) asked = &row.limits;
  }
  const auto number = [](int64_t value) { return static_cast<size_t>(value); };
  relay::RelayLimits limits;
  limits.max_conn_per_host = number(asked->max_conn_per_host);
  limits.max_conn_per_route = number(asked->max_conn_per_route);
  limits.max_conn_per_source = number(asked->max_conn_per_source);
  limits.max_conn_per_connector = number(asked->max_conn_per_connector);
  limits.max_conn_per_relay = number(asked->max_conn_per_relay);
  limits.max_conn_per_domain = number(asked->max_conn_per_domain);
  limits.conn_delay_host = absl::Seconds(asked->conn_delay_host);
  limits.conn_delay_route = absl::Seconds(asked->conn_delay_route);
  limits.conn_delay_source = absl::Seconds(asked->conn_delay_source);
  limits.conn_delay_connector = absl::Seconds(asked->conn_delay_connector);
  limits.conn_delay_relay = absl::Seconds(asked->conn_delay_relay);
  limits.conn_delay_domain = absl::Seconds(asked->conn_delay_domain);
  limits.session_mail_max = number(asked->session_mail_max);
  limits.session_keepalive = absl::Seconds(asked->session_keepalive);
  limits.session_transaction_delay = absl::Seconds(asked->session_transaction_delay);
  limits.max_failures_per_session = number(asked->max_failures_per_session);
  if (asked->family == policy::AddressFamily::kInet4)
    limits.family = relay::RelayLimits::Family::kV4;
  if (asked->family == policy::AddressFamily::kInet6)
    limits.family = relay::RelayLimits::Family::kV6;
  return limits;
}

// LoopAdvice says what to edit where `action` sends mail for `domain` to this server.
std::string LoopAdvice(const policy::Action& action, const std::string& domain) {
  if (action.relay.host != policy::kNoIndex || action.relay.domain != policy::kNoIndex) {
    return StrCat("postmaster: the host of the relay action \"", action.name,
                  "\" is a listener of this server; name another one");
  }
  return StrCat(
      "postmaster: its mail exchanger is this server, and no rule delivers it here; put a "
      "\"match for domain ",
      Escape(domain, 255), "\" with a local action before the rule of the relay action \"",
      action.name, "\", or name a host in that");
}

}  // namespace

StatusOr<std::shared_ptr<const tls::ClientConfig>> RelayRoutes::ClientTls(
    const std::shared_ptr<const Runtime>& runtime, const policy::Action& action, bool verify) {
  const policy::RelayOptions& asked = action.relay;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (client_tls_of_ != runtime) client_tls_.clear();
  client_tls_of_ = runtime;
  std::shared_ptr<const tls::ClientConfig>& known =
      client_tls_[{HasOwnTls(asked) ? action.name : "", verify}];
  if (known != nullptr) return known;
  tls::ClientOptions options;
  options.verify = verify;
  options.alpn = {};
  options.ciphers = asked.ciphers;
  SetVersions(asked.protocols, &options.min_version, &options.max_version);
  if (asked.pki != policy::kNoIndex) options.key_pair = runtime->KeyPairOf(asked.pki);
  if (verify && asked.ca != policy::kNoIndex) {
    options.ca_pem = runtime->AuthoritiesOf(asked.ca);
  } else if (verify) {
    StatusOr<std::string> authorities = ReadSystemAuthorities(*world_);
    if (!authorities.ok()) return Unavailable(std::string(Message(authorities.status())));
    options.ca_pem = *std::move(authorities);
  }
  StatusOr<std::shared_ptr<const tls::ClientConfig>> made = tls::ClientConfig::Make(options);
  if (!made.ok()) return Unavailable(std::string(Message(made.status())));
  known = *made;
  return known;
}

void RelayRoutes::UseFilters(const FilterPlace& place) {
  const std::lock_guard<std::mutex> lock(mutex_);
  filters_ = place;
}

StatusOr<relay::RelaySettings> RelayRoutes::RouteFor(const queue::Envelope& envelope) {
  const RuntimeHolder::FoundAction found =
      runtimes_->FindAction(envelope.action, /*is_local=*/false);
  if (found.action == nullptr)
    return Unavailable(StrCat("no relay action is called \"", envelope.action, "\" any more"));
  const std::shared_ptr<const Runtime>& runtime = found.runtime;
  const policy::Action& action = *found.action;
  const policy::RelayOptions& asked = action.relay;

  relay::RelaySettings settings;
  settings.helo_name = asked.helo.empty() ? runtime->server_name() : asked.helo;
  settings.mail_from = asked.mail_from;
  settings.own_names = {runtime->server_name()};
  if (ports_ != nullptr) {
    // A listener with another tag than that by which the mail came is another way in: somebody
    // means to send it through there. Where the DNS names us, nobody does.
    const bool by_mx = asked.host == policy::kNoIndex && asked.domain == policy::kNoIndex;
    settings.own_listener = [ports = ports_, by_mx, tag = envelope.tag](const IpAddress& address,
                                                                        uint16_t port) {
      const std::optional<std::string> tag_there = ports->SmtpListenerAt(address, port);
      return tag_there.has_value() && (by_mx || *tag_there == tag);
    };
  }
  if (asked.filter != policy::kNoIndex) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!filters_.has_value()) return Unavailable("The filters of this server are not there yet");
    settings.filter = RelayFilterFor(runtime, action, *filters_);
  }
  settings.loop_advice = LoopAdvice(action, envelope.destination.domain);
  settings.session = SessionOptionsOf(runtime->config());
  settings.limits = LimitsOf(runtime->config(), envelope.destination.domain);
  settings.connect_timeout = runtime->config().mta_timeouts.connect;
  // What we forward has a sender of ours, so that the next server's SPF check passes.
  if (asked.srs && settings.mail_from.empty() && envelope.recipient != envelope.destination &&
      !envelope.sender.address.empty()) {
    settings.mail_from =
        policy::EncodeSrs(runtime->config().srs, envelope.sender.address, envelope.recipient.domain,
                          DayOf(world_->clock().WallNow()))
            .ToString();
  }
  if (asked.host != policy::kNoIndex || asked.domain != policy::kNoIndex) {
    settings.other_hosts = asked.host != policy::kNoIndex;
    const StatusOr<std::string> host = SmarthostFor(*runtime, asked, envelope.destination.domain);
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
      settings.backup_mx =
          asked.backup_mx.empty() ? runtime->server_name() : AsciiLower(asked.backup_mx);
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
    // A table may have it as a literal: [2001:db8::1].
    std::string_view text = *source;
    if (text.size() > 2 && text.front() == '[' && text.back() == ']')
      text = text.substr(1, text.size() - 2);
    if (StartsWithIgnoreCase(text, "ipv6:")) text.remove_prefix(5);
    settings.source = IpAddress::Parse(text);
    // The address whose turn it is may not be ours now, or of the other family: then the next one.
    settings.other_hosts = true;
    if (!settings.source.has_value())
      return Unavailable(StrCat("source ", *source, " is no address"));
  }
  if (asked.helo_source != policy::kNoIndex) {
    if (settings.source.has_value()) {
      const std::string name = HeloFor(*runtime, asked.helo_source, *settings.source);
      if (!name.empty()) settings.helo_name = name;
    } else {
      settings.helo_by_address = [runtime, table = asked.helo_source](const IpAddress& ours) {
        return HeloFor(*runtime, table, ours);
      };
    }
  }
  if (HasOwnTls(asked) || settings.helo_by_address) settings.shared_as = action.name;
  if (settings.route.tls != queue::RelayTls::kNever) {
    StatusOr<std::shared_ptr<const tls::ClientConfig>> config =
        ClientTls(runtime, action, settings.route.verify);
    if (!config.ok()) return config.status();
    settings.tls_config = std::move(*config);
  }
  return settings;
}

}  // namespace postern::server
