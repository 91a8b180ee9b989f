// The queue without a disk: the same promises until the process ends.
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/queue/bounce.h"
#include "lib/core/queue/schedule.h"
#include "lib/store/queue/memory_body.h"
#include "lib/store/queue/queue.h"

namespace postern::store {
namespace {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;

class MemoryQueue final : public Queue {
 public:
  MemoryQueue(rt::World& world, uint64_t memory_limit_bytes)
      : world_(world),
        limit_bytes_(memory_limit_bytes),
        clock_(world.clock().Now(), world.clock().WallNow()) {}

  StatusOr<std::unique_ptr<MessageWriter>> NewMessage(rt::Executor& loop) override;
  void SetCommitObserver(std::function<void(const std::vector<Envelope>&)> observer) override {
    observer_ = std::move(observer);
  }

  rt::Task<StatusOr<std::vector<Envelope>>> LoadDue(rt::Executor&, DueRequest request) override {
    std::vector<Envelope> due;
    const std::lock_guard lock(mutex_);
    const std::set<uint64_t> except(request.except_destinations.begin(),
                                    request.except_destinations.end());
    for (const auto& [key, id] : by_time_) {
      if (key > request.now || due.size() >= request.limit) break;
      const Envelope& envelope = envelopes_.at(id);
      if (!envelope.held && !except.contains(queue::DestinationKey(envelope)))
        due.push_back(envelope);
    }
    co_return due;
  }

  rt::Task<StatusOr<WallTime>> NextDue(rt::Executor&, WallTime after) override {
    const std::lock_guard lock(mutex_);
    for (const auto& [time, id] : by_time_) {
      if (time > after && !envelopes_.at(id).held) co_return time;
    }
    co_return absl::InfiniteFuture();
  }

  rt::Task<StatusOr<std::vector<Envelope>>> LoadDeferred(rt::Executor&, uint64_t key,
                                                         size_t limit) override {
    std::vector<Envelope> found;
    const std::lock_guard lock(mutex_);
    for (const auto& [time, id] : by_time_) {
      if (found.size() >= limit) break;
      const Envelope& envelope = envelopes_.at(id);
      if (envelope.deferred() && !envelope.held && queue::DestinationKey(envelope) == key)
        found.push_back(envelope);
    }
    co_return found;
  }

  rt::Task<StatusOr<Envelope>> Get(rt::Executor&, EnvelopeId id) override {
    const std::lock_guard lock(mutex_);
    const auto found = envelopes_.find(id);
    if (found == envelopes_.end())
      co_return NotFound(StrCat("no envelope ", queue::EnvelopeIdText(id)));
    co_return found->second;
  }

  rt::Task<StatusOr<std::shared_ptr<const Body>>> OpenBody(rt::Executor&, MessageId id) override {
    const std::lock_guard lock(mutex_);
    const auto found = bodies_.find(id);
    if (found == bodies_.end()) co_return NotFound(StrCat("no message ", queue::MessageIdText(id)));
    co_return found->second;
  }

  rt::Task<StatusOr<std::vector<Envelope>>> List(rt::Executor&, ListRequest request) override {
    std::vector<Envelope> found;
    const std::lock_guard lock(mutex_);
    for (auto it = envelopes_.upper_bound(request.after);
         it != envelopes_.end() && found.size() < request.limit; ++it) {
      if (!request.message || it->second.message_id() == *request.message)
        found.push_back(it->second);
    }
    co_return found;
  }

  rt::Task<StatusOr<QueueCounts>> Counts(rt::Executor&) override {
    const std::lock_guard lock(mutex_);
    QueueCounts counts;
    counts.messages = bodies_.size();
    counts.envelopes = envelopes_.size();
    for (const auto& [id, envelope] : envelopes_) counts.held += envelope.held ? 1 : 0;
    co_return counts;
  }

  void Record(std::vector<Change> changes) override {
    const std::lock_guard lock(mutex_);
    for (Change& change : changes) Apply(std::move(change));
  }

  rt::Task<Status> Flush(rt::Executor&) override { co_return OkStatus(); }
  rt::Task<Status> Close(rt::Executor&) override { co_return OkStatus(); }

  WallTime Now() override {
    const std::lock_guard lock(mutex_);
    return absl::FromUnixMicros(
        absl::ToUnixMicros(clock_.Now(world_.clock().Now(), world_.clock().WallNow())));
  }
  QueueStatistics statistics() const override {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }
  QueueHealth health() const override { return {}; }

 private:
  friend class MemoryWriter;

  void Insert(Envelope envelope) {
    by_time_.emplace(envelope.next_attempt, envelope.id);
    const EnvelopeId id = envelope.id;
    envelopes_.insert_or_assign(id, std::move(envelope));
  }

  void Apply(Change change) {
    const EnvelopeId id = change.kind == Change::Kind::kUpdate ? change.envelope.id : change.id;
    const auto found = envelopes_.find(id);
    if (found == envelopes_.end()) return;
    ++statistics_.changes;
    switch (change.kind) {
      case Change::Kind::kHold:
      case Change::Kind::kRelease: found->second.held = change.kind == Change::Kind::kHold; return;
      case Change::Kind::kUpdate:
        by_time_.erase({found->second.next_attempt, id});
        change.envelope.held = found->second.held;
        change.envelope.fresh = false;
        Insert(std::move(change.envelope));
        return;
      case Change::Kind::kRemove:
        by_time_.erase({found->second.next_attempt, id});
        envelopes_.erase(found);
        const MessageId message = queue::MessageIdOf(id);
        const auto rest = envelopes_.lower_bound(queue::MakeEnvelopeId(message, 0));
        if (rest == envelopes_.end() || rest->second.message_id() != message) {
          const auto body = bodies_.find(message);
          bytes_ -= body->second->size_bytes();
          bodies_.erase(body);
        }
        return;
    }
  }

  rt::World& world_;
  const uint64_t limit_bytes_;
  std::function<void(const std::vector<Envelope>&)> observer_;
  mutable std::mutex mutex_;
  queue::SteadyClock clock_;
  std::map<EnvelopeId, Envelope> envelopes_;
  std::set<std::pair<WallTime, EnvelopeId>> by_time_;
  std::map<MessageId, std::shared_ptr<const Body>> bodies_;
  uint64_t bytes_ = 0;  // of bodies, those being received included
  QueueStatistics statistics_;
};

class MemoryWriter final : public MessageWriter {
 public:
  MemoryWriter(MemoryQueue& queue, MessageId id) : queue_(queue), id_(id) {}
  ~MemoryWriter() override {
    const std::lock_guard lock(queue_.mutex_);
    queue_.bytes_ -= octets_.size();
  }
  MessageId message_id() const override { return id_; }
  uint64_t size_bytes() const override { return octets_.size(); }

  rt::Task<Status> Append(std::string_view data) override {
    {
      const std::lock_guard lock(queue_.mutex_);
      if (queue_.bytes_ + data.size() > queue_.limit_bytes_)
        co_return ResourceExhausted("the queue's memory is full");
      queue_.bytes_ += data.size();
    }
    octets_.append(data);
    co_return OkStatus();
  }

  rt::Task<StatusOr<MessageId>> Commit(std::vector<Envelope> envelopes,
                                       std::vector<Change> changes) override {
    if (envelopes.empty()) co_return InvalidArgument("a message without destinations");
    queue::ReportExpansionsOnce(envelopes);
    const WallTime now = queue_.Now();
    {
      const std::lock_guard lock(queue_.mutex_);
      auto body = std::make_shared<MemoryBody>(std::move(octets_));
      octets_.clear();
      queue_.bodies_.emplace(id_, std::move(body));
      for (Envelope& envelope : envelopes) {
        while (envelope.id == 0 || queue_.envelopes_.contains(envelope.id)) {
          envelope.id =
              queue::MakeEnvelopeId(id_, static_cast<uint32_t>(queue_.world_.random().Next()));
        }
        if (envelope.created == absl::InfinitePast()) envelope.created = now;
        if (envelope.next_attempt == absl::InfinitePast()) envelope.next_attempt = now;
        queue_.Insert(envelope);
      }
      for (Change& change : changes) queue_.Apply(std::move(change));
      ++queue_.statistics_.commits;
      ++queue_.statistics_.transactions;
    }
    if (queue_.observer_) {
      for (Envelope& envelope : envelopes) envelope.fresh = true;
      queue_.observer_(envelopes);
    }
    co_return id_;
  }

 private:
  MemoryQueue& queue_;
  const MessageId id_;
  std::string octets_;
};

StatusOr<std::unique_ptr<MessageWriter>> MemoryQueue::NewMessage(rt::Executor&) {
  const std::lock_guard lock(mutex_);
  if (bytes_ >= limit_bytes_) return ResourceExhausted("the queue's memory is full");
  MessageId id = 0;
  while (id == 0 || bodies_.contains(id)) id = static_cast<MessageId>(world_.random().Next());
  return std::make_unique<MemoryWriter>(*this, id);
}

}  // namespace

std::unique_ptr<Queue> NewMemoryQueue(rt::World& world, uint64_t memory_limit_bytes) {
  return std::make_unique<MemoryQueue>(world, memory_limit_bytes);
}

}  // namespace postern::store
