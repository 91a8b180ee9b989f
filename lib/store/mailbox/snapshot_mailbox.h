// SnapshotMailbox: what an opened mailbox of either store shows between two Syncs. Not for users of
// the stores.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/mailbox/mailbox.h"

namespace postern::mailbox {

class SnapshotMailbox : public Mailbox {
 public:
  const std::string& name() const final { return name_; }
  bool read_only() const final { return read_only_; }
  uint32_t uid_validity() const final { return uid_validity_; }
  uint32_t uid_next() const final { return uid_next_; }
  uint64_t highest_modseq() const final { return highest_modseq_; }
  std::span<const MessageInfo> messages() const final { return messages_; }
  const KeywordTable& keywords() const final { return keywords_; }
  uint64_t generation() const final { return generation_; }

 protected:
  SnapshotMailbox(std::string name, bool read_only)
      : name_(std::move(name)), read_only_(read_only) {}

  // KnownOf gives those of `uids` that are in the snapshot.
  std::vector<uint32_t> KnownOf(const UidSet& uids) const {
    std::vector<uint32_t> known;
    for (const UidRange& range : uids.ranges()) {
      auto at = std::lower_bound(messages_.begin(), messages_.end(), range.first,
                                 [](const MessageInfo& m, uint32_t uid) { return m.uid < uid; });
      for (; at != messages_.end() && at->uid <= range.last; ++at) known.push_back(at->uid);
    }
    return known;
  }

  const std::string name_;
  const bool read_only_;
  // Of the last Sync; messages_ rises by UID.
  uint32_t uid_validity_ = 0;
  uint32_t uid_next_ = 0;
  uint64_t highest_modseq_ = 0;
  uint64_t generation_ = 0;
  std::vector<MessageInfo> messages_;
  KeywordTable keywords_;
};

}  // namespace postern::mailbox
