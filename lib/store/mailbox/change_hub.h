// ChangeHub: who waits for changes of which mailbox, within this process. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "lib/core/mailbox/mailbox.h"

namespace postern::mailbox {

// ChangeHub is shared by all stores of a process, and by the delivery: whoever puts a message into
// a Maildir calls Publish, and an idle IMAP session hears of it at once instead of at its next
// look.
class ChangeHub {
 public:
  ChangeHub() : shared_(std::make_shared<Shared>()) {}

  // Watch calls `on_change` on each Publish of the same account and mailbox, on the publishing
  // thread. See MailStore::Watch.
  std::unique_ptr<ChangeWatch> Watch(const std::string& account, const std::string& mailbox,
                                     std::function<void()> on_change);

  // Publish says that `mailbox` changed. `account` names the account as the stores do: for a
  // Maildir, the path of its root without a trailing slash.
  void Publish(const std::string& account, const std::string& mailbox);

 private:
  using Key = std::pair<std::string, std::string>;
  struct Shared {
    std::mutex mutex;
    uint64_t next_id = 1;
    std::map<Key, std::map<uint64_t, std::function<void()>>> watches;
  };
  class Registration;
  std::shared_ptr<Shared> shared_;
};

}  // namespace postern::mailbox
