#include "lib/service/deliver/outcome.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/mail_file.h"
#include "lib/service/schedule/carried_body.h"

namespace postern::deliver {

using schedule::DeliveryResult;

Status Prepare(const queue::Envelope& envelope, std::shared_ptr<const store::Body>* body) {
  const StatusOr<bool> loop = WasDeliveredTo(**body, envelope.destination);
  if (!loop.ok()) return loop.status();
  if (*loop) {
    return Error(StatusCode::kAborted,
                 StrCat("Loop detected: the message was delivered to ",
                        envelope.destination.ToString(), " before (Delivered-To)"));
  }
  if (envelope.sender.body != mail::BodyType::kBinaryMime) return OkStatus();
  message::DowngradeOptions options;
  options.max_line_bytes = std::numeric_limits<size_t>::max();  // a file has no longest line
  StatusOr<schedule::CarriedBody> carried =
      schedule::CarryBody(*body, message::Carriage::k8BitLines, options);
  if (carried.status().code() == StatusCode::kFailedPrecondition) {
    return InvalidArgument(
        StrCat("The mailbox holds text lines only, and ", Message(carried.status())));
  }
  if (!carried.ok()) return carried.status();
  *body = std::move(carried->body);
  return OkStatus();
}

DeliveryResult ResultOf(const queue::Envelope& envelope, const Status& outcome,
                        Duration momentary_retry) {
  DeliveryResult result;
  result.id = envelope.id;
  if (outcome.ok()) {
    result.outcome = DeliveryResult::Outcome::kDelivered;
    result.text = "Delivered";
    result.status = mail::EnhancedStatus{2, 0, 0};
    return result;
  }
  result.text = std::string(Message(outcome));
  const auto permanent = [&result](mail::EnhancedStatus status) {
    result.outcome = DeliveryResult::Outcome::kPermanent;
    result.status = status;
  };
  switch (outcome.code()) {
    case StatusCode::kNotFound:
      if (ErrnoOf(outcome) != 0) {
        result.status = mail::EnhancedStatus{4, 2, 0};
        break;
      }
      permanent({5, 1, 1});
      break;
    case StatusCode::kUnimplemented: permanent({5, 3, 5}); break;
    case StatusCode::kInvalidArgument:
      // … but not what a call of the system finds invalid.
      if (ErrnoOf(outcome) == 0) {
        permanent({5, 6, 3});
      } else {
        result.status = mail::EnhancedStatus{4, 3, 0};
      }
      break;
    case StatusCode::kAborted: permanent({5, 4, 6}); break;  // RFC 3463 §3.5: routing loop
    case StatusCode::kResourceExhausted: result.status = mail::EnhancedStatus{4, 2, 2}; break;
    case StatusCode::kUnavailable:
      if (ErrnoOf(outcome) != 0) {
        result.status = mail::EnhancedStatus{4, 3, 0};
        break;
      }
      result.status = mail::EnhancedStatus{4, 2, 1};
      result.retry_after =
          momentary_retry * (std::min(envelope.attempts, kMaxMomentaryRetries - 1) + 1);
      break;
    default: result.status = mail::EnhancedStatus{4, 3, 0}; break;
  }
  return result;
}

Status ByTheSchedule(const Status& status) {
  if (status.code() != StatusCode::kUnavailable) return status;
  return Internal(std::string(Message(status)));
}

}  // namespace postern::deliver
