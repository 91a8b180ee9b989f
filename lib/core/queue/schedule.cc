#include "lib/core/queue/schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace postern::queue {

WallTime NextAttempt(const RetryPolicy& policy, const Envelope& envelope, WallTime now,
                     double chance) {
  const Duration base =
      envelope.kind == Envelope::Kind::kRelay ? policy.relay_base : policy.local_base;
  const WallTime created = std::min(envelope.created, now);
  const uint32_t extra = std::min(envelope.attempts, envelope.delay_notices);
  double n = std::max<double>(1, envelope.attempts - extra);
  // The first n with created + base * n^2 beyond now.
  const double passed = absl::FDivDuration(now - created, base);
  n = std::max(n, std::floor(std::sqrt(std::max(0.0, passed))) + 1);
  WallTime next = created + base * (n * n);
  const WallTime previous = std::max(now, created + base * ((n - 1) * (n - 1)));
  next += (next - previous) * policy.jitter * chance;
  // The last attempt comes with the expiry, not long after it.
  next = std::min(next, std::max(envelope.expires(), now));
  return std::max(next, now + policy.least_delay);
}

bool HasExpired(const Envelope& envelope, WallTime now) { return now >= envelope.expires(); }

WallTime SteadyClock::Now(Instant monotonic, WallTime wall) {
  if (monotonic <= last_monotonic_) return time_;
  const Duration passed = monotonic - last_monotonic_;
  last_monotonic_ = monotonic;
  const Duration slack = passed / 10;
  const Duration behind = wall - (time_ + passed);
  time_ += passed + std::clamp(behind, -slack, slack);
  return time_;
}

uint64_t ReadyQueue::KeyOf(const Envelope& envelope) {
  uint64_t key = DestinationKey(envelope);
  if (envelope.kind == Envelope::Kind::kLmtp) key ^= 0x9e3779b97f4a7c15;
  if (envelope.kind == Envelope::Kind::kProgram) key ^= 0x3c6ef372fe94f82a;
  return key;
}

ReadyQueue::Offer ReadyQueue::Add(Envelope envelope) {
  if (known_.contains(envelope.id) || in_flight_.contains(envelope.id)) return Offer::kKnown;
  if (ready_count_ >= limits_.max_ready) return Offer::kFull;
  const uint64_t key = KeyOf(envelope);
  Destination& destination = destinations_[key];
  destination.key = DestinationKey(envelope);
  if (destination.ready.size() >= limits_.max_ready_per_destination) return Offer::kFull;
  const Envelope::Kind kind = envelope.kind;
  known_.insert(envelope.id);
  destination.ready.push_back(std::move(envelope));
  ++ready_count_;
  List(key, destination, kind);
  return Offer::kTaken;
}

void ReadyQueue::List(uint64_t key, Destination& destination, Envelope::Kind kind) {
  if (destination.listed || destination.ready.empty()) return;
  if (destination.in_flight >= limits_.max_in_flight_per_destination) return;
  if (kind == Envelope::Kind::kRelay) {
    if (destination.window == 0) destination.window = limits_.first_in_flight_per_destination;
    if (destination.in_flight >= destination.window) return;
  }
  destination.listed = true;
  rounds_[static_cast<size_t>(kind)].push_back(key);
}

std::vector<Envelope> ReadyQueue::Next(Envelope::Kind kind, const BatchRule& rule) {
  std::vector<Envelope> batch;
  std::deque<uint64_t>& round = rounds_[static_cast<size_t>(kind)];
  const size_t max_per_destination =
      std::min(limits_.max_in_flight_per_destination, rule.max_per_destination);
  // A destination whose turn brings nothing goes behind the others: each has one turn.
  size_t turns = std::max(std::min(round.size(), kMaxTurns), rule.max_batch);
  while (!round.empty() && turns-- > 0 && batch.size() < rule.max_batch &&
         in_flight_.size() < limits_.max_in_flight) {
    const uint64_t key = round.front();
    round.pop_front();
    Destination& destination = destinations_[key];
    destination.listed = false;
    while (!destination.ready.empty() && batch.size() < rule.max_batch &&
           in_flight_.size() < limits_.max_in_flight &&
           destination.in_flight < max_per_destination) {
      Envelope& first = destination.ready.front();
      if (rule.same_message && !batch.empty() && first.message_id() != batch.front().message_id())
        break;
      if (rule.same_forwarder && !batch.empty() && ForwarderOf(first) != ForwarderOf(batch.front()))
        break;
      if (rule.same_action && !batch.empty() && first.action != batch.front().action) break;
      known_.erase(first.id);
      in_flight_.emplace(first.id, key);
      ++destination.in_flight;
      --ready_count_;
      batch.push_back(std::move(first));
      destination.ready.pop_front();
    }
    // What is left waits for its next turn, behind the others.
    List(key, destination, kind);
    if (destination.ready.empty() && destination.in_flight == 0) destinations_.erase(key);
    if (!rule.across_destinations && !batch.empty()) break;
  }
  return batch;
}

void ReadyQueue::Answered(uint64_t destination_key) {
  const auto found = destinations_.find(destination_key);
  if (found == destinations_.end()) return;
  size_t& window = found->second.window;
  if (window < limits_.max_in_flight_per_destination) ++window;
}

void ReadyQueue::Unanswered(uint64_t destination_key) {
  const auto found = destinations_.find(destination_key);
  if (found == destinations_.end()) return;
  found->second.window = std::max<size_t>(found->second.window / 2, 1);
}

void ReadyQueue::Finished(EnvelopeId id) {
  const auto flying = in_flight_.find(id);
  if (flying == in_flight_.end()) return;
  const uint64_t key = flying->second;
  in_flight_.erase(flying);
  const auto found = destinations_.find(key);
  if (found == destinations_.end()) return;
  Destination& destination = found->second;
  --destination.in_flight;
  if (!destination.ready.empty()) {
    List(key, destination, destination.ready.front().kind);
  } else if (destination.in_flight == 0 && !destination.listed) {
    destinations_.erase(found);
  }
}

bool ReadyQueue::Forget(EnvelopeId id) {
  if (known_.erase(id) == 0) return false;
  for (auto& [key, destination] : destinations_) {
    const auto found = std::find_if(destination.ready.begin(), destination.ready.end(),
                                    [id](const Envelope& envelope) { return envelope.id == id; });
    if (found == destination.ready.end()) continue;
    destination.ready.erase(found);
    --ready_count_;
    return true;
  }
  return false;
}

std::vector<uint64_t> ReadyQueue::Crowded() const {
  std::vector<uint64_t> keys;
  for (const auto& [key, destination] : destinations_) {
    if (destination.ready.size() >= limits_.max_ready_per_destination)
      keys.push_back(destination.key);
  }
  return keys;
}

}  // namespace postern::queue
