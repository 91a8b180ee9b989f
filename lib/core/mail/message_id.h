// Message identifiers (RFC 5322 §3.6.4).
#pragma once

#include <string>
#include <string_view>

namespace postern::mail {

// MakeMessageId gives "<left@domain>" without header name, where left is made of `random_octets`
// alone: at least 16 of them from rt::Random make it unique without telling the time or the
// machine. `domain` is a name of ours, ASCII (DomainToAscii).
std::string MakeMessageId(std::string_view random_octets, std::string_view domain);

}  // namespace postern::mail
