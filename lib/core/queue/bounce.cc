#include "lib/core/queue/bounce.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

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

uint8_t NotifyWithoutSuccess(uint8_t notify) {
  if (notify == mail::kNotifyUnset) return notify;
  const auto rest = static_cast<uint8_t>(notify & ~mail::kNotifySuccess);
  if (rest == mail::kNotifyUnset) return mail::kNotifyNever;
  return rest;
}

void ReportExpansionsOnce(std::vector<Envelope>& envelopes) {
  // By what the notice would name twice: the address, and the one before it if there was one.
  using Key = std::tuple<std::string_view, std::string_view, std::string_view>;
  std::map<Key, std::vector<Envelope*>> by_recipient;
  for (Envelope& envelope : envelopes) {
    if (!WantsSuccess(envelope)) continue;
    const mail::Address& recipient = envelope.recipient;
    by_recipient[Key(recipient.local_part, recipient.domain, envelope.dsn_original_recipient)]
        .push_back(&envelope);
  }
  for (auto& [key, destinations] : by_recipient) {
    if (destinations.size() < 2) continue;
    const auto local =
        std::find_if(destinations.begin(), destinations.end(),
                     [](const Envelope* e) { return e->kind == Envelope::Kind::kLocal; });
    Envelope* const teller = local == destinations.end() ? destinations.front() : *local;
    for (Envelope* envelope : destinations) {
      if (envelope != teller) envelope->dsn_notify = NotifyWithoutSuccess(envelope->dsn_notify);
    }
    teller->expanded = true;
  }
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
