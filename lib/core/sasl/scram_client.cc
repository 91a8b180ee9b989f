#include "lib/core/sasl/scram_client.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/sasl/saslprep.h"
#include "lib/core/sasl/scram_message.h"

namespace postern::sasl {
namespace {

// Prepared is `name` through SASLprep, or as it stands where that refuses it.
std::string Prepared(const std::string& name) {
  std::optional<std::string> prepared = SaslPrep(name);
  return prepared ? std::move(*prepared) : name;
}

bool IsSha1(Mechanism mechanism) {
  return mechanism == Mechanism::kScramSha1 || mechanism == Mechanism::kScramSha1Plus;
}

}  // namespace

ScramClient::ScramClient(Mechanism mechanism, Credentials credentials, std::string nonce,
                         Channel channel, bool bound_was_not_offered)
    : hash_(IsSha1(mechanism) ? ScramHash::kSha1 : ScramHash::kSha256),
      credentials_(std::move(credentials)),
      nonce_(std::move(nonce)) {
  if (IsBound(mechanism)) {
    const bool exporter = !channel.exporter.empty();
    header_ = exporter ? "p=tls-exporter," : "p=tls-server-end-point,";
    binding_ = exporter ? std::move(channel.exporter) : std::move(channel.end_point);
  } else {
    header_ = bound_was_not_offered ? "y," : "n,";
  }
  if (!credentials_.authorization_id.empty())
    StrAppend(header_, "a=", EncodeSaslName(Prepared(credentials_.authorization_id)));
  header_ += ',';
}

std::string ScramClient::First() {
  bare_ = StrCat("n=", EncodeSaslName(Prepared(credentials_.authentication_id)), ",r=", nonce_);
  return StrCat(header_, bare_);
}

std::optional<std::string> ScramClient::Last(std::string_view message, uint32_t least_iterations,
                                             uint32_t most_iterations) {
  const std::optional<ScramServerFirst> first = ParseScramServerFirst(message);
  if (!first || !first->nonce.starts_with(nonce_) || first->nonce.size() == nonce_.size() ||
      first->iterations < least_iterations || first->iterations > most_iterations) {
    return std::nullopt;
  }
  std::string salted =
      ScramSaltedPassword(hash_, credentials_.password, first->salt, first->iterations);
  std::string client_key = ScramHmac(hash_, salted, "Client Key");
  const std::string without_proof =
      StrCat("c=", mail::Base64Encode(StrCat(header_, binding_)), ",r=", first->nonce);
  const std::string auth_message = StrCat(bare_, ",", message, ",", without_proof);
  const std::string signature = ScramHmac(hash_, ScramDigest(hash_, client_key), auth_message);
  server_signature_ = ScramHmac(hash_, ScramHmac(hash_, salted, "Server Key"), auth_message);
  std::string last =
      StrCat(without_proof, ",p=", mail::Base64Encode(ExclusiveOr(client_key, signature)));
  WipeString(salted);
  WipeString(client_key);
  return last;
}

bool ScramClient::Verify(std::string_view message) const {
  return !server_signature_.empty() &&
         message == StrCat("v=", mail::Base64Encode(server_signature_));
}

}  // namespace postern::sasl
