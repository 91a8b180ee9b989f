// The server's side of SCRAM (RFC 5802 §5, RFC 7677), messages in and out as octets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/mechanism.h"
#include "lib/core/sasl/scram.h"

namespace postern::sasl {

// ScramServer runs one exchange: First, then Ask with the user's secret, then Last. One thread at a
// time.
class ScramServer {
 public:
  // `channel` is what the connection can be bound to; `bound_is_offered` whether the …-PLUS of this
  // mechanism was offered to the client.
  ScramServer(Mechanism mechanism, Channel channel, bool bound_is_offered)
      : mechanism_(mechanism), channel_(std::move(channel)), bound_is_offered_(bound_is_offered) {}

  // First takes client-first-message. false: error() says why.
  bool First(std::string_view message);
  // user and authorization_id are what it said, through SASLprep.
  const std::string& user() const { return user_; }
  const std::string& authorization_id() const { return authorization_id_; }

  // Ask gives server-first-message. `nonce` is ours: printable ASCII without comma, new each time,
  // of 18 random octets at least.
  std::string Ask(ScramSecret secret, std::string_view nonce);

  // Last takes client-final-message and gives server-final-message, "v=…", when the proof is right;
  // nullopt when it is not: malformed() tells whether it was no proof at all, error() why.
  std::optional<std::string> Last(std::string_view message);

  bool malformed() const { return malformed_; }
  std::string_view error() const { return error_; }

 private:
  bool Malformed(std::string_view error);

  Mechanism mechanism_;
  Channel channel_;
  bool bound_is_offered_;
  bool malformed_ = false;
  std::string_view error_;
  std::string user_;
  std::string authorization_id_;
  std::string binding_;  // what c= must be: the gs2-header and the channel's octets
  std::string client_nonce_;
  std::string nonce_;       // the client's and ours
  std::string transcript_;  // the first two of the three parts of AuthMessage
  ScramSecret secret_;
};

}  // namespace postern::sasl
