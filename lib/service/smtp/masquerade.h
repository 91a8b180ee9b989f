// `senders … masquerade`: the header says who sent, as the envelope does.
#pragma once

#include <string>
#include <string_view>

namespace postern::service {

// MasqueradeFrom returns the header field From, ended by CRLF, that takes the place of `field` (one
// that a client wrote, name and folding included): `address` in place of its mailboxes, behind the
// display name of the first. A field that would get longer than a line may be (RFC 5322 §2.1.1) is
// the address alone.
std::string MasqueradeFrom(std::string_view field, std::string_view address);

}  // namespace postern::service
