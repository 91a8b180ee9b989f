#include "lib/service/deliver/local_deliverer.h"

#include <algorithm>
#include <deque>
#include <map>
#include <new>
#include <set>
#include <tuple>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/helper_jobs.h"
#include "lib/service/deliver/mbox.h"
#include "lib/service/deliver/outcome.h"

namespace postern::deliver {
using schedule::DeliveryResult;

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
  std::vector<Asked> asked(batch.size());
  const bool waits =
      std::any_of(batch.begin(), batch.end(),
                  [this](const queue::Envelope& envelope) { return targets_.MayWait(envelope); });
  if (waits) {
    auto ask = loop.RunOutside([&] {
      for (size_t i = 0; i < batch.size(); ++i) {
        if (targets_.MayWait(batch[i])) asked[i] = targets_.ResolveTarget(batch[i]);
      }
    });
    co_await ask;
  }
  co_await loop.RunBlocking([&] { DeliverAll(deliveries, asked); });
  std::vector<DeliveryResult> results;
  results.reserve(deliveries.size());
  for (const Delivery& delivery : deliveries)
    results.push_back(ResultOf(*delivery.envelope, delivery.outcome, options_.locked_retry));
  co_return results;
}

void LocalDeliverer::DeliverAll(std::vector<Delivery>& deliveries, std::vector<Asked>& asked) {
  std::map<std::tuple<uint32_t, uint32_t, std::vector<uint32_t>>, std::unique_ptr<rt::Files>>
      accounts;
  std::vector<Delivery*> maildirs;
  std::vector<Delivery*> helped;
  for (size_t i = 0; i < deliveries.size(); ++i) {
    Delivery& delivery = deliveries[i];
    if (!delivery.outcome.ok()) continue;
    StatusOr<LocalTarget> target =
        asked[i].has_value() ? *std::move(asked[i]) : targets_.ResolveTarget(*delivery.envelope);
    if (!target.ok()) {
      delivery.outcome = ByTheSchedule(target.status());
      continue;
    }
    delivery.target = *std::move(target);
    delivery.files = &world_.files();
    const bool by_helper = world_.helper() != nullptr && delivery.target.run_as.has_value();
    if (const std::optional<rt::Credentials>& who = delivery.target.run_as; who && !by_helper) {
      std::unique_ptr<rt::Files>& files = accounts[{who->uid, who->gid, who->groups}];
      if (files == nullptr) files = world_.files().As(*who);
      delivery.files = files.get();
    }
    if (delivery.target.kind != LocalTarget::Kind::kNowhere) {
      delivery.outcome = ByTheSchedule(Prepare(*delivery.envelope, &delivery.body));
      if (!delivery.outcome.ok()) continue;
    }
    switch (delivery.target.kind) {
      case LocalTarget::Kind::kMaildir:
        if (by_helper && delivery.target.run_as->uid == 0) {
          // Nothing of root's is done but what the system has for it: its mailbox.
          delivery.outcome = Unimplemented("MDA not allowed to deliver to: root");
          break;
        }
        (by_helper ? helped : maildirs).push_back(&delivery);
        break;
      case LocalTarget::Kind::kMbox:
        if (by_helper) {
          helped.push_back(&delivery);
          break;
        }
        delivery.outcome =
            AppendToMbox(delivery, world_.files(), world_.clock().WallNow(), &names_);
        break;
      case LocalTarget::Kind::kNowhere: break;
      case LocalTarget::Kind::kProgram:
      case LocalTarget::Kind::kLmtp:
        // The operator changed the action since the scheduler took it up.
        delivery.outcome = Unavailable("its action delivers in another way now");
        break;
    }
  }
  MaildirBatch batch(options_.host_name, &names_);
  batch.Deliver(maildirs);
  DeliverByHelper(helped);
  for (Delivery* const delivery : helped) {
    if (delivery->target.kind == LocalTarget::Kind::kMaildir) maildirs.push_back(delivery);
  }
  if (!options_.on_maildir_changed) return;
  try {
    std::set<std::string> changed;
    for (const Delivery* delivery : maildirs) {
      if (delivery->outcome.ok()) changed.insert(delivery->target.path);
    }
    for (const std::string& path : changed) options_.on_maildir_changed(path);
  } catch (const std::bad_alloc&) {
    // Delivered is delivered: idle sessions look now and then without being told.
  }
}

void LocalDeliverer::DeliverByHelper(const std::vector<Delivery*>& deliveries) {
  struct Begun {
    Delivery* delivery = nullptr;
    std::unique_ptr<rt::HelperAnswer> answer;
  };
  std::deque<Begun> begun;
  // Users of whom a delivery did not end in its time: the others of this batch do not wait for
  // their next ones, too.
  std::set<uint32_t> slow;
  const auto finish = [&] {
    Begun& first = begun.front();
    first.answer->Wait(options_.helper_limit);
    first.delivery->outcome = MailboxOutcome(first.answer->Result());
    if (first.delivery->outcome.code() == StatusCode::kDeadlineExceeded)
      slow.insert(first.delivery->target.run_as->uid);
    begun.pop_front();
  };
  for (Delivery* const delivery : deliveries) {
    if (begun.size() >= options_.max_helped) finish();
    if (slow.contains(delivery->target.run_as->uid)) {
      delivery->outcome = DeadlineExceeded("a delivery for the same user did not end in time");
      continue;
    }
    // Two at one mbox would meet each other's lock.
    const auto at_same_mbox = [delivery](const Begun& other) {
      return delivery->target.kind == LocalTarget::Kind::kMbox &&
             other.delivery->target.path == delivery->target.path;
    };
    while (std::any_of(begun.begin(), begun.end(), at_same_mbox)) finish();
    std::string text;
    StatusOr<rt::HelperCall> call = MailboxCall(*delivery, options_.host_name, &text);
    if (call.ok()) call->time_limit = options_.helper_limit;
    StatusOr<std::unique_ptr<rt::HelperAnswer>> answer =
        call.ok() ? world_.helper()->Begin(*call)
                  : StatusOr<std::unique_ptr<rt::HelperAnswer>>(call.status());
    if (answer.ok()) {
      begun.push_back(Begun{delivery, *std::move(answer)});
    } else {
      delivery->outcome = answer.status();
    }
  }
  while (!begun.empty()) finish();
}

}  // namespace postern::deliver
