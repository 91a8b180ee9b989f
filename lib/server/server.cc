#include "lib/server/server.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <set>

#include "lib/core/base/strings.h"
#include "lib/core/control/metrics.h"
#include "lib/server/action_archive.h"
#include "lib/server/config_resolver.h"
#include "lib/server/control_gate.h"
#include "lib/server/filter_programs.h"
#include "lib/server/imap_gate.h"
#include "lib/server/listeners.h"
#include "lib/server/lmtp_routes.h"
#include "lib/server/local_session.h"
#include "lib/server/log_tap.h"
#include "lib/server/mail_gate.h"
#include "lib/server/offline_mail.h"
#include "lib/server/ports.h"
#include "lib/server/privileges.h"
#include "lib/server/relay_routes.h"
#include "lib/server/runtime.h"
#include "lib/server/spool_folder.h"
#include "lib/server/spool_owner.h"
#include "lib/server/wrapped_mail.h"
#include "lib/service/deliver/local_deliverer.h"
#include "lib/service/deliver/program_deliverer.h"
#include "lib/service/imap/service.h"
#include "lib/service/relay/relay_deliverer.h"
#include "lib/service/schedule/queue_audit.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/service/smtp/service.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;

constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);
constexpr int kControlAttempts = 10;

// Worker is what serves the connections of one loop.
struct Worker {
  std::unique_ptr<ImapGate> imap_gate;
  std::unique_ptr<service::SmtpService> smtp;
  std::unique_ptr<service::ImapService> imap;
  // The tasks that stop the two, on this loop. They tell the main loop that they are done and only
  // then end, so they are kept until the loops have ended: with the server.
  std::unique_ptr<rt::TaskGroup> stops;
};

}  // namespace

struct Server::Parts {
  rt::World* world = nullptr;
  std::unique_ptr<LogTap> tap;
  LogSink* log = nullptr;  // the tap
  ServerOptions options;
  std::unique_ptr<RuntimeHolder> runtimes;
  policy::ConfigCopy first;                // of what it was made with
  std::unique_ptr<ActionArchive> archive;  // null with a queue in memory
  mailbox::ChangeHub changes;
  std::unique_ptr<LocalTargets> targets;
  std::unique_ptr<MailStores> stores;
  std::unique_ptr<ConfigResolver> own_resolver;
  resolve::Resolver* resolver = nullptr;
  std::unique_ptr<store::Queue> queue;
  policy::QueueSettings sealed;  // as they were when it was opened
  std::unique_ptr<deliver::LocalDeliverer> local;
  std::unique_ptr<RelayRoutes> relay_routes;
  std::unique_ptr<relay::RelayDeliverer> relay;
  std::unique_ptr<LmtpRoutes> lmtp_routes;
  std::unique_ptr<relay::RelayDeliverer> lmtp;
  std::unique_ptr<deliver::ProgramDeliverer> programs;
  std::unique_ptr<NoticeRoutes> notices;
  std::unique_ptr<schedule::Scheduler> scheduler;
  std::unique_ptr<schedule::QueueAudit> audit;
  std::unique_ptr<FilterPrograms> filters;
  std::unique_ptr<LoginGate> login_gate;
  std::unique_ptr<MailGate> mail_gate;
  std::vector<Worker> workers;
  std::unique_ptr<Ports> ports;
  std::vector<Endpoint> endpoints;
  std::string spool;
  std::optional<PrivilegeNeeds> kept;  // what was kept of the privileges that were given up
  std::mutex reload_mutex;
  std::atomic<bool> stopping = false;
  std::atomic<bool> started = false;  // from the end of Start to the beginning of Stop
  std::unique_ptr<ControlGate> control_gate;
  std::unique_ptr<service::ControlService> control;
  std::unique_ptr<rt::Listener> control_listener;
  std::unique_ptr<OfflineMail> offline;
  rt::TaskGroup control_tasks;
  rt::TaskGroup tasks;  // the scheduler and the audit
};

std::unique_ptr<Server> Server::Create(rt::World* world, ServerOptions options, LoadedConfig config,
                                       LogSink* log) {
  auto parts = std::make_unique<Parts>();
  parts->world = world;
  parts->tap = std::make_unique<LogTap>(
      log, [world] { return absl::ToUnixSeconds(world->clock().WallNow()); });
  parts->tap->SetLevel(options.log_level);
  parts->log = parts->tap.get();
  parts->options = std::move(options);
  parts->runtimes = std::make_unique<RuntimeHolder>(std::move(config.runtime));
  parts->first = std::move(config.copy);
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() = default;

const std::vector<Endpoint>& Server::endpoints() const { return parts_->endpoints; }
store::Queue* Server::queue() { return parts_->queue.get(); }

namespace {

schedule::SchedulerOptions SchedulerOptionsOf(const Runtime& runtime) {
  schedule::SchedulerOptions options;
  options.server_name = runtime.server_name();
  options.warn_intervals = runtime.config().bounce_warn_intervals;
  options.retry.relay_base = runtime.config().queue.retry_delay;
  options.retry.least_delay = std::min(options.retry.least_delay, options.retry.relay_base);
  options.max_deferred = static_cast<size_t>(runtime.config().mta_max_deferred);
  const policy::SchedulerLimits& limits = runtime.config().scheduler_limits;
  if (limits.max_inflight > 0)
    options.ready.max_in_flight = static_cast<size_t>(limits.max_inflight);
  if (limits.max_evp_batch_size > 0)
    options.load_limit = static_cast<size_t>(limits.max_evp_batch_size);
  return options;
}

uint64_t ReserveOf(const Config& config, const ServerOptions& options) {
  return config.queue.reserve_bytes.value_or(options.queue.min_free_bytes);
}

// SealOf is how the queue is to be written; null: as it is.
StatusOr<std::shared_ptr<const store::SpoolSeal>> SealOf(rt::World& world, const Config& config,
                                                         const ServerOptions& options) {
  const policy::QueueSettings& queue = config.queue;
  std::string_view key = queue.encryption_key;
  if (queue.encryption == policy::QueueEncryption::kPrompt ||
      queue.encryption == policy::QueueEncryption::kStdin)
    key = options.queue_key;
  if (key.empty() && queue.encryption != policy::QueueEncryption::kNone) {
    return FailedPrecondition(
        StrCat(queue.encryption_location.ToString(), ": queue encryption: nobody gave the key"));
  }
  if (key.empty() && !queue.compression) return std::shared_ptr<const store::SpoolSeal>();
  StatusOr<std::shared_ptr<const store::SpoolSeal>> made =
      store::SpoolSeal::Make(queue.compression, key, world.random());
  if (!made.ok())
    return Annotate(made.status(),
                    StrCat(queue.encryption_location.ToString(), ": queue encryption"));
  return made;
}

deliver::ProgramDelivererOptions ProgramOptionsOf(const Runtime& runtime) {
  const policy::MdaLimits& limits = runtime.config().mda_limits;
  deliver::ProgramDelivererOptions options;
  options.max_programs = static_cast<size_t>(limits.max_session);
  options.max_programs_per_user = static_cast<size_t>(limits.max_session_per_user);
  return options;
}

}  // namespace

// HandlerFor gives what serves the connections of a listener.
Acceptor::Handler Server::HandlerFor(Parts* parts, std::shared_ptr<ListenerSlot> slot,
                                     const Endpoint& local) {
  const Listener* line = slot->Get().listener();
  const bool tokens = parts->options.hooks.on_token != nullptr;
  if (line != nullptr && line->protocol == policy::ListenerProtocol::kImap) {
    return [parts, settings = ImapListenerOf(parts->world, std::move(slot), local, tokens)](
               size_t worker, std::unique_ptr<rt::Stream> stream) {
      parts->workers[worker].imap->Serve(std::move(stream), settings);
    };
  }
  return [parts, settings = SmtpListenerOf(parts->world, std::move(slot), local, tokens)](
             size_t worker, std::unique_ptr<rt::Stream> stream) {
    parts->workers[worker].smtp->Serve(std::move(stream), settings);
  };
}

// ForgetUnusedActions looks through the queue for the actions of before the start that mail waits
// for. Nothing more is queued under those, so the others may go.
rt::Task<void> Server::ForgetUnusedActions(Parts* parts) {
  rt::Executor& loop = parts->world->main_loop();
  std::set<ActionArchive::Key> in_use;
  store::ListRequest request;
  while (!parts->stopping) {
    const StatusOr<std::vector<queue::Envelope>> some = co_await parts->queue->List(loop, request);
    if (!some.ok()) co_return;
    if (some->empty()) break;
    for (const queue::Envelope& each : *some)
      in_use.insert({each.action, each.kind != queue::Envelope::Kind::kRelay});
    request.after = some->back().id;
  }
  if (parts->stopping) co_return;
  auto forget = loop.RunBlocking([&] { parts->archive->Forget(in_use); });
  co_await forget;
}

rt::Task<Status> Server::Start() {
  Parts& parts = *parts_;
  rt::World& world = *parts.world;
  const std::shared_ptr<const Runtime> runtime = parts.runtimes->Get();
  const Config& config = runtime->config();

  // Ports first: nothing touches the disk when one is taken.
  parts.ports = std::make_unique<Ports>(
      &world, parts.log, [&parts](std::shared_ptr<ListenerSlot> slot, const Endpoint& local) {
        return HandlerFor(&parts, std::move(slot), local);
      });
  StatusOr<Ports::Plan> plan = parts.ports->Open(runtime);
  if (!plan.ok()) co_return plan.status();

  std::string& spool = parts.spool;
  if (!parts.options.in_memory) {
    spool = parts.options.spool_path;
    if (spool.empty()) spool = SpoolOf(config);
  }
  if (parts.options.become) {
    Status became = OkStatus();
    if (!spool.empty()) became = MakeSpool(world.files(), spool);
    if (!became.ok()) co_return SpoolError(became, spool, parts.options, config);
    became = parts.options.become(spool);
    if (!became.ok()) co_return became;
    parts.kept = NeedsOf(config);
  }
  if (parts.options.in_memory) {
    parts.queue = store::NewMemoryQueue(world);
  } else {
    store::QueueOptions queue_options = parts.options.queue;
    queue_options.min_free_bytes = ReserveOf(config, parts.options);
    StatusOr<std::shared_ptr<const store::SpoolSeal>> seal = SealOf(world, config, parts.options);
    if (!seal.ok()) co_return seal.status();
    queue_options.seal = *std::move(seal);
    auto open = world.main_loop().RunBlocking([&]() -> StatusOr<std::unique_ptr<store::Queue>> {
      POSTERN_RETURN_IF_ERROR(MakeSpool(world.files(), spool));
      if (!parts.options.become && world.processes().Self().uid == 0)
        POSTERN_RETURN_IF_ERROR(TakeSpool(world.files(), spool));
      return store::OpenSqliteQueue(world, *parts.log, spool, queue_options);
    });
    StatusOr<std::unique_ptr<store::Queue>> queue = co_await open;
    parts.sealed = config.queue;
    if (!queue.ok()) co_return SpoolError(queue.status(), spool, parts.options, config);
    parts.queue = std::move(*queue);
    parts.archive = std::make_unique<ActionArchive>(&world, parts.log, parts.runtimes.get(),
                                                    StrCat(spool, "/config"));
    auto restore = world.main_loop().RunBlocking([&] {
      parts.archive->Restore();
      parts.archive->Keep(parts.first, config);
    });
    co_await restore;
  }
  // The queue holds the spool's lock: no other server uses the socket in it.
  if (const Status socket = parts.ports->OpenSocket(spool, &*plan); !socket.ok()) {
    (void)co_await parts.queue->Close(world.main_loop());
    parts.queue.reset();
    co_return socket;
  }
  parts.resolver = parts.options.resolver;
  if (parts.resolver == nullptr) {
    StatusOr<std::unique_ptr<resolve::Resolver>> resolver = Unavailable("not made yet");
    if (config.resolver_zone.empty()) {
      resolver = MakeResolver(world, config);
    } else {
      auto read = world.main_loop().RunBlocking([&] { return MakeResolver(world, config); });
      resolver = co_await read;
    }
    if (!resolver.ok()) {
      (void)co_await parts.queue->Close(world.main_loop());
      parts.queue.reset();
      co_return resolver.status();
    }
    parts.own_resolver = std::make_unique<ConfigResolver>(&world, parts.log, std::move(*resolver),
                                                          config.resolver_zone.empty());
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
  parts.relay_routes =
      std::make_unique<RelayRoutes>(&world, parts.runtimes.get(), parts.ports.get());
  parts.relay = std::make_unique<relay::RelayDeliverer>(world, *parts.queue, *parts.resolver,
                                                        *parts.relay_routes, *parts.log);
  parts.lmtp_routes = std::make_unique<LmtpRoutes>(parts.runtimes.get());
  parts.lmtp = std::make_unique<relay::RelayDeliverer>(
      world, *parts.queue, *parts.resolver, *parts.lmtp_routes, *parts.log, LmtpOptions(*runtime));
  parts.programs = std::make_unique<deliver::ProgramDeliverer>(
      world, *parts.queue, *parts.targets, ProgramOptionsOf(*runtime),
      WrappedSinkOf(parts.local.get(), parts.lmtp.get()));
  schedule::Waiting waiting;
  waiting.lmtp = parts.lmtp.get();
  waiting.program = parts.programs.get();
  waiting.kind_of = [targets = parts.targets.get()](const queue::Envelope& envelope) {
    return targets->KindOf(envelope);
  };
  parts.notices = std::make_unique<NoticeRoutes>(&world, parts.runtimes.get());
  parts.scheduler = std::make_unique<schedule::Scheduler>(
      world, *parts.queue, *parts.log, *parts.notices, parts.local.get(), parts.relay.get(),
      SchedulerOptionsOf(*runtime), std::move(waiting));
  parts.login_gate = std::make_unique<LoginGate>(&parts.options.hooks);
  MailGateLimits gate_limits;
  gate_limits.filter_spool = spool;
  parts.mail_gate = std::make_unique<MailGate>(
      &world, parts.runtimes.get(), parts.queue.get(), parts.resolver, &parts.options.hooks,
      parts.login_gate.get(), parts.log, std::move(gate_limits));
  for (size_t i = 0; i < world.worker_count(); ++i) {
    rt::Executor* loop = &world.worker(i);
    Worker worker;
    worker.imap_gate =
        std::make_unique<ImapGate>(&world, loop, parts.runtimes.get(), parts.targets.get(),
                                   parts.stores.get(), parts.login_gate.get());
    worker.smtp = std::make_unique<service::SmtpService>(&world, loop, parts.mail_gate.get(),
                                                         parts.log, service::SmtpServiceOptions());
    worker.imap = std::make_unique<service::ImapService>(&world, loop, worker.imap_gate.get(),
                                                         parts.log, service::ImapServiceOptions());
    worker.stops = std::make_unique<rt::TaskGroup>();
    parts.workers.push_back(std::move(worker));
  }
  parts.audit =
      std::make_unique<schedule::QueueAudit>(world, *parts.queue, *parts.log, parts.options.audit);
  // A relay that asks filters waits for them; other mail does not.
  const bool relays_ask = std::any_of(
      config.actions.begin(), config.actions.end(),
      [](const policy::Action& action) { return action.relay.filter != policy::kNoIndex; });
  if (!relays_ask) parts.tasks.Spawn(parts.scheduler->Run());
  parts.tasks.Spawn(parts.audit->Run());
  if (parts.archive != nullptr && parts.archive->restored())
    parts.tasks.Spawn(ForgetUnusedActions(&parts));

  // Nobody is greeted before the filters are there.
  parts.filters = std::make_unique<FilterPrograms>(&world, parts.log);
  parts.mail_gate->UsePrograms(parts.filters.get());
  parts.relay_routes->UseFilters({.world = &world,
                                  .programs = parts.filters.get(),
                                  .hooks = &parts.options.hooks,
                                  .spool = spool,
                                  .log = parts.log});
  parts.filters->Adopt(*runtime);
  const Instant ready_by = world.main_loop().Now() + parts.options.filters_ready;
  co_await parts.filters->Ready(ready_by);
  if (relays_ask) parts.tasks.Spawn(parts.scheduler->Run());

  parts.ports->Adopt(std::move(*plan));
  // Mail flows without the control socket, but not in silence: it is tried again for a while.
  bool controlled = false;
  for (int attempt = 1; !controlled && attempt <= kControlAttempts; ++attempt) {
    try {
      StartControl(&parts, this);
      controlled = true;
    } catch (const std::bad_alloc&) {
    }
    rt::Event never(&world.main_loop());
    const Instant again = world.main_loop().Now() + kPauseWithoutMemory;
    if (!controlled) (void)co_await never.Wait(again);
  }
  if (!controlled) {
    parts.log->Write(LogRecord{.level = LogLevel::kError,
                               .subsystem = "control",
                               .session = "",
                               .event = "no-control-socket",
                               .fields = {{"reason", "out of memory"}}});
  }
  parts.endpoints = parts.ports->endpoints();
  parts.started = true;
  parts.log->Write(LogRecord{
      .level = LogLevel::kInfo,
      .subsystem = "server",
      .session = "",
      .event = "started",
      .fields = {{"name", runtime->server_name()}, {"listeners", StrCat(parts.endpoints.size())}}});
  co_return OkStatus();
}

namespace {

// AcceptControl hands the operator's connections to the control service, on the main loop.
rt::Task<void> AcceptControl(rt::World* world, rt::Listener* listener,
                             service::ControlService* service) {
  rt::Executor& loop = world->main_loop();
  for (;;) {
    bool pause = false;
    try {
      StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener->Accept(loop);
      if (stream.ok()) {
        service->Serve(std::move(*stream));
      } else if (stream.status().code() == StatusCode::kCancelled) {
        co_return;
      } else {
        pause = true;
      }
    } catch (const std::bad_alloc&) {
      pause = true;
    }
    if (!pause) continue;
    rt::Event never(&loop);
    const Instant again = loop.Now() + absl::Milliseconds(100);
    (void)co_await never.Wait(again);
  }
}

}  // namespace

// MakeControl makes what answers the operator; a second call, after memory ran out, begins anew.
void Server::MakeControl(Parts* parts, Server* server) {
  ControlParts given;
  given.world = parts->world;
  given.log = parts->tap.get();
  given.runtimes = parts->runtimes.get();
  given.queue = parts->queue.get();
  given.scheduler = parts->scheduler.get();
  given.relays = {parts->relay.get(), parts->lmtp.get()};
  given.ports = parts->ports.get();
  given.reload = [server](policy::Diagnostics* diagnostics) { return server->Reload(diagnostics); };
  given.submit = [server](Submission submission) { return server->Submit(std::move(submission)); };
  auto gate = std::make_unique<ControlGate>(std::move(given));
  auto control = std::make_unique<service::ControlService>(parts->world, gate.get(), parts->log);
  gate->set_sessions(control.get());
  parts->control_gate = std::move(gate);
  parts->control = std::move(control);
}

// StartControl opens the control socket. A server that cannot have one does its work all the same.
// Where memory runs out it may be called again, and goes on.
void Server::StartControl(Parts* parts, Server* server) {
  const std::shared_ptr<const Runtime> runtime = parts->runtimes->Get();
  if (parts->control == nullptr) MakeControl(parts, server);
  if (!parts->options.control) return;
  Endpoint at;
  at.unix_path = runtime->config().control_socket;
  if (at.unix_path.empty() && !parts->spool.empty())
    at.unix_path = StrCat(parts->spool, "/", kControlSocketName);
  if (!at.unix_path.empty() && parts->control_listener == nullptr) {
    rt::ListenOptions options;
    options.unix_mode = 0666;  // who it is, the system says: the gate decides
    StatusOr<std::unique_ptr<rt::Listener>> listener =
        parts->world->network().Listen(parts->world->main_loop(), at, options);
    if (listener.ok()) {
      parts->control_tasks.Spawn(
          AcceptControl(parts->world, listener->get(), parts->control.get()));
      parts->control_listener = std::move(*listener);
    } else {
      parts->log->Write(
          LogRecord{.level = LogLevel::kError,
                    .subsystem = "control",
                    .session = "",
                    .event = "no-control-socket",
                    .fields = {{"socket", at.unix_path}, {"reason", Text(listener.status())}}});
    }
  }
  if (parts->spool.empty() || parts->offline != nullptr) return;
  auto offline = std::make_unique<OfflineMail>(
      parts->world, parts->log, parts->spool,
      static_cast<uint64_t>(runtime->config().smtp.max_message_bytes), runtime->server_name(),
      [server](Submission submission) { return server->Submit(std::move(submission)); });
  parts->control_tasks.Spawn(offline->Run());
  parts->offline = std::move(offline);
}

namespace {

// StopAndReport runs on the loop of `worker`. Memory that runs out puts the end off and does not
// prevent it.
rt::Task<void> StopAndReport(Worker* worker, rt::Executor* loop, bool imap, Duration grace,
                             rt::Completion<bool>* done) {
  for (bool stopped = false; !stopped;) {
    try {
      rt::Task<void> stop = imap ? worker->imap->Stop(grace) : worker->smtp->Stop(grace);
      co_await std::move(stop);
      stopped = true;
    } catch (const std::bad_alloc&) {
    }
    rt::Event never(loop);
    const Instant again = loop->Now() + kPauseWithoutMemory;
    if (!stopped) (void)co_await never.Wait(again);
  }
  done->Complete(true);
}

// BeginToStop has one of the services of `worker` stop on its loop, and adds what tells of the end
// to `stopped`, which has room; false without memory for it.
bool BeginToStop(Worker* worker, rt::Executor* loop, bool imap, Duration grace, rt::Executor* main,
                 std::vector<std::unique_ptr<rt::Completion<bool>>>* stopped) noexcept {
  try {
    auto done = std::make_unique<rt::Completion<bool>>(main);
    loop->Post([worker, loop, imap, grace, done = done.get()] {
      try {
        worker->stops->Spawn(StopAndReport(worker, loop, imap, grace, done));
      } catch (const std::bad_alloc&) {
        done->Complete(false);
      }
    });
    stopped->push_back(std::move(done));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace

rt::Task<void> Server::Stop(Duration grace) {
  Parts& parts = *parts_;
  rt::Executor& main = parts.world->main_loop();
  // What ends one after the other shares it. A delivery that has just begun has a moment in any
  // case: cut off before the reply it would be a duplicate.
  const auto left = [&main, grace, end = main.Now() + grace] {
    return std::max(end - main.Now(), std::min(grace, absl::Seconds(1)));
  };
  parts.started = false;
  parts.stopping = true;
  co_await parts.ports->Stop();
  if (parts.control_listener != nullptr) parts.control_listener->Close();
  if (parts.offline != nullptr) parts.offline->Stop();
  if (parts.control != nullptr) co_await parts.control->Stop(left());
  co_await parts.control_tasks.Join();
  parts.control_listener.reset();
  // Each worker's services are stopped on their own loop, all at the same time. What was begun is
  // waited for, and what could not be begun for want of memory is tried again.
  for (bool all = false; !all;) {
    all = true;
    std::vector<std::unique_ptr<rt::Completion<bool>>> stopped;
    stopped.reserve(2 * parts.workers.size());
    for (size_t i = 0; i < parts.workers.size(); ++i) {
      for (const bool imap : {false, true})
        all = BeginToStop(&parts.workers[i], &parts.world->worker(i), imap, left(), &main,
                          &stopped) &&
              all;
    }
    for (const std::unique_ptr<rt::Completion<bool>>& each : stopped) {
      const bool ended = co_await each->Wait();
      all = all && ended;
    }
    rt::Event never(&main);
    const Instant again = main.Now() + kPauseWithoutMemory;
    if (!all) (void)co_await never.Wait(again);
  }
  co_await parts.filters->Stop();
  // The scheduler waits for the deliveries under way, and those for the relay's farewell.
  parts.scheduler->Stop();
  parts.audit->Stop();
  parts.relay->StopWithin(left());
  parts.lmtp->StopWithin(left());
  parts.programs->StopWithin(left());
  co_await parts.tasks.Join();
  co_await parts.relay->Join();
  co_await parts.lmtp->Join();
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

// Configure gives the parts that run what `runtime` says of them.
void Server::Configure(Parts* parts, const Runtime& runtime) {
  parts->scheduler->Configure(SchedulerOptionsOf(runtime));
  const deliver::ProgramDelivererOptions programs = ProgramOptionsOf(runtime);
  parts->programs->SetMaxPrograms(programs.max_programs, programs.max_programs_per_user);
  parts->lmtp->SetMaxBatches(LmtpOptions(runtime).max_batches);
  parts->queue->SetReserve(ReserveOf(runtime.config(), parts->options));
}

namespace {

// WarnOfSeal says what of `wanted` the queue that is open goes without.
void WarnOfSeal(const policy::QueueSettings& open, const Config& wanted,
                policy::Diagnostics* diagnostics) {
  const auto tell = [&](const policy::SourceLocation& written, std::string_view what) {
    policy::SourceLocation at = written;
    if (at.line == 0) at.file = wanted.file_name;
    diagnostics->push_back(policy::MakeWarning(
        at, StrCat(what,
                   " is not as it was: that takes a restart; until then the queue is written "
                   "as before")));
  };
  if (open.compression != wanted.queue.compression)
    tell(wanted.queue.compression_location, "queue compression");
  if (open.encryption != wanted.queue.encryption ||
      open.encryption_key != wanted.queue.encryption_key)
    tell(wanted.queue.encryption_location, "queue encryption");
}

}  // namespace

Status Server::Reload(policy::Diagnostics* diagnostics) {
  Parts& parts = *parts_;
  const std::lock_guard<std::mutex> lock(parts.reload_mutex);
  if (parts.stopping) return FailedPrecondition("the server was told to stop");
  LoadedConfig config = LoadConfig(*parts.world, parts.options, parts.log);
  *diagnostics = std::move(config.diagnostics);
  if (config.runtime == nullptr)
    return InvalidArgument("the configuration is wrong; the old one stays in force");
  if (!parts.started) {
    parts.runtimes->Set(std::move(config.runtime));
    parts.first = std::move(config.copy);
    return OkStatus();
  }
  if (parts.kept.has_value()) {
    CheckReloadNeeds(config.runtime->config(), *parts.kept, diagnostics);
    if (policy::HasErrors(*diagnostics))
      return FailedPrecondition("it needs a restart; the old one stays in force");
  }
  if (const Config& wanted = config.runtime->config();
      parts.options.spool_path.empty() && !parts.spool.empty() && SpoolOf(wanted) != parts.spool) {
    policy::SourceLocation at = wanted.spool_location;
    if (wanted.spool.empty()) at.file = wanted.file_name;
    diagnostics->push_back(policy::MakeWarning(
        at,
        StrCat("spool \"", Escape(SpoolOf(wanted), 200),
               "\" takes a restart: until then the queue stays in ", Escape(parts.spool, 200))));
  }
  if (parts.archive != nullptr) WarnOfSeal(parts.sealed, config.runtime->config(), diagnostics);
  const auto kept = [](const Status& status) {
    return Error(status.code(), StrCat(Message(status), "\nthe old configuration stays in force"));
  };
  StatusOr<Ports::Plan> plan = parts.ports->Open(config.runtime);
  if (!plan.ok()) return kept(plan.status());
  const Status socket = parts.ports->OpenSocket(parts.spool, &*plan);
  if (!socket.ok()) return kept(socket);
  std::shared_ptr<resolve::Resolver> zone;
  if (parts.own_resolver != nullptr) {
    StatusOr<std::shared_ptr<resolve::Resolver>> read =
        ReadZone(*parts.world, config.runtime->config());
    if (!read.ok()) return kept(read.status());
    zone = *std::move(read);
  }
  if (parts.archive != nullptr) parts.archive->Keep(config.copy, config.runtime->config());
  parts.runtimes->Set(config.runtime);
  parts.world->main_loop().Post([&parts, runtime = config.runtime] {
    if (parts.started) parts.filters->Adopt(*runtime);
  });
  if (parts.own_resolver != nullptr) parts.own_resolver->Use(std::move(zone));
  Configure(&parts, *config.runtime);
  parts.ports->Adopt(std::move(*plan));
  return OkStatus();
}

namespace {

void LogSubmission(LogSink* log, const SubmissionResult& result, uint32_t uid, size_t size,
                   size_t recipients) {
  LogRecord record;
  record.subsystem = "smtp";
  record.session = result.session;
  if (result.status.ok() && result.reply.IsPositive()) {
    record.event = "message";
    record.fields = {{"msgid", result.message_id},
                     {"size", StrCat(size)},
                     {"nrcpt", StrCat(recipients)},
                     {"proto", "local"},
                     {"uid", StrCat(uid)}};
  } else {
    record.event = "failed-command";
    record.fields = {{"command", "message"},
                     {"result", result.status.ok() ? result.reply.ToString() : Text(result.status)},
                     {"uid", StrCat(uid)}};
  }
  log->Write(record);
}

}  // namespace

rt::Task<SubmissionResult> Server::Submit(Submission submission) {
  const std::optional<uint32_t> uid = submission.uid;
  const size_t size = submission.content.size();
  const size_t recipients = submission.recipients.size();
  SubmissionResult result = co_await SubmitLocally(parts_->world, parts_->runtimes->Get(),
                                                   parts_->mail_gate.get(), std::move(submission));
  // The program itself knows what it hands in; of a user's programs the log tells as of clients.
  if (uid.has_value()) {
    try {
      LogSubmission(parts_->log, result, *uid, size, recipients);
    } catch (const std::bad_alloc&) {
      // It is queued, or not, without a line in the log.
    }
  }
  co_return result;
}

rt::Task<std::string> Server::Metrics() {
  if (parts_->control_gate == nullptr) co_return control::OpenMetrics(parts_->tap->Numbers());
  const control::StatBook book = co_await parts_->control_gate->Numbers();
  co_return control::OpenMetrics(book);
}

}  // namespace postern::server
