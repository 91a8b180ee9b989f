// QueueCore: what the queue holds, as of all that was recorded.

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/queue/sqlite_queue.h"

namespace postern::store {

using queue::Envelope;
using queue::EnvelopeId;

QueueCore::Overlays QueueCore::SnapshotOverlays() {
  const std::lock_guard lock(mutex_);
  Overlays all = writing_;
  for (const auto& [id, overlay] : waiting_) Merge(all[id], overlay);
  return all;
}

// ApplyOverlay brings `envelope` up to date; false when it is gone.
bool QueueCore::ApplyOverlay(const Overlays& overlays, Envelope& envelope) {
  const auto found = overlays.find(envelope.id);
  if (found == overlays.end()) return true;
  if (found->second.removed) return false;
  const bool held = found->second.held.value_or(envelope.held);
  if (found->second.update) envelope = *found->second.update;
  envelope.held = held;
  return true;
}

// Each reader looks at the overlays first and at the database then: what is written in between is
// seen in both, not in neither.

StatusOr<std::vector<Envelope>> QueueCore::LoadDue(const DueRequest& request) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<Envelope>> found = Read([&] {
    DueRequest wider = request;
    wider.limit += overlays.size();
    return database_->LoadDue(wider);
  });
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](Envelope& envelope) {
    return !ApplyOverlay(overlays, envelope) || envelope.held ||
           envelope.next_attempt > request.now;
  });
  if (found->size() > request.limit) found->resize(request.limit);
  return found;
}

StatusOr<WallTime> QueueCore::NextDue(WallTime after) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<WallTime> next = Read([&] { return database_->NextDue(after); });
  if (!next.ok()) return next.status();
  for (const auto& [id, overlay] : overlays) {
    if (overlay.update && !overlay.removed && overlay.update->next_attempt > after) {
      next = std::min(*next, overlay.update->next_attempt);
    }
  }
  return next;
}

StatusOr<std::vector<Envelope>> QueueCore::LoadDeferred(uint64_t destination_key, size_t limit) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<Envelope>> found =
      Read([&] { return database_->LoadDeferred(destination_key, limit); });
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](Envelope& envelope) {
    return !ApplyOverlay(overlays, envelope) || envelope.held;
  });
  return found;
}

StatusOr<Envelope> QueueCore::Get(EnvelopeId id) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<Envelope> found = Read([&] { return database_->Get(id); });
  if (!found.ok()) return found.status();
  if (!ApplyOverlay(overlays, *found))
    return NotFound(StrCat("no envelope ", queue::EnvelopeIdText(id)));
  return found;
}

StatusOr<std::vector<Envelope>> QueueCore::List(const ListRequest& request) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<Envelope>> found = Read([&] { return database_->List(request); });
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](Envelope& envelope) { return !ApplyOverlay(overlays, envelope); });
  return found;
}

StatusOr<QueueCounts> QueueCore::Counts() {
  return Read([&] { return database_->Counts(); });
}

StatusOr<AuditPart> QueueCore::Audit(size_t rows) {
  return Read([&] { return database_->Audit(rows); });
}

StatusOr<std::vector<ParkedEnvelope>> QueueCore::Parked(EnvelopeId after, size_t limit) {
  const Overlays overlays = SnapshotOverlays();
  StatusOr<std::vector<ParkedEnvelope>> found =
      Read([&] { return database_->Parked(after, limit); });
  if (!found.ok()) return found.status();
  std::erase_if(*found, [&](const ParkedEnvelope& each) {
    const auto overlay = overlays.find(each.id);
    return overlay != overlays.end() && overlay->second.removed;
  });
  return found;
}

StatusOr<size_t> QueueCore::Free(const std::vector<EnvelopeId>& ids) {
  return Read([&] { return database_->Free(ids); });
}

}  // namespace postern::store
