// Fabric: the wire between the machines of a simulation, and the test's power over it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"
#include "lib/rt/network.h"
#include "lib/rt/sim/life.h"
#include "lib/rt/sim/random.h"

namespace postern::rt::sim {

class Connection;
class SimListener;

struct LinkOptions {
  Duration latency_min = absl::Microseconds(50);
  Duration latency_max = absl::Milliseconds(2);
  double reset_chance = 0;           // for each segment: both sides see a reset in its place
  size_t buffer_bytes = 64 * 1024;   // in one direction, on the wire and at the receiver together
  size_t segment_bytes = 16 * 1024;  // octets arrive in random cuts of at most this
  Duration give_up = absl::Minutes(
      15);  // a segment that cannot be delivered for so long resets the sender (RFC 1122 R2)
  Duration connect_give_up = absl::Seconds(127);  // as Linux does after six SYNs
};

class Fabric {
 public:
  explicit Fabric(Simulation* simulation);
  ~Fabric();
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  // options applies to all links; changes are seen by the next segment. Loopback has a tenth of the
  // latency and no resets.
  LinkOptions& options() { return options_; }

  // Partition stops all traffic between two hosts, or one way only (a half-open link). Nothing is
  // lost: segments wait, as TCP would send them again, and arrive after Heal, or the sender gives
  // up.
  void Partition(Host& a, Host& b);
  void PartitionOneWay(Host& from, Host& to);
  void Heal(Host& a, Host& b);
  void HealAll();
  // Reset cuts all connections between two hosts, or all of one host: both sides see a reset.
  void Reset(Host& a, Host& b);
  void Reset(Host& a);
  // connections is how many are open on at least one side.
  size_t connections() const { return connections_.size(); }

  // --- for the other parts of rt/sim ---
  void AddHost(Host* host);
  Host* FindByAddress(const IpAddress& address, Host& asking) const;
  bool Reachable(Host& from, Host& to) const;
  Duration Latency(Host& a, Host& b);
  SeededRandom& random() { return random_; }
  Simulation& simulation() { return *simulation_; }
  std::unique_ptr<Network> MakeNetwork(Life* life);
  // Kick lets waiting segments try again: a partition healed, a machine is back.
  void Kick();
  // HostDied tells the peers of `host`; `dark` when the whole machine is.
  void HostDied(Host& host, bool dark);

 private:
  friend class Connection;
  friend class SimListener;
  friend class SimNetwork;
  struct ListenKey {
    const Host* host;
    Endpoint endpoint;
  };

  SimListener* FindListener(Host& host, const Endpoint& endpoint) const;

  Simulation* simulation_;
  SeededRandom random_;
  LinkOptions options_;
  std::vector<Host*> hosts_;
  std::set<std::pair<const Host*, const Host*>> blocked_;  // looked up, never iterated
  std::vector<SimListener*> listeners_;
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
  uint64_t last_connection_ = 0;
};

}  // namespace postern::rt::sim
