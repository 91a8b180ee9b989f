// Who is told what about a message that failed, waits or arrived (RFC 3461, RFC 3464): decisions
// only. The text of a notice is core/message's.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/queue/envelope.h"

namespace postern::queue {

// MayNotify tells whether anybody may be told anything about `envelope`: never for the null sender,
// never for a notice (RFC 5321 §4.5.5, RFC 3464 §2), never with NOTIFY=NEVER.
bool MayNotify(const Envelope& envelope);

// WantsFailure, WantsSuccess and WantsDelay apply NOTIFY of RFC 3461 §4.1: without it failures and
// delays are told.
bool WantsFailure(const Envelope& envelope);
bool WantsSuccess(const Envelope& envelope);
bool WantsDelay(const Envelope& envelope);

// ReportExpansionsOnce prepares the envelopes of one message, before it is stored, so that the
// success of a recipient that became several destinations (an alias, a .forward) is told once: one
// of them, a local one where there is one, is marked `expanded`, and the others no longer ask for a
// notice of success (RFC 3461 §5.2.7). A recipient with one destination stays as it is.
void ReportExpansionsOnce(std::vector<Envelope>& envelopes);

// NotifyWithoutSuccess is `notify` (mail::kNotify...) without SUCCESS; where nothing else was asked
// for, NEVER.
uint8_t NotifyWithoutSuccess(uint8_t notify);

// ReturnsFull tells whether a failure notice carries the whole message: RET=FULL (RFC 3461 §4.3).
// Headers otherwise.
bool ReturnsFull(const Envelope& envelope);

// DelayNoticeDue returns the new value of `delay_notices` when a delay notice is due at `now`,
// after an attempt that failed for the time being: the message has been here for an interval that
// was not reported yet. One notice covers all intervals passed. `warn_intervals` rise.
std::optional<uint32_t> DelayNoticeDue(const Envelope& envelope, WallTime now,
                                       std::span<const Duration> warn_intervals);

// NextDelayNotice returns when the next delay notice about `envelope` will be due; nullopt when
// there will be none. An attempt belongs at that time: nobody is told of a delay that is over, and
// nobody is told too late because the next attempt is far away.
std::optional<WallTime> NextDelayNotice(const Envelope& envelope,
                                        std::span<const Duration> warn_intervals);

}  // namespace postern::queue
