// The mailboxes of the memory store: what is put into them, and the snapshots that sessions have.
#include <cstring>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/crlf.h"
#include "lib/store/mailbox/memory_account.h"
#include "lib/store/mailbox/snapshot_mailbox.h"

namespace postern::mailbox::memory {
namespace {

class MemoryContent final : public MessageContent {
 public:
  explicit MemoryContent(std::shared_ptr<const std::string> content)
      : content_(std::move(content)) {}
  uint64_t size_bytes() const override { return content_->size(); }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    if (offset >= content_->size()) return size_t{0};
    const size_t n = std::min<size_t>(into.size(), content_->size() - offset);
    std::memcpy(into.data(), content_->data() + offset, n);
    return n;
  }
  StatusOr<std::string_view> All(uint64_t limit_bytes) override {
    if (content_->size() > limit_bytes) return ResourceExhausted("the message is too large");
    return std::string_view(*content_);
  }

 private:
  std::shared_ptr<const std::string> content_;
};

class MemoryAppender final : public Appender {
 public:
  MemoryAppender(std::shared_ptr<Account> account, std::shared_ptr<Box> box)
      : account_(std::move(account)), box_(std::move(box)) {}

  Status StartMessage(const AppendOptions& options) override {
    messages_.push_back({options, {}, {}});
    return OkStatus();
  }
  Status Write(std::string_view octets) override {
    POSTERN_CHECK(!messages_.empty());
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      POSTERN_RETURN_IF_ERROR(account_->Room(messages_.back().content.size() + octets.size()));
    }
    messages_.back().encoder.Append(octets, messages_.back().content);
    return OkStatus();
  }
  StatusOr<AppendResult> Commit() override {
    AppendResult result;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      if (box_->deleted) return NotFound("the mailbox was deleted");
      uint64_t total = 0;
      for (const Pending& pending : messages_) total += pending.content.size();
      POSTERN_RETURN_IF_ERROR(account_->Room(total));
      if (kMaxNumber - box_->uid_next < messages_.size())
        return ResourceExhausted("no UIDs are left");
      result.uid_validity = box_->uid_validity;
      for (Pending& pending : messages_) {
        MessageInfo info;
        info.flags = pending.options.flags.system;
        info.recent = true;
        for (const std::string& keyword : pending.options.flags.keywords) {
          if (box_->keywords.FindOrAdd(keyword) < 0)
            return ResourceExhausted("the mailbox has too many keywords");
        }
        info.keywords = box_->keywords.BitsOf(pending.options.flags);
        info.internal_date_s =
            absl::ToUnixSeconds(pending.options.internal_date.value_or(account_->clock.WallNow()));
        result.uids.push_back(account_->Keep(
            *box_, info, std::make_shared<const std::string>(std::move(pending.content))));
      }
      messages_.clear();
    }
    account_->Publish(box_->name);
    return result;
  }

 private:
  struct Pending {
    AppendOptions options;
    CrlfEncoder encoder;
    std::string content;
  };
  std::shared_ptr<Account> account_;
  std::shared_ptr<Box> box_;
  std::vector<Pending> messages_;
};

class MemoryMailbox final : public SnapshotMailbox {
 public:
  MemoryMailbox(std::shared_ptr<Account> account, std::shared_ptr<Box> box, bool read_only)
      : SnapshotMailbox(box->name, read_only), account_(std::move(account)), box_(std::move(box)) {
    TakeSnapshot();
  }

  Status Sync() override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    if (box_->deleted) return NotFound("the mailbox was deleted");
    TakeSnapshot();
    return OkStatus();
  }

  StatusOr<StoreResult> StoreFlags(const UidSet& uids, const StoreRequest& request) override {
    if (read_only_) return PermissionDenied("the mailbox is open read-only");
    StoreResult result;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      if (box_->deleted) return NotFound("the mailbox was deleted");
      if (request.change != FlagChange::kRemove) {
        for (const std::string& keyword : request.flags.keywords) {
          if (box_->keywords.FindOrAdd(keyword) < 0)
            return ResourceExhausted("the mailbox has too many keywords");
        }
      }
      const KeywordBits bits = box_->keywords.BitsOf(request.flags);
      uint64_t modseq = 0;
      for (const uint32_t uid : KnownOf(uids)) {
        StoredMessage* message = box_->Find(uid);
        if (message == nullptr) {
          result.gone.Add(uid);
          continue;
        }
        if (request.unchanged_since && message->info.modseq > *request.unchanged_since) {
          result.modified.Add(uid);
          continue;
        }
        MessageInfo changed = message->info;
        switch (request.change) {
          case FlagChange::kReplace:
            changed.flags = request.flags.system;
            changed.keywords = bits;
            break;
          case FlagChange::kAdd:
            changed.flags |= request.flags.system;
            changed.keywords |= bits;
            break;
          case FlagChange::kRemove:
            changed.flags = static_cast<SystemFlags>(changed.flags & ~request.flags.system);
            changed.keywords &= ~bits;
            break;
        }
        if (changed == message->info) continue;
        if (modseq == 0) modseq = ++box_->highest_modseq;
        changed.modseq = modseq;
        message->info = changed;
        result.changed.Add(uid);
      }
      TakeSnapshot();
    }
    if (!result.changed.empty()) account_->Publish(name_);
    return result;
  }

  StatusOr<UidSet> Expunge(const UidSet* uids) override {
    if (read_only_) return PermissionDenied("the mailbox is open read-only");
    UidSet removed;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      if (box_->deleted) return NotFound("the mailbox was deleted");
      for (const auto& [uid, message] : box_->messages) {
        if ((message.info.flags & kDeleted) != 0 && (uids == nullptr || uids->Contains(uid)))
          removed.Add(uid);
      }
      for (const uint32_t uid : removed.Numbers()) account_->Drop(*box_, uid);
      TakeSnapshot();
    }
    if (!removed.empty()) account_->Publish(name_);
    return removed;
  }

  StatusOr<CopyResult> Copy(const UidSet& uids, const std::string& target) override {
    return Transfer(uids, target, false);
  }
  StatusOr<CopyResult> Move(const UidSet& uids, const std::string& target) override {
    if (read_only_) return PermissionDenied("the mailbox is open read-only");
    return Transfer(uids, target, true);
  }

  StatusOr<std::unique_ptr<MessageContent>> OpenContent(uint32_t uid) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StoredMessage* message = box_->Find(uid);
    if (message == nullptr) return NotFound("the message is gone");
    return std::unique_ptr<MessageContent>(std::make_unique<MemoryContent>(message->content));
  }

  std::optional<std::string> Cached(uint32_t uid, CacheKind kind) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StoredMessage* message = box_->Find(uid);
    if (message == nullptr) return std::nullopt;
    const auto at = message->cache.find(kind);
    if (at == message->cache.end()) return std::nullopt;
    return at->second;
  }
  void PutCached(uint32_t uid, CacheKind kind, std::string_view text) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    if (StoredMessage* message = box_->Find(uid)) message->cache[kind] = text;
  }

 private:
  // TakeSnapshot copies the mailbox's state. With the lock held (or alone, in the constructor's
  // caller).
  void TakeSnapshot() {
    if (generation_ != 0 && highest_modseq_ == box_->highest_modseq) return;
    std::set<uint32_t> mine;
    for (const MessageInfo& message : messages_) {
      if (message.recent) mine.insert(message.uid);
    }
    messages_.clear();
    messages_.reserve(box_->messages.size());
    for (auto& [uid, message] : box_->messages) {
      MessageInfo info = message.info;
      info.recent = message.info.recent || mine.contains(uid);
      if (!read_only_) message.info.recent = false;
      messages_.push_back(info);
    }
    uid_validity_ = box_->uid_validity;
    uid_next_ = box_->uid_next;
    highest_modseq_ = box_->highest_modseq;
    keywords_ = box_->keywords;
    ++generation_;
  }

  StatusOr<CopyResult> Transfer(const UidSet& uids, const std::string& target, bool move) {
    CopyResult result;
    std::string target_name;
    {
      const std::lock_guard<std::mutex> lock(account_->mutex);
      if (box_->deleted) return NotFound("the mailbox was deleted");
      const StatusOr<std::shared_ptr<Box>> to = account_->FindBox(target);
      if (!to.ok()) return to.status();
      target_name = (*to)->name;
      std::vector<uint32_t> present;
      uint64_t total = 0;
      FlagList names;
      for (const uint32_t uid : KnownOf(uids)) {
        const StoredMessage* message = box_->Find(uid);
        if (message == nullptr) continue;
        present.push_back(uid);
        total += message->content->size();
        for (const std::string_view name : box_->keywords.NamesOf(message->info.keywords))
          (void)names.Add(name);
      }
      if (!move) POSTERN_RETURN_IF_ERROR(account_->Room(total));
      if (kMaxNumber - (*to)->uid_next < present.size())
        return ResourceExhausted("no UIDs are left");
      for (const std::string& name : names.keywords) {
        if ((*to)->keywords.FindOrAdd(name) < 0)
          return ResourceExhausted("the mailbox has too many keywords");
      }
      result.uid_validity = (*to)->uid_validity;
      for (const uint32_t uid : present) {
        const StoredMessage* message = box_->Find(uid);
        MessageInfo info = message->info;
        info.recent = true;
        info.keywords = 0;
        for (const std::string_view name : box_->keywords.NamesOf(message->info.keywords)) {
          info.keywords |= KeywordBits{1} << (*to)->keywords.Find(name);
        }
        result.source.push_back(uid);
        result.target.push_back(account_->Keep(**to, info, message->content));
        if (move) account_->Drop(*box_, uid);
      }
      TakeSnapshot();
    }
    if (!result.source.empty()) {
      account_->Publish(target_name);
      if (move) account_->Publish(name_);
    }
    return result;
  }

  std::shared_ptr<Account> account_;
  std::shared_ptr<Box> box_;
};

}  // namespace

std::unique_ptr<Mailbox> OpenBox(std::shared_ptr<Account> account, std::shared_ptr<Box> box,
                                 bool read_only) {
  return std::make_unique<MemoryMailbox>(std::move(account), std::move(box), read_only);
}

std::unique_ptr<Appender> AppendTo(std::shared_ptr<Account> account, std::shared_ptr<Box> box) {
  return std::make_unique<MemoryAppender>(std::move(account), std::move(box));
}

}  // namespace postern::mailbox::memory
