// Passwords against hashes, and logins against tables.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/policy/table.h"
#include "lib/core/sasl/scram.h"

namespace postern::policy {

inline constexpr size_t kMaxPasswordBytes = 511;  // crypt(3)'s bound

// VerifyPassword tells whether `password` is the one of `hash`: bcrypt, sha256-crypt, sha512-crypt,
// yescrypt and whatever else libxcrypt knows; argon2id, argon2i and argon2d; what is stored for
// SCRAM (sasl/scram.h). Dovecot's names of schemes may stand in front: {CRYPT}, {BLF-CRYPT},
// {SHA256-CRYPT}, {SHA512-CRYPT}, {ARGON2ID}, {ARGON2I}. A password with NUL or longer than
// kMaxPasswordBytes is none. It takes the time that the hash asks for, up to seconds: on the pool
// only. Any thread.
bool VerifyPassword(std::string_view hash, std::string_view password);

// VerifyNoPassword spends the time of a check and says false: for a login that does not exist.
// `sample_hash` is the hash of some other login (its method and cost are what takes the time);
// empty means a bcrypt of usual cost.
bool VerifyNoPassword(std::string_view sample_hash, std::string_view password);

// IsPasswordHash tells whether `text` is a hash that some password can fit: of a kind that
// VerifyPassword knows on this machine, and whole. A plain password is none.
bool IsPasswordHash(std::string_view text);

// PasswordKind is what HashPassword makes.
enum class PasswordKind {
  kBcrypt,
  kSha256,
  kSha512,
  kYescrypt,
  kArgon2id,
  kScramSha1,
  kScramSha256
};
// FindPasswordKind knows "bcrypt", "sha256", "sha512", "yescrypt", "argon2id", "scram-sha-1" and
// "scram-sha-256".
std::optional<PasswordKind> FindPasswordKind(std::string_view name);
inline constexpr size_t kPasswordSaltOctets = 16;
// HashPassword makes the text to put into a table, at the cost that is usual today. `salt` is
// kPasswordSaltOctets random octets. kInvalidArgument for a password with NUL, an empty one, or one
// of more than kMaxPasswordBytes.
StatusOr<std::string> HashPassword(PasswordKind kind, std::string_view password,
                                   std::string_view salt);

// FindScramSecret gives what `table` has of `user` for SCRAM with `hash`; nullopt when the user is
// unknown, or has another kind of hash. An error is the table's. Blocks.
StatusOr<std::optional<sasl::ScramSecret>> FindScramSecret(Table& table, std::string_view user,
                                                           sasl::ScramHash hash);

// SampleScramSecret gives the secret for `hash` of some entry of `table`, always the same one while
// its contents are the same; nullopt when it has none, or does not know all it has (a program's, a
// database's). Linear in its entries.
std::optional<sasl::ScramSecret> SampleScramSecret(Table& table, sasl::ScramHash hash);

// CheckLogin looks `user` up in `table` (service credentials) and checks `password`, unless the
// table does both itself (Table::CheckPassword). An unknown
// login takes as long as a known one. An error is the table's: a temporary failure, not a refusal.
// Blocks.
StatusOr<bool> CheckLogin(Table& table, std::string_view user, std::string_view password);

}  // namespace postern::policy
