#include "lib/server/server.h"

#include <algorithm>
#include <new>
#include <set>

#include "lib/core/base/strings.h"
#include "lib/core/control/metrics.h"
#include "lib/server/listeners.h"
#include "lib/server/local_session.h"
#include "lib/server/pam_services.h"
#include "lib/server/server_config.h"
#include "lib/server/server_parts.h"
#include "lib/server/spool_folder.h"
#include "lib/server/spool_owner.h"
#include "lib/server/wrapped_mail.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;

constexpr int kControlAttempts = 10;

}  // namespace

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
  policy::Diagnostics pam_errors;
  auto allow_pam =
      world.main_loop().RunBlocking([&] { AllowPamServices(world, config, &pam_errors); });
  co_await allow_pam;
  if (!pam_errors.empty()) co_return FailedPrecondition(pam_errors.front().ToString());
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
    parts.own_resolver =
        std::make_unique<ConfigResolver>(&world, parts.log, std::move(*resolver), config);
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
  parts.pam = std::make_unique<PamLogins>(&world, parts.log);
  parts.login_gate = std::make_unique<LoginGate>(&parts.options.hooks, parts.pam.get());
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
