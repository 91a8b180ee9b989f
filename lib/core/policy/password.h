// Passwords against crypt(3) hashes, and logins against tables.
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/policy/table.h"

namespace postern::policy {

inline constexpr size_t kMaxPasswordBytes = 511;  // crypt(3)'s bound

// VerifyPassword tells whether `password` is the one of `hash`: bcrypt, sha256-crypt, sha512-crypt,
// yescrypt and whatever else libxcrypt knows. A password with NUL or longer than kMaxPasswordBytes
// is none. It takes the time that the hash asks for, up to seconds: on the pool only. Any thread.
bool VerifyPassword(std::string_view hash, std::string_view password);

// VerifyNoPassword spends the time of a check and says false: for a login that does not exist.
// `sample_hash` is the hash of some other login (its method and cost are what takes the time);
// empty means a bcrypt of usual cost.
bool VerifyNoPassword(std::string_view sample_hash, std::string_view password);

// IsPasswordHash tells whether `text` is a hash that some password can fit: of a kind that this
// machine's crypt(3) knows, and whole. A plain password is none.
bool IsPasswordHash(std::string_view text);

// CheckLogin looks `user` up in `table` (service credentials) and checks `password`, unless the
// table does both itself (Table::CheckPassword). An unknown
// login takes as long as a known one. An error is the table's: a temporary failure, not a refusal.
// Blocks.
StatusOr<bool> CheckLogin(Table& table, std::string_view user, std::string_view password);

}  // namespace postern::policy
