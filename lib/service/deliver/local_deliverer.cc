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

namespace {

// What a delivery has in a request beside its path and its envelope, at most.
constexpr size_t kRequestBytesBeside = 128;

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
  for (size_t i = 0; i < deliveries.size(); ++i) {
    Delivery& delivery = deliveries[i];
    if (!delivery.outcome.ok()) continue;
    StatusOr<LocalTarget> target =
        asked[i].has_value() ? *std::move(asked[i]) : targets_.ResolveTarget(*delivery.envelope);
    if (!target.ok()) {
      delivery.outcome = ByTheSchedule(target.status());
      continue;
    }
    if (target->wrapped) {
      // The operator gave the action a wrapper since the scheduler took it up.
      delivery.outcome = Unavailable("its action has a wrapper now");
      continue;
    }
    delivery.target = *std::move(target);
    if (delivery.target.kind != LocalTarget::Kind::kNowhere)
      delivery.outcome = ByTheSchedule(Prepare(*delivery.envelope, &delivery.body));
  }
  DeliverFound(deliveries);
}

Status LocalDeliverer::DeliverText(const queue::Envelope& envelope, LocalTarget target,
                                   std::shared_ptr<const store::Body> text) {
  std::vector<Delivery> one(1);
  one[0].envelope = &envelope;
  one[0].body = std::move(text);
  one[0].target = std::move(target);
  one[0].has_headers = true;
  DeliverFound(one);
  return one[0].outcome;
}

void LocalDeliverer::DeliverFound(std::vector<Delivery>& deliveries) {
  std::map<std::tuple<uint32_t, uint32_t, std::vector<uint32_t>>, std::unique_ptr<rt::Files>>
      accounts;
  std::vector<Delivery*> maildirs;
  std::vector<Delivery*> helped;
  for (Delivery& delivery : deliveries) {
    if (!delivery.outcome.ok()) continue;
    delivery.files = &world_.files();
    const bool by_helper = world_.helper() != nullptr && delivery.target.run_as.has_value();
    if (const std::optional<rt::Credentials>& who = delivery.target.run_as; who && !by_helper) {
      std::unique_ptr<rt::Files>& files = accounts[{who->uid, who->gid, who->groups}];
      if (files == nullptr) files = world_.files().As(*who);
      delivery.files = files.get();
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

// ByAccount puts the Maildir deliveries of `all` together that one call of the helper makes: those
// of one account, as many as a call takes. One for an mbox stands alone, as its lock is taken for
// it alone. The order of the first of each stays.
std::vector<std::vector<Delivery*>> LocalDeliverer::ByAccount(const std::vector<Delivery*>& all) {
  struct Open {
    size_t group;
    size_t bytes;
    size_t request_bytes;
  };
  using Account = std::tuple<uint32_t, uint32_t, std::vector<uint32_t>>;
  std::map<Account, Open> open;
  std::vector<std::vector<Delivery*>> groups;
  for (Delivery* const delivery : all) {
    if (delivery->target.kind != LocalTarget::Kind::kMaildir) {
      groups.push_back({delivery});
      continue;
    }
    const rt::Credentials& who = *delivery->target.run_as;
    const Account account(who.uid, who.gid, who.groups);
    const size_t bytes = static_cast<size_t>(delivery->body->size_bytes());
    const size_t request_bytes = delivery->target.path.size() +
                                 queue::EncodeEnvelope(*delivery->envelope).size() +
                                 kRequestBytesBeside;
    const auto found = open.find(account);
    if (found != open.end()) {
      Open& last = found->second;
      if (groups[last.group].size() < kMaxMaildirsOfCall &&
          last.bytes + bytes <= kMaxMaildirBytesOfCall &&
          last.request_bytes + request_bytes <= rt::kMaxHelperRequestBytes) {
        groups[last.group].push_back(delivery);
        last.bytes += bytes;
        last.request_bytes += request_bytes;
        continue;
      }
    }
    open.insert_or_assign(account,
                          Open{groups.size(), bytes,
                               request_bytes + kRequestBytesBeside + options_.host_name.size()});
    groups.push_back({delivery});
  }
  return groups;
}

void LocalDeliverer::DeliverByHelper(const std::vector<Delivery*>& deliveries) {
  struct Begun {
    std::vector<Delivery*> group;
    std::unique_ptr<rt::HelperAnswer> answer;
  };
  std::deque<Begun> begun;
  // Users of whom a delivery did not end in its time: the others of this batch do not wait for
  // their next ones, too.
  std::set<uint32_t> slow;
  const auto finish = [&] {
    Begun& first = begun.front();
    first.answer->Wait(options_.helper_limit);
    const std::vector<Status> outcomes =
        first.group.front()->target.kind == LocalTarget::Kind::kMaildir
            ? MaildirOutcomes(first.answer->Result(), first.group.size())
            : std::vector<Status>{MboxOutcome(first.answer->Result())};
    for (size_t i = 0; i < first.group.size(); ++i) {
      Delivery& delivery = *first.group[i];
      delivery.outcome = outcomes[i];
      if (outcomes[i].ok() && delivery.target.kind == LocalTarget::Kind::kMaildir)
        helped_names_.Know(delivery.target.path);
    }
    if (outcomes.front().code() == StatusCode::kDeadlineExceeded)
      slow.insert(first.group.front()->target.run_as->uid);
    begun.pop_front();
  };
  std::vector<std::vector<Delivery*>> groups = ByAccount(deliveries);
  for (size_t i = 0; i < groups.size(); ++i) {
    std::vector<Delivery*> group = std::move(groups[i]);
    if (begun.size() >= options_.max_helped) finish();
    Delivery* const delivery = group.front();
    const auto all = [&group](const Status& outcome) {
      for (Delivery* const each : group) each->outcome = outcome;
    };
    if (slow.contains(delivery->target.run_as->uid)) {
      all(DeadlineExceeded("a delivery for the same user did not end in time"));
      continue;
    }
    const bool maildirs = delivery->target.kind == LocalTarget::Kind::kMaildir;
    // Two at one mbox would meet each other's lock.
    const auto at_same_mbox = [delivery](const Begun& other) {
      return delivery->target.kind == LocalTarget::Kind::kMbox &&
             other.group.front()->target.path == delivery->target.path;
    };
    while (std::any_of(begun.begin(), begun.end(), at_same_mbox)) finish();
    for (Delivery* const each : group)
      each->names_known = maildirs && helped_names_.Knows(each->target.path);
    std::string text;
    StatusOr<rt::HelperCall> call =
        maildirs ? MaildirCall(group, options_.host_name, &text) : MboxCall(*delivery, &text);
    if (!call.ok() && group.size() > 1) {
      // One of them cannot be read: each for itself.
      for (Delivery* const each : group) groups.push_back({each});
      continue;
    }
    if (call.ok()) call->time_limit = options_.helper_limit;
    StatusOr<std::unique_ptr<rt::HelperAnswer>> answer =
        call.ok() ? world_.helper()->Begin(*call)
                  : StatusOr<std::unique_ptr<rt::HelperAnswer>>(call.status());
    if (answer.ok()) {
      begun.push_back(Begun{std::move(group), *std::move(answer)});
    } else {
      all(answer.status());
    }
  }
  while (!begun.empty()) finish();
}

}  // namespace postern::deliver
