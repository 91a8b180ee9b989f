#include "lib/core/sasl/client_exchange.h"

#include <utility>

#include "lib/core/mail/base64.h"

namespace postern::sasl {

ClientExchange::ClientExchange(Mechanism mechanism, Credentials credentials, std::string nonce)
    : mechanism_(mechanism), credentials_(std::move(credentials)) {
  if (IsScram(mechanism))
    scram_ = std::make_unique<ScramClient>(mechanism, std::move(credentials_), std::move(nonce),
                                           Channel(), false);
}

ClientExchange::~ClientExchange() = default;

std::optional<std::string> ClientExchange::Initial() {
  if (scram_ != nullptr) return mail::Base64Encode(scram_->First());
  if (mechanism_ != Mechanism::kPlain) return std::nullopt;
  answered_ = 1;
  return PlainMessage();
}

// RFC 5802 §5: server-first-message, then server-final-message, which an empty line answers.
std::optional<std::string> ClientExchange::RespondScram(std::string_view challenge) {
  const std::optional<std::string> message = mail::Base64Decode(challenge);
  if (!message.has_value() || impostor_) return std::nullopt;
  switch (answered_++) {
    case 0: {
      std::optional<std::string> last = scram_->Last(*message, 4096, kMostIterations);
      if (!last.has_value()) return std::nullopt;
      return mail::Base64Encode(*last);
    }
    case 1:
      proven_ = scram_->Verify(*message);
      // "e=..." says that the proof was wrong, and is no claim of the server's.
      impostor_ = !proven_ && !message->starts_with("e=");
      if (impostor_) return std::nullopt;
      return std::string();
    default: return std::nullopt;
  }
}

std::optional<std::string> ClientExchange::Respond(std::string_view challenge) {
  if (scram_ != nullptr) return RespondScram(challenge);
  const int question = answered_++;
  if (mechanism_ == Mechanism::kPlain) {
    if (question > 0) return std::nullopt;
    return PlainMessage();
  }
  if (question == 0) return mail::Base64Encode(credentials_.authentication_id);
  if (question == 1) return mail::Base64Encode(credentials_.password);
  return std::nullopt;
}

// RFC 4616 §2
std::string ClientExchange::PlainMessage() const {
  std::string octets = credentials_.authorization_id;
  octets.reserve(octets.size() + credentials_.authentication_id.size() +
                 credentials_.password.size() + 2);
  octets.push_back('\0');
  octets.append(credentials_.authentication_id);
  octets.push_back('\0');
  octets.append(credentials_.password);
  std::string line = mail::Base64Encode(octets);
  WipeString(octets);
  return line;
}

}  // namespace postern::sasl
