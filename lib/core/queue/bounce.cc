#include "lib/core/queue/bounce.h"

namespace postern::queue {

bool MayNotify(const Envelope& envelope) {
  return !envelope.sender.address.empty() && !envelope.bounce &&
         (envelope.dsn_notify & mail::kNotifyNever) == 0;
}

bool WantsFailure(const Envelope& envelope) {
  if (!MayNotify(envelope)) return false;
  return envelope.dsn_notify == mail::kNotifyUnset ||
         (envelope.dsn_notify & mail::kNotifyFailure) != 0;
}

bool WantsSuccess(const Envelope& envelope) {
  return MayNotify(envelope) && (envelope.dsn_notify & mail::kNotifySuccess) != 0;
}

bool WantsDelay(const Envelope& envelope) {
  if (!MayNotify(envelope)) return false;
  return envelope.dsn_notify == mail::kNotifyUnset ||
         (envelope.dsn_notify & mail::kNotifyDelay) != 0;
}

bool ReturnsFull(const Envelope& envelope) {
  return envelope.sender.dsn_return == mail::DsnReturn::kFull;
}

std::optional<uint32_t> DelayNoticeDue(const Envelope& envelope, WallTime now,
                                       std::span<const Duration> warn_intervals) {
  if (!WantsDelay(envelope)) return std::nullopt;
  uint32_t passed = 0;
  while (passed < warn_intervals.size() && now >= envelope.created + warn_intervals[passed])
    ++passed;
  if (passed <= envelope.delay_notices) return std::nullopt;
  return passed;
}

std::optional<WallTime> NextDelayNotice(const Envelope& envelope,
                                        std::span<const Duration> warn_intervals) {
  if (!WantsDelay(envelope) || envelope.delay_notices >= warn_intervals.size()) return std::nullopt;
  return envelope.created + warn_intervals[envelope.delay_notices];
}

}  // namespace postern::queue
