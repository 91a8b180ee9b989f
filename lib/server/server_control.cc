// The control socket of a server, and the mail that was handed in while none ran.
#include <new>

#include "lib/core/base/strings.h"
#include "lib/server/server_parts.h"

namespace postern::server {
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

}  // namespace postern::server
