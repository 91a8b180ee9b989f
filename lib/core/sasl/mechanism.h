// The authentication mechanisms (RFC 4422), and which of them a connection may be offered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::sasl {

enum class Mechanism : uint8_t {
  kPlain,            // RFC 4616
  kLogin,            // draft-murchison-sasl-login
  kScramSha1,        // RFC 5802
  kScramSha1Plus,    // … bound to the TLS channel
  kScramSha256,      // RFC 7677
  kScramSha256Plus,  // … bound to the TLS channel
  kExternal,         // RFC 4422 appendix A: who the TLS certificate says it is
  kOAuthBearer,      // RFC 7628
  kXOAuth2,          // what Google and Microsoft had before it
};

// MechanismSet has the bit of each mechanism in it.
using MechanismSet = uint32_t;
constexpr MechanismSet BitOf(Mechanism mechanism) { return 1u << static_cast<int>(mechanism); }
inline constexpr MechanismSet kPasswordMechanisms =
    BitOf(Mechanism::kPlain) | BitOf(Mechanism::kLogin);
inline constexpr MechanismSet kScramSha1Mechanisms =
    BitOf(Mechanism::kScramSha1) | BitOf(Mechanism::kScramSha1Plus);
inline constexpr MechanismSet kScramSha256Mechanisms =
    BitOf(Mechanism::kScramSha256) | BitOf(Mechanism::kScramSha256Plus);
inline constexpr MechanismSet kTokenMechanisms =
    BitOf(Mechanism::kOAuthBearer) | BitOf(Mechanism::kXOAuth2);

// MechanismName gives the registered name: "PLAIN", "SCRAM-SHA-256-PLUS".
std::string_view MechanismName(Mechanism mechanism);
// FindMechanism knows the names in either case; nullopt for any other.
std::optional<Mechanism> FindMechanism(std::string_view name);

// IsScram and IsToken tell how a mechanism goes; IsBound whether it is a SCRAM …-PLUS.
bool IsScram(Mechanism mechanism);
bool IsBound(Mechanism mechanism);
bool IsToken(Mechanism mechanism);

// Channel is what the connection under an exchange can vouch for. All empty without TLS.
struct Channel {
  std::string exporter;      // tls-exporter (RFC 9266); empty below TLS 1.3
  std::string end_point;     // tls-server-end-point (RFC 5929 §4): the certificate's hash
  bool certificate = false;  // the client proved a certificate that was verified
};

// Offered keeps of `allowed` what a connection over `channel` can do: …-PLUS wants something to
// bind to, EXTERNAL a certificate.
MechanismSet Offered(MechanismSet allowed, const Channel& channel);

// Names gives the names of a set, the strongest first, PLAIN and LOGIN last: a client that takes
// the first that it knows takes the best.
std::vector<std::string_view> Names(MechanismSet set);

}  // namespace postern::sasl
