#include "lib/store/mailbox/change_hub.h"

#include <utility>

namespace postern::mailbox {

class ChangeHub::Registration final : public ChangeWatch {
 public:
  Registration(std::shared_ptr<Shared> shared, Key key, uint64_t id)
      : shared_(std::move(shared)), key_(std::move(key)), id_(id) {}
  ~Registration() override {
    // Publish holds the lock while it calls, so after this nothing of ours runs.
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    const auto at = shared_->watches.find(key_);
    if (at == shared_->watches.end()) return;
    at->second.erase(id_);
    if (at->second.empty()) shared_->watches.erase(at);
  }

 private:
  std::shared_ptr<Shared> shared_;
  Key key_;
  uint64_t id_;
};

std::unique_ptr<ChangeWatch> ChangeHub::Watch(const std::string& account,
                                              const std::string& mailbox,
                                              std::function<void()> on_change) {
  Key key(account, mailbox);
  const std::lock_guard<std::mutex> lock(shared_->mutex);
  const uint64_t id = shared_->next_id++;
  shared_->watches[key].emplace(id, std::move(on_change));
  return std::make_unique<Registration>(shared_, std::move(key), id);
}

void ChangeHub::Publish(const std::string& account, const std::string& mailbox) {
  const std::lock_guard<std::mutex> lock(shared_->mutex);
  const auto at = shared_->watches.find(Key(account, mailbox));
  if (at == shared_->watches.end()) return;
  for (const auto& [id, on_change] : at->second) on_change();
}

}  // namespace postern::mailbox
