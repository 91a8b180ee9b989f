// What this layer's files share of BoringSSL: owners for its objects, and its errors as sentences.
// Not for other layers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <openssl/base.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"

namespace postern::tls {

// TakeErrors empties this thread's error queue and returns its oldest entry as text, or `otherwise`
// when it is empty.
std::string TakeErrors(std::string_view otherwise);

// LoadedChain is a KeyPair after reading.
struct LoadedChain {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> certificates;  // the leaf first
  bssl::UniquePtr<EVP_PKEY> key;
};

// ReadPemCertificates reads all certificates of `pem` as DER; at least one.
StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> ReadPemCertificates(std::string_view pem,
                                                                          size_t most);
// ReadPemKey reads the first private key of `pem`.
StatusOr<bssl::UniquePtr<EVP_PKEY>> ReadPemKey(std::string_view pem);
// EndPointBinding is tls-server-end-point (RFC 5929 §4.1) of a server's leaf certificate: its hash
// by the digest of its signature, SHA-256 in place of MD5 and SHA-1. Empty where the standard has
// none (EdDSA, RSA-PSS).
std::string EndPointBinding(CRYPTO_BUFFER* der);
// MakeStore puts the certificates of `ca_pem` into a store of trusted authorities.
StatusOr<bssl::UniquePtr<X509_STORE>> MakeStore(std::string_view ca_pem);

// VerifyChain checks that `chain` (the peer's, leaf first) leads to an authority of `store` at
// `now`. When `host` is not empty the leaf must name it. The error is a sentence about the
// certificate at fault.
Status VerifyChain(X509_STORE* store, const STACK_OF(CRYPTO_BUFFER) * chain, bool peer_is_server,
                   std::string_view host, WallTime now);

}  // namespace postern::tls
