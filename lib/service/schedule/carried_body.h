// A queued message as the next place can carry it: a mailbox holds lines, and a server that does
// not offer BINARYMIME or 8BITMIME is given none of that (RFC 3030 §3, RFC 6152 §3). The queue
// keeps what came; each hop gets what fits it.
#pragma once

#include <memory>

#include "lib/core/base/status.h"
#include "lib/core/message/transfer_downgrade.h"
#include "lib/store/queue/queue.h"

namespace postern::schedule {

struct CarriedBody {
  std::shared_ptr<const store::Body> body;  // `source` itself where it fits
  bool eight_bit = false;                   // it has octets above 0x7F
  bool eight_bit_header = false;            // `source` has some in a header field
};

// CarryBody makes `source` fit for `carriage` (message::PlanDowngrade). The whole message is in
// memory while it is looked at, and not afterwards: the new body reads `source` as it is read. It
// blocks: on the pool only. kFailedPrecondition, with a sentence for the sender, when it cannot be
// made fit; other errors are those of reading.
StatusOr<CarriedBody> CarryBody(std::shared_ptr<const store::Body> source,
                                message::Carriage carriage,
                                const message::DowngradeOptions& options = {});

}  // namespace postern::schedule
