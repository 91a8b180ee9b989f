// What local deliveries of every kind have in common: what is looked at before, and what an outcome
// means for the envelope.
#pragma once

#include <memory>

#include "lib/core/base/status.h"
#include "lib/core/queue/envelope.h"
#include "lib/service/schedule/deliverer.h"
#include "lib/store/queue/queue.h"

namespace postern::deliver {

// Prepare makes `*body` fit for a mailbox or a program, which take lines: a message that was sent
// with BODY=BINARYMIME is put in another form (kInvalidArgument when that cannot be done). kAborted
// for a loop: the message has a Delivered-To with the destination already. Blocks.
Status Prepare(const queue::Envelope& envelope, std::shared_ptr<const store::Body>* body);

// ResultOf says what `outcome` means for `envelope`. An account that is no more (kNotFound without
// an errno), an action that cannot deliver (kUnimplemented), what Prepare refused and a recipient
// of whom no path can be made (kInvalidArgument) and a loop (kAborted) are permanent; a full disk
// or quota, rights that are missing and everything else are temporary, as somebody may mend it.
// Only what is held for a moment (kUnavailable without an errno: a lock, a place among those who
// are served) asks for an attempt before the schedule's: after `momentary_retry`, and as much later
// after each attempt, up to kMaxMomentaryRetries of it. A lock may be left by the dead, and the
// mail that waits for it be much.
schedule::DeliveryResult ResultOf(const queue::Envelope& envelope, const Status& outcome,
                                  Duration momentary_retry);
inline constexpr uint32_t kMaxMomentaryRetries = 12;

// ByTheSchedule makes of a kUnavailable that is nobody's lock (a table's program that is not there,
// an action that is gone) a failure that waits for the schedule; others stay.
Status ByTheSchedule(const Status& status);

}  // namespace postern::deliver
