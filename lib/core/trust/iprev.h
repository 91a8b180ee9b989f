// iprev: the client's address has a name, and the name has that address (RFC 8601 §3, "forward
// confirmed reverse DNS").
#pragma once

#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/dns/inquiry.h"

namespace postern::trust {

enum class IprevResult {
  kPass,       // a name leads back to the address
  kFail,       // there are names, and none leads back
  kTempError,  // the DNS did not answer; later it may
  kPermError,  // the address has no name, or the names have no address: never will
};
// IprevResultName gives "pass", "fail", "temperror" or "permerror".
const char* IprevResultName(IprevResult result);

struct IprevLimits {
  // names of one address that are looked at, in the order of the DNS. RFC 8601 §3 leaves it to
  // "local policy"; 10 is what RFC 7208 §4.6.4 says for the same work.
  size_t max_names = 10;
};

struct Iprev {
  IprevResult result = IprevResult::kTempError;
  // reason is one of: address_confirmed, address_not_confirmed, no_name, no_address, dns_failed.
  std::string reason;
  std::string explanation;
  std::string name;                // that leads back, for kPass; else the first one, if any
  std::vector<std::string> names;  // all that were looked at
};

// CheckIprev asks for the names of `client` and for the addresses of each name, at most
// 1 + max_names questions.
dns::Inquiry<Iprev> CheckIprev(IpAddress client, IprevLimits limits = {});

}  // namespace postern::trust
