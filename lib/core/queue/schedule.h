// When an envelope is tried again, and which of those that are due goes first.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/queue/envelope.h"

namespace postern::queue {

struct RetryPolicy {
  Duration relay_base = absl::Seconds(400);
  Duration local_base = absl::Seconds(10);
  // jitter is the share of the interval that chance adds, so that messages that failed together do
  // not return together.
  double jitter = 0.1;
  // least_delay bounds how soon the next attempt can come.
  Duration least_delay = absl::Seconds(5);
};

// NextAttempt returns when to try `envelope` again after its `attempts` failures: created + base *
// n^2, n raised until that is in the future, plus jitter; at the latest when `envelope` expires.
// Attempts that were made for the sake of a delay notice do not count.
// `chance` is a random number in [0, 1). A `created` in the future (a clock that was set back)
// counts as now.
WallTime NextAttempt(const RetryPolicy& policy, const Envelope& envelope, WallTime now,
                     double chance);

// HasExpired tells whether a temporary failure of an attempt made at `now` is the last one. There
// is always an attempt after the expiry: a server that was off for a week, or whose clock jumped,
// tries before it gives up.
bool HasExpired(const Envelope& envelope, WallTime now);

// SteadyClock is the queue's time: the wall clock as it was at the start, carried on by the
// monotonic one, so that a clock that is set while we run neither makes everything due nor lets
// anything expire. It follows the wall clock at no more than a tenth of the speed of time. One
// thread at a time.
class SteadyClock {
 public:
  SteadyClock(Instant monotonic, WallTime wall) : last_monotonic_(monotonic), time_(wall) {}
  // Now returns the queue's time, given what both clocks show. It never goes backwards.
  WallTime Now(Instant monotonic, WallTime wall);

 private:
  Instant last_monotonic_;
  WallTime time_;
};

struct ReadyLimits {
  size_t max_in_flight = 1000;                 // envelopes handed to deliverers at once
  size_t max_in_flight_per_destination = 100;  // of one DestinationKey
  // A relay's destination begins with so many in flight: each delivery allows one more, up to the
  // limit above, and each attempt that no server answered half as many. So a dead host, which keeps
  // every attempt for its whole timeout, does not take all connections from the others.
  size_t first_in_flight_per_destination = 10;
  // kept in memory, at a kilobyte or two each; the rest stays in the store until there is room
  size_t max_ready = 10000;
  size_t max_ready_per_destination = 500;  // so that one dead host cannot fill it
};

// ReadyQueue holds the envelopes that are due and says which go next: destinations take turns, the
// envelopes of one go in the order they came. It knows those in flight and never holds or hands out
// one twice.
class ReadyQueue {
 public:
  explicit ReadyQueue(const ReadyLimits& limits) : limits_(limits) {}
  // SetLimits is for what begins from now on; what is ready or in flight beyond them stays so.
  void SetLimits(const ReadyLimits& limits) { limits_ = limits; }

  enum class Offer { kTaken, kKnown, kFull };
  // Add takes `envelope`, unless it is known already (ready or in flight) or there is no room for
  // it: then it stays in the store, and DueAgain says when to look.
  Offer Add(Envelope envelope);

  // Next returns up to `max_batch` envelopes of one destination (of one message when
  // `same_message`), or none when nothing may go now. They are in flight until Finished. Where only
  // some of what is ready may share a batch it looks at kMaxTurns destinations, no more.
  static constexpr size_t kMaxTurns = 200;
  struct BatchRule {
    size_t max_batch = 100;
    bool same_message = false;
    bool across_destinations = false;  // local deliveries of different accounts may share a batch
    bool same_action = false;          // with across_destinations: of one action alone
    bool same_forwarder = false;       // with same_message: of one ForwarderOf alone
    // of one DestinationKey in flight at once, where that is fewer than the ReadyLimits allow
    size_t max_per_destination = SIZE_MAX;
  };
  std::vector<Envelope> Next(Envelope::Kind kind, const BatchRule& rule);

  // Answered and Unanswered tell how a relay's destination fares, of each envelope before it is
  // Finished.
  void Answered(uint64_t destination_key);
  void Unanswered(uint64_t destination_key);

  // Finished takes `id` out of flight.
  void Finished(EnvelopeId id);

  // Forget drops a ready envelope (removed or held by the operator); false when it is not there (it
  // may be in flight).
  bool Forget(EnvelopeId id);

  // Crowded lists the destinations (DestinationKey, as the store has it) that have no room for
  // more: a search for due envelopes should pass over them.
  std::vector<uint64_t> Crowded() const;

  bool InFlight(EnvelopeId id) const { return in_flight_.contains(id); }
  size_t ready() const { return ready_count_; }
  size_t in_flight() const { return in_flight_.size(); }
  bool HasRoom() const { return ready_count_ < limits_.max_ready; }

 private:
  struct Destination {
    uint64_t key = 0;  // DestinationKey, the same for all local kinds
    std::deque<Envelope> ready;
    size_t in_flight = 0;
    size_t window = 0;    // of a relay: a batch begins below so many in flight; 0: not known yet
    bool listed = false;  // stands in its kind's round
  };
  // KeyOf parts an account's mail by its kinds, which go to deliverers of their own.
  static uint64_t KeyOf(const Envelope& envelope);
  void List(uint64_t key, Destination& destination, Envelope::Kind kind);

  ReadyLimits limits_;
  std::unordered_map<uint64_t, Destination> destinations_;  // by KeyOf
  std::deque<uint64_t> rounds_[4];        // by kind: destinations with ready envelopes, in turn
  std::unordered_set<EnvelopeId> known_;  // ready ones
  std::unordered_map<EnvelopeId, uint64_t> in_flight_;  // with their KeyOf
  size_t ready_count_ = 0;
};

}  // namespace postern::queue
