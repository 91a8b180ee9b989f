#include "lib/core/sasl/client_exchange.h"

#include "lib/core/mail/base64.h"

namespace postern::sasl {

std::optional<std::string> ClientExchange::Initial() {
  if (mechanism_ != Mechanism::kPlain) return std::nullopt;
  answered_ = 1;
  return PlainMessage();
}

std::optional<std::string> ClientExchange::Respond(std::string_view /*challenge*/) {
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
