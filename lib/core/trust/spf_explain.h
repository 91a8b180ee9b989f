// An SPF result in words. Inside this layer.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/trust/spf_check.h"

namespace postern::trust {

// ExplainSpf makes the sentence for people from what is in `spf` (result, reason, steps). `problem`
// is what went wrong, for none, temperror and permerror.
std::string ExplainSpf(const Spf& spf, std::string_view problem, const IpAddress& client);

// WhyNoSpfDomain says why `domain` cannot be checked, as such a problem. `from_helo`: it is what
// the client said in EHLO.
std::string WhyNoSpfDomain(std::string_view domain, bool from_helo);

}  // namespace postern::trust
