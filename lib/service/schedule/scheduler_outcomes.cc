// What becomes of an envelope after an attempt: delivered, tried again later, or given up.
#include <algorithm>
#include <new>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/queue/bounce.h"
#include "lib/service/schedule/delivery_log.h"
#include "lib/service/schedule/scheduler.h"

namespace postern::schedule {

using message::DsnAction;
using queue::Envelope;
using store::Change;

namespace {

constexpr size_t kMaxFailingDestinations = 10000;

mail::EnhancedStatus StatusFor(const DeliveryResult& result) {
  if (!result.status.empty()) return result.status;
  switch (result.outcome) {
    case DeliveryResult::Outcome::kDelivered: return {2, 0, 0};
    case DeliveryResult::Outcome::kTemporary: return {4, 0, 0};
    case DeliveryResult::Outcome::kPermanent: break;
  }
  return {5, 0, 0};
}

// SaysOnlyThatItWasHeldBack is true where nobody met with anything: too many connections, a stop.
bool SaysOnlyThatItWasHeldBack(const DeliveryResult& result) {
  return !result.held_back.empty() && result.text.find(result.held_back) != std::string::npos;
}

// TellLastFailure puts into `result`, of an envelope that was held back, what its own last attempt
// met with, if there was one: that is the reason that people are told, and that stays stored.
void TellLastFailure(const Envelope& envelope, DeliveryResult& result) {
  if (envelope.last_error.empty()) return;
  result.text = envelope.last_error;
  result.status = envelope.last_status;
  result.remote_host = envelope.last_host;
  result.reply.clear();
  if (envelope.last_host.empty()) return;
  const std::string mark = AnswerMark(envelope.last_host);
  const size_t quoted = envelope.last_error.find(mark);
  result.reply = quoted == std::string::npos ? envelope.last_error
                                             : envelope.last_error.substr(quoted + mark.size());
}

}  // namespace

void Scheduler::Handle(NoticeItem item) {
  Envelope& envelope = item.envelope;
  DeliveryResult& result = item.result;
  const WallTime now = queue_.Now();
  std::string logged = result.text;
  if (result.held_back.empty()) {
    envelope.last_attempt = now;
  } else {
    TellLastFailure(envelope, result);
    logged = SaysOnlyThatItWasHeldBack(result) ? result.text
                                               : StrCat(result.held_back, ": ", result.text);
  }
  result.status = StatusFor(result);
  if (result.outcome == DeliveryResult::Outcome::kTemporary && queue::HasExpired(envelope, now)) {
    ++counters_.expired;
    result.outcome = DeliveryResult::Outcome::kPermanent;
    result.text = StrCat(kExpiredPrefix, result.text);
    logged = result.text;
    result.status = mail::EnhancedStatus{5, 4, 7};  // RFC 3463 §3.5: delivery time expired
  }
  try {
    log_.Write(DeliveryRecord(envelope, result, logged, now));
  } catch (const std::bad_alloc&) {
    // What became of it is recorded without a line in the log.
  }
  switch (result.outcome) {
    case DeliveryResult::Outcome::kDelivered: return HandleDelivered(std::move(item));
    case DeliveryResult::Outcome::kTemporary: return HandleTemporary(std::move(item));
    case DeliveryResult::Outcome::kPermanent: return HandlePermanent(std::move(item));
  }
}

void Scheduler::HandleDelivered(NoticeItem item) {
  const Envelope& envelope = item.envelope;
  DeliveryResult& result = item.result;
  const bool relay = envelope.kind == Envelope::Kind::kRelay;
  ++(relay ? counters_.relayed : counters_.delivered);
  const uint64_t key = queue::DestinationKey(envelope);
  if (relay) ready_.Answered(key);
  if (relay && failing_destinations_.erase(key) > 0) tasks_.Spawn(Reschedule(key));
  Change change;
  change.id = envelope.id;
  change.fate = Change::Fate::kDelivered;
  // A second attempt of what left our hands is a second copy there: the record does not wait for
  // company.
  change.urgent = envelope.kind != Envelope::Kind::kLocal;
  if (queue::WantsSuccess(envelope) && (envelope.expanded || !result.remote_reports_dsn)) {
    // The delivery is recorded at once, not when its notice is stored: a notice too few is the
    // lesser harm.
    std::vector<Change> changes;
    changes.push_back(std::move(change));
    queue_.Record(std::move(changes));
    if (envelope.expanded) {
      // What became of one of the members is not told.
      result.text.clear();
      result.reply.clear();
      result.remote_host.clear();
      return AddNotice(DsnAction::kExpanded, std::move(item));
    }
    return AddNotice(relay ? DsnAction::kRelayed : DsnAction::kDelivered, std::move(item));
  }
  std::vector<Change> changes;
  changes.push_back(std::move(change));
  queue_.Record(std::move(changes));
  Finish(envelope);
}

void Scheduler::HandleTemporary(NoticeItem item) {
  Envelope& envelope = item.envelope;
  const DeliveryResult& result = item.result;
  ++counters_.deferred;
  if (result.reply.empty()) ready_.Unanswered(queue::DestinationKey(envelope));
  const WallTime now = queue_.Now();
  if (result.held_back.empty()) ++envelope.attempts;
  envelope.fresh = false;
  if (!SaysOnlyThatItWasHeldBack(result)) {
    envelope.last_status = result.status;
    envelope.last_error = result.text;
    envelope.last_host = result.reply.empty() ? std::string() : result.remote_host;
  }
  const std::optional<uint32_t> notices =
      queue::DelayNoticeDue(envelope, now, options_.warn_intervals);
  if (notices.has_value()) envelope.delay_notices = *notices;
  envelope.next_attempt = result.retry_after ? now + std::max(*result.retry_after, absl::Seconds(1))
                                             : queue::NextAttempt(options_.retry, envelope, now,
                                                                  world_.random().Unit());
  if (const std::optional<WallTime> warn =
          queue::NextDelayNotice(envelope, options_.warn_intervals)) {
    envelope.next_attempt =
        std::min(envelope.next_attempt, std::max(*warn, now + options_.retry.least_delay));
  }
  // The store keeps whole microseconds.
  envelope.next_attempt = absl::FromUnixMicros(absl::ToUnixMicros(envelope.next_attempt));
  next_due_ = std::min(next_due_, envelope.next_attempt);
  // Only a server that could not be asked is worth another try when it answers again. One that said
  // "later" to this recipient is not asked at once because another of its recipients was taken (RFC
  // 5321 §4.5.4.1: the sender must delay).
  const bool unreachable =
      result.reply.empty() || result.before_message || !result.held_back.empty();
  if (envelope.kind == Envelope::Kind::kRelay && unreachable &&
      failing_destinations_.size() < kMaxFailingDestinations) {
    failing_destinations_.insert(queue::DestinationKey(envelope));
  }
  if (notices.has_value()) return AddNotice(DsnAction::kDelayed, std::move(item));
  std::vector<Change> changes(1);
  changes[0].kind = Change::Kind::kUpdate;
  changes[0].id = envelope.id;
  changes[0].envelope = envelope;
  queue_.Record(std::move(changes));
  Finish(envelope);
}

void Scheduler::HandlePermanent(NoticeItem item) {
  const Envelope& envelope = item.envelope;
  const DeliveryResult& result = item.result;
  ++counters_.failed;
  if (queue::WantsFailure(envelope)) return AddNotice(DsnAction::kFailed, std::move(item));
  // RFC 5321 §4.5.5: of what came from the null sender nobody is told.
  ++counters_.dropped;
  LogEvent(LogLevel::kWarning, "failure without a notice", envelope, result.text);
  std::vector<Change> changes(1);
  changes[0].id = envelope.id;
  changes[0].fate = Change::Fate::kFailed;
  changes[0].urgent = true;
  queue_.Record(std::move(changes));
  Finish(envelope);
}

}  // namespace postern::schedule
