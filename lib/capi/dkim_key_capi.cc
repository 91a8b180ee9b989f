// DKIM keys for C. Making one is here and not in core/trust: it takes randomness from the system.
#include <ctime>

#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/curve25519.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "lib/capi/dkim_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/tag_list.h"

namespace postern::capi {

WallTime Wall(int64_t unix_s) {
  return absl::FromUnixSeconds(unix_s != 0 ? unix_s : static_cast<int64_t>(time(nullptr)));
}

std::vector<std::string> Names(std::string_view list) {
  std::vector<std::string> names;
  for (std::string_view name : trust::SplitColons(list)) names.emplace_back(name);
  return names;
}

namespace {

postern_dkim_key* Wrap(std::shared_ptr<const trust::PrivateKey> key) {
  auto made = std::make_unique<postern_dkim_key>();
  trust::DkimKeyRecord record;
  record.kind = key->kind();
  record.public_octets = key->PublicOctets();
  made->record = record.ToString();
  made->pem = key->ToPem();
  made->key = std::move(key);
  return made.release();
}

// GenerateRsa makes an RSA key with the exponent 65537, as PKCS#1 in PEM; "" when it fails.
std::string GenerateRsa(uint32_t bits) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  uint8_t* der = nullptr;
  size_t size = 0;
  if (!rsa || !exponent || !BN_set_word(exponent.get(), RSA_F4) ||
      !RSA_generate_key_ex(rsa.get(), static_cast<int>(bits), exponent.get(), nullptr) ||
      !RSA_private_key_to_bytes(&der, &size, rsa.get())) {
    ERR_clear_error();
    return "";
  }
  std::string pem = StrCat("-----BEGIN RSA PRIVATE KEY-----\n",
                           mail::Base64Encode(std::string_view(reinterpret_cast<char*>(der), size)),
                           "\n-----END RSA PRIVATE KEY-----\n");
  OPENSSL_free(der);
  return pem;
}

}  // namespace
}  // namespace postern::capi

extern "C" {

using postern::StatusOr;
using postern::StrCat;
using postern::capi::CString;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
namespace trust = postern::trust;

postern_status postern_dkim_key_new_pem(postern_dkim_key** out, const char* pem, size_t pem_len,
                                        postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    auto key = trust::PrivateKey::ParsePem(std::string_view(pem, pem_len));
    if (!key.ok()) return FailWith(out_error, key.status());
    *out = postern::capi::Wrap(std::move(*key));
    return POSTERN_OK;
  });
}

postern_status postern_dkim_key_generate(postern_dkim_key** out, int32_t kind, uint32_t bits,
                                         postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    if (kind == POSTERN_DKIM_KEY_ED25519) {
      std::string seed(32, '\0');
      RAND_bytes(reinterpret_cast<uint8_t*>(seed.data()), seed.size());
      auto key = trust::PrivateKey::FromEd25519Seed(seed);
      if (!key.ok()) return FailWith(out_error, key.status());
      *out = postern::capi::Wrap(std::move(*key));
      return POSTERN_OK;
    }
    if (bits == 0) bits = 2048;
    if (kind != POSTERN_DKIM_KEY_RSA || (bits != 2048 && bits != 3072 && bits != 4096))
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
                  "a key is RSA of 2048, 3072 or 4096 bits, or Ed25519");
    auto key = trust::PrivateKey::ParsePem(postern::capi::GenerateRsa(bits));
    if (!key.ok())
      return Fail(out_error, POSTERN_ERR_INTERNAL, "internal", "no RSA key could be made");
    *out = postern::capi::Wrap(std::move(*key));
    return POSTERN_OK;
  });
}

int32_t postern_dkim_key_kind(const postern_dkim_key* key) {
  return key->key->kind() == trust::KeyKind::kRsa ? POSTERN_DKIM_KEY_RSA : POSTERN_DKIM_KEY_ED25519;
}
uint32_t postern_dkim_key_bits(const postern_dkim_key* key) {
  return static_cast<uint32_t>(key->key->bits());
}
const char* postern_dkim_key_pem(const postern_dkim_key* key) { return key->pem.c_str(); }
const char* postern_dkim_key_record(const postern_dkim_key* key) { return key->record.c_str(); }
const char* postern_dkim_key_zone_line(postern_dkim_key* key, const char* domain,
                                       const char* selector) {
  try {
    // U-labels as the DNS has them; what is no name must not come into a zone.
    const StatusOr<std::string> labels = postern::mail::DomainToAscii(CString(selector));
    const StatusOr<std::string> name = postern::mail::DomainToAscii(CString(domain));
    constexpr size_t kMostBytes = 253;  // of a name without its final dot (RFC 1035 §2.3.4)
    if (!labels.ok() || !name.ok() ||
        labels->size() + std::string_view("._domainkey.").size() + name->size() > kMostBytes)
      return "";
    key->zone_line = trust::DkimZoneText(StrCat(*labels, "._domainkey.", *name, "."), key->record);
    return key->zone_line.c_str();
  } catch (...) {
    return "";
  }
}
void postern_dkim_key_free(postern_dkim_key* key) { delete key; }

}  // extern "C"
