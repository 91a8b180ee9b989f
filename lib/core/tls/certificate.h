// Certificates as facts: what is in a PEM file, whether it fits its key, whom it names, when it
// ends. The configuration checker asks these questions before anything is started, so that a wrong
// file is told by name and reason.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"

namespace postern::tls {

// kMaxPemBytes bounds a PEM text that we read, kMaxChainLength the certificates of one chain.
inline constexpr size_t kMaxPemBytes = 4 << 20;
inline constexpr size_t kMaxChainLength = 16;

struct CertificateInfo {
  std::string subject;  // "CN=mx.example.com, O=Example", for people
  std::string issuer;
  std::vector<std::string> names;      // DNS names of subjectAltName in lower case; the common name
                                       // when there is none (RFC 6125 §6.4.4)
  std::vector<std::string> mailboxes;  // rfc822Names of subjectAltName in lower case
  std::vector<std::string> addresses;  // IP addresses of subjectAltName as text
  WallTime not_before;
  WallTime not_after;
  bool self_signed = false;  // issuer and subject are the same
};

// ReadCertificates describes each certificate of `pem`, in order; at least one. kInvalidArgument
// says what is wrong with which.
StatusOr<std::vector<CertificateInfo>> ReadCertificates(std::string_view pem);

// DescribeCertificate describes one certificate in DER, for example a peer's.
StatusOr<CertificateInfo> DescribeCertificate(std::string_view der);

// CheckKeyPair tells whether `key_pem` (PKCS #8, RSA or EC, not encrypted) is the private key of
// the first certificate of `certificate_pem`. kInvalidArgument says in one line what does not fit.
Status CheckKeyPair(std::string_view certificate_pem, std::string_view key_pem);

// CheckValidity is an error when `certificate` is not valid at `now`: "certificate of
// mx.example.com expired on 2026-01-31".
Status CheckValidity(const CertificateInfo& certificate, WallTime now);

// CheckName is an error when `certificate` does not name `host` (a name or an IP address).
Status CheckName(const CertificateInfo& certificate, std::string_view host);

// NameMatches tells whether `pattern` of a certificate ("mx.example.com", "*.example.com") covers
// `host`, case-insensitively. A
// "*" stands for exactly one whole left-most label and is followed by two labels at least (RFC 6125
// §6.4.3).
bool NameMatches(std::string_view pattern, std::string_view host);

}  // namespace postern::tls
