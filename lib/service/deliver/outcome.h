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
// or quota, what is locked (kUnavailable: tried again after `locked_retry`), rights that are
// missing and everything else are temporary, as somebody may mend it.
schedule::DeliveryResult ResultOf(const queue::Envelope& envelope, const Status& outcome,
                                  Duration locked_retry);

}  // namespace postern::deliver
