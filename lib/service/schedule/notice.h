// Notices: the message that tells a sender of failures, delays and successes, put together from
// what the queue knows.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/message/dsn.h"
#include "lib/core/queue/envelope.h"
#include "lib/rt/random.h"
#include "lib/rt/task.h"
#include "lib/service/schedule/deliverer.h"
#include "lib/store/queue/queue.h"

namespace postern::schedule {

// NoticeRouter tells where a notice goes: the server's composition applies its rules to the
// address.
class NoticeRouter {
 public:
  virtual ~NoticeRouter() = default;
  // Route returns the envelopes for a notice to `recipient`, with kind, action, recipient,
  // destination, account and server_name filled in. kUnavailable: try again later. Any other error:
  // nobody takes mail for that address, and the notice is dropped.
  virtual rt::Task<StatusOr<std::vector<queue::Envelope>>> Route(mail::Address recipient) = 0;
};

// kExpiredPrefix stands before the last error of an envelope that waited as long as it may, in the
// log and in DeliveryResult::text.
inline constexpr std::string_view kExpiredPrefix = "Envelope expired: ";

// NoticeItem is one recipient's part of a notice.
struct NoticeItem {
  queue::Envelope envelope;
  DeliveryResult result;
  std::shared_ptr<const store::Body>
      body;  // set where the message may be gone from the queue by then
};

// NoticeNeedsUtf8 tells whether the notice about a message goes to an address that is not ASCII: no
// other may need SMTPUTF8, as it must reach a sender whose servers know nothing of it (RFC 6533 §4;
// recipients are then told as utf-8-addr-xtext, §3).
bool NoticeNeedsUtf8(const queue::Envelope& about);

// BuildNotice writes the notice about `items`, which are of one message and at least one; their
// last_attempt is when the last attempt was made.
// `original` is the message or the start of it.
std::string BuildNotice(message::DsnAction action, const std::vector<NoticeItem>& items,
                        std::string_view original, const std::string& server_name, WallTime now,
                        rt::Random& random);

}  // namespace postern::schedule
