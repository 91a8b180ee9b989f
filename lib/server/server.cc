#include "lib/server/server.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/rt/tls/tls_stream.h"
#include "lib/server/acceptor.h"
#include "lib/server/endpoints.h"
#include "lib/server/imap_gate.h"
#include "lib/server/local_session.h"
#include "lib/server/mail_gate.h"
#include "lib/server/postmaster_check.h"
#include "lib/server/relay_routes.h"
#include "lib/server/runtime.h"
#include "lib/service/deliver/local_deliverer.h"
#include "lib/service/imap/service.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/service/smtp/service.h"
#include "lib/store/table/source_loader.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;
using policy::ListenerAuth;
using policy::ListenerTls;

constexpr char kDefaultSpool[] = "/var/spool/postern";
// The local submission socket of `listen on socket`, in the spool.
constexpr char kSocketName[] = "submit.sock";
constexpr uint16_t kSubmissionPort = 587;  // RFC 6409 §3.1

// TlsOf gives the certificates in force for listener `index`, at each call.
std::function<std::shared_ptr<const tls::ServerConfig>()> TlsOf(RuntimeHolder* runtimes,
                                                                int index) {
  return [runtimes, index] { return runtimes->Get()->ListenerTls(index); };
}

rt::Task<StatusOr<std::unique_ptr<rt::Stream>>> AcceptTls(rt::World* world, RuntimeHolder* runtimes,
                                                          int index,
                                                          std::unique_ptr<rt::Stream> stream,
                                                          Instant deadline) {
  const WallTime now = world->clock().WallNow();
  std::shared_ptr<const tls::ServerConfig> config = runtimes->Get()->ListenerTls(index);
  StatusOr<std::unique_ptr<rt::Stream>> secured =
      co_await rt::TlsAccept(std::move(stream), std::move(config), now, deadline);
  co_return secured;
}

const std::string& HostNameOf(const Listener& listener, const Runtime& runtime) {
  return listener.hostname.empty() ? runtime.server_name() : listener.hostname;
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

std::shared_ptr<const service::SmtpListener> SmtpListenerOf(const Runtime& runtime, int index,
                                                            RuntimeHolder* runtimes,
                                                            const Endpoint& endpoint) {
  const Config& config = runtime.config();
  const Listener& listener = config.listeners[static_cast<size_t>(index)];
  auto options = std::make_shared<smtp::ServerOptions>();
  options->hostname = HostNameOf(listener, runtime);
  options->qualify_domain = runtime.server_name();
  options->tls_available =
      listener.tls == ListenerTls::kOptional || listener.tls == ListenerTls::kRequired;
  options->tls_required = listener.tls == ListenerTls::kRequired;
  options->auth_available = listener.auth != ListenerAuth::kNone;
  options->auth_required = listener.auth == ListenerAuth::kRequired;
  options->max_message_bytes = static_cast<uint64_t>(config.smtp.max_message_bytes);
  SetLimits(config.smtp, options.get());
  SetTimeouts(config.smtp.timeouts, options.get());
  if (listener.no_dsn) options->extensions &= ~static_cast<uint32_t>(smtp::kExtensionDsn);

  auto made = std::make_shared<service::SmtpListener>();
  made->options = std::move(options);
  if (listener.tls != ListenerTls::kNone) made->tls = TlsOf(runtimes, index);
  made->tls_from_start = listener.tls == ListenerTls::kSmtps;
  made->is_local_socket = listener.is_socket;
  made->complete_messages = listener.is_socket || endpoint.address.IsLoopback() ||
                            listener.port == kSubmissionPort ||
                            listener.auth == ListenerAuth::kRequired;
  made->mask_source = listener.mask_src;
  made->received_auth = listener.received_auth;
  for (const policy::Rule& rule : config.rules) {
    made->wants_reverse_name |= rule.from_kind == policy::FromKind::kRdns;
  }
  made->tag = listener.tag;
  made->config_index = index;
  made->name = endpoint.ToString();
  return made;
}

std::shared_ptr<const service::ImapListener> ImapListenerOf(const Runtime& runtime, int index,
                                                            rt::World* world,
                                                            RuntimeHolder* runtimes,
                                                            const Endpoint& endpoint) {
  const Config& config = runtime.config();
  const Listener& listener = config.listeners[static_cast<size_t>(index)];
  auto options = std::make_shared<imap::ServerOptions>();
  options->host_name = HostNameOf(listener, runtime);
  options->offer_starttls =
      listener.tls == ListenerTls::kOptional || listener.tls == ListenerTls::kRequired;
  options->append_limit_bytes = static_cast<size_t>(config.smtp.max_message_bytes);
  auto made = std::make_shared<service::ImapListener>();
  made->options = std::move(options);
  if (listener.tls != ListenerTls::kNone) {
    made->accept_tls = [world, runtimes, index](std::unique_ptr<rt::Stream> stream,
                                                Instant deadline) {
      return AcceptTls(world, runtimes, index, std::move(stream), deadline);
    };
  }
  made->tls_from_start = listener.tls == ListenerTls::kSmtps;
  made->name = endpoint.ToString();
  made->config_index = index;
  return made;
}

// Worker is what serves the connections of one loop.
struct Worker {
  std::unique_ptr<ImapGate> imap_gate;
  std::unique_ptr<service::SmtpService> smtp;
  std::unique_ptr<service::ImapService> imap;
};

// TakenEndpoint is an address that a listen line has, for what a second one is told.
struct TakenEndpoint {
  Endpoint endpoint;
  policy::SourceLocation location;
};

// FindClash returns the one of `taken` beside which `endpoint` cannot be bound: an address is
// taken by itself and by the wildcard of its family.
const TakenEndpoint* FindClash(const std::vector<TakenEndpoint>& taken, const Endpoint& endpoint) {
  const auto is_wildcard = [](const IpAddress& address) {
    const std::string_view bytes = address.bytes();
    return bytes.find_first_not_of('\0') == std::string_view::npos;
  };
  for (const TakenEndpoint& other : taken) {
    if (endpoint.port == 0 || other.endpoint.port != endpoint.port) continue;
    const IpAddress& a = other.endpoint.address;
    const IpAddress& b = endpoint.address;
    if (a == b || (a.is_v6() == b.is_v6() && (is_wildcard(a) || is_wildcard(b)))) return &other;
  }
  return nullptr;
}

// SpoolError says what is wrong with the spool, and where its path came from.
Status SpoolError(const Status& status, const std::string& spool, const ServerOptions& options,
                  const Config& config) {
  if (options.spool_path.empty() && !config.spool.empty()) {
    return Annotate(
        status,
        policy::MakeError(config.spool_location, StrCat("spool \"", spool, "\"")).ToString());
  }
  return Annotate(status, StrCat("spool \"", spool, "\"",
                                 options.spool_path.empty()
                                     ? " (the default; `spool \"/path\"` in the configuration or "
                                       "the option -s names another)"
                                     : " (named by the option -s)"));
}

bool ListenAlike(const Listener& x, const Listener& y) {
  return x.target == y.target && x.port == y.port && x.family == y.family &&
         x.protocol == y.protocol && x.tls == y.tls && x.auth == y.auth && x.tag == y.tag &&
         x.hostname == y.hostname && x.is_socket == y.is_socket && x.mask_src == y.mask_src;
}

// ListenerName says which listener it is: "127.0.0.1 port 25".
std::string ListenerName(const Listener& listener) {
  return listener.is_socket ? "socket"
                            : StrCat(Escape(listener.target, 80), " port ", listener.port);
}

// CheckSameListeners tells whether `wanted` listens as `running` does, so that it can take its
// place without closing a port; else the error names each line that differs.
Status CheckSameListeners(const Config& wanted, const Config& running) {
  const auto has = [](const Config& config, const Listener& listener) {
    return std::any_of(config.listeners.begin(), config.listeners.end(),
                       [&](const Listener& other) { return ListenAlike(listener, other); });
  };
  policy::Diagnostics changes;
  for (const Listener& listener : wanted.listeners) {
    if (has(running, listener)) continue;
    changes.push_back(policy::MakeError(
        listener.location, StrCat("listen on ", ListenerName(listener),
                                  ": the running server has no such listener, or another way")));
  }
  for (const Listener& listener : running.listeners) {
    if (has(wanted, listener)) continue;
    changes.push_back(policy::MakeError(
        listener.location, StrCat("listen on ", ListenerName(listener),
                                  " stood here when the server started and is gone or changed")));
  }
  bool in_order = wanted.listeners.size() == running.listeners.size();
  for (size_t i = 0; in_order && i < wanted.listeners.size(); ++i)
    in_order = ListenAlike(wanted.listeners[i], running.listeners[i]);
  if (in_order) return OkStatus();
  std::string text;
  for (const policy::Diagnostic& each : changes) StrAppend(text, each.ToString(), "\n");
  if (changes.empty()) {
    StrAppend(text, wanted.file_name, ": error: the listen lines are not in the same order\n");
  }
  return FailedPrecondition(StrCat(
      text, "the listeners changed, which takes a restart; the old configuration stays in force"));
}

// MakeSpool makes the folder of the queue when it is missing, and nothing above it: a path that
// begins with a slip of the fingers must not become a tree.
Status MakeSpool(rt::Files& files, std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    const std::string parent = path.substr(0, slash);
    if (files.Stat(parent).status().code() == StatusCode::kNotFound)
      return NotFound(
          StrCat("the folder ", Escape(parent), " does not exist: make it, or name another spool"));
  }
  return rt::MakeDirectories(files, path, 0711);
}

}  // namespace

struct Server::Parts {
  rt::World* world = nullptr;
  LogSink* log = nullptr;
  ServerOptions options;
  std::unique_ptr<RuntimeHolder> runtimes;
  mailbox::ChangeHub changes;
  std::unique_ptr<LocalTargets> targets;
  std::unique_ptr<MailStores> stores;
  std::unique_ptr<resolve::Resolver> own_resolver;
  resolve::Resolver* resolver = nullptr;
  std::unique_ptr<store::Queue> queue;
  std::unique_ptr<deliver::LocalDeliverer> local;
  std::unique_ptr<RelayRoutes> relay_routes;
  std::unique_ptr<relay::RelayDeliverer> relay;
  std::unique_ptr<NoticeRoutes> notices;
  std::unique_ptr<schedule::Scheduler> scheduler;
  std::unique_ptr<MailGate> mail_gate;
  std::vector<Worker> workers;
  std::vector<std::unique_ptr<Acceptor>> acceptors;
  std::vector<Endpoint> endpoints;
  rt::TaskGroup tasks;  // the scheduler
};

LoadedConfig LoadConfig(rt::World& world, const ServerOptions& options) {
  LoadedConfig loaded;
  policy::ParseOptions parse_options;
  parse_options.macros = options.macros;
  parse_options.server_name = ServerName(world, nullptr);
  policy::ParseResult parsed;
  if (options.config_text.has_value()) {
    policy::MemoryLoader loader(options.config_name, *options.config_text);
    parsed = policy::Parse(options.config_name, loader, parse_options);
  } else {
    store::FileSourceLoader loader(&world.files());
    parsed = policy::Parse(options.config_path, loader, parse_options);
  }
  loaded.diagnostics = std::move(parsed.diagnostics);
  // After a mistake the rest is checked all the same, so that everything is told at once; nothing
  // is made of it.
  const std::shared_ptr<const Config> config = std::move(parsed.readable);
  if (config == nullptr) return loaded;
  for (policy::Diagnostic& each : policy::UnsupportedFeatures(*config))
    loaded.diagnostics.push_back(std::move(each));
  for (policy::Diagnostic& each : policy::IneffectiveSettings(*config))
    loaded.diagnostics.push_back(std::move(each));
  std::string server_name = ServerName(world, config.get());
  const std::vector<rt::InterfaceAddress> interfaces = world.network().Interfaces();
  std::vector<TakenEndpoint> taken;
  for (const Listener& listener : config->listeners) {
    if (listener.is_socket) continue;
    const StatusOr<std::vector<Endpoint>> endpoints = ResolveListener(listener, interfaces);
    if (!endpoints.ok()) {
      loaded.diagnostics.push_back(
          policy::MakeError(listener.location, std::string(Message(endpoints.status()))));
      continue;
    }
    for (const Endpoint& endpoint : *endpoints) {
      const TakenEndpoint* other = FindClash(taken, endpoint);
      if (other != nullptr) {
        loaded.diagnostics.push_back(policy::MakeError(
            listener.location,
            StrCat(endpoint.ToString(), " is taken already by the listen line at ",
                   other->location.ToString(), ": remove one of them, or give it another port")));
        break;
      }
      taken.push_back(TakenEndpoint{endpoint, listener.location});
    }
  }
  loaded.runtime = Runtime::Load(world, config, std::move(server_name), &loaded.diagnostics);
  if (loaded.runtime != nullptr) {
    store::SystemAccounts accounts(&world.processes(), &world.files());
    CheckPostmaster(*loaded.runtime, accounts, &loaded.diagnostics);
  }
  policy::SortByPlace(&loaded.diagnostics);
  return loaded;
}

std::unique_ptr<Server> Server::Create(rt::World* world, ServerOptions options, LoadedConfig config,
                                       LogSink* log) {
  auto parts = std::make_unique<Parts>();
  parts->world = world;
  parts->log = log;
  parts->options = std::move(options);
  parts->runtimes = std::make_unique<RuntimeHolder>(std::move(config.runtime));
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() = default;

const std::vector<Endpoint>& Server::endpoints() const { return parts_->endpoints; }
store::Queue* Server::queue() { return parts_->queue.get(); }

namespace {

struct BoundListener {
  std::unique_ptr<rt::Listener> listener;
  int index = -1;
};

// BindAll binds every listener of the configuration, or none.
StatusOr<std::vector<BoundListener>> BindAll(rt::World& world, const Config& config) {
  std::vector<BoundListener> bound;
  const std::vector<rt::InterfaceAddress> interfaces = world.network().Interfaces();
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    if (listener.is_socket) continue;  // BindSocket's
    const auto at = [&listener](const Status& status) {
      return Error(status.code(),
                   policy::MakeError(listener.location, std::string(Message(status))).ToString());
    };
    const StatusOr<std::vector<Endpoint>> endpoints = ResolveListener(listener, interfaces);
    if (!endpoints.ok()) return at(endpoints.status());
    for (const Endpoint& endpoint : *endpoints) {
      StatusOr<std::unique_ptr<rt::Listener>> made =
          world.network().Listen(world.main_loop(), endpoint, rt::ListenOptions());
      if (!made.ok()) return at(made.status());
      bound.push_back(BoundListener{std::move(*made), static_cast<int>(i)});
    }
  }
  return bound;
}

// BindSocket binds the local submission socket in the spool, if the configuration has one.
// Everybody on this machine may hand in mail there: who it was, the system says.
Status BindSocket(rt::World& world, const Config& config, const std::string& spool,
                  std::vector<BoundListener>* bound) {
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    if (!listener.is_socket) continue;
    const auto at = [&listener](const Status& status) {
      return Error(status.code(),
                   policy::MakeError(listener.location, std::string(Message(status))).ToString());
    };
    if (spool.empty())
      return at(FailedPrecondition("a server without a spool has no place for the local socket"));
    Endpoint endpoint;
    endpoint.unix_path = StrCat(spool, "/", kSocketName);
    rt::ListenOptions options;
    options.unix_mode = 0666;
    StatusOr<std::unique_ptr<rt::Listener>> made =
        world.network().Listen(world.main_loop(), endpoint, options);
    if (!made.ok()) return at(made.status());
    bound->push_back(BoundListener{std::move(*made), static_cast<int>(i)});
  }
  return OkStatus();
}

// ReadZone makes the resolver that `resolver zone` asks for. Blocks.
StatusOr<std::unique_ptr<resolve::Resolver>> ReadZone(rt::World& world, const Config& config) {
  const StatusOr<std::string> text =
      store::ReadTextFile(world.files(), config.resolver_zone, 64 << 20);
  if (!text.ok()) return text.status();
  StatusOr<dns::ZoneData> zone = dns::ZoneData::Parse(*text);
  if (!zone.ok()) {
    return InvalidArgument(
        policy::MakeError(config.resolver_location,
                          StrCat(config.resolver_zone, ": ", Message(zone.status())))
            .ToString());
  }
  return std::unique_ptr<resolve::Resolver>(
      std::make_unique<resolve::ZoneResolver>(std::move(*zone)));
}

schedule::SchedulerOptions SchedulerOptionsOf(const Runtime& runtime) {
  schedule::SchedulerOptions options;
  options.server_name = runtime.server_name();
  options.warn_intervals = runtime.config().bounce_warn_intervals;
  options.retry.relay_base = runtime.config().queue.retry_delay;
  options.retry.least_delay = std::min(options.retry.least_delay, options.retry.relay_base);
  options.max_deferred = static_cast<size_t>(runtime.config().mta_max_deferred);
  return options;
}

}  // namespace

rt::Task<Status> Server::Start() {
  Parts& parts = *parts_;
  rt::World& world = *parts.world;
  const std::shared_ptr<const Runtime> runtime = parts.runtimes->Get();
  const Config& config = runtime->config();

  // Ports first: nothing touches the disk when one is taken.
  StatusOr<std::vector<BoundListener>> bound = BindAll(world, config);
  if (!bound.ok()) co_return bound.status();

  std::string spool;
  if (parts.options.in_memory) {
    parts.queue = store::NewMemoryQueue(world);
  } else {
    spool = parts.options.spool_path;
    if (spool.empty()) spool = config.spool.empty() ? kDefaultSpool : config.spool;
    store::QueueOptions queue_options = parts.options.queue;
    queue_options.min_free_bytes =
        config.queue.reserve_bytes.value_or(queue_options.min_free_bytes);
    auto open = world.main_loop().RunBlocking([&]() -> StatusOr<std::unique_ptr<store::Queue>> {
      POSTERN_RETURN_IF_ERROR(MakeSpool(world.files(), spool));
      return store::OpenSqliteQueue(world, *parts.log, spool, queue_options);
    });
    StatusOr<std::unique_ptr<store::Queue>> queue = co_await open;
    if (!queue.ok()) co_return SpoolError(queue.status(), spool, parts.options, config);
    parts.queue = std::move(*queue);
  }
  // The queue holds the spool's lock: no other server uses the socket in it.
  if (const Status socket = BindSocket(world, config, spool, &*bound); !socket.ok()) {
    (void)co_await parts.queue->Close(world.main_loop());
    parts.queue.reset();
    co_return socket;
  }
  parts.resolver = parts.options.resolver;
  if (parts.resolver == nullptr) {
    StatusOr<std::unique_ptr<resolve::Resolver>> resolver = Unavailable("not made yet");
    if (config.resolver_zone.empty()) {
      resolver = resolve::NewUnboundResolver(world, resolve::UnboundOptions());
    } else {
      auto read = world.main_loop().RunBlocking([&] { return ReadZone(world, config); });
      resolver = co_await read;
    }
    if (!resolver.ok()) {
      (void)co_await parts.queue->Close(world.main_loop());
      parts.queue.reset();
      co_return resolver.status();
    }
    parts.own_resolver = std::move(*resolver);
    parts.resolver = parts.own_resolver.get();
  }

  parts.targets = std::make_unique<LocalTargets>(&world, parts.runtimes.get());
  parts.stores = std::make_unique<MailStores>(&world, &parts.changes);
  deliver::LocalDelivererOptions local_options;
  local_options.host_name = runtime->server_name();
  local_options.on_maildir_changed = [&parts](const std::string& path) {
    parts.changes.Publish(path, "INBOX");
  };
  parts.local =
      std::make_unique<deliver::LocalDeliverer>(world, *parts.queue, *parts.targets, local_options);
  parts.relay_routes = std::make_unique<RelayRoutes>(&world, parts.runtimes.get());
  parts.relay = std::make_unique<relay::RelayDeliverer>(world, *parts.queue, *parts.resolver,
                                                        *parts.relay_routes, *parts.log,
                                                        RelayOptionsOf(*runtime));
  parts.notices = std::make_unique<NoticeRoutes>(&world, parts.runtimes.get());
  parts.scheduler = std::make_unique<schedule::Scheduler>(
      world, *parts.queue, *parts.log, *parts.notices, parts.local.get(), parts.relay.get(),
      SchedulerOptionsOf(*runtime));
  parts.mail_gate =
      std::make_unique<MailGate>(&world, parts.runtimes.get(), parts.queue.get(), parts.resolver,
                                 &parts.options.hooks, parts.log, MailGateLimits());
  for (size_t i = 0; i < world.worker_count(); ++i) {
    rt::Executor* loop = &world.worker(i);
    Worker worker;
    worker.imap_gate = std::make_unique<ImapGate>(&world, loop, parts.runtimes.get(),
                                                  parts.targets.get(), parts.stores.get());
    worker.smtp = std::make_unique<service::SmtpService>(&world, loop, parts.mail_gate.get(),
                                                         parts.log, service::SmtpServiceOptions());
    worker.imap = std::make_unique<service::ImapService>(&world, loop, worker.imap_gate.get(),
                                                         parts.log, service::ImapServiceOptions());
    parts.workers.push_back(std::move(worker));
  }
  parts.tasks.Spawn(parts.scheduler->Run());

  for (BoundListener& each : *bound) {
    const Endpoint endpoint = each.listener->local();
    const bool is_imap = config.listeners[static_cast<size_t>(each.index)].protocol ==
                         policy::ListenerProtocol::kImap;
    Acceptor::Handler handler;
    if (is_imap) {
      handler = [&parts, settings = ImapListenerOf(*runtime, each.index, &world,
                                                   parts.runtimes.get(), endpoint)](
                    size_t worker, std::unique_ptr<rt::Stream> stream) {
        parts.workers[worker].imap->Serve(std::move(stream), settings);
      };
    } else {
      handler = [&parts,
                 settings = SmtpListenerOf(*runtime, each.index, parts.runtimes.get(), endpoint)](
                    size_t worker, std::unique_ptr<rt::Stream> stream) {
        parts.workers[worker].smtp->Serve(std::move(stream), settings);
      };
    }
    parts.endpoints.push_back(endpoint);
    parts.acceptors.push_back(std::make_unique<Acceptor>(&world, std::move(each.listener),
                                                         std::move(handler), parts.log));
  }
  for (const std::unique_ptr<Acceptor>& acceptor : parts.acceptors) acceptor->Start();
  parts.log->Write(LogRecord{
      .level = LogLevel::kInfo,
      .subsystem = "server",
      .session = "",
      .event = "started",
      .fields = {{"name", runtime->server_name()}, {"listeners", StrCat(parts.endpoints.size())}}});
  co_return OkStatus();
}

namespace {

// OnLoop runs `task` on `loop` and waits for its end from the main loop.
rt::Task<void> RunAndReport(rt::Task<void> task, rt::Completion<bool>* done) {
  co_await std::move(task);
  done->Complete(true);
}

}  // namespace

rt::Task<void> Server::Stop(Duration grace) {
  Parts& parts = *parts_;
  rt::Executor& main = parts.world->main_loop();
  for (const std::unique_ptr<Acceptor>& acceptor : parts.acceptors) co_await acceptor->Stop();
  // Each worker's services are stopped on their own loop, all at the same time.
  std::vector<std::unique_ptr<rt::TaskGroup>> groups;
  std::vector<std::unique_ptr<rt::Completion<bool>>> stopped;
  for (size_t i = 0; i < parts.workers.size(); ++i) {
    for (const bool imap : {false, true}) {
      groups.push_back(std::make_unique<rt::TaskGroup>());
      stopped.push_back(std::make_unique<rt::Completion<bool>>(&main));
      parts.world->worker(i).Post(
          [&parts, i, imap, grace, group = groups.back().get(), done = stopped.back().get()] {
            rt::Task<void> stop =
                imap ? parts.workers[i].imap->Stop(grace) : parts.workers[i].smtp->Stop(grace);
            group->Spawn(RunAndReport(std::move(stop), done));
          });
    }
  }
  for (const std::unique_ptr<rt::Completion<bool>>& each : stopped) (void)co_await each->Wait();
  // The scheduler waits for the deliveries under way, and those for the relay's farewell.
  parts.scheduler->Stop();
  parts.relay->Stop();
  co_await parts.tasks.Join();
  co_await parts.relay->Join();
  const Status closed = co_await parts.queue->Close(main);
  if (parts.own_resolver != nullptr) parts.own_resolver->Stop();
  parts.log->Write(LogRecord{.level = closed.ok() ? LogLevel::kInfo : LogLevel::kError,
                             .subsystem = "server",
                             .session = "",
                             .event = "stopped",
                             .fields = closed.ok()
                                           ? std::vector<LogField>()
                                           : std::vector<LogField>{{"queue", Text(closed)}}});
}

Status Server::Reload(policy::Diagnostics* diagnostics) {
  LoadedConfig config = LoadConfig(*parts_->world, parts_->options);
  *diagnostics = std::move(config.diagnostics);
  if (config.runtime == nullptr)
    return InvalidArgument("the configuration is wrong; the old one stays in force");
  POSTERN_RETURN_IF_ERROR(
      CheckSameListeners(config.runtime->config(), parts_->runtimes->Get()->config()));
  parts_->runtimes->Set(std::move(config.runtime));
  return OkStatus();
}

rt::Task<SubmissionResult> Server::Submit(Submission submission) {
  SubmissionResult result = co_await SubmitLocally(parts_->world, parts_->runtimes->Get(),
                                                   parts_->mail_gate.get(), std::move(submission));
  co_return result;
}

}  // namespace postern::server
