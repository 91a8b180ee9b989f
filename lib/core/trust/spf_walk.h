// Which addresses a domain's SPF record lets send: for `spf walk`, which makes tables of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/dns/inquiry.h"

namespace postern::trust {

struct SpfWalkLimits {
  size_t max_lookups = 100;      // questions of one walk: it is no check of a client
  size_t max_networks = 10'000;  // that are found
};

struct SpfWalk {
  std::vector<std::string> networks;  // "192.0.2.1", "198.51.100.0/24", each once, as they were met
  std::vector<std::string> remarks;   // what was passed over: a macro, say
};

// WalkSpf follows the record of `domain` through include, redirect, a, mx and exists (its A
// records), and lists ip4 and ip6 as they stand. Terms that say fail or softfail, ptr and all have
// no addresses. A domain without a usable record has none.
dns::Inquiry<SpfWalk> WalkSpf(std::string domain, SpfWalkLimits limits);

}  // namespace postern::trust
