#include "lib/store/queue/sqlite_queue.h"

#include <set>
#include <utility>
#include <zlib.h>

#include "lib/core/base/strings.h"
#include "lib/core/queue/bounce.h"

namespace postern::store {
namespace {

using queue::Envelope;
using queue::EnvelopeId;
using queue::MessageId;

class SqliteWriter final : public MessageWriter {
 public:
  SqliteWriter(std::shared_ptr<QueueCore> core, rt::Executor& loop, MessageId id)
      : core_(std::move(core)), loop_(loop), message_(std::make_shared<PendingMessage>(&loop)) {
    message_->id = id;
    message_->checksum = static_cast<uint32_t>(crc32(0, nullptr, 0));
  }

  ~SqliteWriter() override {
    // A path that is still there names the file of a message that did not come to be.
    if (message_->path.empty()) return;
    PendingMessage::Removal& removal = message_->removal;
    removal.core = core_;
    removal.message = message_;
    removal.run = [](rt::Job* job) { Remove(static_cast<PendingMessage::Removal*>(job), true); };
    removal.drop = [](rt::Job* job) { Remove(static_cast<PendingMessage::Removal*>(job), false); };
    loop_.PostBlocking(&removal);
  }

  MessageId message_id() const override { return message_->id; }
  uint64_t size_bytes() const override { return message_->size_bytes; }

  rt::Task<Status> Append(std::string_view data) override {
    PendingMessage& message = *message_;
    message.octets.append(data);
    message.size_bytes += data.size();
    message.checksum = static_cast<uint32_t>(crc32_z(
        message.checksum, reinterpret_cast<const unsigned char*>(data.data()), data.size()));
    if (message.octets.size() <= core_->options().memory_body_bytes) co_return OkStatus();
    const Status status = co_await loop_.RunBlocking([this] { return Spill(); });
    co_return status;
  }

  rt::Task<StatusOr<MessageId>> Commit(std::vector<Envelope> envelopes,
                                       std::vector<Change> changes) override {
    if (envelopes.empty()) co_return InvalidArgument("a message without destinations");
    queue::ReportExpansionsOnce(envelopes);
    const WallTime now = core_->Now();
    std::set<EnvelopeId> ids;
    for (Envelope& envelope : envelopes) {
      while (envelope.id == 0 || ids.contains(envelope.id)) {
        const auto low = static_cast<uint32_t>(core_->world().random().Next());
        if (low != 0) envelope.id = queue::MakeEnvelopeId(message_->id, low);
      }
      ids.insert(envelope.id);
      if (envelope.created == absl::InfinitePast()) envelope.created = now;
      if (envelope.next_attempt == absl::InfinitePast()) envelope.next_attempt = now;
    }
    message_->envelopes = std::move(envelopes);
    message_->changes = std::move(changes);
    if (core_->Seals(*message_))
      co_await loop_.RunBlocking([this] { core_->Seal(*message_, true); });
    core_->Submit(message_);
    const Status status = co_await message_->done.Wait();
    if (!status.ok()) co_return status;
    co_return message_->id;
  }

 private:
  // The job keeps its message and the queue alive until here.
  static void Remove(PendingMessage::Removal* removal, bool file_too) noexcept {
    const std::shared_ptr<QueueCore> core = std::move(removal->core);
    const std::shared_ptr<PendingMessage> message = std::move(removal->message);
    message->file.reset();
    if (file_too) core->RemoveBody(message->id);
  }

  // Spill moves what is in memory into the message's file.
  Status Spill() {
    POSTERN_RETURN_IF_ERROR(core_->CheckSpace());
    if (core_->Seals(*message_)) core_->Seal(*message_, false);
    return core_->WriteBody(*message_);
  }

  std::shared_ptr<QueueCore> core_;
  rt::Executor& loop_;
  std::shared_ptr<PendingMessage> message_;
};

class SqliteQueue final : public Queue {
 public:
  explicit SqliteQueue(std::shared_ptr<QueueCore> core) : core_(std::move(core)) {}

  StatusOr<std::unique_ptr<MessageWriter>> NewMessage(rt::Executor& loop) override {
    if (core_->SpaceIsLow()) return ResourceExhausted("the disk of the queue is full");
    MessageId id = 0;
    while (id == 0) id = static_cast<MessageId>(core_->world().random().Next());
    return std::make_unique<SqliteWriter>(core_, loop, id);
  }

  void SetReserve(uint64_t min_free_bytes) override { core_->set_reserve(min_free_bytes); }

  void SetCommitObserver(std::function<void(const std::vector<Envelope>&)> observer) override {
    core_->set_observer(std::move(observer));
  }

  rt::Task<StatusOr<std::vector<Envelope>>> LoadDue(rt::Executor& loop,
                                                    DueRequest request) override {
    StatusOr<std::vector<Envelope>> found =
        co_await loop.RunBlocking([&] { return core_->LoadDue(request); });
    co_return found;
  }
  rt::Task<StatusOr<WallTime>> NextDue(rt::Executor& loop, WallTime after) override {
    StatusOr<WallTime> found = co_await loop.RunBlocking([&] { return core_->NextDue(after); });
    co_return found;
  }
  rt::Task<StatusOr<std::vector<Envelope>>> LoadDeferred(rt::Executor& loop, uint64_t key,
                                                         size_t limit) override {
    StatusOr<std::vector<Envelope>> found =
        co_await loop.RunBlocking([&] { return core_->LoadDeferred(key, limit); });
    co_return found;
  }
  rt::Task<StatusOr<Envelope>> Get(rt::Executor& loop, EnvelopeId id) override {
    StatusOr<Envelope> found = co_await loop.RunBlocking([&] { return core_->Get(id); });
    co_return found;
  }
  rt::Task<StatusOr<std::shared_ptr<const Body>>> OpenBody(rt::Executor& loop,
                                                           MessageId id) override {
    if (std::shared_ptr<const Body> cached = core_->CachedBody(id)) co_return cached;
    StatusOr<std::shared_ptr<const Body>> body =
        co_await loop.RunBlocking([&] { return core_->OpenBody(id); });
    co_return body;
  }
  rt::Task<StatusOr<std::vector<ParkedEnvelope>>> Parked(rt::Executor& loop, EnvelopeId after,
                                                         size_t limit) override {
    StatusOr<std::vector<ParkedEnvelope>> found =
        co_await loop.RunBlocking([&] { return core_->Parked(after, limit); });
    co_return found;
  }
  rt::Task<StatusOr<size_t>> Free(rt::Executor& loop, std::vector<EnvelopeId> ids) override {
    StatusOr<size_t> freed = co_await loop.RunBlocking([&] { return core_->Free(ids); });
    co_return freed;
  }
  rt::Task<StatusOr<std::vector<Envelope>>> List(rt::Executor& loop, ListRequest request) override {
    StatusOr<std::vector<Envelope>> found =
        co_await loop.RunBlocking([&] { return core_->List(request); });
    co_return found;
  }
  rt::Task<StatusOr<QueueCounts>> Counts(rt::Executor& loop) override {
    Status flushed = co_await Flush(loop);
    if (!flushed.ok()) co_return flushed;
    StatusOr<QueueCounts> counts = co_await loop.RunBlocking([&] { return core_->Counts(); });
    co_return counts;
  }

  rt::Task<StatusOr<AuditPart>> Audit(rt::Executor& loop, size_t rows) override {
    StatusOr<AuditPart> part = co_await loop.RunBlocking([&] { return core_->Audit(rows); });
    co_return part;
  }

  void Record(std::vector<Change> changes) override { core_->Record(std::move(changes)); }

  rt::Task<Status> Flush(rt::Executor& loop) override {
    auto done = std::make_shared<rt::Completion<Status>>(&loop);
    core_->SubmitFlush(done);
    Status status = co_await done->Wait();
    co_return status;
  }

  rt::Task<Status> Close(rt::Executor& loop) override {
    core_->Shutdown();
    Status status = co_await Flush(loop);
    co_return status;
  }

  WallTime Now() override { return core_->Now(); }
  QueueStatistics statistics() const override { return core_->statistics(); }
  QueueHealth health() const override { return core_->health(); }

 private:
  std::shared_ptr<QueueCore> core_;
};

}  // namespace

StatusOr<std::unique_ptr<Queue>> OpenSqliteQueue(rt::World& world, LogSink& log,
                                                 const std::string& spool,
                                                 const QueueOptions& options) {
  auto core = std::make_shared<QueueCore>(world, log, spool, options);
  POSTERN_RETURN_IF_ERROR(Annotate(core->Open(), "queue"));
  return std::unique_ptr<Queue>(std::make_unique<SqliteQueue>(std::move(core)));
}

}  // namespace postern::store
