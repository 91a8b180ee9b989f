// What an operator asks of the queue.
#include <algorithm>
#include <optional>
#include <utility>

#include "lib/service/schedule/scheduler.h"

namespace postern::schedule {

using queue::Envelope;
using queue::EnvelopeId;
using store::Change;

rt::Task<Status> Scheduler::ScheduleNow(EnvelopeId id) {
  ++reads_;
  StatusOr<Envelope> envelope = co_await queue_.Get(loop_, id);
  const bool finished = finished_while_reading_.contains(id);
  EndRead();
  if (!envelope.ok()) co_return envelope.status();
  if (finished) co_return NotFound("its delivery ended just now");
  if (envelope->held) co_return FailedPrecondition("envelope is on hold");
  if (Offer(*std::move(envelope)) == queue::ReadyQueue::Offer::kFull)
    co_return ResourceExhausted("too many are due");
  wake_.Set();
  co_return OkStatus();
}

Status Scheduler::Remove(EnvelopeId id) {
  if (ready_.InFlight(id)) return Unavailable("its delivery is under way");
  ready_.Forget(id);
  if (reads_ > 0) finished_while_reading_.insert(id);
  std::vector<Change> changes(1);
  changes[0].id = id;
  changes[0].urgent = true;
  queue_.Record(std::move(changes));
  ++counters_.removed;
  return OkStatus();
}

void Scheduler::Hold(EnvelopeId id) {
  ready_.Forget(id);
  if (reads_ > 0) finished_while_reading_.insert(id);
  std::vector<Change> changes(1);
  changes[0].kind = Change::Kind::kHold;
  changes[0].id = id;
  queue_.Record(std::move(changes));
}

void Scheduler::Release(EnvelopeId id) {
  std::vector<Change> changes(1);
  changes[0].kind = Change::Kind::kRelease;
  changes[0].id = id;
  queue_.Record(std::move(changes));
  // The store finds it once that is written; a moment later is soon enough.
  next_due_ = std::min(next_due_, queue_.Now() + absl::Seconds(1));
  wake_.Set();
}

void Scheduler::Pause(bool local) { (local ? local_paused_ : relay_paused_) = true; }

void Scheduler::Resume(bool local) {
  (local ? local_paused_ : relay_paused_) = false;
  wake_.Set();
}

std::optional<WallTime> Scheduler::InFlightSince(EnvelopeId id) const {
  if (!ready_.InFlight(id)) return std::nullopt;
  const auto found = started_.find(id);
  return found == started_.end() ? queue_.Now() : found->second;
}

void Scheduler::Look() {
  more_in_store_ = true;
  wake_.Set();
}

SchedulerCounters Scheduler::counters() const {
  SchedulerCounters counters = counters_;
  counters.ready = ready_.ready();
  counters.in_flight = ready_.in_flight();
  counters.relays_in_flight = relays_in_flight_;
  counters.relay_batches = running_batches_[static_cast<size_t>(Envelope::Kind::kRelay)];
  return counters;
}

}  // namespace postern::schedule
