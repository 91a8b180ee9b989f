// The Received-SPF field (RFC 7208 §9.1).
#pragma once

#include <string>

#include "lib/core/trust/spf_check.h"

namespace postern::trust {

// ReceivedSpf writes the field that records `spf`, the answer to `query`, folded at 78 columns,
// with its final CRLF. `query.receiver` should name this host. A sender or HELO name beyond ASCII
// makes the field UTF-8 (RFC 6532); control characters in them become "?".
std::string ReceivedSpf(const Spf& spf, const SpfQuery& query);

}  // namespace postern::trust
