#include "lib/store/mailbox/memory_store.h"

#include <set>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/store/mailbox/listing.h"
#include "lib/store/mailbox/memory_account.h"

namespace postern::mailbox {
namespace {

using memory::Account;
using memory::Box;

class MemoryStore final : public MailStore {
 public:
  MemoryStore(rt::Clock& clock, const MemoryStoreOptions& options)
      : account_(std::make_shared<Account>(clock, options)) {}

  char separator() const override { return account_->options.separator; }

  StatusOr<std::vector<MailboxEntry>> List() override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    std::set<std::string> names;
    for (const auto& [name, box] : account_->boxes) names.insert(name);
    return BuildListing(names, account_->subscribed, separator());
  }

  Status Create(const std::string& name) override {
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    if (account_->boxes.contains(*canonical)) return AlreadyExists("the mailbox exists");
    if (account_->boxes.size() >= account_->options.max_mailboxes)
      return ResourceExhausted("too many mailboxes");
    account_->AddBox(*canonical);
    return OkStatus();
  }

  Status Delete(const std::string& name) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<std::shared_ptr<Box>> box = account_->FindBox(name);
    if (!box.ok()) return box.status();
    if ((*box)->name == "INBOX") return InvalidArgument("INBOX cannot be deleted");
    for (const auto& [uid, message] : (*box)->messages)
      account_->total_bytes -= message.content->size();
    (*box)->deleted = true;
    account_->boxes.erase((*box)->name);
    account_->Publish((*box)->name);
    return OkStatus();
  }

  Status Rename(const std::string& from, const std::string& to) override {
    const StatusOr<std::string> target = Canonical(to);
    if (!target.ok()) return target.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<std::shared_ptr<Box>> box = account_->FindBox(from);
    if (!box.ok()) return box.status();
    if (account_->boxes.contains(*target)) return AlreadyExists("the mailbox exists");
    const std::string source = (*box)->name;
    if (source == "INBOX") {
      // RFC 3501 §6.3.5: the messages move, INBOX stays.
      const std::shared_ptr<Box> made = account_->AddBox(*target);
      made->keywords = (*box)->keywords;
      for (const auto& [uid, message] : (*box)->messages)
        account_->Keep(*made, message.info, message.content);
      while (!(*box)->messages.empty()) account_->Drop(**box, (*box)->messages.begin()->first);
      account_->Publish(source);
      return OkStatus();
    }
    const std::string below = StrCat(source, separator());
    if (target->starts_with(below)) return InvalidArgument("a mailbox cannot move below itself");
    std::vector<std::pair<std::string, std::string>> renames = {{source, *target}};
    for (const auto& [name, other] : account_->boxes) {
      if (!name.starts_with(below)) continue;
      renames.emplace_back(name, StrCat(*target, std::string_view(name).substr(source.size())));
      if (account_->boxes.contains(renames.back().second))
        return AlreadyExists("a mailbox below it exists");
    }
    for (const auto& [old_name, new_name] : renames) {
      const std::shared_ptr<Box> moved = account_->boxes[old_name];
      account_->boxes.erase(old_name);
      // Sessions that have the old name open find it deleted.
      auto renamed = std::make_shared<Box>(*moved);
      moved->deleted = true;
      renamed->name = new_name;
      account_->boxes[new_name] = renamed;
      account_->Publish(old_name);
    }
    return OkStatus();
  }

  Status Subscribe(const std::string& name) override {
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    if (account_->subscribed.size() >= account_->options.max_mailboxes)
      return ResourceExhausted("too many subscriptions");
    account_->subscribed.insert(*canonical);
    return OkStatus();
  }
  Status Unsubscribe(const std::string& name) override {
    const StatusOr<std::string> canonical = Canonical(name);
    if (!canonical.ok()) return canonical.status();
    const std::lock_guard<std::mutex> lock(account_->mutex);
    account_->subscribed.erase(*canonical);
    return OkStatus();
  }

  StatusOr<MailboxStatus> GetStatus(const std::string& name) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<std::shared_ptr<Box>> box = account_->FindBox(name);
    if (!box.ok()) return box.status();
    MailboxStatus status;
    status.uid_validity = (*box)->uid_validity;
    status.uid_next = (*box)->uid_next;
    status.highest_modseq = (*box)->highest_modseq;
    status.messages = static_cast<uint32_t>((*box)->messages.size());
    for (const auto& [uid, message] : (*box)->messages) {
      if (message.info.recent) ++status.recent;
      if ((message.info.flags & kSeen) == 0) ++status.unseen;
      if ((message.info.flags & kDeleted) != 0) ++status.deleted;
      status.size_bytes += message.info.size_bytes;
    }
    return status;
  }

  StatusOr<std::unique_ptr<Mailbox>> Open(const std::string& name, bool read_only) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<std::shared_ptr<Box>> box = account_->FindBox(name);
    if (!box.ok()) return box.status();
    return memory::OpenBox(account_, *box, read_only);
  }

  StatusOr<std::unique_ptr<Appender>> StartAppend(const std::string& name) override {
    const std::lock_guard<std::mutex> lock(account_->mutex);
    const StatusOr<std::shared_ptr<Box>> box = account_->FindBox(name);
    if (!box.ok()) return box.status();
    return memory::AppendTo(account_, *box);
  }

  std::unique_ptr<ChangeWatch> Watch(const std::string& name,
                                     std::function<void()> on_change) override {
    const StatusOr<std::string> canonical = Canonical(name);
    return account_->hub.Watch("", canonical.ok() ? *canonical : name, std::move(on_change));
  }

 private:
  StatusOr<std::string> Canonical(const std::string& name) const {
    return CanonicalName(name, separator(), account_->options.name_limits);
  }
  std::shared_ptr<Account> account_;
};

}  // namespace

std::unique_ptr<MailStore> MakeMemoryStore(rt::Clock& clock, const MemoryStoreOptions& options) {
  return std::make_unique<MemoryStore>(clock, options);
}

}  // namespace postern::mailbox
