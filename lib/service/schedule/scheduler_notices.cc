// What senders are told of their mail: notices are gathered for a moment, written and queued in one
// commit with what they tell of.
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/queue/bounce.h"
#include "lib/service/schedule/carried_body.h"
#include "lib/service/schedule/scheduler.h"

namespace postern::schedule {

using message::DsnAction;
using queue::Envelope;
using store::Change;

namespace {

constexpr uint64_t kReturnedHeaderBytes = 256 * 1024;

}  // namespace

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
  Duration pause = options_.notice_retry;
  while (true) {
    const Status sent = co_await SendNotice(key.second, &items);
    if (sent.ok() || ending_.is_set()) break;
    LogEvent(LogLevel::kError, "cannot store a notice", items.front().envelope, Text(sent));
    const Instant again = loop_.Now() + pause;
    pause = std::min(pause * 2, std::max(options_.max_notice_retry, options_.notice_retry));
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
    envelope.sender.smtputf8 = NoticeNeedsUtf8(first);
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

}  // namespace postern::schedule
