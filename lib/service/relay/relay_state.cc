// How the relay stands, for those who run it.
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/service/relay/relay_deliverer.h"

namespace postern::relay {

std::vector<ConnectionState> RelayDeliverer::Connections() const {
  std::vector<ConnectionState> found;
  const auto add = [this, &found](const Connection& connection, bool idle) {
    const RelaySettings& settings = connection.settings();
    ConnectionState state;
    state.address = connection.target().Name();
    state.host = connection.target().host;
    state.route_host = settings.route.host;
    state.port = settings.route.port;
    state.by_mx = settings.route.by_mx;
    state.lmtp = settings.route.lmtp;
    state.idle = idle;
    state.tls = settings.route.tls;
    state.age = loop_.Now() - connection.begun();
    state.messages = connection.messages();
    state.source = settings.source.has_value() ? settings.source->ToString() : std::string("[]");
    found.push_back(std::move(state));
  };
  for (const Connection* const connection : active_) add(*connection, false);
  for (const Idle& idle : idle_) add(*idle.connection, true);
  for (const auto& [id, unrecorded] : unrecorded_) add(*unrecorded.front().connection, false);
  return found;
}

std::vector<RouteState> RelayDeliverer::Routes() {
  std::map<PenaltyKey, RouteState> routes;
  const auto state_of = [&routes](const PenaltyKey& key) -> RouteState& {
    RouteState& state = routes[key];
    state.source = key.source.has_value() ? key.source->ToString() : std::string("[]");
    state.address = key.server;
    state.port = key.port;
    return state;
  };
  const auto add = [&](const Connection& connection, bool idle) {
    RouteState& state =
        state_of(PenaltyKey{connection.settings().source, connection.target().Name(),
                            connection.settings().route.port});
    state.host = connection.target().host;
    ++state.connections;
    state.keeps_connection = state.keeps_connection || idle;
    const Duration age = loop_.Now() - connection.begun();
    state.tried = std::min(state.tried.value_or(age), age);
  };
  for (const Connection* const connection : active_) add(*connection, false);
  for (const Idle& idle : idle_) add(*idle.connection, true);
  for (const auto& [id, unrecorded] : unrecorded_) add(*unrecorded.front().connection, false);
  for (const auto& [key, penalty] : penalties_) {
    RouteState& state = state_of(key);
    if (state.host.empty()) state.host = penalty.host;
    state.failures = penalty.failures;
    if (!state.tried.has_value()) state.tried = loop_.Now() - penalty.failed;
    if (loop_.Now() < penalty.until) state.blocked = penalty.until - loop_.Now();
  }
  if (route_ids_.size() + routes.size() > 2 * options_.max_penalties) route_ids_.clear();
  std::vector<RouteState> found;
  for (auto& [key, state] : routes) {
    uint64_t& id = route_ids_[key];
    if (id == 0) id = next_route_id_++;
    state.id = id;
    found.push_back(std::move(state));
  }
  std::sort(found.begin(), found.end(),
            [](const RouteState& a, const RouteState& b) { return a.id < b.id; });
  return found;
}

bool RelayDeliverer::ResumeRoute(uint64_t id) {
  for (const auto& [key, known] : route_ids_) {
    if (known != id) continue;
    penalties_.erase(key);
    freed_.Pulse();
    return true;
  }
  return false;
}

bool RelayDeliverer::PauseDestination(PausedRelay what) {
  return paused_.size() < options_.max_paused && paused_.insert(std::move(what)).second;
}

bool RelayDeliverer::IsPaused(const RelaySettings& settings,
                              const queue::Envelope& envelope) const {
  if (paused_.empty()) return false;
  const std::string source = settings.source.has_value() ? settings.source->ToString() : "[]";
  for (const std::string& destination :
       {AsciiLower(settings.route.host), AsciiLower(envelope.destination.domain)}) {
    if (paused_.contains({"any", destination}) || paused_.contains({source, destination}))
      return true;
  }
  return false;
}

}  // namespace postern::relay
