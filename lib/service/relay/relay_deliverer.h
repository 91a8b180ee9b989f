// RelayDeliverer: the scheduler's Deliverer for mail to other servers.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/service/relay/connection.h"
#include "lib/service/relay/route_source.h"
#include "lib/service/resolve/resolver.h"
#include "lib/service/schedule/deliverer.h"
#include "lib/store/queue/queue.h"

namespace postern::relay {

// RelayOptions are the bounds of the relay as a whole, and the times we give to others. Those of
// one destination come with its settings (RelayLimits).
struct RelayOptions {
  // recipients of one message in one transaction (RFC 5321 §4.5.3.1.8 takes 100)
  size_t max_batch = 100;
  // by_action: the action alone says where a message goes, so all recipients under one action
  // share a transaction (LMTP to a delivery agent). Else those of one domain do.
  bool by_action = false;
  size_t max_batches = 100;  // messages on their way at the same time
  size_t max_idle = 100;     // connections that wait
  Duration connect_timeout = absl::Seconds(30);
  Duration resolve_timeout = absl::Seconds(30);
  Duration conn_wait = absl::Minutes(5);   // for a place under the limits
  Duration stop_grace = absl::Seconds(5);  // Stop's, for what is under way
  // A route (one port of an address, from one of ours) that could not be reached is left alone for
  // route_penalty * n^2 after n failures, at most route_penalty_max.
  Duration route_penalty = absl::Seconds(15);
  Duration route_penalty_max = absl::Hours(1);
  // hosts of an action's table that are asked for in turn while none of them can be reached
  size_t max_other_hosts = 8;
  size_t max_penalties = 10'000;             // routes remembered for that
  size_t max_paused = 1000;                  // destinations that an operator paused
  Duration paused_wait = absl::Seconds(30);  // before mail for one of them is looked at again
  size_t max_without_scram = 1000;  // servers remembered that refuse SCRAM though they offer it
  // times of connections remembered for the sake of conn-delay
  size_t max_remembered_connections = 10'000;
};

// RouteState is a route for `show routes`: from one of our addresses to one of theirs.
struct RouteState {
  uint64_t id = 0;     // for ResumeRoute; the same while the relay lives
  std::string source;  // "[]": any
  std::string address;
  std::string host;  // the server's name; "" where it is not known
  uint16_t port = 0;
  size_t connections = 0;
  bool keeps_connection = false;  // one that waits for another message
  int failures = 0;
  Duration blocked;               // from now; zero: it is not
  std::optional<Duration> tried;  // since the last connection was begun
};
// PausedRelay is what an operator paused: mail from one of our addresses for a destination.
struct PausedRelay {
  std::string source;       // an address, or "any"
  std::string destination;  // a domain or a server, lower-case
  auto operator<=>(const PausedRelay&) const = default;
};
// ConnectionState is a connection, for `show hosts` and `show relays`.
struct ConnectionState {
  std::string address;
  std::string host;
  std::string route_host;  // what the configuration or the MX lookup was asked for
  uint16_t port = 0;
  bool by_mx = false;
  bool lmtp = false;
  bool idle = false;  // it waits for another message
  size_t messages = 0;
  std::string source;
  queue::RelayTls tls = queue::RelayTls::kOpportunistic;
  Duration age;  // since it was begun
};

class RelayDeliverer final : public schedule::Deliverer {
 public:
  // It works on `world`'s main loop, the scheduler's. All arguments outlive it.
  RelayDeliverer(rt::World& world, store::Queue& queue, resolve::Resolver& resolver,
                 RouteSource& routes, LogSink& log, RelayOptions options = {});
  // Await Join before.
  ~RelayDeliverer() override;

  queue::ReadyQueue::BatchRule Batching() const override {
    return {.max_batch = options_.max_batch,
            .same_message = true,
            .across_destinations = options_.by_action,
            .same_action = options_.by_action,
            .same_forwarder = true};
  }
  size_t max_batches() const override { return max_batches_; }
  // SetMaxBatches changes RelayOptions::max_batches from now on. Any thread.
  void SetMaxBatches(size_t most) { max_batches_ = most; }
  rt::Task<std::vector<schedule::DeliveryResult>> Deliver(
      std::vector<queue::Envelope> batch) override;
  // DeliverText is Deliver with another text in place of the queue's, whose sender's body type is
  // that of `text`. It is Recorded as the other.
  rt::Task<std::vector<schedule::DeliveryResult>> DeliverText(
      std::vector<queue::Envelope> batch, std::shared_ptr<const store::Body> text);
  // Recorded frees the connection that carried the batch for the next message. So a crash repeats
  // at most one message for each connection.
  void Recorded(queue::EnvelopeId first) override;
  bool keeps_back() const override { return true; }

  // StopWithin makes waiting deliveries fail for now, says good-bye on idle connections, and closes
  // the others after `grace`. The first call counts. Stop is that with stop_grace.
  void StopWithin(Duration grace);
  void Stop() override { StopWithin(options_.stop_grace); }
  // Join waits for the good-byes, after Stop and after the scheduler's last Deliver.
  rt::Task<void> Join();

  size_t idle_connections() const { return idle_.size(); }

  // Routes and Connections tell how things stand, for the operator. (relay_state.cc)
  std::vector<RouteState> Routes();
  std::vector<ConnectionState> Connections() const;
  // ResumeRoute lifts the pause of a route; false: there is none of that id.
  bool ResumeRoute(uint64_t id);
  // PauseDestination holds mail back that would go from one of our addresses ("any": from
  // whichever) to a server or a domain of this name; what is under way goes on. ResumeDestination
  // ends that, and the mail goes within RelayOptions::paused_wait. false: it was so already, or
  // (Pause) there are max_paused.
  bool PauseDestination(PausedRelay what);
  bool ResumeDestination(const PausedRelay& what) { return paused_.erase(what) > 0; }
  const std::set<PausedRelay>& paused() const { return paused_; }

 private:
  // Idle is a connection that waits for another message, in idle_; until its batch is recorded, in
  // a list of its own. The Timer is for the end of its patience.
  struct Idle : rt::Timer {
    Idle(RelayDeliverer* of, std::string what, std::unique_ptr<Connection> idle)
        : owner(of), key(std::move(what)), connection(std::move(idle)) {}
    RelayDeliverer* owner;
    std::string key;
    std::unique_ptr<Connection> connection;
    std::list<Idle>::iterator place;  // in idle_
  };
  struct StopTimer : rt::Timer {
    RelayDeliverer* owner = nullptr;
  };
  // Active says for as long as it lives that a connection is at work, for Stop.
  class Active {
   public:
    Active(std::set<Connection*>* all, Connection* one) : all_(all), one_(one) {
      all_->insert(one);
    }
    ~Active() { all_->erase(one_); }
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;

   private:
    std::set<Connection*>* all_;
    Connection* one_;
  };
  // Refusal is what a server said before a message was begun; no host: none said anything.
  struct Refusal {
    std::string host;
    std::string address;
    std::string reply;
  };
  // PenaltyKey is a route as smtpd.conf has it: one port of an address, asked from one of ours.
  // What stands behind another port is another server.
  struct PenaltyKey {
    std::optional<IpAddress> source;
    std::string server;  // RelayTarget::Name
    uint16_t port = 0;
    auto operator<=>(const PenaltyKey&) const = default;
  };
  struct Penalty {
    Instant until;
    Instant failed;    // when that was last
    std::string host;  // the server's name
    int failures = 0;
    mail::Reply reason;  // of the last failure
    Refusal refusal;     // of the last failure
  };
  // Failure is why there is no connection. held_back is not empty when none was tried.
  struct Failure {
    mail::Reply reply;
    std::string held_back;
    Refusal refusal;
    bool at_limit = false;  // of ours; or we stop: another server would not help
  };
  // Share is one of the limits that a connection counts in.
  struct Share {
    std::string key;
    size_t most = 0;  // 0: any number
    Duration delay;
  };
  // Place is one connection's shares of the limits.
  class Place;

  static schedule::DeliveryResult::Outcome OutcomeForReply(queue::RelayOutcome outcome);
  // SameFate gives all of `batch` the same failure, which no server said about a recipient.
  static std::vector<schedule::DeliveryResult> SameFate(const std::vector<queue::Envelope>& batch,
                                                        const mail::Reply& reply);
  // Carry sends `message`, whose recipients are those of `batch`, with the text `body`. What is
  // kept until it is Recorded is kept under `first_of_batch`.
  rt::Task<std::vector<schedule::DeliveryResult>> Carry(std::vector<queue::Envelope> batch,
                                                        std::shared_ptr<const RelaySettings> shared,
                                                        smtp::OutgoingMessage message,
                                                        std::shared_ptr<const store::Body> body,
                                                        queue::EnvelopeId first_of_batch);
  rt::Task<std::vector<queue::RelayTarget>> FindTargets(RelaySettings settings,
                                                        mail::Reply* failure);
  // LoopReply says that the mail of `settings` comes back to us.
  static mail::Reply LoopReply(const RelaySettings& settings);
  rt::Task<std::unique_ptr<Connection>> OpenAny(std::shared_ptr<const RelaySettings> settings,
                                                std::string key, std::string session,
                                                Failure* failure);
  rt::Task<std::unique_ptr<Connection>> OpenOther(queue::Envelope envelope,
                                                  std::shared_ptr<const RelaySettings>* settings,
                                                  std::string* key, std::string session,
                                                  Failure* failure);
  // TakePlace counts `connection` in its shares until it is gone.
  void TakePlace(Connection* connection, const std::vector<Share>& shares);
  static std::vector<Share> SharesOf(const RelaySettings& settings, const std::string& key,
                                     const queue::RelayTarget& target);
  // FreeAt tells when a connection with these shares may be opened: Instant::Never() while one of
  // them is used up.
  Instant FreeAt(const std::vector<Share>& shares) const;
  void RememberConnection(const std::vector<Share>& shares);
  // Pause waits for the session-transaction-delay of a connection that was used before.
  rt::Task<void> Pause(Connection* connection);
  std::unique_ptr<Connection> TakeIdle(const std::string& key);
  // MakeRoom says good-bye on the oldest idle connection that holds a share which `wanted` lacks:
  // one kept for another destination must not keep mail for this one waiting.
  void MakeRoom(const std::vector<Share>& wanted);
  // Waiting makes what KeepIdle takes, so that KeepIdle takes no memory.
  std::list<Idle> Waiting(const std::string& key, std::unique_ptr<Connection> connection);
  void KeepIdle(std::list<Idle> one) noexcept;
  rt::Task<void> SayGoodBye(std::unique_ptr<Connection> connection);
  // Retire says good-bye; without memory for that it closes at once.
  void Retire(std::unique_ptr<Connection> connection) noexcept;
  // Blocked returns the penalty of a route that is to be left alone; null when it is not.
  const Penalty* Blocked(const PenaltyKey& key) const;
  void NotReached(const PenaltyKey& key, const std::string& host, const mail::Reply& reason,
                  const Refusal& refusal);
  bool IsPaused(const RelaySettings& settings, const queue::Envelope& envelope) const;
  static std::vector<schedule::DeliveryResult> ResultsOf(const std::vector<queue::Envelope>& batch,
                                                         const Failure& failure);
  static std::vector<schedule::DeliveryResult> ResultsOf(
      const std::vector<queue::Envelope>& batch, const std::vector<smtp::RecipientResult>& fates,
      const Connection& connection);

  rt::World& world_;
  rt::Executor& loop_;
  store::Queue& queue_;
  resolve::Resolver& resolver_;
  RouteSource& routes_;
  LogSink& log_;
  const RelayOptions options_;
  std::atomic<size_t> max_batches_;

  std::list<Idle> idle_;
  std::map<queue::EnvelopeId, std::list<Idle>> unrecorded_;  // by the batch's first envelope
  std::set<Connection*> active_;
  std::map<std::string, size_t> in_use_;            // by Share::key
  std::map<std::string, Instant> last_connection_;  // by Share::key, of those with a delay
  std::map<PenaltyKey, Penalty> penalties_;
  std::map<PenaltyKey, uint64_t> route_ids_;  // of those that were shown
  uint64_t next_route_id_ = 1;
  std::set<PausedRelay> paused_;
  std::set<std::string> without_scram_;  // keys of connections whose server refused it
  rt::Event freed_;                      // a place was given back, or Stop
  rt::TaskGroup good_byes_;
  StopTimer stop_timer_;
  bool stopping_ = false;
};

}  // namespace postern::relay
