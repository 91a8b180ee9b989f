// MemoryStore: mailboxes that live as long as the process, for appliances and tests. The twin of
// MaildirStore.
#pragma once

#include <functional>
#include <memory>

#include "lib/core/mailbox/mailbox.h"
#include "lib/rt/world.h"

namespace postern::mailbox {

struct MemoryStoreOptions {
  char separator = '/';
  NameLimits name_limits;
  size_t max_mailboxes = 10000;
  // Most octets of messages in all mailboxes together; beyond it APPEND and COPY are
  // kResourceExhausted.
  uint64_t max_total_bytes = uint64_t{1} << 30;
};

// MakeMemoryStore makes the store of one account, with an empty INBOX. `clock` outlives it.
std::unique_ptr<MailStore> MakeMemoryStore(rt::Clock& clock,
                                           const MemoryStoreOptions& options = {});

}  // namespace postern::mailbox
