// Certificates for tests, made on the spot: P-256 keys, signed by themselves or by each other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "lib/core/base/check.h"
#include "lib/core/base/time.h"

namespace postern::tls_test {

struct Made {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
  std::string certificate_pem;
  std::string key_pem;
};

struct Wish {
  std::string common_name;
  std::vector<std::string> dns_names;
  WallTime not_before = absl::FromUnixSeconds(1735689600);  // 2025-01-01
  WallTime not_after = absl::FromUnixSeconds(2051222400);   // 2035-01-01
  bool authority = false;
};

inline std::string Contents(BIO* bio) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  POSTERN_CHECK(BIO_mem_contents(bio, &data, &size) == 1);
  return std::string(reinterpret_cast<const char*>(data), size);
}

inline void AddExtension(X509* certificate, int nid, const std::string& value) {
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, nullptr, nid, value.c_str()));
  POSTERN_CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// MakeCertificate signs with `issuer`, or with its own key.
inline Made MakeCertificate(const Wish& wish, const Made* issuer = nullptr) {
  static int64_t serial = 1000;
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  POSTERN_CHECK(EC_KEY_generate_key(ec.get()) == 1);
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  POSTERN_CHECK(EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
  bssl::UniquePtr<X509> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const uint8_t*>(wish.common_name.data()),
                             static_cast<int>(wish.common_name.size()), -1, 0);
  X509_set_issuer_name(certificate.get(),
                       issuer != nullptr ? X509_get_subject_name(issuer->certificate.get()) : name);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                static_cast<time_t>(absl::ToUnixSeconds(wish.not_before)));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()),
                static_cast<time_t>(absl::ToUnixSeconds(wish.not_after)));
  X509_set_pubkey(certificate.get(), key.get());
  if (wish.authority) {
    AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
    AddExtension(certificate.get(), NID_key_usage, "critical,keyCertSign");
  }
  if (!wish.dns_names.empty()) {
    std::string value;
    for (const std::string& dns : wish.dns_names) value += (value.empty() ? "DNS:" : ",DNS:") + dns;
    AddExtension(certificate.get(), NID_subject_alt_name, value);
  }
  POSTERN_CHECK(X509_sign(certificate.get(), issuer != nullptr ? issuer->key.get() : key.get(),
                          EVP_sha256()) > 0);

  Made made;
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate.get());
  made.certificate_pem = Contents(bio.get());
  bio.reset(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  made.key_pem = Contents(bio.get());
  made.key = std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free);
  made.certificate = std::shared_ptr<X509>(certificate.release(), X509_free);
  return made;
}

}  // namespace postern::tls_test
