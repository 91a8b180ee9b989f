// The helper process (rt/helper.h) on the real machine.
#pragma once

#include "lib/rt/helper.h"
#include "lib/rt/processes.h"

namespace postern::rt {

// StartHelper forks the helper, which keeps the rights that this process has. Call it before any
// thread is made. The helper ends when the result is destroyed and its last child has ended.
StatusOr<std::unique_ptr<Helper>> StartHelper(HelperOptions options);

// BecomeAccount makes this process, all its threads, `account` for good.
Status BecomeAccount(const Account& account);

}  // namespace postern::rt
