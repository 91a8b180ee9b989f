// When envelopes are attempted, and by whom. What becomes of them is in scheduler_outcomes.cc, what
// senders are told in scheduler_notices.cc, what operators ask for in scheduler_operator.cc.
#include "lib/service/schedule/scheduler.h"

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <unordered_map>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/queue/bounce.h"

namespace postern::schedule {

using queue::Envelope;
using queue::EnvelopeId;
using store::Change;

namespace {

// The store is asked again at least this often, whatever it said before.
const Duration kLongestSleep = absl::Hours(1);
// After a failure that nobody foresaw; doubled while they go on.
const Duration kFirstPauseAfterFailure = absl::Milliseconds(10);
const Duration kLongestPauseAfterFailure = absl::Seconds(2);
const Duration kPauseWithoutMemory = absl::Milliseconds(100);

// The queue's time is in microseconds, the loop's in nanoseconds: a sleep for the difference alone
// could end before the queue agrees that the time has come, and begin again for ever.
const Duration kShortestSleep = absl::Milliseconds(1);

}  // namespace

// Committed outlives the scheduler as long as the queue's observer does.
struct Scheduler::Committed : rt::Job {
  std::mutex mutex;
  std::vector<Envelope> envelopes;
  Scheduler* scheduler = nullptr;    // touched on the loop only
  std::shared_ptr<Committed> owner;  // keeps it while it is in the loop's queue
  bool missed = false;               // some are in the store only
  std::optional<SchedulerOptions> options;

  // Wake has TakeCommitted called on `loop`. With `mutex` held.
  static void Wake(const std::shared_ptr<Committed>& committed, rt::Executor& loop) noexcept {
    if (committed->owner != nullptr) return;
    committed->owner = committed;
    loop.PostJob(committed.get());
  }
  std::shared_ptr<Committed> Posted() {
    const std::lock_guard lock(mutex);
    return std::move(owner);
  }
};

Scheduler::Scheduler(rt::World& world, store::Queue& queue, LogSink& log, NoticeRouter& router,
                     Deliverer* local, Deliverer* relay, SchedulerOptions options, Waiting waiting)
    : world_(world),
      loop_(world.main_loop()),
      queue_(queue),
      log_(log),
      router_(router),
      deliverers_{local, relay, waiting.lmtp, waiting.program},
      kind_of_(std::move(waiting.kind_of)),
      options_(std::move(options)),
      committed_(std::make_shared<Committed>()),
      ready_(options_.ready),
      tasks_([this](std::exception_ptr failure) { Fail(std::move(failure)); }),
      wake_(&loop_),
      ending_(&loop_),
      pause_after_failure_(kFirstPauseAfterFailure) {
  committed_->scheduler = this;
  committed_->run = [](rt::Job* job) {
    const std::shared_ptr<Committed> committed = static_cast<Committed*>(job)->Posted();
    if (committed->scheduler != nullptr) committed->scheduler->wake_.Set();
  };
  committed_->drop = [](rt::Job* job) {
    const std::shared_ptr<Committed> committed = static_cast<Committed*>(job)->Posted();
  };
  // A burst of commits posts once; what does not fit into memory is in the store anyway.
  queue_.SetCommitObserver([committed = committed_,
                            loop = &loop_](const std::vector<Envelope>& envelopes) {
    const std::lock_guard lock(committed->mutex);
    try {
      committed->envelopes.insert(committed->envelopes.end(), envelopes.begin(), envelopes.end());
    } catch (const std::bad_alloc&) {
      committed->missed = true;
    }
    Committed::Wake(committed, *loop);
  });
}

Scheduler::~Scheduler() { committed_->scheduler = nullptr; }

// All that the scheduler knows is in the store. So a failure that nobody foresaw, memory that runs
// out above all, is met as a crash is: what runs ends, what was known is forgotten, and the store
// is read again.
rt::Task<void> Scheduler::Run() {
  while (!stopping_) {
    try {
      co_await Serve();
    } catch (...) {
      Fail(std::current_exception());
    }
    if (stopping_) break;
    co_await tasks_.Join();
    for (bool begun = false; !begun && !stopping_;) {
      try {
        co_await BeginAgain();
        begun = true;
      } catch (const std::exception&) {
        // Memory is short still.
      }
      rt::Event never(&loop_);
      const Instant again = loop_.Now() + kPauseWithoutMemory;
      if (!begun) (void)co_await never.Wait(again);
    }
  }
  for (Deliverer* const deliverer : deliverers_) {
    if (deliverer != nullptr) deliverer->Stop();
  }
  co_await tasks_.Join();
  const Status flushed = co_await queue_.Flush(loop_);
  if (!flushed.ok())
    LogEvent(LogLevel::kError, "cannot write at the end", Envelope{}, Text(flushed));
}

rt::Task<void> Scheduler::BeginAgain() {
  // What was recorded must be in the store before that is read.
  for (bool recorded = false; !recorded && !stopping_;) {
    try {
      wake_.Reset();
      const Instant again = loop_.Now() + pause_after_failure_;
      pause_after_failure_ = std::min(2 * pause_after_failure_, kLongestPauseAfterFailure);
      (void)co_await wake_.Wait(again);
      recorded = (co_await queue_.Flush(loop_)).ok();
    } catch (const std::exception&) {
      // Memory is short still.
    }
  }
  Forget();
}

rt::Task<void> Scheduler::Serve() {
  while (!ending_.is_set()) {
    wake_.Reset();
    TakeCommitted();
    if (!loading_ && (more_in_store_ || next_due_ <= queue_.Now()) && ready_.HasRoom()) {
      loading_ = true;
      tasks_.Spawn(Load());
    }
    Dispatch();
    const Instant until = NextWake();
    co_await wake_.Wait(until);
  }
}

void Scheduler::Stop() {
  stopping_ = true;
  ending_.Set();
  wake_.Set();
}

void Scheduler::Fail(std::exception_ptr failure) noexcept {
  ending_.Set();
  wake_.Set();
  try {
    try {
      std::rethrow_exception(std::move(failure));
    } catch (const std::exception& e) {
      LogEvent(LogLevel::kError, "failed and begins again", Envelope{}, e.what());
    }
  } catch (...) {
    // There is no memory to tell it either.
  }
}

void Scheduler::Configure(SchedulerOptions options) {
  const std::lock_guard lock(committed_->mutex);
  committed_->options = std::move(options);
  Committed::Wake(committed_, loop_);
}

void Scheduler::Forget() {
  ready_ = queue::ReadyQueue(options_.ready);
  started_.clear();
  notices_.clear();
  finished_while_reading_.clear();
  reads_ = 0;
  running_batches_ = {};
  relays_in_flight_ = 0;
  loading_ = starved_ = false;
  more_in_store_ = true;
  wake_.Reset();
  if (!stopping_) ending_.Reset();
}

Instant Scheduler::NextWake() const {
  const Duration until_due = next_due_ - queue_.Now();
  // While a load runs its end wakes us.
  // With no room here there is nothing to ask the store for; the end of a delivery wakes us.
  if (loading_ || !ready_.HasRoom()) return paced_until_;
  return std::min(paced_until_, loop_.Now() + std::clamp(until_due, kShortestSleep, kLongestSleep));
}

queue::ReadyQueue::Offer Scheduler::Offer(Envelope envelope) {
  if (kind_of_ && envelope.kind != Envelope::Kind::kRelay) envelope.kind = kind_of_(envelope);
  return ready_.Add(std::move(envelope));
}

void Scheduler::TakeCommitted() {
  std::vector<Envelope> fresh;
  {
    const std::lock_guard lock(committed_->mutex);
    fresh.swap(committed_->envelopes);
    if (std::exchange(committed_->missed, false)) more_in_store_ = true;
    if (committed_->options.has_value()) {
      options_ = *std::move(committed_->options);
      committed_->options.reset();
      ready_.SetLimits(options_.ready);
    }
  }
  counters_.committed += fresh.size();
  for (const Envelope& envelope : fresh) LogEnvelope(envelope);
  for (Envelope& envelope : fresh) {
    if (envelope.held || envelope.next_attempt > queue_.Now()) {
      next_due_ = std::min(next_due_, envelope.next_attempt);
      continue;
    }
    if (Offer(std::move(envelope)) == queue::ReadyQueue::Offer::kFull) starved_ = true;
  }
}

// LogEnvelope tells which envelope came of which session, in OpenSMTPD's form. Without memory for a
// line there is none.
void Scheduler::LogEnvelope(const Envelope& envelope) {
  try {
    LogRecord record;
    record.subsystem = "smtp";
    record.session = envelope.session.empty() ? std::string(16, '0') : envelope.session;
    record.event = "envelope";
    record.fields.push_back(LogField{"evpid", queue::EnvelopeIdText(envelope.id)});
    record.fields.push_back(LogField{"from", StrCat("<", envelope.sender.address.ToString(), ">")});
    record.fields.push_back(LogField{"to", StrCat("<", envelope.destination.ToString(), ">")});
    log_.Write(record);
  } catch (const std::bad_alloc&) {
  }
}

rt::Task<void> Scheduler::Load() {
  store::DueRequest request;
  request.now = queue_.Now();
  // What is here already is due in the store as well, and would fill the answer.
  request.limit = options_.load_limit + ready_.ready() + ready_.in_flight();
  request.except_destinations = ready_.Crowded();
  const size_t limit = request.limit;
  const WallTime now = request.now;
  const bool passed_over = !request.except_destinations.empty();
  more_in_store_ = false;
  ++reads_;
  StatusOr<std::vector<Envelope>> due = co_await queue_.LoadDue(loop_, std::move(request));
  if (due.ok()) {
    if (due->size() >= limit) more_in_store_ = true;
    if (passed_over) starved_ = true;
    for (Envelope& envelope : *due) {
      if (finished_while_reading_.contains(envelope.id)) continue;
      if (Offer(std::move(envelope)) == queue::ReadyQueue::Offer::kFull) starved_ = true;
    }
    StatusOr<WallTime> next = co_await queue_.NextDue(loop_, now);
    next_due_ = next.ok() ? *next : now + absl::Seconds(5);
  } else {
    LogEvent(LogLevel::kError, "cannot read what is due", Envelope{}, Text(due.status()));
    next_due_ = now + absl::Seconds(5);
  }
  loading_ = false;
  EndRead();
  wake_.Set();
}

void Scheduler::EndRead() {
  if (--reads_ == 0) finished_while_reading_.clear();
}

void Scheduler::Dispatch() {
  paced_until_ = Instant::Never();
  for (size_t kind = 0; kind < kKinds; ++kind) DispatchKind(static_cast<Envelope::Kind>(kind));
}

void Scheduler::DispatchKind(Envelope::Kind kind) {
  Deliverer* const deliverer = DelivererFor(kind);
  if (deliverer == nullptr || ending_.is_set()) return;
  if (paused(kind != Envelope::Kind::kRelay)) return;
  size_t& running = running_batches_[static_cast<size_t>(kind)];
  Instant& next = next_batch_[static_cast<size_t>(kind)];
  const queue::ReadyQueue::BatchRule rule = deliverer->Batching();
  while (running < deliverer->max_batches()) {
    if (ready_.ready() == 0) return;
    if (loop_.Now() < next && ready_.ready() < rule.max_batch) {
      paced_until_ = std::min(paced_until_, next);
      return;
    }
    std::vector<Envelope> batch = ready_.Next(kind, rule);
    if (batch.empty()) return;
    next = loop_.Now() + deliverer->batch_interval(batch.size());
    ++running;
    tasks_.Spawn(RunBatch(kind, std::move(batch)));
  }
}

rt::Task<void> Scheduler::RunBatch(Envelope::Kind kind, std::vector<Envelope> batch) {
  const WallTime began = queue_.Now();
  for (const Envelope& envelope : batch) started_[envelope.id] = began;
  if (kind == Envelope::Kind::kRelay) relays_in_flight_ += batch.size();
  // What is delivered leaves the queue at once: the body that a notice of success will quote is
  // opened before.
  std::map<queue::MessageId, std::shared_ptr<const store::Body>> bodies;
  for (const Envelope& envelope : batch) {
    if (!queue::WantsSuccess(envelope) || bodies.contains(envelope.message_id())) continue;
    StatusOr<std::shared_ptr<const store::Body>> body =
        co_await queue_.OpenBody(loop_, envelope.message_id());
    if (body.ok()) bodies[envelope.message_id()] = *std::move(body);
  }
  // What has been delivered cannot be taken back: from its end to its record nothing takes memory
  // but Handle.
  std::unordered_map<EnvelopeId, DeliveryResult> outcomes;
  for (const Envelope& envelope : batch) {
    DeliveryResult& unknown = outcomes[envelope.id];
    unknown.id = envelope.id;
    unknown.text = "the attempt ended without a result";
  }
  std::vector<Envelope> copies = batch;
  Deliverer* const deliverer = DelivererFor(kind);
  std::vector<DeliveryResult> results = co_await deliverer->Deliver(std::move(copies));
  for (DeliveryResult& result : results) {
    const auto found = outcomes.find(result.id);
    if (found != outcomes.end()) found->second = std::move(result);
  }
  const EnvelopeId first = batch.front().id;
  bool delivered = false;
  std::exception_ptr failure;
  for (Envelope& envelope : batch) {
    DeliveryResult& result = outcomes.find(envelope.id)->second;
    NoticeItem item{std::move(envelope), std::move(result), nullptr};
    const auto body = bodies.find(item.envelope.message_id());
    if (body != bodies.end()) item.body = body->second;
    const bool is_delivered = item.result.outcome == DeliveryResult::Outcome::kDelivered;
    delivered = delivered || is_delivered;
    const EnvelopeId id = item.envelope.id;
    try {
      Handle(std::move(item));
    } catch (...) {
      failure = std::current_exception();
    }
    // What is delivered is recorded before the store is read again: else it would be delivered
    // twice.
    if (failure && is_delivered) co_await InsistOnRecord(id);
  }
  try {
    if (delivered && deliverer->keeps_back()) co_await AwaitRecord();
  } catch (...) {
    failure = std::current_exception();
  }
  deliverer->Recorded(first);
  if (failure) std::rethrow_exception(failure);
  pause_after_failure_ = kFirstPauseAfterFailure;
  --running_batches_[static_cast<size_t>(kind)];
  if (kind == Envelope::Kind::kRelay) relays_in_flight_ -= batch.size();
  wake_.Set();
}

rt::Task<void> Scheduler::InsistOnRecord(EnvelopeId id) {
  for (;;) {
    try {
      std::vector<Change> changes(1);
      changes[0].id = id;
      changes[0].fate = Change::Fate::kDelivered;
      changes[0].urgent = true;
      queue_.Record(std::move(changes));
      co_return;
    } catch (const std::bad_alloc&) {
      if (stopping_) co_return;
    }
    rt::Event never(&loop_);
    const Instant again = loop_.Now() + kPauseWithoutMemory;
    co_await never.Wait(again);
  }
}

rt::Task<void> Scheduler::AwaitRecord() {
  for (;;) {
    const Status flushed = co_await queue_.Flush(loop_);
    if (flushed.ok() || ending_.is_set()) co_return;
    // A disk that takes no record: the place of this batch stays taken, so that what may be
    // repeated does not grow.
    const Instant again = loop_.Now() + options_.record_retry;
    co_await ending_.Wait(again);
  }
}

void Scheduler::Finish(const Envelope& envelope) {
  ready_.Finished(envelope.id);
  started_.erase(envelope.id);
  if (reads_ > 0) finished_while_reading_.insert(envelope.id);
  if (starved_) {
    starved_ = false;
    more_in_store_ = true;
  }
  wake_.Set();
}

rt::Task<void> Scheduler::Reschedule(uint64_t destination_key) {
  ++reads_;
  StatusOr<std::vector<Envelope>> deferred =
      co_await queue_.LoadDeferred(loop_, destination_key, options_.max_deferred);
  if (deferred.ok()) {
    for (Envelope& envelope : *deferred) {
      if (!finished_while_reading_.contains(envelope.id)) (void)Offer(std::move(envelope));
    }
  }
  EndRead();
  wake_.Set();
}

void Scheduler::LogEvent(LogLevel level, std::string event, const Envelope& envelope,
                         std::string reason) {
  LogRecord record;
  record.level = level;
  record.subsystem = "scheduler";
  record.session = envelope.session;
  record.event = std::move(event);
  if (envelope.id != 0)
    record.fields.push_back(LogField{"evpid", queue::EnvelopeIdText(envelope.id)});
  if (!reason.empty()) record.fields.push_back(LogField{"reason", std::move(reason)});
  log_.Write(record);
}

}  // namespace postern::schedule
