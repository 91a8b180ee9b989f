// Where a milter listens, in the words of Sendmail and Postfix.
#pragma once

#include <string_view>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"

namespace postern::policy {

// ParseMilterSocket reads one of
//
//   inet:127.0.0.1:8891   inet:[::1]:8891   inet:localhost:8891     as Postfix writes it
//   inet:8891@127.0.0.1   inet6:8891@::1    inet6:[::1]:8891        as Sendmail and milters do
//   unix:/run/x/socket    local:/run/x/socket
//
// The error says in one line what is wrong and what is right. Host names other than localhost are
// not looked up: a milter is a neighbour, and a message must not wait for the DNS to find it.
StatusOr<Endpoint> ParseMilterSocket(std::string_view text);

}  // namespace postern::policy
