#include "lib/server/listeners.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/rt/proxy_stream.h"
#include "lib/rt/tls/tls_stream.h"
#include "lib/server/filters.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;
using policy::ListenerAuth;
using policy::ListenerTls;

constexpr uint16_t kSubmissionPort = 587;  // RFC 6409 §3.1

// SocketListener is what is listened to without a line: the local socket always exists.
const Listener& SocketListener() {
  static const Listener* const listener = [] {
    auto* made = new Listener;
    made->is_socket = true;
    return made;
  }();
  return *listener;
}

const Listener& LineOf(const ListenerSlot::View& view) {
  const Listener* line = view.listener();
  return line == nullptr ? SocketListener() : *line;
}

// CurrentTls gives the certificates in force for a listener.
std::shared_ptr<const tls::ServerConfig> CurrentTls(const ListenerSlot& slot) {
  const ListenerSlot::View view = slot.Get();
  return view.runtime->ListenerTls(view.index);
}

rt::Task<StatusOr<std::unique_ptr<rt::Stream>>> AcceptTls(rt::World* world,
                                                          std::shared_ptr<ListenerSlot> slot,
                                                          std::unique_ptr<rt::Stream> stream,
                                                          Instant deadline) {
  const WallTime now = world->clock().WallNow();
  std::shared_ptr<const tls::ServerConfig> config = CurrentTls(*slot);
  StatusOr<std::unique_ptr<rt::Stream>> secured =
      co_await rt::TlsAccept(std::move(stream), std::move(config), now, deadline);
  co_return secured;
}

// AcceptProxied takes the addresses that a proxy tells. What comes from this machine may have more
// rights than others (`from local`), so only a proxy on this machine may say so.
rt::Task<StatusOr<std::unique_ptr<rt::Stream>>> AcceptProxied(std::shared_ptr<ListenerSlot> slot,
                                                              std::unique_ptr<rt::Stream> stream,
                                                              Instant deadline) {
  const Endpoint proxy = stream->remote();
  StatusOr<std::unique_ptr<rt::Stream>> proxied =
      co_await rt::ProxyAccept(std::move(stream), deadline);
  if (!proxied.ok()) co_return proxied;
  const std::shared_ptr<const Runtime> runtime = slot->Get().runtime;
  const IpAddress client = (*proxied)->remote().address;
  if (client.IsAny() || (runtime->IsOwnAddress(client) && !runtime->IsOwnAddress(proxy.address))) {
    (*proxied)->Close();
    co_return FailedPrecondition(StrCat("the PROXY header says that the client is this machine (",
                                        client.ToString(),
                                        "), which a proxy elsewhere cannot know"));
  }
  co_return proxied;
}

// ProxyOf is AcceptProxied for `line`; empty when it has no proxy-v2.
std::function<rt::Task<StatusOr<std::unique_ptr<rt::Stream>>>(std::unique_ptr<rt::Stream>, Instant)>
ProxyOf(const Listener& line, const std::shared_ptr<ListenerSlot>& slot) {
  if (!line.proxy_v2) return nullptr;
  return [slot](std::unique_ptr<rt::Stream> stream, Instant deadline) {
    return AcceptProxied(slot, std::move(stream), deadline);
  };
}

const std::string& HostNameOf(const Listener& listener, const Runtime& runtime) {
  return listener.hostname.empty() ? runtime.server_name() : listener.hostname;
}

// MechanismsOf is what logins may use beside a password in the clear: SCRAM where the table has
// secrets for it, EXTERNAL where clients are asked for certificates.
sasl::MechanismSet MechanismsOf(const ListenerSlot::View& view, bool tokens) {
  const Listener& line = LineOf(view);
  sasl::MechanismSet set = 0;
  if (view.runtime != nullptr) {
    const Runtime::ScramSamples& samples = view.runtime->ScramSamplesOf(view.index);
    if (samples.sha1) set |= sasl::kScramSha1Mechanisms;
    if (samples.sha256) set |= sasl::kScramSha256Mechanisms;
  }
  if (line.verify_client || line.ca != policy::kNoIndex)
    set |= sasl::BitOf(sasl::Mechanism::kExternal);
  if (tokens) set |= sasl::kTokenMechanisms;
  return set;
}

// SetLimits and SetTimeouts put what the configuration says in place of the session's defaults.
void SetLimits(const policy::SmtpSettings& settings, smtp::ServerOptions* options) {
  struct Row {
    int64_t policy::SmtpSettings::*asked;
    size_t smtp::ServerOptions::*bound;
  };
  using Settings = policy::SmtpSettings;
  using Options = smtp::ServerOptions;
  constexpr Row kRows[] = {
      {&Settings::max_recipients, &Options::max_recipients},
      {&Settings::max_mails_per_session, &Options::max_messages},
      {&Settings::max_command_line_bytes, &Options::max_command_line_bytes},
      {&Settings::max_auth_line_bytes, &Options::max_auth_line_bytes},
      {&Settings::max_text_line_bytes, &Options::max_text_line_bytes},
      {&Settings::max_errors, &Options::max_errors},
      {&Settings::max_refused_recipients, &Options::max_refused_recipients},
      {&Settings::max_auth_failures, &Options::max_auth_failures},
      {&Settings::max_idle_commands, &Options::max_idle_commands},
  };
  for (const Row& row : kRows) {
    if (settings.*row.asked > 0) options->*row.bound = static_cast<size_t>(settings.*row.asked);
  }
  // A line that may be that long is none that never ends.
  options->max_overlong_line_bytes =
      std::max({options->max_overlong_line_bytes, options->max_command_line_bytes,
                options->max_auth_line_bytes});
}

void SetTimeouts(const policy::SmtpTimeouts& asked, smtp::ServerOptions* options) {
  options->command_timeout = asked.command.value_or(options->command_timeout);
  options->data_first_timeout = asked.data_init.value_or(options->data_first_timeout);
  options->data_block_timeout = asked.data_block.value_or(options->data_block_timeout);
  options->write_timeout = asked.write.value_or(options->write_timeout);
  options->transaction_timeout = asked.transaction.value_or(options->transaction_timeout);
  options->session_timeout = asked.session.value_or(options->session_timeout);
}

}  // namespace

std::shared_ptr<const service::SmtpListener> SmtpListenerOf(rt::World*,
                                                            std::shared_ptr<ListenerSlot> slot,
                                                            const Endpoint& endpoint, bool tokens) {
  const ListenerSlot::View view = slot->Get();
  const Runtime& runtime = *view.runtime;
  const Config& config = runtime.config();
  const Listener& listener = LineOf(view);
  auto options = std::make_shared<smtp::ServerOptions>();
  options->hostname = HostNameOf(listener, runtime);
  options->qualify_domain = runtime.server_name();
  options->tls_available =
      listener.tls == ListenerTls::kOptional || listener.tls == ListenerTls::kRequired;
  options->tls_required = listener.tls == ListenerTls::kRequired;
  options->auth_available = listener.auth != ListenerAuth::kNone;
  options->mechanisms = sasl::kPasswordMechanisms | MechanismsOf(view, tokens);
  options->auth_required = listener.auth == ListenerAuth::kRequired;
  options->max_message_bytes = static_cast<uint64_t>(config.smtp.max_message_bytes);
  SetLimits(config.smtp, options.get());
  SetTimeouts(config.smtp.timeouts, options.get());
  // A handshake is a part of the session, and silence in it is silence.
  const Duration patience = std::min(options->command_timeout, options->session_timeout);
  if (listener.no_dsn) options->extensions &= ~static_cast<uint32_t>(smtp::kExtensionDsn);

  auto made = std::make_shared<service::SmtpListener>();
  made->options = std::move(options);
  made->handshake_timeout = std::min(made->handshake_timeout, patience);
  made->proxy_timeout = std::min(made->proxy_timeout, patience);
  if (listener.tls != ListenerTls::kNone) made->tls = [slot] { return CurrentTls(*slot); };
  made->accept_proxy = ProxyOf(listener, slot);
  made->tls_from_start = listener.tls == ListenerTls::kSmtps;
  made->is_local_socket = listener.is_socket;
  // Behind a proxy on this machine is whoever the proxy serves.
  const bool local_clients = endpoint.address.IsLoopback() && !listener.proxy_v2;
  made->complete_messages = listener.is_socket || local_clients ||
                            listener.port == kSubmissionPort ||
                            listener.auth == ListenerAuth::kRequired;
  made->mask_source = listener.mask_src;
  made->received_auth = listener.received_auth;
  made->masquerade = listener.senders_masquerade;
  made->wants_host_name = listener.hostnames != policy::kNoIndex;
  for (const policy::Rule& rule : config.rules) {
    made->wants_reverse_name |= rule.from_kind == policy::FromKind::kRdns;
  }
  const NamesWanted wanted = FilterNamesWanted(config, listener);
  made->wants_reverse_name |= wanted.name;
  made->wants_confirmation = wanted.confirmation;
  made->tag = listener.tag;
  made->name = endpoint.ToString();
  made->origin = std::move(slot);
  return made;
}

std::shared_ptr<const service::ImapListener> ImapListenerOf(rt::World* world,
                                                            std::shared_ptr<ListenerSlot> slot,
                                                            const Endpoint& endpoint, bool tokens) {
  const ListenerSlot::View view = slot->Get();
  const Config& config = view.runtime->config();
  const Listener& listener = LineOf(view);
  auto options = std::make_shared<imap::ServerOptions>();
  options->host_name = HostNameOf(listener, *view.runtime);
  options->offer_starttls =
      listener.tls == ListenerTls::kOptional || listener.tls == ListenerTls::kRequired;
  options->mechanisms = sasl::BitOf(sasl::Mechanism::kPlain) | MechanismsOf(view, tokens);
  options->append_limit_bytes = static_cast<size_t>(config.smtp.max_message_bytes);
  auto made = std::make_shared<service::ImapListener>();
  made->options = std::move(options);
  if (listener.tls != ListenerTls::kNone) {
    made->accept_tls = [world, slot](std::unique_ptr<rt::Stream> stream, Instant deadline) {
      return AcceptTls(world, slot, std::move(stream), deadline);
    };
  }
  made->accept_proxy = ProxyOf(listener, slot);
  made->tls_from_start = listener.tls == ListenerTls::kSmtps;
  made->name = endpoint.ToString();
  made->origin = std::move(slot);
  return made;
}

}  // namespace postern::server
