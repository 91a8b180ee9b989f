// DKIM keys: the record in the DNS (RFC 6376 §3.6.1, RFC 8463 §4), the public keys in such records,
// and the private keys that sign.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::trust {

enum class KeyKind : uint8_t { kRsa, kEd25519 };
const char* KeyKindName(KeyKind kind);  // "rsa", "ed25519": what k= says

// PublicKey is one key, read once and used often. Any number of threads may verify with it.
class PublicKey {
 public:
  // Parse reads the octets of p=: for RSA a SubjectPublicKeyInfo, which everybody publishes, or a
  // bare RSAPublicKey, which the text of RFC 6376 §3.6.1 asks for; for Ed25519 its 32 octets (RFC
  // 8463 §4.2), or a SubjectPublicKeyInfo. The error says why it is no key.
  static StatusOr<std::shared_ptr<const PublicKey>> Parse(KeyKind kind, std::string_view octets);
  ~PublicKey();

  KeyKind kind() const;
  // bits is the length of an RSA modulus; 256 for Ed25519.
  int bits() const;
  // Verify tells whether `signature` is this key's over `octets`. For RSA those are a SHA-256 hash,
  // and the scheme is RSASSA-PKCS1-v1_5 (RFC 8017 §8.2); for Ed25519 they are what is signed itself
  // (PureEdDSA), which in DKIM is a SHA-256 hash too (RFC 8463 §3).
  bool Verify(std::string_view octets, std::string_view signature) const;

 private:
  struct Impl;
  explicit PublicKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// PrivateKey signs. Any number of threads may sign with one.
class PrivateKey {
 public:
  // ParsePem reads the first private key of a PEM text: PKCS#1 ("RSA PRIVATE KEY") or PKCS#8
  // ("PRIVATE KEY"), RSA or Ed25519. It refuses RSA keys under 1024 bits (RFC 8301 §3.2: signers
  // must not use them) and over 8192. The error says what the text holds instead.
  static StatusOr<std::shared_ptr<const PrivateKey>> ParsePem(std::string_view pem);
  // FromEd25519Seed makes an Ed25519 key of its 32 octets (RFC 8032 §5.1.5).
  static StatusOr<std::shared_ptr<const PrivateKey>> FromEd25519Seed(std::string_view seed);
  ~PrivateKey();

  KeyKind kind() const;
  int bits() const;
  // Sign signs a SHA-256 hash, as PublicKey::Verify wants it. The same input gives the same octets.
  StatusOr<std::string> Sign(std::string_view digest) const;
  // PublicOctets is what p= publishes.
  std::string PublicOctets() const;
  // ToPem writes the key as PKCS#8.
  std::string ToPem() const;

 private:
  struct Impl;
  explicit PrivateKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// DkimKeyRecord is a key record, with its key read.
struct DkimKeyRecord {
  KeyKind kind = KeyKind::kRsa;          // k=
  std::vector<std::string> hashes;       // h=, in lower case; empty: any
  std::vector<std::string> services;     // s=, in lower case; empty: any
  std::string notes;                     // n=, for people
  bool testing = false;                  // t=y
  bool strict = false;                   // t=s: the domain of i= must be d= itself
  bool revoked = false;                  // p= is empty
  std::shared_ptr<const PublicKey> key;  // null when revoked
  std::string public_octets;             // p=, for printing

  // ToString writes the record's text, tags in the order of RFC 6376.
  std::string ToString() const;
};

// DkimKeyFault says why a record is of no use.
struct DkimKeyFault {
  const char* reason = "";  // "key_syntax", "key_version", "key_kind_unknown", "key_unusable"
  std::string explanation;  // a sentence for people, without a full stop
};

struct DkimKeyLimits {
  size_t max_record_bytes = 8192;  // ours: the record of an RSA-8192 key has 1.5 KiB
};

// ParseDkimKeyRecord reads a record's text; `*record` is good when nothing is returned.
std::optional<DkimKeyFault> ParseDkimKeyRecord(std::string_view text, DkimKeyRecord* record,
                                               const DkimKeyLimits& limits = {});

// DkimZoneText writes a TXT record as a line of a zone file, `name IN TXT ( "…" "…" )`, its text
// cut into strings of at most 255 octets (RFC 1035 §3.3.14). `name` is written as it is.
std::string DkimZoneText(std::string_view name, std::string_view text);

// DkimKeyCache remembers records by their text, so that a key that signs much mail is read once. As
// nothing but the text decides, nothing in it grows old. Not thread-safe: one for each loop.
class DkimKeyCache {
 public:
  // It keeps between half of `max_records` and all of them, those used last.
  explicit DkimKeyCache(size_t max_records = 1000) : max_records_(max_records) {}

  struct Entry {
    std::optional<DkimKeyFault> fault;
    DkimKeyRecord record;
  };
  // Read gives ParseDkimKeyRecord's answer for `text`, from memory when it is there.
  std::shared_ptr<const Entry> Read(std::string_view text, const DkimKeyLimits& limits = {});

 private:
  size_t max_records_;
  // Texts are looked for as they are lent.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  // Two generations: when the young one is half of the bound, it becomes the old one.
  std::unordered_map<std::string, std::shared_ptr<const Entry>, Hash, std::equal_to<>> young_, old_;
};

}  // namespace postern::trust
