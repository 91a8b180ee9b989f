#include "lib/core/sasl/scram_server.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/sasl/saslprep.h"
#include "lib/core/sasl/scram_message.h"

namespace postern::sasl {

bool ScramServer::First(std::string_view message) {
  std::optional<ScramClientFirst> first = ParseScramClientFirst(message);
  if (!first) return Malformed("no SCRAM message");
  // RFC 5802 §6: the flag and the mechanism go together, and a client that believes that we cannot
  // bind was lied to about what we offered.
  if ((first->binding_flag == 'p') != IsBound(mechanism_))
    return Malformed("the channel binding is not the mechanism's");
  if (first->binding_flag == 'y' && bound_is_offered_)
    return Malformed("the offer of channel binding did not reach the client");
  binding_.assign(first->header);
  if (first->binding_flag == 'p') {
    const std::string* octets = nullptr;
    if (first->binding_name == "tls-exporter") octets = &channel_.exporter;
    if (first->binding_name == "tls-server-end-point") octets = &channel_.end_point;
    if (octets == nullptr || octets->empty())
      return Malformed("the channel binding is not supported");
    binding_.append(*octets);
  }
  std::optional<std::string> user = SaslPrep(first->user);
  std::optional<std::string> authorization_id = SaslPrep(first->authorization_id);
  if (!user || user->empty() || !authorization_id) return Malformed("a name that cannot be");
  user_ = std::move(*user);
  authorization_id_ = std::move(*authorization_id);
  client_nonce_.assign(first->nonce);
  transcript_.assign(first->bare);
  return true;
}

std::string ScramServer::Ask(ScramSecret secret, std::string_view nonce) {
  secret_ = std::move(secret);
  nonce_ = StrCat(client_nonce_, nonce);
  std::string message =
      StrCat("r=", nonce_, ",s=", mail::Base64Encode(secret_.salt), ",i=", secret_.iterations);
  StrAppend(transcript_, ",", message);
  return message;
}

std::optional<std::string> ScramServer::Last(std::string_view message) {
  const std::optional<ScramClientFinal> last = ParseScramClientFinal(message);
  if (!last || last->nonce != nonce_ || last->proof.size() != secret_.stored_key.size()) {
    Malformed("no answer to the SCRAM challenge");
    return std::nullopt;
  }
  // RFC 5802 §3: ClientKey = proof XOR HMAC(StoredKey, AuthMessage), and its hash is StoredKey.
  const std::string auth_message = StrCat(transcript_, ",", last->without_proof);
  const std::string signature = ScramHmac(secret_.hash, secret_.stored_key, auth_message);
  const std::string client_key = ExclusiveOr(last->proof, signature);
  const bool right = EqualSecrets(ScramDigest(secret_.hash, client_key), secret_.stored_key);
  const bool bound = EqualSecrets(last->binding, binding_);
  if (!bound) {
    error_ = "the client is bound to another channel: somebody may sit in between";
    return std::nullopt;
  }
  if (!right) {
    error_ = "wrong proof";
    return std::nullopt;
  }
  return StrCat("v=",
                mail::Base64Encode(ScramHmac(secret_.hash, secret_.server_key, auth_message)));
}

bool ScramServer::Malformed(std::string_view error) {
  malformed_ = true;
  error_ = error;
  return false;
}

}  // namespace postern::sasl
