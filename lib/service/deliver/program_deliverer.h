// ProgramDeliverer: the scheduler's Deliverer for mail that is handed to programs: `mda`, and
// `|command` of aliases and .forward files; and for mail that goes through the wrapper of an action
// on its way to a mailbox or an LMTP server.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>

#include "lib/rt/world.h"
#include "lib/service/deliver/local_target.h"
#include "lib/service/deliver/program.h"
#include "lib/service/schedule/deliverer.h"
#include "lib/store/queue/queue.h"

namespace postern::deliver {

// WrappedSink takes on what the wrapper of an action has made of a message.
struct WrappedSink {
  // to_mailbox delivers `text` to a target that is a Maildir or an mbox. Called on the pool.
  std::function<Status(const queue::Envelope& envelope, LocalTarget target,
                       std::shared_ptr<const store::Body> text)>
      to_mailbox;
  // by_lmtp gives it to the LMTP server of the envelope's action; lines in CRLF.
  std::function<rt::Task<schedule::DeliveryResult>(queue::Envelope envelope,
                                                   std::shared_ptr<const store::Body> text)>
      by_lmtp;
  // recorded is Deliverer::Recorded, for what by_lmtp keeps back.
  std::function<void(queue::EnvelopeId)> recorded;
};

struct ProgramDelivererOptions {
  ProgramOptions program;
  size_t max_programs = 50;          // `mda limit max-session`
  size_t max_programs_per_user = 7;  // `mda limit max-session-per-user`
  // of the messages that running programs have not taken yet, all together; one always runs
  size_t max_input_bytes = 256 << 20;
  // of what found no room in that, to begin with (outcome.h)
  Duration busy_retry = absl::Seconds(5);
  Duration stop_grace = absl::Seconds(5);  // Stop's, for programs that run
};

class ProgramDeliverer final : public schedule::Deliverer {
 public:
  // `world`, `queue` and `targets` outlive it. It works on the main loop.
  ProgramDeliverer(rt::World& world, store::Queue& queue, TargetResolver& targets,
                   ProgramDelivererOptions options = {}, WrappedSink wrapped = {});
  ~ProgramDeliverer() override;

  queue::ReadyQueue::BatchRule Batching() const override {
    return {.max_batch = 1, .max_per_destination = max_programs_per_user_};
  }
  size_t max_batches() const override { return max_programs_; }
  // SetMaxPrograms changes the two bounds of ProgramDelivererOptions from now on. Any thread.
  void SetMaxPrograms(size_t all, size_t of_a_user) {
    max_programs_ = all;
    max_programs_per_user_ = of_a_user;
  }
  rt::Task<std::vector<schedule::DeliveryResult>> Deliver(
      std::vector<queue::Envelope> batch) override;
  // What a program did cannot be undone: its place is not given on before that is recorded.
  bool keeps_back() const override { return true; }
  void Recorded(queue::EnvelopeId first) override {
    if (wrapped_.recorded) wrapped_.recorded(first);
  }
  // StopWithin kills after `grace` what still runs: a temporary failure. The first call counts.
  // Stop is that with stop_grace.
  void StopWithin(Duration grace);
  void Stop() override { StopWithin(options_.stop_grace); }

 private:
  struct StopTimer : rt::Timer {
    ProgramDeliverer* owner = nullptr;
  };
  rt::Task<schedule::DeliveryResult> DeliverOne(const queue::Envelope* envelope);
  // DeliverWrapped delivers what the wrapper of `target`, which ended well, handed back.
  rt::Task<schedule::DeliveryResult> DeliverWrapped(const queue::Envelope* envelope,
                                                    LocalTarget target, rt::ProcessResult end);
  // Run runs it by the helper where there is one and the program is another user's.
  rt::Task<StatusOr<rt::ProcessResult>> Run(rt::ProcessSpec spec);
  rt::Task<void> AwaitAnswer(rt::HelperAnswer* answer, Duration limit);

  rt::World& world_;
  rt::Executor& loop_;
  store::Queue& queue_;
  TargetResolver& targets_;
  const ProgramDelivererOptions options_;
  const WrappedSink wrapped_;
  std::atomic<size_t> max_programs_;
  std::atomic<size_t> max_programs_per_user_;
  rt::Event stop_;
  std::set<rt::Event*> awaiting_;  // those who wait for the helper
  StopTimer stop_timer_;
  size_t input_bytes_ = 0;
};

}  // namespace postern::deliver
