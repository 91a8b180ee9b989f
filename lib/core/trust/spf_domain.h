// Domains as SPF has them: to ask for, and to check. Inside this layer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/dns/name.h"

namespace postern::trust {

// SpfName makes a name to ask for out of expanded text, in which every octet but the dot means
// itself. Nothing when it has an empty label, one over 63 octets, or is too long.
std::optional<dns::Name> SpfName(std::string_view domain);

// SpfDomain makes of a sender's or HELO domain the one to check, in A-labels and without a final
// dot, or nothing: RFC 7208 §4.3 wants at least two labels, none empty or over 63 octets. Address
// literals are no domains.
std::optional<std::string> SpfDomain(std::string_view domain);

}  // namespace postern::trust
