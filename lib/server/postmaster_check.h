// PostmasterCheck: whether mail for postmaster lands somewhere.
//
// RFC 5321 §4.5.1 has every server take mail for postmaster at each domain it serves. This one does
// what OpenSMTPD does: bare "postmaster" is qualified with the server's name, and then rules,
// aliases and accounts decide as for anybody. So it is the operator's files that keep the promise,
// and who forgot to is told when they are read.
#pragma once

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/expansion.h"
#include "lib/server/runtime.h"

namespace postern::server {

struct PostmasterCheckLimits {
  size_t max_domains = 100;  // domains of `for domain` that are asked about; the rest is not
};

// CheckPostmaster adds a warning to `*diagnostics` for each name of ours at which mail for
// postmaster is refused for good, with the edit that mends it: the server's name, and the domains
// that rules with a local action list in the configuration itself. A `reject` that stands there for
// it is the operator's word, and not warned of. It asks for mail of this machine, and for a
// stranger's where strangers' mail is delivered at all. Blocks as much as tables and accounts do.
void CheckPostmaster(const Runtime& runtime, policy::AccountSource& accounts,
                     policy::Diagnostics* diagnostics, const PostmasterCheckLimits& limits = {});

}  // namespace postern::server
