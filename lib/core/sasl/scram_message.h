// The messages of SCRAM (RFC 5802 §7), read and written by both sides.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace postern::sasl {

inline constexpr size_t kMostScramNonceBytes = 512;

// ScramClientFirst is client-first-message: how the client sees channel binding, who it is, its
// nonce. Views into the message.
struct ScramClientFirst {
  char binding_flag = 'n';        // 'n': it cannot; 'y': it could, and believes we cannot; 'p'
  std::string_view binding_name;  // with 'p': "tls-exporter"
  std::string authorization_id;   // decoded
  std::string user;               // decoded
  std::string_view nonce;
  std::string_view header;  // gs2-header, as it stands
  std::string_view bare;    // client-first-message-bare
};
std::optional<ScramClientFirst> ParseScramClientFirst(std::string_view message);

// ScramServerFirst is server-first-message.
struct ScramServerFirst {
  std::string_view nonce;
  std::string salt;  // octets
  uint32_t iterations = 0;
};
std::optional<ScramServerFirst> ParseScramServerFirst(std::string_view message);

// ScramClientFinal is client-final-message.
struct ScramClientFinal {
  std::string binding;  // cbind-input, octets: the gs2-header and what is bound to
  std::string_view nonce;
  std::string proof;               // octets
  std::string_view without_proof;  // client-final-message-without-proof
};
std::optional<ScramClientFinal> ParseScramClientFinal(std::string_view message);

// EncodeSaslName writes "," and "=" as "=2C" and "=3D"; DecodeSaslName reads them, nullopt for any
// other "=", for NUL, and for an empty name.
std::string EncodeSaslName(std::string_view name);
std::optional<std::string> DecodeSaslName(std::string_view text);

}  // namespace postern::sasl
