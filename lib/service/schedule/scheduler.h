// Scheduler: moves what is in the queue. It takes fresh messages straight from their commit and
// older ones from the store when they are due, hands them to the deliverers in fair batches, and
// records what became of them.
//
// What a message's last record is, is what the queue knows: a delivery that is not recorded yet
// when the process dies is attempted again, which a mailbox notices and a relay cannot (so relays
// are recorded at once, and a connection carries the next message only when that is durable). A
// failure leaves the queue in the same transaction that brings its notice in, so that at every
// instant there is the one or the other.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/queue/schedule.h"
#include "lib/rt/world.h"
#include "lib/service/schedule/deliverer.h"
#include "lib/service/schedule/notice.h"
#include "lib/store/queue/queue.h"

namespace postern::schedule {

struct SchedulerOptions {
  std::string server_name = "localhost";
  queue::RetryPolicy retry;
  queue::ReadyLimits ready;
  // `bounce warn-interval`, rising. An attempt is made when one is over, between those of `retry`;
  // when it fails the sender is told.
  std::vector<Duration> warn_intervals = {absl::Hours(4)};
  Duration notice_ttl = absl::Hours(24 * 7);
  // for other recipients of the message, who share the notice
  Duration notice_wait = absl::Seconds(1);
  // After a notice that could not be stored, or whose way is not known now: at first, and at most
  // (each is twice the one before).
  Duration notice_retry = absl::Seconds(10);
  Duration max_notice_retry = absl::Minutes(30);
  Duration record_retry = absl::Seconds(1);  // after a relay's record that could not be written
  size_t load_limit = 1000;                  // envelopes read from the store at a time
  // `mta max-deferred`: tried at once when their destination answers again
  size_t max_deferred = 100;
  // of a message that a notice returns in full; larger ones: the header
  uint64_t max_returned_bytes = 1 << 20;
};

// Waiting is the local mail that goes by ways on which we may be kept waiting, each with a
// deliverer of its own so that nobody's mailbox waits with it.
struct Waiting {
  Deliverer* lmtp = nullptr;     // of Kind::kLmtp
  Deliverer* program = nullptr;  // of Kind::kProgram
  // kind_of tells whether a local envelope is kLocal, kLmtp or kProgram under the configuration in
  // force. It does not block. Empty: kLocal.
  std::function<queue::Envelope::Kind(const queue::Envelope&)> kind_of;
};

// SchedulerCounters count since the start; gauges are as of now. For metrics.
struct SchedulerCounters {
  uint64_t delivered = 0;
  uint64_t relayed = 0;
  uint64_t deferred = 0;
  uint64_t failed = 0;
  uint64_t expired = 0;
  uint64_t notices = 0;
  uint64_t committed = 0;  // fresh envelopes, as they came from their commits
  uint64_t removed = 0;    // by the operator
  uint64_t dropped = 0;    // failures of which nobody may be told
  uint64_t ready = 0;
  uint64_t in_flight = 0;
  uint64_t relays_in_flight = 0;  // of these, to other servers
  uint64_t relay_batches = 0;     // messages that these are of
};

// Scheduler lives on the main loop; all functions are called there.
class Scheduler {
 public:
  // All references outlive it. A deliverer may be null: envelopes of its kind then wait.
  Scheduler(rt::World& world, store::Queue& queue, LogSink& log, NoticeRouter& router,
            Deliverer* local, Deliverer* relay, SchedulerOptions options = {},
            Waiting waiting = {});
  ~Scheduler();

  // Run works until Stop, then waits for the deliveries under way and the queue's records.
  rt::Task<void> Run();
  // Stop ends Run soon. Idempotent.
  void Stop();
  // Configure puts other options into force soon: for what fails, and is told to senders, from then
  // on. When an envelope is tried again was said when it failed. Any thread.
  void Configure(SchedulerOptions options);

  // For the operator. ScheduleNow makes an envelope due; Remove takes it out of the queue without a
  // notice; Hold and Release pause it. An envelope whose delivery is under way is not touched by
  // Remove: kUnavailable.
  rt::Task<Status> ScheduleNow(queue::EnvelopeId id);
  Status Remove(queue::EnvelopeId id);
  void Hold(queue::EnvelopeId id);
  void Release(queue::EnvelopeId id);

  // Pause keeps local deliveries (`local`), or those to other servers, from beginning until Resume;
  // what is under way goes on.
  void Pause(bool local);
  void Resume(bool local);
  bool paused(bool local) const { return local ? local_paused_ : relay_paused_; }
  // InFlightSince tells when the attempt of an envelope that is being delivered began (the queue's
  // time); nullopt: none is.
  std::optional<WallTime> InFlightSince(queue::EnvelopeId id) const;
  // Look reads the store for what is due, soon: something was put there without a commit.
  void Look();

  SchedulerCounters counters() const;

 private:
  struct Committed;  // where other threads leave fresh envelopes and new options
  using NoticeKey = std::pair<queue::MessageId, message::DsnAction>;

  static constexpr size_t kKinds = 4;  // of Envelope::Kind

  // Offer gives an envelope to the ready queue, as of the kind that it is now.
  queue::ReadyQueue::Offer Offer(queue::Envelope envelope);
  // Serve works until the stop or a failure.
  rt::Task<void> Serve();
  // Fail tells of a failure that nobody foresaw, and ends Serve and what runs.
  void Fail(std::exception_ptr failure) noexcept;
  // BeginAgain waits until what was recorded is in the store, and forgets the rest.
  rt::Task<void> BeginAgain();
  // Forget makes it as it was before Run.
  void Forget();
  // TakeCommitted takes what other threads have left: fresh envelopes, and new options.
  void TakeCommitted();
  rt::Task<void> Load();
  void EndRead();
  void Dispatch();
  void DispatchKind(queue::Envelope::Kind kind);
  rt::Task<void> RunBatch(queue::Envelope::Kind kind, std::vector<queue::Envelope> batch);
  // InsistOnRecord records that an envelope is delivered, however long it takes to get the memory.
  rt::Task<void> InsistOnRecord(queue::EnvelopeId id);
  // AwaitRecord ends when what was recorded before is durable, or at the stop.
  rt::Task<void> AwaitRecord();
  void Handle(NoticeItem item);
  void HandleDelivered(NoticeItem item);
  void HandleTemporary(NoticeItem item);
  void HandlePermanent(NoticeItem item);
  void AddNotice(message::DsnAction action, NoticeItem item);
  rt::Task<void> SendNotices(NoticeKey key);
  rt::Task<Status> SendNotice(message::DsnAction action, const std::vector<NoticeItem>* items);
  store::Change ChangeAfter(message::DsnAction action, const NoticeItem& item) const;
  rt::Task<void> Reschedule(uint64_t destination_key);
  void Finish(const queue::Envelope& envelope);
  Instant NextWake() const;
  Deliverer* DelivererFor(queue::Envelope::Kind kind) const {
    return deliverers_[static_cast<size_t>(kind)];
  }
  void LogEnvelope(const queue::Envelope& envelope);
  void LogEvent(LogLevel level, std::string event, const queue::Envelope& envelope,
                std::string reason);

  rt::World& world_;
  rt::Executor& loop_;
  store::Queue& queue_;
  LogSink& log_;
  NoticeRouter& router_;
  const std::array<Deliverer*, kKinds> deliverers_;
  const std::function<queue::Envelope::Kind(const queue::Envelope&)> kind_of_;
  SchedulerOptions options_;

  std::shared_ptr<Committed> committed_;
  queue::ReadyQueue ready_;
  rt::TaskGroup tasks_;
  rt::Event wake_;
  rt::Event ending_;  // at the stop, and after a failure until it begins again
  Duration pause_after_failure_;
  bool stopping_ = false;
  bool more_in_store_ = true;  // something due may be in the store and not here
  bool starved_ = false;       // something due was passed over for want of room
  bool loading_ = false;
  WallTime next_due_ = absl::InfinitePast();
  // What was finished while the store was being read: the answer may still name it.
  std::unordered_set<queue::EnvelopeId> finished_while_reading_;
  size_t reads_ = 0;
  std::array<size_t, kKinds> running_batches_ = {};
  size_t relays_in_flight_ = 0;  // envelopes
  // by batch_interval; when batches that are not full may begin
  std::array<Instant, kKinds> next_batch_ = {};
  Instant paced_until_ = Instant::Never();  // when Dispatch wants to look again
  std::map<NoticeKey, std::vector<NoticeItem>> notices_;
  std::unordered_set<uint64_t> failing_destinations_;
  SchedulerCounters counters_;
  bool local_paused_ = false;
  bool relay_paused_ = false;
  std::unordered_map<queue::EnvelopeId, WallTime> started_;  // of those in flight
};

}  // namespace postern::schedule
