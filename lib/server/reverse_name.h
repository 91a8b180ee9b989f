// The client's name by DNS.
#pragma once

#include <string>

#include "lib/core/base/ip_address.h"
#include "lib/service/resolve/resolver.h"

namespace postern::server {

// FindReverseName gives the first PTR name of `address` (without the final dot, lower case), or ""
// when there is none by `deadline`. Whether the name points back is not asked here.
rt::Task<std::string> FindReverseName(resolve::Resolver* resolver, rt::Executor* loop,
                                      IpAddress address, Instant deadline);

// LeadsBack tells whether `name` has `address` among its own (FCrDNS, RFC 8601 §2.7.3). A question
// that is not answered by `deadline` is a no.
rt::Task<bool> LeadsBack(resolve::Resolver* resolver, rt::Executor* loop, std::string name,
                         IpAddress address, Instant deadline);

}  // namespace postern::server
