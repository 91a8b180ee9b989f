// The client's side of SCRAM (RFC 5802 §5, RFC 7677), messages in and out as octets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/mechanism.h"
#include "lib/core/sasl/scram.h"

namespace postern::sasl {

// ScramClient proves a password without telling it, and checks that the server knows it, too. One
// thread at a time.
class ScramClient {
 public:
  // `nonce` is printable ASCII without comma, new each time, of 18 random octets at least. With a
  // …-PLUS the exchange is bound to `channel`, by tls-exporter where there is one.
  // `bound_was_not_offered`: the client could bind, the server did not offer it.
  ScramClient(Mechanism mechanism, Credentials credentials, std::string nonce, Channel channel,
              bool bound_was_not_offered);

  std::string First();
  // Last answers server-first-message; nullopt when it is none, or asks for fewer iterations than
  // `least_iterations` or more than `most_iterations`. It takes the time of the iterations.
  std::optional<std::string> Last(std::string_view message, uint32_t least_iterations = 4096,
                                  uint32_t most_iterations = ScramLimits::kMostIterations);
  // Verify tells whether server-final-message comes from who knows the password.
  bool Verify(std::string_view message) const;

 private:
  ScramHash hash_;
  Credentials credentials_;
  std::string nonce_;
  std::string header_;
  std::string binding_;
  std::string bare_;
  std::string server_signature_;
};

}  // namespace postern::sasl
