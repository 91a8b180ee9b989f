// Logins: a name and a password against the listener's table or the system's accounts.
#pragma once

#include "lib/server/runtime.h"

namespace postern::server {

// CheckLogin tells whether `password` is `user`'s: in `table`, or, when that is kNoIndex, as a
// system account by crypt(3) against the shadow file (then "user@this.server" is "user"). Unknown
// and known users take the same time. An error is a temporary failure. Blocks, for as long as the
// hash asks: on the pool only.
StatusOr<bool> CheckLogin(const Runtime& runtime, policy::TableId table, const std::string& user,
                          const std::string& password);

// SystemUserOf is whom of the system's accounts `user` means: "user@this.server" is "user".
std::string SystemUserOf(const Runtime& runtime, const std::string& user);

// KnowsLogin tells whether `user` is a login there, whatever its password. A login with a locked
// password ("*") is one: it may have a certificate. Blocks.
StatusOr<bool> KnowsLogin(const Runtime& runtime, policy::TableId table, const std::string& user);

}  // namespace postern::server
