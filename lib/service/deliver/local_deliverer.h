// LocalDeliverer: the scheduler's Deliverer for the mailboxes of this machine.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/rt/world.h"
#include "lib/service/deliver/local_target.h"
#include "lib/service/deliver/maildir_batch.h"
#include "lib/service/schedule/deliverer.h"
#include "lib/store/queue/queue.h"

namespace postern::deliver {

struct LocalDelivererOptions {
  std::string host_name = "localhost";  // last part of the names of Maildir files
  size_t max_batch = 512;               // deliveries that are made durable together
  size_t max_batches = 2;  // at the same time: one writes while the other waits for the disk
  // A stream of messages is gathered: one sync then serves a batch of them, and it holds up what is
  // being accepted less often. A batch waits after the start of the one before for batch_pace for
  // each delivery of that one, at most for batch_interval_max. So the second of two lone messages
  // waits for a moment that nobody notices, and beyond 1 / batch_pace = 200 messages a second the
  // batches grow to what comes in batch_interval_max.
  Duration batch_pace = absl::Milliseconds(5);
  Duration batch_interval_max = absl::Milliseconds(100);
  Duration locked_retry = absl::Seconds(5);  // of a locked mbox, to begin with (outcome.h)
  // With a helper (World::helper): calls that it does at the same time, each for deliveries to one
  // account (kMaxMaildirsOfCall), and how long one may take: the batch waits for the slowest.
  size_t max_helped = 16;
  Duration helper_limit = absl::Minutes(2);
  // on_maildir_changed is told the path of each Maildir that got mail, on the pool, so that idle
  // IMAP sessions hear of it.
  std::function<void(const std::string& path)> on_maildir_changed;
};

class LocalDeliverer final : public schedule::Deliverer {
 public:
  // `world`, `queue` and `targets` outlive it.
  LocalDeliverer(rt::World& world, store::Queue& queue, TargetResolver& targets,
                 LocalDelivererOptions options = {})
      : world_(world), queue_(queue), targets_(targets), options_(std::move(options)) {}

  queue::ReadyQueue::BatchRule Batching() const override {
    return {.max_batch = options_.max_batch, .same_message = false, .across_destinations = true};
  }
  size_t max_batches() const override { return options_.max_batches; }
  Duration batch_interval(size_t previous) const override {
    return std::min(options_.batch_pace * previous, options_.batch_interval_max);
  }
  rt::Task<std::vector<schedule::DeliveryResult>> Deliver(
      std::vector<queue::Envelope> batch) override;
  // DeliverText delivers `text`, which a wrapper made of the message of `envelope`, to `target`, a
  // Maildir or an mbox. Blocks: on the pool. Several may run beside Deliver.
  Status DeliverText(const queue::Envelope& envelope, LocalTarget target,
                     std::shared_ptr<const store::Body> text);
  // Stop does nothing: a delivery waits for nobody but the disk.
  void Stop() override {}

 private:
  // DeliverAll is the work on the pool.
  // Asked is a target that was asked for already.
  using Asked = std::optional<StatusOr<LocalTarget>>;
  void DeliverAll(std::vector<Delivery>& deliveries, std::vector<Asked>& asked);
  // DeliverFound delivers those that have a target; the outcome of others is set already.
  void DeliverFound(std::vector<Delivery>& deliveries);
  std::vector<std::vector<Delivery*>> ByAccount(const std::vector<Delivery*>& all);
  // DeliverByHelper has `deliveries` made by the helper, as their accounts.
  void DeliverByHelper(const std::vector<Delivery*>& deliveries);

  rt::World& world_;
  store::Queue& queue_;
  TargetResolver& targets_;
  const LocalDelivererOptions options_;
  rt::DurableNames names_;
  rt::DurableNames helped_names_;  // what deliveries by the helper have made durable
};

}  // namespace postern::deliver
