#include "lib/core/sasl/scram.h"

#include <array>

#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/saslprep.h"

namespace postern::sasl {
namespace {

const EVP_MD* Digest(ScramHash hash) {
  return hash == ScramHash::kSha1 ? EVP_sha1() : EVP_sha256();
}

const uint8_t* Octets(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string Text(const uint8_t* octets, size_t size) {
  return std::string(reinterpret_cast<const char*>(octets), size);
}

// TakeUntil cuts what stands before `mark` off the front of `*rest`; nullopt without the mark.
std::optional<std::string_view> TakeUntil(std::string_view* rest, char mark) {
  const size_t at = rest->find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view taken = rest->substr(0, at);
  rest->remove_prefix(at + 1);
  return taken;
}

}  // namespace

std::string_view ScramHashName(ScramHash hash) {
  return hash == ScramHash::kSha1 ? "SCRAM-SHA-1" : "SCRAM-SHA-256";
}

std::optional<ScramSecret> ParseScramSecret(std::string_view text) {
  ScramSecret secret;
  for (const ScramHash hash : {ScramHash::kSha256, ScramHash::kSha1}) {
    const std::string_view name = ScramHashName(hash);
    const bool braced = text.starts_with('{');
    std::string_view rest = text.substr(braced ? 1 : 0);
    if (!EqualsIgnoreCase(rest.substr(0, name.size()), name)) continue;
    rest.remove_prefix(name.size());
    if (!rest.starts_with(braced ? '}' : '$')) continue;
    rest.remove_prefix(1);
    const auto iterations = TakeUntil(&rest, braced ? ',' : ':');
    const auto salt = TakeUntil(&rest, braced ? ',' : '$');
    const auto stored_key = TakeUntil(&rest, braced ? ',' : ':');
    if (!iterations || !salt || !stored_key) return std::nullopt;
    const std::optional<uint64_t> count = ParseUint(*iterations);
    std::optional<std::string> salt_octets = mail::Base64Decode(*salt);
    std::optional<std::string> stored_octets = mail::Base64Decode(*stored_key);
    std::optional<std::string> server_octets = mail::Base64Decode(rest);
    if (!count || *count < ScramLimits::kLeastIterations || *count > ScramLimits::kMostIterations ||
        !salt_octets || salt_octets->empty() || salt_octets->size() > ScramLimits::kMostSaltBytes ||
        !stored_octets || !server_octets) {
      return std::nullopt;
    }
    const size_t size = EVP_MD_size(Digest(hash));
    if (stored_octets->size() != size || server_octets->size() != size) return std::nullopt;
    secret.hash = hash;
    secret.iterations = static_cast<uint32_t>(*count);
    secret.salt = std::move(*salt_octets);
    secret.stored_key = std::move(*stored_octets);
    secret.server_key = std::move(*server_octets);
    return secret;
  }
  return std::nullopt;
}

std::string FormatScramSecret(const ScramSecret& secret) {
  return StrCat(ScramHashName(secret.hash), "$", secret.iterations, ":",
                mail::Base64Encode(secret.salt), "$", mail::Base64Encode(secret.stored_key), ":",
                mail::Base64Encode(secret.server_key));
}

ScramSecret DeriveScramSecret(ScramHash hash, std::string_view password, std::string_view salt,
                              uint32_t iterations) {
  std::string salted = ScramSaltedPassword(hash, password, salt, iterations);
  std::string client_key = ScramHmac(hash, salted, "Client Key");
  ScramSecret secret{.hash = hash,
                     .iterations = iterations,
                     .salt = std::string(salt),
                     .stored_key = ScramDigest(hash, client_key),
                     .server_key = ScramHmac(hash, salted, "Server Key")};
  WipeString(salted);
  WipeString(client_key);
  return secret;
}

bool ScramPasswordFits(const ScramSecret& secret, std::string_view password) {
  const ScramSecret made = DeriveScramSecret(secret.hash, password, secret.salt, secret.iterations);
  return EqualSecrets(made.stored_key, secret.stored_key);
}

ScramSecret FakeScramSecret(const ScramSecret& like, std::string_view key, std::string_view user) {
  ScramSecret fake;
  fake.hash = like.hash;
  fake.iterations = like.iterations;
  for (int block = 0; fake.salt.size() < like.salt.size(); ++block)
    fake.salt.append(ScramHmac(ScramHash::kSha256, key, StrCat("salt ", block, " ", user)));
  fake.salt.resize(like.salt.size());
  // A key that is the hash of nothing anybody could find.
  fake.stored_key = ScramHmac(like.hash, key, StrCat("stored ", user));
  fake.server_key = ScramHmac(like.hash, key, StrCat("server ", user));
  return fake;
}

std::string ScramHmac(ScramHash hash, std::string_view key, std::string_view text) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> out;
  unsigned size = 0;
  HMAC(Digest(hash), key.data(), key.size(), Octets(text), text.size(), out.data(), &size);
  return Text(out.data(), size);
}

std::string ScramDigest(ScramHash hash, std::string_view text) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> out;
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), out.data(), &size, Digest(hash), nullptr);
  return Text(out.data(), size);
}

std::string ScramSaltedPassword(ScramHash hash, std::string_view password, std::string_view salt,
                                uint32_t iterations) {
  std::optional<std::string> prepared = SaslPrep(password);
  const std::string_view phrase = prepared.has_value() ? *prepared : password;
  std::array<uint8_t, EVP_MAX_MD_SIZE> out;
  const size_t size = EVP_MD_size(Digest(hash));
  PKCS5_PBKDF2_HMAC(phrase.data(), phrase.size(), Octets(salt), salt.size(), iterations,
                    Digest(hash), size, out.data());
  if (prepared.has_value()) WipeString(*prepared);
  std::string salted = Text(out.data(), size);
  OPENSSL_cleanse(out.data(), out.size());
  return salted;
}

std::string ExclusiveOr(std::string_view a, std::string_view b) {
  std::string out(a);
  for (size_t i = 0; i < out.size() && i < b.size(); ++i) out[i] = static_cast<char>(out[i] ^ b[i]);
  return out;
}

bool EqualSecrets(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace postern::sasl
