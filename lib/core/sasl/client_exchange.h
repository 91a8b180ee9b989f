// The client's side of a SASL exchange (RFC 4422) for PLAIN and LOGIN. Lines go in and out as they
// stand on the wire.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/server_exchange.h"

namespace postern::sasl {

// ClientExchange answers a server's questions with the credentials it was given. One thread at a
// time; what it held is wiped when it dies.
class ClientExchange {
 public:
  ClientExchange(Mechanism mechanism, Credentials credentials)
      : mechanism_(mechanism), credentials_(std::move(credentials)) {}

  // Initial gives the initial response in base64 (RFC 4954 §4), or nullopt when the mechanism has
  // none (LOGIN: some servers take one, all take the questions). The caller wipes it.
  std::optional<std::string> Initial();

  // Respond answers a challenge (the base64 text behind "334 "; its content is not looked at: LOGIN
  // servers differ) with the next line, in base64. nullopt when the server asks more than the
  // mechanism has: send "*". The caller wipes it.
  std::optional<std::string> Respond(std::string_view challenge);

  Mechanism mechanism() const { return mechanism_; }

 private:
  std::string PlainMessage() const;

  Mechanism mechanism_;
  Credentials credentials_;
  int answered_ = 0;
};

}  // namespace postern::sasl
