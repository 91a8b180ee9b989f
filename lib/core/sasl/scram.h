// What SCRAM (RFC 5802, RFC 7677) keeps of a password, and its arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::sasl {

enum class ScramHash : uint8_t { kSha1, kSha256 };

// ScramHashName gives "SCRAM-SHA-1" or "SCRAM-SHA-256".
std::string_view ScramHashName(ScramHash hash);

struct ScramLimits {
  // RFC 5802 §5.1 and RFC 7677 §4 ask for 4096 at least; a stored secret may be older. More than
  // the most would cost a second and more for each login.
  static constexpr uint32_t kLeastIterations = 1;
  static constexpr uint32_t kMostIterations = 1'000'000;
  static constexpr size_t kMostSaltBytes = 256;
};

// ScramSecret is the stored form of a password (RFC 5802 §2.1): with it a server can check a login,
// but nobody can log in with it elsewhere.
struct ScramSecret {
  ScramHash hash = ScramHash::kSha256;
  uint32_t iterations = 0;
  std::string salt;        // octets
  std::string stored_key;  // octets, as many as the hash has
  std::string server_key;
};

// ParseScramSecret reads "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey" (RFC 5803 §2, in base64
// where it says so; an upper-case scheme "{SCRAM-SHA-256}" in front of the parts, with commas
// between them, is Dovecot's form). nullopt for anything else, and outside ScramLimits.
std::optional<ScramSecret> ParseScramSecret(std::string_view text);
// FormatScramSecret writes the first form.
std::string FormatScramSecret(const ScramSecret& secret);

// DeriveScramSecret makes what is stored of `password`, which goes through SASLprep; one that
// SASLprep refuses is taken as it stands, as most clients do. It takes the time of `iterations`.
ScramSecret DeriveScramSecret(ScramHash hash, std::string_view password, std::string_view salt,
                              uint32_t iterations);

// ScramPasswordFits tells whether `password` is the one of `secret`, in the time that its
// iterations take: a login by PLAIN against a SCRAM secret.
bool ScramPasswordFits(const ScramSecret& secret, std::string_view password);

// FakeScramSecret is what a user who does not exist is asked with: the salt that `key` (octets
// that nobody outside knows) and the name give, the same each time, as long as `like`'s and with
// its iterations. No password fits it.
ScramSecret FakeScramSecret(const ScramSecret& like, std::string_view key, std::string_view user);

// --- The arithmetic, for the two sides ---

std::string ScramHmac(ScramHash hash, std::string_view key, std::string_view text);
std::string ScramDigest(ScramHash hash, std::string_view text);
// ScramSaltedPassword is Hi(Normalize(password), salt, iterations) (RFC 5802 §2.2).
std::string ScramSaltedPassword(ScramHash hash, std::string_view password, std::string_view salt,
                                uint32_t iterations);
std::string ExclusiveOr(std::string_view a, std::string_view b);
// EqualSecrets compares without telling by its time where two strings differ.
bool EqualSecrets(std::string_view a, std::string_view b);

}  // namespace postern::sasl
