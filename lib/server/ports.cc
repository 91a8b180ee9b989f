#include "lib/server/ports.h"

#include <algorithm>
#include <array>
#include <new>

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/server/endpoints.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;

// The local submission socket, in the spool.
constexpr char kSocketName[] = "submit.sock";

constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);

Status AtLine(const Listener& listener, const Status& status) {
  return SameCause(status, status.code(),
                   policy::MakeError(listener.location, std::string(Message(status))).ToString());
}

// SpeaksAlike tells whether a session that began under `x` may go on under `y`: what it was offered
// is what is there.
bool SpeaksAlike(const Listener* x, const Listener* y) {
  if (x == nullptr || y == nullptr) return x == y;
  return x->protocol == y->protocol && x->tls == y->tls && x->auth == y->auth &&
         x->verify_client == y->verify_client;
}

bool IsWildcard(const IpAddress& address) {
  return address.bytes().find_first_not_of('\0') == std::string_view::npos;
}

}  // namespace

Ports::Ports(rt::World* world, LogSink* log, HandlerFor handler_for)
    : world_(world), log_(log), handler_for_(std::move(handler_for)) {}

bool Ports::Keep(const Endpoint& asked, std::vector<Port>* open, Plan::Item* item, Plan* plan) {
  const auto is_asked = [&asked](const Port& port) { return port.asked == asked; };
  const auto found = std::find_if(open->begin(), open->end(), is_asked);
  if (found != open->end()) {
    item->kept = std::move(found->acceptor);
    item->kept_slot = std::move(found->slot);
    open->erase(found);
    return true;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto left = std::find_if(leaving_.begin(), leaving_.end(), is_asked);
  if (left == leaving_.end()) return false;
  item->kept = left->acceptor;
  item->kept_slot = left->slot;
  plan->taken_back_->ports.push_back(std::move(*left));
  leaving_.erase(left);
  return true;
}

// OwnListenerInTheWay names a listener of ours that keeps `asked` from being opened; "" when none
// does.
std::string Ports::OwnListenerInTheWay(const Endpoint& asked) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Port& port : ports_) {
    const Endpoint& other = port.acceptor->local();
    if (other.is_unix() || other.port != asked.port) continue;
    if (other.address.is_v6() != asked.address.is_v6()) continue;
    if (IsWildcard(other.address) || IsWildcard(asked.address)) return other.ToString();
  }
  return "";
}

StatusOr<Ports::Plan> Ports::Open(std::shared_ptr<const Runtime> runtime) {
  std::vector<Port> open;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    open = ports_;
  }
  Plan plan;
  plan.taken_back_ = std::make_unique<TakenBack>(this);
  plan.runtime_ = std::move(runtime);
  const Config& config = plan.runtime_->config();
  const std::vector<rt::InterfaceAddress> interfaces = world_->network().Interfaces();
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    if (listener.is_socket) continue;  // OpenSocket's
    const StatusOr<std::vector<Endpoint>> endpoints = ResolveListener(listener, interfaces);
    if (!endpoints.ok()) return AtLine(listener, endpoints.status());
    for (const Endpoint& endpoint : *endpoints) {
      Plan::Item item;
      item.asked = endpoint;
      item.index = static_cast<int>(i);
      if (!Keep(endpoint, &open, &item, &plan)) {
        StatusOr<std::unique_ptr<rt::Listener>> made =
            world_->network().Listen(world_->main_loop(), endpoint, rt::ListenOptions());
        if (!made.ok()) {
          const std::string ours = OwnListenerInTheWay(endpoint);
          if (ours.empty()) return AtLine(listener, made.status());
          return AtLine(listener,
                        SameCause(made.status(), made.status().code(),
                                  StrCat(Message(made.status()), ": this server listens on ", ours,
                                         ", and to go from one to the other takes a restart")));
        }
        item.opened = std::move(*made);
      }
      plan.items_.push_back(std::move(item));
    }
  }
  return plan;
}

Status Ports::OpenSocket(const std::string& spool, Plan* plan) {
  const Config& config = plan->runtime_->config();
  const auto line = std::find_if(config.listeners.begin(), config.listeners.end(),
                                 [](const Listener& each) { return each.is_socket; });
  const bool written = line != config.listeners.end();
  if (spool.empty() && !written) return OkStatus();
  Plan::Item item;
  item.index = written ? static_cast<int>(line - config.listeners.begin()) : policy::kNoIndex;
  StatusOr<std::unique_ptr<rt::Listener>> made =
      FailedPrecondition("a server without a spool has no place for the local socket");
  if (!spool.empty()) {
    item.asked.unix_path = StrCat(spool, "/", kSocketName);
    std::vector<Port> open;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      open = ports_;
    }
    if (Keep(item.asked, &open, &item, plan)) {
      plan->items_.push_back(std::move(item));
      return OkStatus();
    }
    rt::ListenOptions options;
    options.unix_mode = 0666;
    made = world_->network().Listen(world_->main_loop(), item.asked, options);
  }
  if (!made.ok() && written) return AtLine(*line, made.status());
  if (!made.ok()) {
    Log(LogLevel::kWarning, "no-local-socket", "reason", std::string(Message(made.status())));
    return OkStatus();
  }
  item.opened = std::move(*made);
  plan->items_.push_back(std::move(item));
  return OkStatus();
}

namespace {

bool IsPausable(const ListenerSlot& slot) {
  const ListenerSlot::View view = slot.Get();
  const Listener* const line = view.listener();
  return line != nullptr && !line->is_socket && line->protocol == policy::ListenerProtocol::kSmtp;
}

}  // namespace

void Ports::Adopt(Plan plan) {
  std::vector<Change> changes;
  std::vector<Port> given_up;
  std::vector<Port> ports;
  std::vector<std::shared_ptr<Acceptor>> kept;
  for (Plan::Item& item : plan.items_) {
    const ListenerSlot::View view{plan.runtime_, item.index};
    Port port{item.asked, item.kept, item.kept_slot};
    const bool is_new = port.acceptor == nullptr;
    if (is_new) {
      port.acceptor = std::make_shared<Acceptor>(world_, std::move(item.opened), log_);
    } else {
      kept.push_back(port.acceptor);
    }
    if (port.slot != nullptr && SpeaksAlike(port.slot->Get().listener(), view.listener())) {
      port.slot->Set(view);
    } else {
      // Sessions of the old line keep its slot.
      port.slot = std::make_shared<ListenerSlot>(view);
    }
    changes.push_back(Change{port.acceptor, handler_for_(port.slot, port.acceptor->local()), is_new,
                             IsPausable(*port.slot)});
    ports.push_back(std::move(port));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // Stop has what was open; what this plan opened goes with it.
    if (stopped_) return;
    for (Port& old : ports_) {
      if (std::find(kept.begin(), kept.end(), old.acceptor) == kept.end())
        given_up.push_back(std::move(old));
    }
    ports_ = std::move(ports);
    plan.taken_back_->ports.clear();
  }
  if (world_->main_loop().IsCurrent()) {
    Apply(changes);
  } else {
    world_->main_loop().Post([this, changes = std::move(changes)] { Apply(changes); });
  }
  GiveUp(std::move(given_up));
}

void Ports::GiveUp(std::vector<Port> ports) {
  if (ports.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Port& port : ports) leaving_.push_back(std::move(port));
  }
  if (world_->main_loop().IsCurrent()) {
    CloseLeaving();
  } else {
    world_->main_loop().Post([this] { CloseLeaving(); });
  }
}

// One leaves the list when it is being closed and not before: where memory runs out the others wait
// there for the next call, or for Stop.
void Ports::CloseLeaving() {
  for (;;) {
    std::shared_ptr<Acceptor> next;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopped_ || leaving_.empty()) return;
      next = leaving_.front().acceptor;
      closing_.Spawn(StopOne(next));
      leaving_.erase(leaving_.begin());
    }
    Log(LogLevel::kInfo, "listener-closed", "listener", next->local().ToString());
  }
}

void Ports::Apply(const std::vector<Change>& changes) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
  }
  for (const Change& change : changes) {
    change.acceptor->SetHandler(change.handler);
    if (smtp_paused_ && change.pausable) change.acceptor->Pause();
    if (!change.is_new) continue;
    Log(LogLevel::kInfo, "listener-opened", "listener", change.acceptor->local().ToString());
    change.acceptor->Start();
  }
}

void Ports::PauseSmtp() {
  smtp_paused_ = true;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Port& port : ports_) {
    if (IsPausable(*port.slot)) port.acceptor->Pause();
  }
}

void Ports::ResumeSmtp() {
  smtp_paused_ = false;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Port& port : ports_) port.acceptor->Resume();
}

rt::Task<void> Ports::StopOne(std::shared_ptr<Acceptor> acceptor) { co_await acceptor->Stop(); }

rt::Task<void> Ports::Stop() {
  std::vector<Port> ports;
  std::vector<Port> leaving;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    ports.swap(ports_);
    leaving.swap(leaving_);
  }
  // Memory that runs out puts the end off and does not prevent it: an acceptor that is left running
  // would outlive what it hands its clients to.
  rt::Event never(&world_->main_loop());
  const std::array<const std::vector<Port>*, 2> both = {&ports, &leaving};
  for (const std::vector<Port>* const each : both) {
    for (const Port& port : *each) {
      for (bool stopped = false; !stopped;) {
        try {
          co_await port.acceptor->Stop();
          stopped = true;
        } catch (const std::bad_alloc&) {
        }
        const Instant again = world_->main_loop().Now() + kPauseWithoutMemory;
        if (!stopped) (void)co_await never.Wait(again);
      }
    }
  }
  co_await closing_.Join();
}

std::vector<Endpoint> Ports::endpoints() const {
  std::vector<Endpoint> found;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Port& port : ports_) {
    if (port.slot->Get().listener() != nullptr) found.push_back(port.acceptor->local());
  }
  return found;
}

std::optional<std::string> Ports::SmtpListenerAt(const IpAddress& address, uint16_t port) const {
  bool is_here = false;  // one of this machine's addresses; looked up where it matters
  bool looked = false;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Port& each : ports_) {
    const Endpoint& local = each.acceptor->local();
    const ListenerSlot::View view = each.slot->Get();
    const policy::Listener* line = view.listener();
    if (line == nullptr || local.is_unix() || local.port != port ||
        line->protocol != policy::ListenerProtocol::kSmtp)
      continue;
    if (local.address == address) return line->tag;
    if (!IsWildcard(local.address) || (local.address.is_v4() && address.is_v6())) continue;
    if (!looked) {
      looked = true;
      is_here = address.IsLoopback();
      for (const rt::InterfaceAddress& own : world_->network().Interfaces())
        is_here = is_here || own.address == address;
    }
    if (is_here) return line->tag;
  }
  return std::nullopt;
}

void Ports::Log(LogLevel level, std::string event, std::string_view field, std::string value) {
  log_->Write(LogRecord{.level = level,
                        .subsystem = "server",
                        .session = "",
                        .event = std::move(event),
                        .fields = {{field, std::move(value)}}});
}

}  // namespace postern::server
