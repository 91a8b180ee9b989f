// The connections of the relay: their shares of the limits, those that wait for another message,
// and how they end. What gives something back takes no memory, so that memory that runs out keeps
// no connection and no place for ever.
#include <algorithm>
#include <new>
#include <utility>

#include "lib/service/relay/relay_deliverer.h"

namespace postern::relay {

// Place takes a connection's shares of the limits, and gives them back.
class RelayDeliverer::Place {
 public:
  Place(RelayDeliverer* owner, std::vector<Share> shares)
      : owner_(owner), shares_(std::move(shares)) {
    // All that takes memory comes before the first is counted: what is counted is given back.
    for (const Share& share : shares_) owner_->in_use_.try_emplace(share.key, 0);
    for (const Share& share : shares_) ++owner_->in_use_.find(share.key)->second;
  }
  ~Place() {
    for (const Share& share : shares_) {
      const auto it = owner_->in_use_.find(share.key);
      if (--it->second == 0) owner_->in_use_.erase(it);
    }
    owner_->freed_.Pulse();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  RelayDeliverer* owner_;
  std::vector<Share> shares_;
};

void RelayDeliverer::TakePlace(Connection* connection, const std::vector<Share>& shares) {
  connection->Own(std::make_shared<Place>(this, shares));
}

std::vector<RelayDeliverer::Share> RelayDeliverer::SharesOf(const RelaySettings& settings,
                                                            const std::string& key,
                                                            const queue::RelayTarget& target) {
  const RelayLimits& limits = settings.limits;
  const queue::RelayRoute& route = settings.route;
  const std::string source = settings.source ? settings.source->ToString() : "-";
  const std::string host = target.Name();
  std::vector<Share> all = {
      {StrCat("host ", host), limits.max_conn_per_host, limits.conn_delay_host},
      {StrCat("route ", source, " ", host), limits.max_conn_per_route, limits.conn_delay_route},
      {StrCat("source ", source), limits.max_conn_per_source, limits.conn_delay_source},
      {StrCat("connector ", key), limits.max_conn_per_connector, limits.conn_delay_connector},
      {StrCat("relay ", route.host, route.socket_path, " ", route.port, " ",
              static_cast<int>(route.tls)),
       limits.max_conn_per_relay, limits.conn_delay_relay},
      {StrCat("domain ", route.host, route.socket_path), limits.max_conn_per_domain,
       limits.conn_delay_domain},
  };
  std::erase_if(all, [](const Share& share) {
    return share.most == 0 && share.delay <= absl::ZeroDuration();
  });
  return all;
}

Instant RelayDeliverer::FreeAt(const std::vector<Share>& shares) const {
  Instant free = loop_.Now();
  for (const Share& share : shares) {
    const auto used = in_use_.find(share.key);
    if (share.most > 0 && used != in_use_.end() && used->second >= share.most)
      return Instant::Never();
    const auto last = last_connection_.find(share.key);
    if (share.delay > absl::ZeroDuration() && last != last_connection_.end())
      free = std::max(free, last->second + share.delay);
  }
  return free;
}

void RelayDeliverer::RememberConnection(const std::vector<Share>& shares) {
  for (const Share& share : shares) {
    if (share.delay <= absl::ZeroDuration()) continue;
    // The oldest could be kept apart; whoever has that many destinations paces none of them.
    if (last_connection_.size() >= options_.max_remembered_connections) last_connection_.clear();
    last_connection_[share.key] = loop_.Now();
  }
}

rt::Task<void> RelayDeliverer::Pause(Connection* connection) {
  const Instant until =
      connection->last_used() + connection->settings().limits.session_transaction_delay;
  const Active active(&active_, connection);
  while (loop_.Now() < until && !stopping_) (void)co_await freed_.Wait(until);
}

std::unique_ptr<Connection> RelayDeliverer::TakeIdle(const std::string& key) {
  for (auto it = idle_.begin(); it != idle_.end(); ++it) {
    if (it->key != key) continue;
    loop_.Disarm(&*it);
    std::unique_ptr<Connection> connection = std::move(it->connection);
    idle_.erase(it);
    return connection;
  }
  return nullptr;
}

void RelayDeliverer::MakeRoom(const std::vector<Share>& wanted) {
  const auto used_up = [this, &wanted](const Share& share) {
    const auto used = in_use_.find(share.key);
    return std::any_of(wanted.begin(), wanted.end(), [&](const Share& each) {
      return each.key == share.key && each.most > 0 && used != in_use_.end() &&
             used->second >= each.most;
    });
  };
  // The newest stand in front.
  for (auto it = idle_.end(); it != idle_.begin();) {
    --it;
    const Connection& connection = *it->connection;
    const std::vector<Share> held = SharesOf(connection.settings(), it->key, connection.target());
    if (!std::any_of(held.begin(), held.end(), used_up)) continue;
    loop_.Disarm(&*it);
    std::unique_ptr<Connection> oldest = std::move(it->connection);
    idle_.erase(it);
    Retire(std::move(oldest));
    return;
  }
}

std::list<RelayDeliverer::Idle> RelayDeliverer::Waiting(const std::string& key,
                                                        std::unique_ptr<Connection> connection) {
  std::list<Idle> one;
  one.emplace_back(this, key, std::move(connection));
  return one;
}

void RelayDeliverer::KeepIdle(std::list<Idle> one) noexcept {
  Idle& idle = one.front();
  const Connection& connection = *idle.connection;
  const RelayLimits& limits = connection.settings().limits;
  if (!connection.usable() || connection.messages() >= limits.session_mail_max || stopping_ ||
      connection.failures() >= limits.max_failures_per_session ||
      idle_.size() >= options_.max_idle) {
    Retire(std::move(idle.connection));
    return;
  }
  const Instant until = loop_.Now() + limits.session_keepalive;
  idle_.splice(idle_.begin(), one);
  idle.place = idle_.begin();
  idle.run = [](rt::Timer* timer) {
    auto* const over = static_cast<Idle*>(timer);
    RelayDeliverer* const owner = over->owner;
    std::unique_ptr<Connection> old = std::move(over->connection);
    owner->idle_.erase(over->place);
    owner->Retire(std::move(old));
  };
  loop_.Arm(&idle, until);
  freed_.Pulse();
}

void RelayDeliverer::Recorded(queue::EnvelopeId first) {
  const auto found = unrecorded_.find(first);
  if (found == unrecorded_.end()) return;  // the batch had no connection
  std::list<Idle> done = std::move(found->second);
  unrecorded_.erase(found);
  KeepIdle(std::move(done));
}

void RelayDeliverer::Retire(std::unique_ptr<Connection> connection) noexcept {
  try {
    good_byes_.Spawn(SayGoodBye(std::move(connection)));
  } catch (const std::bad_alloc&) {
    // It is closed without a word.
  }
}

rt::Task<void> RelayDeliverer::SayGoodBye(std::unique_ptr<Connection> connection) {
  const Active active(&active_, connection.get());
  co_await connection->Quit();
}

void RelayDeliverer::StopWithin(Duration grace) {
  if (stopping_) return;
  stopping_ = true;
  while (!idle_.empty()) {
    loop_.Disarm(&idle_.front());
    std::unique_ptr<Connection> connection = std::move(idle_.front().connection);
    idle_.pop_front();
    Retire(std::move(connection));
  }
  freed_.Set();
  stop_timer_.run = [](rt::Timer* timer) {
    for (Connection* connection : static_cast<StopTimer*>(timer)->owner->active_)
      connection->Close();
  };
  loop_.Arm(&stop_timer_, loop_.Now() + grace);
}

rt::Task<void> RelayDeliverer::Join() { co_await good_byes_.Join(); }

}  // namespace postern::relay
