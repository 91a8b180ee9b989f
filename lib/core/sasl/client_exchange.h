// The client's side of a SASL exchange (RFC 4422) for PLAIN, LOGIN and SCRAM. Lines go in and out
// as they stand on the wire.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/scram_client.h"
#include "lib/core/sasl/server_exchange.h"

namespace postern::sasl {

// ClientExchange answers a server's questions with the credentials it was given. One thread at a
// time; what it held is wiped when it dies.
class ClientExchange {
 public:
  // kMostIterations is how often SCRAM may ask to hash the password: a server that asks for more is
  // not answered. It takes some 50 ms; servers store 4096 to 15,000.
  static constexpr uint32_t kMostIterations = 100'000;

  // `nonce` is SCRAM's (scram_client.h): printable ASCII, new each time.
  ClientExchange(Mechanism mechanism, Credentials credentials, std::string nonce = "");
  ~ClientExchange();

  // Initial gives the initial response in base64 (RFC 4954 §4), or nullopt when the mechanism has
  // none (LOGIN: some servers take one, all take the questions). The caller wipes it.
  std::optional<std::string> Initial();

  // Respond answers a challenge (the base64 text behind "334 "; those of PLAIN and LOGIN are not
  // looked at: LOGIN servers differ) with the next line, in base64. nullopt when the server asks
  // more than the mechanism has, or (SCRAM) what is wrong: send "*". The caller wipes it.
  std::optional<std::string> Respond(std::string_view challenge);

  // is_proven tells whether the server has proved that it knows the password: with SCRAM a success
  // without that is none. The other mechanisms know no such proof: true. is_impostor tells that it
  // gave a wrong proof.
  bool is_proven() const { return scram_ == nullptr || proven_; }
  bool is_impostor() const { return impostor_; }

  Mechanism mechanism() const { return mechanism_; }

 private:
  std::string PlainMessage() const;

  std::optional<std::string> RespondScram(std::string_view challenge);

  Mechanism mechanism_;
  Credentials credentials_;
  std::unique_ptr<ScramClient> scram_;
  bool proven_ = false;
  bool impostor_ = false;
  int answered_ = 0;
};

}  // namespace postern::sasl
