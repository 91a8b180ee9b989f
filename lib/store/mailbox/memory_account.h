// What the memory store and its opened mailboxes share: memory_store.cc has the names of mailboxes,
// memory_mailbox.cc what is in them. Not for users of the store.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "lib/store/mailbox/change_hub.h"
#include "lib/store/mailbox/memory_store.h"

namespace postern::mailbox::memory {

struct StoredMessage {
  MessageInfo info;  // `recent`: no session has claimed it yet
  std::shared_ptr<const std::string> content;
  std::map<CacheKind, std::string> cache;
};

// Box is one mailbox, shared by the store and the sessions that opened it.
struct Box {
  std::string name;
  bool deleted = false;
  uint32_t uid_validity = 0;
  uint32_t uid_next = 1;
  uint64_t highest_modseq = 1;
  KeywordTable keywords;
  std::map<uint32_t, StoredMessage> messages;

  StoredMessage* Find(uint32_t uid) {
    const auto at = messages.find(uid);
    return at == messages.end() ? nullptr : &at->second;
  }
};

// Account is everything, under one lock.
struct Account {
  Account(rt::Clock& clock_in, const MemoryStoreOptions& options_in)
      : clock(clock_in), options(options_in) {
    AddBox("INBOX");
  }

  std::shared_ptr<Box> AddBox(const std::string& name) {
    auto box = std::make_shared<Box>();
    box->name = name;
    const int64_t now_s = absl::ToUnixSeconds(clock.WallNow());
    last_uid_validity =
        std::max(last_uid_validity + 1, static_cast<uint32_t>(std::max<int64_t>(now_s, 1)));
    box->uid_validity = last_uid_validity;
    boxes[name] = box;
    return box;
  }

  StatusOr<std::shared_ptr<Box>> FindBox(const std::string& name) {
    const StatusOr<std::string> canonical =
        CanonicalName(name, options.separator, options.name_limits);
    if (!canonical.ok()) return canonical.status();
    const auto at = boxes.find(*canonical);
    if (at == boxes.end()) return NotFound("no such mailbox");
    return at->second;
  }

  Status Room(uint64_t more_bytes) const {
    if (more_bytes > options.max_total_bytes - std::min(total_bytes, options.max_total_bytes)) {
      return ResourceExhausted("the store is full");
    }
    return OkStatus();
  }

  // Keep puts a message into `box` and returns its UID, 0 when there are no more.
  uint32_t Keep(Box& box, MessageInfo info, std::shared_ptr<const std::string> content) {
    if (box.uid_next == kMaxNumber) return 0;
    info.uid = box.uid_next++;
    info.modseq = ++box.highest_modseq;
    info.size_bytes = content->size();
    total_bytes += content->size();
    StoredMessage& message = box.messages[info.uid];
    message.info = info;
    message.content = std::move(content);
    return info.uid;
  }

  void Drop(Box& box, uint32_t uid) {
    const auto at = box.messages.find(uid);
    if (at == box.messages.end()) return;
    total_bytes -= at->second.content->size();
    box.messages.erase(at);
    ++box.highest_modseq;
  }

  void Publish(const std::string& name) { hub.Publish("", name); }

  rt::Clock& clock;
  const MemoryStoreOptions options;
  ChangeHub hub;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Box>> boxes;
  std::set<std::string> subscribed;
  uint32_t last_uid_validity = 0;
  uint64_t total_bytes = 0;
};

// OpenBox is MailStore::Open for a mailbox that was found; call it with the lock held.
std::unique_ptr<Mailbox> OpenBox(std::shared_ptr<Account> account, std::shared_ptr<Box> box,
                                 bool read_only);
// AppendTo is MailStore::StartAppend for it.
std::unique_ptr<Appender> AppendTo(std::shared_ptr<Account> account, std::shared_ptr<Box> box);

}  // namespace postern::mailbox::memory
