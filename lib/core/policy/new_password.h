// Making a hash of a new password; password.h checks those there are.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::policy {

// Of a longer one bcrypt reads so much and takes the rest for right.
inline constexpr size_t kMaxBcryptBytes = 72;

// HashPassword gives the bcrypt hash ("$2b$") of `password` with `salt`, 16 octets of chance.
// kInvalidArgument for a password with a NUL or of more than kMaxBcryptBytes. It takes a part of a
// second: on the pool only. Any thread.
StatusOr<std::string> HashPassword(std::string_view password, std::string_view salt);

}  // namespace postern::policy
