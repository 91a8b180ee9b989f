#include "lib/core/trust/dkim_key.h"

#include <algorithm>
#include <array>

#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/curve25519.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/tag_list.h"

namespace postern::trust {
namespace {

constexpr int kLeastSigningBits = 1024;  // RFC 8301 §3.2
constexpr int kMostSigningBits = 8192;   // ours

const uint8_t* Octets(std::string_view s) { return reinterpret_cast<const uint8_t*>(s.data()); }
CBS CbsOf(std::string_view s) {
  CBS cbs;
  CBS_init(&cbs, Octets(s), s.size());
  return cbs;
}
std::string Marshal(bool (*write)(CBB*, const void*), const void* object) {
  bssl::ScopedCBB cbb;
  uint8_t* data = nullptr;
  size_t size = 0;
  if (!CBB_init(cbb.get(), 1024) || !write(cbb.get(), object) ||
      !CBB_finish(cbb.get(), &data, &size)) {
    ERR_clear_error();
    return {};
  }
  std::string out(reinterpret_cast<char*>(data), size);
  OPENSSL_free(data);
  return out;
}

}  // namespace

const char* KeyKindName(KeyKind kind) { return kind == KeyKind::kRsa ? "rsa" : "ed25519"; }

// --- public keys ---

namespace {

// RsaVerifier checks RSASSA-PKCS1-v1_5 signatures over SHA-256 for the exponent 65537, which nearly
// all keys have. RSA_verify does the same, and a tenth of its time is for what is not the power.
// Nothing here is secret.
class RsaVerifier {
 public:
  // Make returns null for another exponent, and for very short and very long keys.
  static std::unique_ptr<RsaVerifier> Make(const RSA* rsa) {
    auto made = std::make_unique<RsaVerifier>();
    made->bytes_ = RSA_size(rsa);
    if (!BN_is_word(RSA_get0_e(rsa), RSA_F4) || made->bytes_ < kLeastBytes ||
        made->bytes_ > kMostBytes)
      return nullptr;
    const bssl::UniquePtr<BN_CTX> scratch(BN_CTX_new());
    if (scratch) made->mont_.reset(BN_MONT_CTX_new_for_modulus(RSA_get0_n(rsa), scratch.get()));
    return made->mont_ ? std::move(made) : nullptr;
  }

  // Verify follows RFC 8017 §8.2.2: what was signed is made anew and compared whole, so that there
  // is nothing to parse.
  bool Verify(std::string_view digest, std::string_view signature) const {
    if (signature.size() != bytes_) return false;
    bssl::UniquePtr<BN_CTX> scratch(BN_CTX_new());
    bssl::UniquePtr<BIGNUM> s(BN_bin2bn(Octets(signature), signature.size(), nullptr));
    bssl::UniquePtr<BIGNUM> power(BN_new());
    if (!scratch || !s || !power || BN_ucmp(s.get(), &mont_->N) >= 0) return false;
    // Montgomery's multiplication takes a factor R away, and the conversion to his form puts one
    // in: it stays through the sixteen squares, and the last multiplication takes it away.
    BIGNUM* const x = power.get();
    if (!BN_to_montgomery(x, s.get(), mont_.get(), scratch.get())) return false;
    for (int i = 0; i < 16; ++i)
      if (!BN_mod_mul_montgomery(x, x, x, mont_.get(), scratch.get())) return false;
    if (!BN_mod_mul_montgomery(x, x, s.get(), mont_.get(), scratch.get())) return false;
    // §9.2: 00 01 FF … FF 00, the name of the hash, the hash.
    std::array<char, kMostBytes> block;
    const size_t tail = kSha256Name.size() + digest.size();
    char* const expected = block.data();
    std::fill(expected, expected + bytes_, '\xff');
    expected[0] = '\0';
    expected[1] = '\1';
    expected[bytes_ - tail - 1] = '\0';
    kSha256Name.copy(expected + bytes_ - tail, kSha256Name.size());
    digest.copy(expected + bytes_ - digest.size(), digest.size());
    return BN_bin2bn(Octets(std::string_view(expected, bytes_)), bytes_, s.get()) != nullptr &&
           BN_equal_consttime(s.get(), x) == 1;
  }

 private:
  // DigestInfo of SHA-256, without the hash.
  static constexpr std::string_view kSha256Name{
      "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19};
  // Shorter keys are not used (RFC 8301 §3.2), nor longer ones (SignatureCheckLimits).
  static constexpr size_t kLeastBytes = 128;
  static constexpr size_t kMostBytes = 1024;

  size_t bytes_ = 0;
  bssl::UniquePtr<BN_MONT_CTX> mont_;
};

}  // namespace

struct PublicKey::Impl {
  KeyKind kind = KeyKind::kRsa;
  int bits = 0;
  bssl::UniquePtr<RSA> rsa;
  std::unique_ptr<RsaVerifier> fast;  // null: rsa does it
  uint8_t ed25519[ED25519_PUBLIC_KEY_LEN] = {};
};

PublicKey::PublicKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PublicKey::~PublicKey() = default;
KeyKind PublicKey::kind() const { return impl_->kind; }
int PublicKey::bits() const { return impl_->bits; }

StatusOr<std::shared_ptr<const PublicKey>> PublicKey::Parse(KeyKind kind, std::string_view octets) {
  auto impl = std::make_unique<Impl>();
  impl->kind = kind;
  if (kind == KeyKind::kEd25519 && octets.size() == ED25519_PUBLIC_KEY_LEN) {
    std::copy(octets.begin(), octets.end(), impl->ed25519);
    impl->bits = 256;
    return std::shared_ptr<const PublicKey>(new PublicKey(std::move(impl)));
  }
  CBS cbs = CbsOf(octets);
  bssl::UniquePtr<EVP_PKEY> spki(EVP_parse_public_key(&cbs));
  if (spki && CBS_len(&cbs) != 0) spki.reset();
  ERR_clear_error();
  if (kind == KeyKind::kEd25519) {
    size_t size = sizeof impl->ed25519;
    if (!spki || EVP_PKEY_id(spki.get()) != EVP_PKEY_ED25519 ||
        !EVP_PKEY_get_raw_public_key(spki.get(), impl->ed25519, &size)) {
      ERR_clear_error();
      return InvalidArgument(StrCat("an Ed25519 key has 32 octets, this has ", octets.size()));
    }
    impl->bits = 256;
    return std::shared_ptr<const PublicKey>(new PublicKey(std::move(impl)));
  }
  if (spki) {
    if (EVP_PKEY_id(spki.get()) != EVP_PKEY_RSA) return InvalidArgument("it is not an RSA key");
    impl->rsa.reset(EVP_PKEY_get1_RSA(spki.get()));
  } else {
    cbs = CbsOf(octets);
    impl->rsa.reset(RSA_parse_public_key(&cbs));
    if (CBS_len(&cbs) != 0) impl->rsa.reset();
    ERR_clear_error();
  }
  if (!impl->rsa) return InvalidArgument("it is not an RSA key in DER form");
  impl->bits = static_cast<int>(RSA_bits(impl->rsa.get()));
  impl->fast = RsaVerifier::Make(impl->rsa.get());
  ERR_clear_error();
  return std::shared_ptr<const PublicKey>(new PublicKey(std::move(impl)));
}

bool PublicKey::Verify(std::string_view octets, std::string_view signature) const {
  if (impl_->kind == KeyKind::kEd25519) {
    return signature.size() == ED25519_SIGNATURE_LEN &&
           ED25519_verify(Octets(octets), octets.size(), Octets(signature), impl_->ed25519) == 1;
  }
  if (octets.size() == 32 && impl_->fast) {
    const bool good = impl_->fast->Verify(octets, signature);
    if (!good) ERR_clear_error();
    return good;
  }
  const bool good =
      octets.size() == 32 && RSA_verify(NID_sha256, Octets(octets), octets.size(),
                                        Octets(signature), signature.size(), impl_->rsa.get()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

// --- private keys ---

struct PrivateKey::Impl {
  KeyKind kind = KeyKind::kRsa;
  int bits = 0;
  bssl::UniquePtr<EVP_PKEY> key;
  RSA* rsa = nullptr;  // key's
};

PrivateKey::PrivateKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PrivateKey::~PrivateKey() = default;
KeyKind PrivateKey::kind() const { return impl_->kind; }
int PrivateKey::bits() const { return impl_->bits; }

StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::ParsePem(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  std::string other;  // what stands there that is not a private key
  for (size_t at = pem.find(kBegin); at != std::string_view::npos; at = pem.find(kBegin, at)) {
    at += kBegin.size();
    const size_t label_end = pem.find("-----", at);
    if (label_end == std::string_view::npos) break;
    const std::string_view label = pem.substr(at, label_end - at);
    if (label.size() > 64 || label.find('\n') != std::string_view::npos) continue;
    const size_t body = label_end + 5;
    const size_t body_end = pem.find(StrCat("-----END ", label, "-----"), body);
    if (body_end == std::string_view::npos)
      return InvalidArgument(StrCat("the ", label, " has no END line"));
    const std::string_view text = pem.substr(body, body_end - body);
    at = body_end;
    if (label == "ENCRYPTED PRIVATE KEY" || text.find("ENCRYPTED") != std::string_view::npos)
      return InvalidArgument("the private key is protected by a passphrase; store it without one");
    const bool pkcs1 = label == "RSA PRIVATE KEY";
    if (!pkcs1 && label != "PRIVATE KEY") {
      if (other.empty()) other = std::string(label);
      continue;
    }
    std::string der;
    if (!DecodeBase64Value(text, &der))
      return InvalidArgument(StrCat("the ", label, " is not base64"));
    CBS cbs = CbsOf(der);
    auto impl = std::make_unique<Impl>();
    if (pkcs1) {
      bssl::UniquePtr<RSA> rsa(RSA_parse_private_key(&cbs));
      impl->key.reset(EVP_PKEY_new());
      if (!rsa || !impl->key || !EVP_PKEY_set1_RSA(impl->key.get(), rsa.get())) impl->key.reset();
    } else {
      impl->key.reset(EVP_parse_private_key(&cbs));
    }
    ERR_clear_error();
    if (!impl->key || CBS_len(&cbs) != 0)
      return InvalidArgument(StrCat("the ", label, " does not hold a key that we can read"));
    const int id = EVP_PKEY_id(impl->key.get());
    if (id == EVP_PKEY_ED25519) {
      impl->kind = KeyKind::kEd25519;
      impl->bits = 256;
    } else if (id == EVP_PKEY_RSA) {
      impl->rsa = EVP_PKEY_get0_RSA(impl->key.get());
      impl->bits = static_cast<int>(RSA_bits(impl->rsa));
      if (impl->bits < kLeastSigningBits) {
        // RFC 8301 §3.2.
        return InvalidArgument(StrCat("an RSA key of ", impl->bits,
                                      " bits is too short to sign with: 1024 are the least, "
                                      "2048 are right"));
      }
      if (impl->bits > kMostSigningBits)
        return InvalidArgument(StrCat("an RSA key of ", impl->bits, " bits is too long: 8192"));
    } else {
      return InvalidArgument("the key is neither RSA nor Ed25519");
    }
    return std::shared_ptr<const PrivateKey>(new PrivateKey(std::move(impl)));
  }
  if (!other.empty()) return InvalidArgument(StrCat("there is a ", other, ", no private key"));
  return InvalidArgument("there is no private key in PEM form");
}

StatusOr<std::shared_ptr<const PrivateKey>> PrivateKey::FromEd25519Seed(std::string_view seed) {
  auto impl = std::make_unique<Impl>();
  impl->kind = KeyKind::kEd25519;
  impl->bits = 256;
  if (seed.size() == 32) {
    impl->key.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Octets(seed), 32));
    ERR_clear_error();
  }
  if (!impl->key) return InvalidArgument("the seed of an Ed25519 key has 32 octets");
  return std::shared_ptr<const PrivateKey>(new PrivateKey(std::move(impl)));
}

StatusOr<std::string> PrivateKey::Sign(std::string_view digest) const {
  if (digest.size() != 32) return InvalidArgument("a SHA-256 hash has 32 octets");
  if (impl_->kind == KeyKind::kRsa) {
    std::string signature(RSA_size(impl_->rsa), '\0');
    unsigned size = 0;
    if (!RSA_sign(NID_sha256, Octets(digest), digest.size(),
                  reinterpret_cast<uint8_t*>(signature.data()), &size, impl_->rsa)) {
      ERR_clear_error();
      return Internal("the RSA key does not sign");
    }
    signature.resize(size);
    return signature;
  }
  std::string signature(ED25519_SIGNATURE_LEN, '\0');
  size_t size = signature.size();
  bssl::ScopedEVP_MD_CTX context;
  if (!EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, impl_->key.get()) ||
      !EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &size,
                      Octets(digest), digest.size())) {
    ERR_clear_error();
    return Internal("the Ed25519 key does not sign");
  }
  return signature;
}

std::string PrivateKey::PublicOctets() const {
  if (impl_->kind == KeyKind::kRsa) {
    return Marshal(
        [](CBB* cbb, const void* key) {
          return EVP_marshal_public_key(cbb, static_cast<const EVP_PKEY*>(key)) == 1;
        },
        impl_->key.get());
  }
  std::string octets(ED25519_PUBLIC_KEY_LEN, '\0');
  size_t size = octets.size();
  EVP_PKEY_get_raw_public_key(impl_->key.get(), reinterpret_cast<uint8_t*>(octets.data()), &size);
  return octets;
}

std::string PrivateKey::ToPem() const {
  const std::string der = Marshal(
      [](CBB* cbb, const void* key) {
        return EVP_marshal_private_key(cbb, static_cast<const EVP_PKEY*>(key)) == 1;
      },
      impl_->key.get());
  std::string pem = "-----BEGIN PRIVATE KEY-----\n";
  const std::string text = mail::Base64Encode(der);
  for (size_t at = 0; at < text.size(); at += 64) {
    pem += text.substr(at, 64);
    pem += '\n';
  }
  pem += "-----END PRIVATE KEY-----\n";
  return pem;
}

// --- records ---

std::string DkimKeyRecord::ToString() const {
  std::string text = "v=DKIM1;";
  if (!hashes.empty()) StrAppend(text, " h=", StrJoin(hashes, ":"), ";");
  StrAppend(text, " k=", KeyKindName(kind), ";");
  if (!notes.empty()) StrAppend(text, " n=", EncodeDkimQuotedPrintable(notes), ";");
  if (!services.empty()) StrAppend(text, " s=", StrJoin(services, ":"), ";");
  if (testing || strict) {
    StrAppend(text, " t=", testing ? "y" : "", testing && strict ? ":" : "", strict ? "s" : "",
              ";");
  }
  StrAppend(text, " p=", mail::Base64Encode(public_octets));
  return text;
}

std::optional<DkimKeyFault> ParseDkimKeyRecord(std::string_view text, DkimKeyRecord* record,
                                               const DkimKeyLimits& limits) {
  if (text.size() > limits.max_record_bytes) {
    return DkimKeyFault{"key_syntax", StrCat("the key record has ", text.size(),
                                             " octets, which is more than we read")};
  }
  const StatusOr<TagList> tags = TagList::Parse(text);
  if (!tags.ok())
    return DkimKeyFault{"key_syntax",
                        StrCat("the key record is malformed: ", Message(tags.status()))};
  // §3.6.1: v= may be left out; where it stands it is the first tag and says DKIM1.
  if (const Tag* v = tags->Find("v")) {
    if (v != &tags->tags().front() || v->value != "DKIM1") {
      return DkimKeyFault{"key_version", StrCat("the key record says v=", Escape(v->value, 40),
                                                v->value == "DKIM1" ? " not in the first place"
                                                                    : ", which is not DKIM1")};
    }
  }
  if (const Tag* h = tags->Find("h")) {
    for (std::string_view hash : SplitColons(h->value)) record->hashes.push_back(AsciiLower(hash));
  }
  if (const Tag* s = tags->Find("s")) {
    for (std::string_view service : SplitColons(s->value))
      record->services.push_back(AsciiLower(service));
  }
  if (const Tag* n = tags->Find("n")) record->notes = DecodeDkimQuotedPrintable(n->value);
  if (const Tag* t = tags->Find("t")) {
    for (std::string_view flag : SplitColons(t->value)) {
      if (flag == "y") record->testing = true;
      if (flag == "s") record->strict = true;
    }
  }
  const Tag* k = tags->Find("k");
  if (k != nullptr && k->value == "ed25519") {
    record->kind = KeyKind::kEd25519;
  } else if (k != nullptr && k->value != "rsa") {
    return DkimKeyFault{"key_kind_unknown", StrCat("the key record says k=", Escape(k->value, 40),
                                                   ", which is neither rsa nor ed25519")};
  }
  const Tag* p = tags->Find("p");
  if (p == nullptr) return DkimKeyFault{"key_syntax", "the key record has no p="};
  if (p->value.empty()) {
    record->revoked = true;
    return std::nullopt;
  }
  if (!DecodeBase64Value(p->value, &record->public_octets))
    return DkimKeyFault{"key_syntax", "p= of the key record is not base64"};
  StatusOr<std::shared_ptr<const PublicKey>> key =
      PublicKey::Parse(record->kind, record->public_octets);
  if (!key.ok()) {
    return DkimKeyFault{"key_unusable", StrCat("the key in the key record cannot be used: ",
                                               Message(key.status()))};
  }
  record->key = std::move(*key);
  return std::nullopt;
}

std::string DkimZoneText(std::string_view name, std::string_view text) {
  std::string line = StrCat(name, " IN TXT (");
  do {
    StrAppend(line, line.back() == '(' ? " \"" : "\n    \"");
    for (const char c : text.substr(0, 255)) {
      if (c == '"' || c == '\\') line += '\\';
      line += c;
    }
    line += '"';
    text.remove_prefix(std::min<size_t>(255, text.size()));
  } while (!text.empty());
  line += " )\n";
  return line;
}

std::shared_ptr<const DkimKeyCache::Entry> DkimKeyCache::Read(std::string_view text,
                                                              const DkimKeyLimits& limits) {
  const std::string_view key = text.substr(0, limits.max_record_bytes + 1);
  if (const auto found = young_.find(key); found != young_.end()) return found->second;
  std::shared_ptr<const Entry> entry;
  if (const auto found = old_.find(key); found != old_.end()) {
    entry = found->second;
  } else {
    auto made = std::make_shared<Entry>();
    made->fault = ParseDkimKeyRecord(text, &made->record, limits);
    entry = std::move(made);
  }
  if (young_.size() >= std::max<size_t>(1, max_records_ / 2)) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_.emplace(key, entry);
  return entry;
}

}  // namespace postern::trust
