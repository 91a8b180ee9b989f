#include "lib/rt/sim/fabric.h"

#include <algorithm>
#include <cerrno>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/connection.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {
namespace {

constexpr uint16_t kFirstEphemeralPort = 32768;
constexpr uint16_t kLastEphemeralPort = 60999;

// Attempt is a connection being opened. The caller leaves it when its deadline comes; the network
// may answer later.
struct Attempt {
  explicit Attempt(Executor* loop) : answered(loop) {}
  Event answered;
  bool caller_waits = true;
  int error_number = 0;
  std::shared_ptr<Connection> connection;
};

class AttemptWatch : public Mortal {
 public:
  AttemptWatch(Life* life, std::shared_ptr<Attempt> attempt)
      : life_(life), attempt_(std::move(attempt)), enrolment_(life->Enroll(this)) {}
  ~AttemptWatch() override {
    attempt_->caller_waits = false;
    life_->Dismiss(enrolment_);
  }
  void OnHostDown() override { attempt_->answered.Pulse(); }

 private:
  Life* life_;
  std::shared_ptr<Attempt> attempt_;
  uint64_t enrolment_;
};

}  // namespace

class SimNetwork : public Network {
 public:
  SimNetwork(Fabric* fabric, Life* life) : fabric_(fabric), life_(life) {}

  StatusOr<std::unique_ptr<Listener>> Listen(Executor& loop, const Endpoint& endpoint,
                                             const ListenOptions& options) override {
    if (!life_->alive()) return HostIsDown();
    Host& host = life_->host();
    Endpoint local = endpoint;
    if (!local.is_unix()) {
      if (!local.address.IsAny() && !host.OwnsAddress(local.address)) {
        return InvalidArgument(
            StrCat(local.address.ToString(), " is not an address of this machine"));
      }
      if (local.port != 0 && local.port < 1024 && host.options().self.uid != 0) {
        return ErrnoError(EACCES, StrCat("bind ", local.ToString()));
      }
      if (local.port == 0) local.port = FreePort(local);
    }
    for (SimListener* other : fabric_->listeners_) {
      if (&other->life() == life_ && other->Conflicts(local, options.v6_only)) {
        return AlreadyExists(StrCat(local.ToString(), " is in use"));
      }
    }
    if (!life_->TakeDescriptor()) return ErrnoError(EMFILE, "socket");
    return std::unique_ptr<Listener>(
        std::make_unique<SimListener>(fabric_, life_, &loop, std::move(local), options));
  }

  Task<StatusOr<std::unique_ptr<Stream>>> Connect(Executor& loop, Endpoint remote,
                                                  ConnectOptions options,
                                                  Instant deadline) override {
    Executor* const executor = &loop;
    Simulation& simulation = fabric_->simulation();
    if (!life_->alive()) co_return HostIsDown();
    StatusOr<Endpoint> local = LocalFor(remote, options);
    if (!local.ok()) co_return local.status();
    if (!life_->TakeDescriptor()) co_return ErrnoError(EMFILE, "socket");

    auto attempt = std::make_shared<Attempt>(executor);
    AttemptWatch watch(life_, attempt);
    const Instant give_up = simulation.now() + fabric_->options().connect_give_up;
    // RFC 6298 §2: a SYN that nobody answers is sent again after one second, then two, four, …
    Duration pause = absl::Seconds(1);
    for (;;) {
      SendSyn(attempt, *local, remote);
      const Instant retry = std::min(std::min(simulation.now() + pause, give_up), deadline);
      while (attempt->connection == nullptr && attempt->error_number == 0 && life_->alive() &&
             simulation.now() < retry) {
        co_await attempt->answered.Wait(retry);
      }
      if (attempt->connection != nullptr || attempt->error_number != 0 || !life_->alive()) break;
      if (simulation.now() >= deadline) {
        life_->ReleaseDescriptor();
        co_return DeadlineExceeded(StrCat("no connection to ", remote.ToString(), " in time"));
      }
      if (simulation.now() >= give_up) attempt->error_number = ETIMEDOUT;
      pause *= 2;
    }
    if (!life_->alive()) {
      life_->ReleaseDescriptor();
      co_return HostIsDown();
    }
    if (attempt->error_number != 0) {
      life_->ReleaseDescriptor();
      co_return ErrnoError(attempt->error_number, StrCat("connect ", remote.ToString()));
    }
    std::unique_ptr<Stream> stream = std::make_unique<SimStream>(executor, attempt->connection, 0);
    co_return stream;
  }

  std::vector<InterfaceAddress> Interfaces() override {
    std::vector<InterfaceAddress> all;
    all.push_back(
        {.interface_name = "lo", .address = IpAddress::V4(127, 0, 0, 1), .is_loopback = true});
    all.push_back(
        {.interface_name = "lo", .address = *IpAddress::Parse("::1"), .is_loopback = true});
    for (const IpAddress& address : life_->host().options().addresses) {
      all.push_back({.interface_name = "eth0",
                     .address = address,
                     .is_loopback = false,
                     .has_default_route = true});
    }
    return all;
  }

  std::string HostName() override { return life_->host().name(); }

 private:
  uint16_t FreePort(const Endpoint& wanted) {
    for (;;) {
      Endpoint candidate = wanted;
      candidate.port =
          static_cast<uint16_t>(fabric_->random().Between(kFirstEphemeralPort, kLastEphemeralPort));
      const bool taken = std::any_of(
          fabric_->listeners_.begin(), fabric_->listeners_.end(), [&](SimListener* other) {
            return &other->life() == life_ && other->local().port == candidate.port;
          });
      if (!taken) return candidate.port;
    }
  }

  StatusOr<Endpoint> LocalFor(const Endpoint& remote, const ConnectOptions& options) {
    if (remote.is_unix()) return Endpoint();
    Host& host = life_->host();
    Endpoint local;
    local.port =
        static_cast<uint16_t>(fabric_->random().Between(kFirstEphemeralPort, kLastEphemeralPort));
    if (options.source.has_value()) {
      if (!host.OwnsAddress(*options.source)) {
        return InvalidArgument(
            StrCat(options.source->ToString(), " is not an address of this machine"));
      }
      local.address = *options.source;
      return local;
    }
    if (host.OwnsAddress(remote.address)) {
      local.address = remote.address;
      return local;
    }
    for (const IpAddress& address : host.options().addresses) {
      if (address.is_v6() == remote.address.is_v6()) {
        local.address = address;
        return local;
      }
    }
    return ErrnoError(ENETUNREACH, StrCat("connect ", remote.ToString()));
  }

  void SendSyn(const std::shared_ptr<Attempt>& attempt, const Endpoint& local,
               const Endpoint& remote) {
    Host& from = life_->host();
    Host* const to = remote.is_unix() ? &from : fabric_->FindByAddress(remote.address, from);
    Simulation& simulation = fabric_->simulation();
    if (to == nullptr) {
      Answer(attempt, from, from, EHOSTUNREACH, nullptr);
      return;
    }
    Fabric* const fabric = fabric_;
    Life* const life = life_;
    simulation.After(
        fabric->Latency(from, *to), nullptr, [attempt, local, remote, fabric, life, to] {
          Host& asking = life->host();
          const bool answered = attempt->connection != nullptr || attempt->error_number != 0;
          if (answered || !attempt->caller_waits || !life->alive()) return;
          if (to != &asking && (!fabric->Reachable(asking, *to) || !to->powered())) return;
          SimListener* const listener = to->up() ? fabric->FindListener(*to, remote) : nullptr;
          if (listener == nullptr) {
            Answer(attempt, *to, asking, remote.is_unix() ? ENOENT : ECONNREFUSED, nullptr);
            return;
          }
          auto connection = std::make_shared<Connection>(fabric, ++fabric->last_connection_, life,
                                                         &listener->life(), to == &asking);
          connection->side(0).local = local;
          connection->side(0).remote = remote;
          connection->side(1).local = remote;
          connection->side(1).remote = local;
          if (!listener->Offer(connection)) return;  // as Linux: a full backlog drops the SYN
          fabric->connections_[connection->id()] = connection;
          Answer(attempt, *to, asking, 0, connection);
        });
  }

  static void Answer(const std::shared_ptr<Attempt>& attempt, Host& from, Host& to,
                     int error_number, const std::shared_ptr<Connection>& connection) {
    Simulation& simulation = from.simulation();
    Fabric& fabric = simulation.network();
    simulation.After(fabric.Latency(from, to), nullptr,
                     [attempt, &from, &to, error_number, connection] {
                       Fabric& wire = from.simulation().network();
                       const bool lost = &from != &to && !wire.Reachable(from, to);
                       if (attempt->caller_waits && attempt->connection == nullptr && !lost) {
                         attempt->error_number = error_number;
                         attempt->connection = connection;
                         attempt->answered.Pulse();
                         return;
                       }
                       // Nobody at home for this connection: the acceptor learns by a reset.
                       if (connection != nullptr && attempt->connection != connection)
                         connection->side(0).closed = true;
                       if (connection != nullptr && attempt->connection != connection)
                         connection->Abort(1, ECONNRESET);
                     });
  }

  Fabric* fabric_;
  Life* life_;
};

Fabric::Fabric(Simulation* simulation)
    : simulation_(simulation), random_(simulation->random().Fork("network")) {}
Fabric::~Fabric() = default;

std::unique_ptr<Network> Fabric::MakeNetwork(Life* life) {
  return std::make_unique<SimNetwork>(this, life);
}

void Fabric::AddHost(Host* host) { hosts_.push_back(host); }

Host* Fabric::FindByAddress(const IpAddress& address, Host& asking) const {
  if (asking.OwnsAddress(address)) return &asking;
  if (address.IsLoopback()) return nullptr;
  for (Host* host : hosts_) {
    if (host->OwnsAddress(address)) return host;
  }
  return nullptr;
}

SimListener* Fabric::FindListener(Host& host, const Endpoint& endpoint) const {
  SimListener* found = nullptr;
  for (SimListener* listener : listeners_) {
    if (&listener->life() != &host.life() || !listener->Covers(endpoint)) continue;
    // The exact address wins over the wildcard.
    if (found == nullptr || listener->local().address == endpoint.address) found = listener;
  }
  return found;
}

bool Fabric::Reachable(Host& from, Host& to) const { return !blocked_.contains({&from, &to}); }

Duration Fabric::Latency(Host& a, Host& b) {
  if (&a == &b) return random_.Between(options_.latency_min / 10, options_.latency_max / 10);
  return random_.Between(options_.latency_min, options_.latency_max);
}

void Fabric::Partition(Host& a, Host& b) {
  PartitionOneWay(a, b);
  PartitionOneWay(b, a);
}
void Fabric::PartitionOneWay(Host& from, Host& to) {
  if (simulation_->tracing())
    simulation_->Tell(StrCat("partition ", from.name(), " > ", to.name()));
  blocked_.insert({&from, &to});
}
void Fabric::Heal(Host& a, Host& b) {
  if (simulation_->tracing()) simulation_->Tell(StrCat("heal ", a.name(), " - ", b.name()));
  blocked_.erase({&a, &b});
  blocked_.erase({&b, &a});
  Kick();
}
void Fabric::HealAll() {
  blocked_.clear();
  Kick();
}

void Fabric::Kick() {
  for (const auto& [id, connection] : connections_) connection->Kick();
}

void Fabric::Reset(Host& a, Host& b) {
  for (const auto& [id, connection] : connections_) {
    Host& opener = connection->host(0);
    Host& acceptor = connection->host(1);
    if ((&opener == &a && &acceptor == &b) || (&opener == &b && &acceptor == &a)) {
      connection->Abort(0, ECONNRESET);
      connection->Abort(1, ECONNRESET);
    }
  }
}
void Fabric::Reset(Host& a) {
  for (Host* host : hosts_) Reset(a, *host);
}

void Fabric::HostDied(Host& host, bool dark) {
  for (const auto& [id, connection] : connections_) {
    for (int side = 0; side < 2; ++side) {
      if (&connection->host(side) != &host) continue;
      if (dark) {
        connection->LosePower(side);
      } else {
        connection->Close(side);
      }
    }
  }
  std::erase_if(listeners_,
                [&host](SimListener* listener) { return &listener->life() == &host.life(); });
}

}  // namespace postern::rt::sim
