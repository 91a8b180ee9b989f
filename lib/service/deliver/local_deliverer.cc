#include "lib/service/deliver/local_deliverer.h"

#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/mbox.h"
#include "lib/service/schedule/carried_body.h"

namespace postern::deliver {
namespace {

using schedule::DeliveryResult;

// ResultOf says what the outcome of a delivery means for the envelope.
DeliveryResult ResultOf(const Delivery& delivery, Duration locked_retry) {
  DeliveryResult result;
  result.id = delivery.envelope->id;
  const Status& outcome = delivery.outcome;
  if (outcome.ok()) {
    result.outcome = DeliveryResult::Outcome::kDelivered;
    result.text = "Delivered";
    result.status = mail::EnhancedStatus{2, 0, 0};
    return result;
  }
  result.text = std::string(Message(outcome));
  switch (outcome.code()) {
    case StatusCode::kNotFound:
      if (ErrnoOf(outcome) != 0) {
        result.status = mail::EnhancedStatus{4, 2, 0};
        break;
      }
      result.outcome = DeliveryResult::Outcome::kPermanent;
      result.status = mail::EnhancedStatus{5, 1, 1};
      break;
    case StatusCode::kUnimplemented:
      result.outcome = DeliveryResult::Outcome::kPermanent;
      result.status = mail::EnhancedStatus{5, 3, 5};
      break;
    case StatusCode::kInvalidArgument:  // AsLines
      result.outcome = DeliveryResult::Outcome::kPermanent;
      result.status = mail::EnhancedStatus{5, 6, 3};
      break;
    case StatusCode::kResourceExhausted: result.status = mail::EnhancedStatus{4, 2, 2}; break;
    case StatusCode::kUnavailable:
      result.status = mail::EnhancedStatus{4, 2, 1};
      result.retry_after = locked_retry;
      break;
    default: result.status = mail::EnhancedStatus{4, 3, 0}; break;
  }
  return result;
}

// AsLines makes a message that was sent with BODY=BINARYMIME fit for a mailbox, which holds lines:
// every octet is as it was once a reader has decoded it. kInvalidArgument when that cannot be.
Status AsLines(Delivery& delivery) {
  if (delivery.envelope->sender.body != mail::BodyType::kBinaryMime) return OkStatus();
  message::DowngradeOptions options;
  options.max_line_bytes = std::numeric_limits<size_t>::max();  // a file has no longest line
  StatusOr<schedule::CarriedBody> carried =
      schedule::CarryBody(delivery.body, message::Carriage::k8BitLines, options);
  if (carried.status().code() == StatusCode::kFailedPrecondition) {
    return InvalidArgument(
        StrCat("The mailbox holds text lines only, and ", Message(carried.status())));
  }
  if (!carried.ok()) return carried.status();
  delivery.body = std::move(carried->body);
  return OkStatus();
}

}  // namespace

rt::Task<std::vector<DeliveryResult>> LocalDeliverer::Deliver(std::vector<queue::Envelope> batch) {
  rt::Executor& loop = world_.main_loop();
  std::vector<Delivery> deliveries(batch.size());
  for (size_t i = 0; i < batch.size(); ++i) {
    deliveries[i].envelope = &batch[i];
    StatusOr<std::shared_ptr<const store::Body>> body =
        co_await queue_.OpenBody(loop, batch[i].message_id());
    if (body.ok()) {
      deliveries[i].body = *std::move(body);
    } else {
      // A body that is missing or damaged must not bounce by accident: the queue has parked it, and
      // says so.
      deliveries[i].outcome = DataLoss(std::string(Message(body.status())));
    }
  }
  co_await loop.RunBlocking([&] { DeliverAll(deliveries); });
  std::vector<DeliveryResult> results;
  results.reserve(deliveries.size());
  for (const Delivery& delivery : deliveries)
    results.push_back(ResultOf(delivery, options_.locked_retry));
  co_return results;
}

void LocalDeliverer::DeliverAll(std::vector<Delivery>& deliveries) {
  std::map<std::tuple<uint32_t, uint32_t, std::vector<uint32_t>>, std::unique_ptr<rt::Files>>
      accounts;
  std::vector<Delivery*> maildirs;
  for (Delivery& delivery : deliveries) {
    if (!delivery.outcome.ok()) continue;
    StatusOr<LocalTarget> target = targets_.ResolveTarget(*delivery.envelope);
    if (!target.ok()) {
      delivery.outcome = target.status();
      continue;
    }
    delivery.target = *std::move(target);
    delivery.files = &world_.files();
    if (const std::optional<rt::Credentials>& who = delivery.target.run_as) {
      std::unique_ptr<rt::Files>& files = accounts[{who->uid, who->gid, who->groups}];
      if (files == nullptr) files = world_.files().As(*who);
      delivery.files = files.get();
    }
    if (delivery.target.kind != LocalTarget::Kind::kNowhere) {
      delivery.outcome = AsLines(delivery);
      if (!delivery.outcome.ok()) continue;
    }
    switch (delivery.target.kind) {
      case LocalTarget::Kind::kMaildir: maildirs.push_back(&delivery); break;
      case LocalTarget::Kind::kMbox:
        delivery.outcome =
            AppendToMbox(delivery, world_.files(), world_.clock().WallNow(), &names_);
        break;
      case LocalTarget::Kind::kNowhere: break;
    }
  }
  MaildirBatch batch(options_.host_name, &names_);
  batch.Deliver(maildirs);
  if (!options_.on_maildir_changed) return;
  std::set<std::string> changed;
  for (const Delivery* delivery : maildirs) {
    if (delivery->outcome.ok()) changed.insert(delivery->target.path);
  }
  for (const std::string& path : changed) options_.on_maildir_changed(path);
}

}  // namespace postern::deliver
