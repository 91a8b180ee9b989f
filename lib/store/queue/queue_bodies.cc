// QueueCore: the octets of messages, in files of their own, in the database and in memory.

#include <algorithm>
#include <new>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/memory_body.h"
#include "lib/store/queue/spool_seal.h"
#include "lib/store/queue/sqlite_queue.h"

namespace postern::store {

using queue::MessageId;

std::string QueueCore::BodyPath(MessageId id) const { return BodyFileOf(spool_, id); }

// Bodies whose message is not in the database belong to messages that were never acknowledged, or
// that are gone.
Status QueueCore::ReclaimBodies() {
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = world_.files().List(spool_ + "/bodies");
  if (!entries.ok()) return entries.status();
  for (const rt::DirectoryEntry& entry : *entries) {
    const std::optional<MessageId> id = queue::ParseMessageId(entry.name);
    if (!id) continue;
    const StatusOr<bool> known = database_->HasMessage(*id);
    if (!known.ok()) return known.status();
    if (!*known) (void)world_.files().Unlink(BodyPath(*id));
  }
  return OkStatus();
}

void QueueCore::RemoveBody(MessageId id) noexcept {
  constexpr size_t kMostLeft = 10'000;  // the next start finds the rest
  try {
    const Status removed = world_.files().Unlink(BodyPath(id));
    if (removed.ok() || removed.code() == StatusCode::kNotFound) return;
  } catch (const std::bad_alloc&) {
    // Later there may be memory for its name.
  }
  const std::lock_guard lock(mutex_);
  if (closed_ || left_.size() >= kMostLeft) return;
  try {
    left_.push_back(id);
  } catch (const std::bad_alloc&) {
    return;
  }
  StartLaterLocked(options_.retry_delay);
}

void QueueCore::RemoveWhatIsLeft() {
  std::vector<MessageId> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(left_);
  }
  for (const MessageId id : left) RemoveBody(id);
}

// --- into the queue ---

void QueueCore::WriteBodies(std::vector<std::shared_ptr<PendingMessage>>& messages) {
  rt::File* first = nullptr;  // of those that this batch opened
  size_t files = 0;
  bool all_fresh = true;  // none was opened, and perhaps written out in part, before this batch
  for (const auto& each : messages) {
    PendingMessage& message = *each;
    if (!message.outcome.ok() ||
        (message.file == nullptr && message.size_bytes <= options_.inline_body_bytes))
      continue;
    if (message.file != nullptr) all_fresh = false;
    message.outcome = WriteBody(message);
    if (!message.outcome.ok()) continue;
    message.file->StartWriteback();
    if (first == nullptr) first = message.file.get();
    ++files;
  }
  if (files == 0) return;
  // One sync of the file system costs less than many of files, and sees their failures when it was
  // there before them.
  constexpr size_t kFewFiles = 8;
  if (all_fresh && files > kFewFiles) {
    const Status together = first->SyncFileSystem();
    if (together.ok()) return;
  }
  for (const auto& message : messages) {
    if (message->outcome.ok() && message->file != nullptr)
      message->outcome = Annotate(message->file->Sync(), message->path);
  }
  const Status named = world_.files().SyncDirectory(spool_ + "/bodies");
  if (named.ok()) return;
  for (const auto& message : messages) {
    if (message->outcome.ok() && message->file != nullptr) message->outcome = named;
  }
}

Status QueueCore::WriteBody(PendingMessage& message) {
  if (message.file == nullptr) {
    std::string path = BodyPath(message.id);
    rt::OpenOptions open;
    open.write = open.create = open.exclusive = true;
    StatusOr<std::unique_ptr<rt::File>> file = world_.files().Open(path, open);
    if (file.status().code() == StatusCode::kAlreadyExists)
      return Unavailable("message id is taken");
    if (!file.ok()) return file.status();
    message.file = *std::move(file);
    message.path = std::move(path);
  }
  if (message.sealed) {
    const Status written = message.file->WriteAt(message.record_bytes, message.record);
    message.record_bytes += message.record.size();
    std::string().swap(message.record);
    return Annotate(written, message.path);
  }
  const Status written =
      message.file->WriteAt(message.size_bytes - message.octets.size(), message.octets);
  std::string().swap(message.octets);
  return Annotate(written, message.path);
}

void QueueCore::Seal(PendingMessage& message, bool last) const {
  message.sealed = true;
  const bool inside = last && message.sealer == nullptr && message.file == nullptr &&
                      message.size_bytes <= options_.inline_body_bytes;
  if (inside) {
    // The cache gets what was sealed.
    message.record = seal().SealText(message.id, message.octets);
    return;
  }
  if (message.sealer == nullptr)
    message.sealer = std::make_unique<SealWriter>(seal(), SealedKind::kText, message.id);
  message.sealer->Append(message.octets, last, &message.record);
  std::string().swap(message.octets);
}

// --- for deliveries ---

void QueueCore::Cache(PendingMessage& message) {
  if (message.file != nullptr || message.octets.size() != message.size_bytes) return;
  const std::lock_guard lock(cache_mutex_);
  if (cached_bytes_ + message.octets.size() > options_.cached_body_bytes) return;
  if (cache_.contains(message.id)) return;
  auto body = std::make_shared<const MemoryBody>(std::move(message.octets));
  const uint64_t size = body->size_bytes();
  cache_.emplace(message.id, std::move(body));
  cached_bytes_ += size;
}

void QueueCore::Uncache(MessageId id) noexcept {
  const std::lock_guard lock(cache_mutex_);
  const auto found = cache_.find(id);
  if (found == cache_.end()) return;
  cached_bytes_ -= found->second->size_bytes();
  cache_.erase(found);
}

std::shared_ptr<const Body> QueueCore::CachedBody(MessageId id) {
  const std::lock_guard lock(cache_mutex_);
  const auto found = cache_.find(id);
  return found == cache_.end() ? nullptr : found->second;
}

StatusOr<std::shared_ptr<const Body>> QueueCore::OpenBody(MessageId id) {
  if (std::shared_ptr<const Body> cached = CachedBody(id)) return cached;
  StatusOr<StoredBody> row = Read([&] { return database_->ReadBody(id); });
  if (!row.ok()) return row.status();
  StatusOr<std::shared_ptr<const Body>> body =
      OpenStoredBody(world_.files(), spool_, seal(), id, *std::move(row));
  // A disk that cannot read it now is no damage, nor is a key that is not there.
  if (body.status().code() != StatusCode::kInvalidArgument) return body;
  const Status damaged = DataLoss("message is damaged on disk, parked");
  LogProblem(LogLevel::kError, "message damaged on disk, parked", damaged,
             queue::MessageIdText(id));
  (void)Read([&] { return database_->Park(id); });
  return damaged;
}

}  // namespace postern::store
