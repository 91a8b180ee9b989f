#include "lib/core/mailbox/view.h"

#include <algorithm>

namespace postern::mailbox {

void View::Reset(std::span<const MessageInfo> messages) {
  entries_.clear();
  entries_.reserve(messages.size());
  recent_ = 0;
  ghosts_ = false;
  for (const MessageInfo& message : messages) {
    entries_.push_back(EntryOf(message));
    if (message.recent) ++recent_;
  }
}

uint32_t View::UidAt(uint32_t number) const {
  return number == 0 || number > entries_.size() ? 0 : entries_[number - 1].uid;
}

uint32_t View::NumberOf(uint32_t uid) const {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), uid,
                                   [](const Entry& e, uint32_t u) { return e.uid < u; });
  return at == entries_.end() || at->uid != uid ? 0
                                                : static_cast<uint32_t>(at - entries_.begin()) + 1;
}

std::optional<UidSet> View::UidsOf(const UidSet& numbers) const {
  if (numbers.Max() > entries_.size()) return std::nullopt;
  UidSet uids;
  for (const UidRange& range : numbers.ranges()) {
    for (uint32_t n = range.first; n <= range.last; ++n) uids.Add(entries_[n - 1].uid);
  }
  return uids;
}

UidSet View::Known(const UidSet& uids) const {
  UidSet known;
  for (const UidRange& range : uids.ranges()) {
    auto at = std::lower_bound(entries_.begin(), entries_.end(), range.first,
                               [](const Entry& e, uint32_t u) { return e.uid < u; });
    for (; at != entries_.end() && at->uid <= range.last; ++at) known.Add(at->uid);
  }
  return known;
}

std::vector<ViewUpdate> View::Update(std::span<const MessageInfo> messages, bool may_expunge) {
  std::vector<ViewUpdate> updates;
  std::vector<ViewUpdate> flag_updates;
  const uint32_t old_size = static_cast<uint32_t>(entries_.size());
  const uint32_t old_recent = recent_;
  const uint32_t old_max = max_uid();

  // Which entries are gone, in one walk along both.
  std::vector<uint32_t> gone;
  size_t m = 0;
  for (uint32_t i = 0; i < old_size; ++i) {
    while (m < messages.size() && messages[m].uid < entries_[i].uid) ++m;
    if (m == messages.size() || messages[m].uid != entries_[i].uid) gone.push_back(i);
  }
  if (may_expunge && !gone.empty()) {
    // From the highest down, a removal does not shift the numbers of those still to be told.
    for (auto at = gone.rbegin(); at != gone.rend(); ++at) {
      ViewUpdate update;
      update.kind = ViewUpdate::Kind::kExpunge;
      update.number = *at + 1;
      update.uid = entries_[*at].uid;
      updates.push_back(update);
      if (entries_[*at].recent) --recent_;
    }
    size_t next_gone = 0;
    size_t kept = 0;
    for (uint32_t i = 0; i < old_size; ++i) {
      if (next_gone < gone.size() && gone[next_gone] == i) {
        ++next_gone;
      } else {
        entries_[kept++] = entries_[i];
      }
    }
    entries_.resize(kept);
    gone.clear();
  }
  ghosts_ = !gone.empty();

  m = 0;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    while (m < messages.size() && messages[m].uid < entry.uid) ++m;
    if (m == messages.size()) break;
    const MessageInfo& message = messages[m];
    if (message.uid != entry.uid) continue;
    if (message.flags == entry.flags && message.keywords == entry.keywords) continue;
    entry.flags = message.flags;
    entry.keywords = message.keywords;
    ViewUpdate update;
    update.kind = ViewUpdate::Kind::kFlags;
    update.number = i + 1;
    update.uid = message.uid;
    update.message = message;
    update.message.recent = entry.recent;
    flag_updates.push_back(update);
  }
  updates.insert(updates.end(), flag_updates.begin(), flag_updates.end());

  const auto arrived =
      std::upper_bound(messages.begin(), messages.end(), old_max,
                       [](uint32_t uid, const MessageInfo& message) { return uid < message.uid; });
  for (auto at = arrived; at != messages.end(); ++at) {
    entries_.push_back(EntryOf(*at));
    if (at->recent) ++recent_;
  }
  if (arrived != messages.end()) {
    ViewUpdate exists;
    exists.kind = ViewUpdate::Kind::kExists;
    exists.number = static_cast<uint32_t>(entries_.size());
    updates.push_back(exists);
  }
  // RFC 3501 §7.3.2: RECENT goes with a change of the mailbox's size; clients take EXPUNGE into
  // account by themselves for EXISTS, but cannot know whether the removed message was recent.
  if (recent_ != old_recent) {
    ViewUpdate recent;
    recent.kind = ViewUpdate::Kind::kRecent;
    recent.number = recent_;
    updates.push_back(recent);
  }
  return updates;
}

void View::Told(const MessageInfo& message) {
  const uint32_t number = NumberOf(message.uid);
  if (number == 0) return;
  entries_[number - 1].flags = message.flags;
  entries_[number - 1].keywords = message.keywords;
}

}  // namespace postern::mailbox
