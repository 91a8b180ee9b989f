#include "lib/service/schedule/scheduler.h"

#include <algorithm>
#include <exception>
#include <new>
#include <unordered_map>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/queue/bounce.h"
#include "lib/service/schedule/carried_body.h"
#include "lib/service/schedule/delivery_log.h"

namespace postern::schedule {

using message::DsnAction;
using queue::Envelope;
using queue::EnvelopeId;
using store::Change;

namespace {

constexpr size_t kMaxFailingDestinations = 10000;
constexpr uint64_t kReturnedHeaderBytes = 256 * 1024;

// The store is asked again at least this often, whatever it said before.
const Duration kLongestSleep = absl::Hours(1);
// What commits left behind is looked for at least this often, as without memory a commit cannot
// wake anybody.
const Duration kLongestDeafness = absl::Minutes(1);
// After a failure that nobody foresaw.
const Duration kPauseAfterFailure = absl::Seconds(1);

// The queue's time is in microseconds, the loop's in nanoseconds: a sleep for the difference alone
// could end before the queue agrees that the time has come, and begin again for ever.
const Duration kShortestSleep = absl::Milliseconds(1);

mail::EnhancedStatus StatusFor(const DeliveryResult& result) {
  if (!result.status.empty()) return result.status;
  switch (result.outcome) {
    case DeliveryResult::Outcome::kDelivered: return {2, 0, 0};
    case DeliveryResult::Outcome::kTemporary: return {4, 0, 0};
    case DeliveryResult::Outcome::kPermanent: break;
  }
  return {5, 0, 0};
}

// SaysOnlyThatItWasHeldBack is true where nobody met with anything: too many connections, a stop.
bool SaysOnlyThatItWasHeldBack(const DeliveryResult& result) {
  return !result.held_back.empty() && result.text.find(result.held_back) != std::string::npos;
}

// TellLastFailure puts into `result`, of an envelope that was held back, what its own last attempt
// met with, if there was one: that is the reason that people are told, and that stays stored.
void TellLastFailure(const Envelope& envelope, DeliveryResult& result) {
  if (envelope.last_error.empty()) return;
  result.text = envelope.last_error;
  result.status = envelope.last_status;
  result.remote_host = envelope.last_host;
  result.reply.clear();
  if (envelope.last_host.empty()) return;
  const std::string mark = AnswerMark(envelope.last_host);
  const size_t quoted = envelope.last_error.find(mark);
  result.reply = quoted == std::string::npos ? envelope.last_error
                                             : envelope.last_error.substr(quoted + mark.size());
}

}  // namespace

// Committed outlives the scheduler as long as the queue's observer does.
struct Scheduler::Committed {
  std::mutex mutex;
  std::vector<Envelope> envelopes;
  Scheduler* scheduler = nullptr;  // touched on the loop only
  bool posted = false;
  bool missed = false;  // some are in the store only
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
      ending_(&loop_) {
  committed_->scheduler = this;
  // A burst of commits posts once; what does not fit into memory is in the store anyway.
  queue_.SetCommitObserver([committed = committed_,
                            loop = &loop_](const std::vector<Envelope>& envelopes) {
    const std::lock_guard lock(committed->mutex);
    try {
      committed->envelopes.insert(committed->envelopes.end(), envelopes.begin(), envelopes.end());
    } catch (const std::bad_alloc&) {
      committed->missed = true;
    }
    if (committed->posted) return;
    try {
      loop->Post([committed] {
        if (committed->scheduler != nullptr) committed->scheduler->wake_.Set();
      });
      committed->posted = true;
    } catch (const std::bad_alloc&) {
    }
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
    co_await BeginAgain();
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
      const Instant again = loop_.Now() + kPauseAfterFailure;
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

void Scheduler::Forget() {
  ready_ = queue::ReadyQueue(options_.ready);
  notices_.clear();
  finished_while_reading_.clear();
  reads_ = 0;
  running_batches_ = {};
  loading_ = starved_ = false;
  more_in_store_ = true;
  wake_.Reset();
  if (!stopping_) ending_.Reset();
}

Instant Scheduler::NextWake() const {
  const Duration until_due = next_due_ - queue_.Now();
  // While a load runs its end wakes us.
  // With no room here there is nothing to ask the store for; the end of a delivery wakes us.
  const Instant deaf_until = std::min(paced_until_, loop_.Now() + kLongestDeafness);
  if (loading_ || !ready_.HasRoom()) return deaf_until;
  return std::min(deaf_until, loop_.Now() + std::clamp(until_due, kShortestSleep, kLongestSleep));
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
    committed_->posted = false;
    if (std::exchange(committed_->missed, false)) more_in_store_ = true;
  }
  for (Envelope& envelope : fresh) {
    if (envelope.held || envelope.next_attempt > queue_.Now()) {
      next_due_ = std::min(next_due_, envelope.next_attempt);
      continue;
    }
    if (Offer(std::move(envelope)) == queue::ReadyQueue::Offer::kFull) starved_ = true;
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
  // What is delivered leaves the queue at once: the body that a notice of success will quote is
  // opened before.
  std::map<queue::MessageId, std::shared_ptr<const store::Body>> bodies;
  for (const Envelope& envelope : batch) {
    if (!queue::WantsSuccess(envelope) || bodies.contains(envelope.message_id())) continue;
    StatusOr<std::shared_ptr<const store::Body>> body =
        co_await queue_.OpenBody(loop_, envelope.message_id());
    if (body.ok()) bodies[envelope.message_id()] = *std::move(body);
  }
  std::vector<Envelope> copies = batch;
  Deliverer* const deliverer = DelivererFor(kind);
  std::vector<DeliveryResult> results = co_await deliverer->Deliver(std::move(copies));
  std::unordered_map<EnvelopeId, DeliveryResult*> by_id;
  for (DeliveryResult& result : results) by_id[result.id] = &result;
  const EnvelopeId first = batch.front().id;
  bool delivered = false;
  for (Envelope& envelope : batch) {
    DeliveryResult result;
    result.id = envelope.id;
    result.text = "the attempt ended without a result";
    const auto found = by_id.find(envelope.id);
    if (found != by_id.end()) result = std::move(*found->second);
    NoticeItem item{std::move(envelope), std::move(result), nullptr};
    const auto body = bodies.find(item.envelope.message_id());
    if (body != bodies.end()) item.body = body->second;
    delivered = delivered || item.result.outcome == DeliveryResult::Outcome::kDelivered;
    Handle(std::move(item));
  }
  if (delivered && deliverer->keeps_back()) co_await AwaitRecord();
  deliverer->Recorded(first);
  --running_batches_[static_cast<size_t>(kind)];
  wake_.Set();
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
  if (reads_ > 0) finished_while_reading_.insert(envelope.id);
  if (starved_) {
    starved_ = false;
    more_in_store_ = true;
  }
  wake_.Set();
}

void Scheduler::Handle(NoticeItem item) {
  Envelope& envelope = item.envelope;
  DeliveryResult& result = item.result;
  const WallTime now = queue_.Now();
  std::string logged = result.text;
  if (result.held_back.empty()) {
    envelope.last_attempt = now;
  } else {
    TellLastFailure(envelope, result);
    logged = SaysOnlyThatItWasHeldBack(result) ? result.text
                                               : StrCat(result.held_back, ": ", result.text);
  }
  result.status = StatusFor(result);
  if (result.outcome == DeliveryResult::Outcome::kTemporary && queue::HasExpired(envelope, now)) {
    ++counters_.expired;
    result.outcome = DeliveryResult::Outcome::kPermanent;
    result.text = StrCat(kExpiredPrefix, result.text);
    logged = result.text;
    result.status = mail::EnhancedStatus{5, 4, 7};  // RFC 3463 §3.5: delivery time expired
  }
  log_.Write(DeliveryRecord(envelope, result, logged, now));
  switch (result.outcome) {
    case DeliveryResult::Outcome::kDelivered: return HandleDelivered(std::move(item));
    case DeliveryResult::Outcome::kTemporary: return HandleTemporary(std::move(item));
    case DeliveryResult::Outcome::kPermanent: return HandlePermanent(std::move(item));
  }
}

void Scheduler::HandleDelivered(NoticeItem item) {
  const Envelope& envelope = item.envelope;
  DeliveryResult& result = item.result;
  const bool relay = envelope.kind == Envelope::Kind::kRelay;
  ++(relay ? counters_.relayed : counters_.delivered);
  const uint64_t key = queue::DestinationKey(envelope);
  if (relay) ready_.Answered(key);
  if (relay && failing_destinations_.erase(key) > 0) tasks_.Spawn(Reschedule(key));
  Change change;
  change.id = envelope.id;
  change.fate = Change::Fate::kDelivered;
  // A second attempt of what left our hands is a second copy there: the record does not wait for
  // company.
  change.urgent = envelope.kind != Envelope::Kind::kLocal;
  if (queue::WantsSuccess(envelope) && (envelope.expanded || !result.remote_reports_dsn)) {
    // The delivery is recorded at once, not when its notice is stored: a notice too few is the
    // lesser harm.
    std::vector<Change> changes;
    changes.push_back(std::move(change));
    queue_.Record(std::move(changes));
    if (envelope.expanded) {
      // What became of one of the members is not told.
      result.text.clear();
      result.reply.clear();
      result.remote_host.clear();
      return AddNotice(DsnAction::kExpanded, std::move(item));
    }
    return AddNotice(relay ? DsnAction::kRelayed : DsnAction::kDelivered, std::move(item));
  }
  std::vector<Change> changes;
  changes.push_back(std::move(change));
  queue_.Record(std::move(changes));
  Finish(envelope);
}

void Scheduler::HandleTemporary(NoticeItem item) {
  Envelope& envelope = item.envelope;
  const DeliveryResult& result = item.result;
  ++counters_.deferred;
  if (result.reply.empty()) ready_.Unanswered(queue::DestinationKey(envelope));
  const WallTime now = queue_.Now();
  if (result.held_back.empty()) ++envelope.attempts;
  envelope.fresh = false;
  if (!SaysOnlyThatItWasHeldBack(result)) {
    envelope.last_status = result.status;
    envelope.last_error = result.text;
    envelope.last_host = result.reply.empty() ? std::string() : result.remote_host;
  }
  const std::optional<uint32_t> notices =
      queue::DelayNoticeDue(envelope, now, options_.warn_intervals);
  if (notices.has_value()) envelope.delay_notices = *notices;
  envelope.next_attempt = result.retry_after ? now + std::max(*result.retry_after, absl::Seconds(1))
                                             : queue::NextAttempt(options_.retry, envelope, now,
                                                                  world_.random().Unit());
  if (const std::optional<WallTime> warn =
          queue::NextDelayNotice(envelope, options_.warn_intervals)) {
    envelope.next_attempt =
        std::min(envelope.next_attempt, std::max(*warn, now + options_.retry.least_delay));
  }
  // The store keeps whole microseconds.
  envelope.next_attempt = absl::FromUnixMicros(absl::ToUnixMicros(envelope.next_attempt));
  next_due_ = std::min(next_due_, envelope.next_attempt);
  // Only a server that could not be asked is worth another try when it answers again. One that said
  // "later" to this recipient is not asked at once because another of its recipients was taken (RFC
  // 5321 §4.5.4.1: the sender must delay).
  const bool unreachable =
      result.reply.empty() || result.before_message || !result.held_back.empty();
  if (envelope.kind == Envelope::Kind::kRelay && unreachable &&
      failing_destinations_.size() < kMaxFailingDestinations) {
    failing_destinations_.insert(queue::DestinationKey(envelope));
  }
  if (notices.has_value()) return AddNotice(DsnAction::kDelayed, std::move(item));
  std::vector<Change> changes(1);
  changes[0].kind = Change::Kind::kUpdate;
  changes[0].id = envelope.id;
  changes[0].envelope = envelope;
  queue_.Record(std::move(changes));
  Finish(envelope);
}

void Scheduler::HandlePermanent(NoticeItem item) {
  const Envelope& envelope = item.envelope;
  const DeliveryResult& result = item.result;
  ++counters_.failed;
  if (queue::WantsFailure(envelope)) return AddNotice(DsnAction::kFailed, std::move(item));
  // RFC 5321 §4.5.5: of what came from the null sender nobody is told.
  ++counters_.dropped;
  LogEvent(LogLevel::kWarning, "failure without a notice", envelope, result.text);
  std::vector<Change> changes(1);
  changes[0].id = envelope.id;
  changes[0].fate = Change::Fate::kFailed;
  changes[0].urgent = true;
  queue_.Record(std::move(changes));
  Finish(envelope);
}

// --- notices ---

void Scheduler::AddNotice(DsnAction action, NoticeItem item) {
  const NoticeKey key{item.envelope.message_id(), action};
  const auto [place, first] = notices_.try_emplace(key);
  place->second.push_back(std::move(item));
  if (first) tasks_.Spawn(SendNotices(key));
}

Change Scheduler::ChangeAfter(DsnAction action, const NoticeItem& item) const {
  Change change;
  change.id = item.envelope.id;
  change.fate = action == DsnAction::kFailed ? Change::Fate::kFailed : Change::Fate::kDelivered;
  if (action == DsnAction::kDelayed) {
    change.kind = Change::Kind::kUpdate;
    change.envelope = item.envelope;
  }
  return change;
}

// The envelopes stay in flight until their notice is stored, so nothing attempts them meanwhile. At
// a stop they are left as they are in the store: the next start attempts them once more and comes
// to the same end.
rt::Task<void> Scheduler::SendNotices(NoticeKey key) {
  const Instant until = loop_.Now() + options_.notice_wait;
  co_await ending_.Wait(until);
  std::vector<NoticeItem> items = std::move(notices_.at(key));
  notices_.erase(key);
  while (true) {
    const Status sent = co_await SendNotice(key.second, &items);
    if (sent.ok() || ending_.is_set()) break;
    LogEvent(LogLevel::kError, "cannot store a notice", items.front().envelope, Text(sent));
    const Instant again = loop_.Now() + options_.notice_retry;
    co_await ending_.Wait(again);
  }
  for (const NoticeItem& item : items) Finish(item.envelope);
}

rt::Task<Status> Scheduler::SendNotice(DsnAction action, const std::vector<NoticeItem>* items) {
  const Envelope& first = items->front().envelope;
  std::vector<Change> changes;
  for (const NoticeItem& item : *items) changes.push_back(ChangeAfter(action, item));

  StatusOr<std::vector<Envelope>> routes = co_await router_.Route(first.sender.address);
  if (!routes.ok() && routes.status().code() == StatusCode::kUnavailable) co_return routes.status();
  if (!routes.ok() || routes->empty()) {
    counters_.dropped += items->size();
    LogEvent(LogLevel::kWarning, "notice cannot be delivered to anybody", first,
             routes.ok() ? std::string("no destination") : Text(routes.status()));
    queue_.Record(std::move(changes));
    co_return OkStatus();
  }

  std::string original;
  std::shared_ptr<const store::Body> body = items->front().body;
  if (body == nullptr) {
    StatusOr<std::shared_ptr<const store::Body>> opened =
        co_await queue_.OpenBody(loop_, first.message_id());
    if (opened.ok()) body = *std::move(opened);
  }
  bool returnable = true;
  if (body != nullptr && first.sender.body == mail::BodyType::kBinaryMime) {
    // A notice is lines, whatever it is about. What cannot be made lines is not returned in full.
    StatusOr<CarriedBody> carried = co_await loop_.RunBlocking(
        [&body] { return CarryBody(body, message::Carriage::k8BitLines); });
    returnable = carried.ok();
    if (returnable) body = carried->body;
  }
  if (body != nullptr) {
    const store::Body& octets = *body;
    const bool full = returnable && action == DsnAction::kFailed && queue::ReturnsFull(first) &&
                      octets.size_bytes() <= options_.max_returned_bytes;
    const uint64_t wanted =
        full ? octets.size_bytes() : std::min(octets.size_bytes(), kReturnedHeaderBytes);
    original.resize(static_cast<size_t>(wanted));
    const StatusOr<size_t> got =
        co_await loop_.RunBlocking([&] { return octets.ReadAt(0, original); });
    original.resize(got.ok() ? *got : 0);
    // A message too large to be returned whole is described by its header: what BuildDsn is not
    // given it cannot return.
    if (!full && queue::ReturnsFull(first)) {
      const size_t end = original.find("\r\n\r\n");
      if (end != std::string::npos) original.resize(end + 4);
    }
  }
  const WallTime now = queue_.Now();
  const std::string text =
      BuildNotice(action, *items, original, options_.server_name, now, world_.random());

  bool eight_bit = false;
  for (const char c : text) eight_bit = eight_bit || !IsAscii(c);
  std::vector<Envelope> envelopes = *std::move(routes);
  for (Envelope& envelope : envelopes) {
    envelope.sender = mail::ReversePath{};
    envelope.sender.body = eight_bit ? mail::BodyType::k8BitMime : mail::BodyType::k7Bit;
    envelope.sender.smtputf8 = first.sender.smtputf8;
    envelope.bounce = true;
    envelope.internal = true;
    envelope.ttl = options_.notice_ttl;
    if (envelope.server_name.empty()) envelope.server_name = options_.server_name;
  }
  StatusOr<std::unique_ptr<store::MessageWriter>> writer = queue_.NewMessage(loop_);
  if (!writer.ok()) co_return writer.status();
  const Status appended = co_await (*writer)->Append(text);
  if (!appended.ok()) co_return appended;
  StatusOr<queue::MessageId> id =
      co_await (*writer)->Commit(std::move(envelopes), std::move(changes));
  if (!id.ok()) co_return id.status();
  ++counters_.notices;
  LogEvent(LogLevel::kInfo, StrCat("notice ", message::DsnActionName(action)), first,
           StrCat("message ", queue::MessageIdText(*id)));
  co_return OkStatus();
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

// --- the operator ---

rt::Task<Status> Scheduler::ScheduleNow(EnvelopeId id) {
  ++reads_;
  StatusOr<Envelope> envelope = co_await queue_.Get(loop_, id);
  const bool finished = finished_while_reading_.contains(id);
  EndRead();
  if (!envelope.ok()) co_return envelope.status();
  if (finished) co_return NotFound("its delivery ended just now");
  if (envelope->held) co_return FailedPrecondition("envelope is on hold");
  if (Offer(*std::move(envelope)) == queue::ReadyQueue::Offer::kFull)
    co_return ResourceExhausted("too many are due");
  wake_.Set();
  co_return OkStatus();
}

Status Scheduler::Remove(EnvelopeId id) {
  if (ready_.InFlight(id)) return Unavailable("its delivery is under way");
  ready_.Forget(id);
  if (reads_ > 0) finished_while_reading_.insert(id);
  std::vector<Change> changes(1);
  changes[0].id = id;
  changes[0].urgent = true;
  queue_.Record(std::move(changes));
  return OkStatus();
}

void Scheduler::Hold(EnvelopeId id) {
  ready_.Forget(id);
  if (reads_ > 0) finished_while_reading_.insert(id);
  std::vector<Change> changes(1);
  changes[0].kind = Change::Kind::kHold;
  changes[0].id = id;
  queue_.Record(std::move(changes));
}

void Scheduler::Release(EnvelopeId id) {
  std::vector<Change> changes(1);
  changes[0].kind = Change::Kind::kRelease;
  changes[0].id = id;
  queue_.Record(std::move(changes));
  // The store finds it once that is written; a moment later is soon enough.
  next_due_ = std::min(next_due_, queue_.Now() + absl::Seconds(1));
  wake_.Set();
}

SchedulerCounters Scheduler::counters() const {
  SchedulerCounters counters = counters_;
  counters.ready = ready_.ready();
  counters.in_flight = ready_.in_flight();
  return counters;
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
