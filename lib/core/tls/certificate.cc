#include "lib/core/tls/certificate.h"

#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/tls/boringssl.h"

namespace postern::tls {
namespace {

// NameText writes an X.500 name as "CN=x, O=y", escaped for a log.
std::string NameText(const X509_NAME* name) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~XN_FLAG_DN_REV) < 0)
    return "";
  const uint8_t* data = nullptr;
  size_t size = 0;
  if (!BIO_mem_contents(bio.get(), &data, &size)) return "";
  std::string text = Escape(std::string_view(reinterpret_cast<const char*>(data), size), 512);
  return text;
}

StatusOr<WallTime> TimeOf(const ASN1_TIME* time) {
  // The difference to the epoch, because this BoringSSL has no other way that knows years after
  // 2037 on all machines.
  bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (!epoch || !ASN1_TIME_diff(&days, &seconds, epoch.get(), time))
    return InvalidArgument("a date in the certificate is malformed");
  return absl::UnixEpoch() + absl::Hours(24) * days + absl::Seconds(seconds);
}

std::string AsnText(const ASN1_STRING* s) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                     static_cast<size_t>(ASN1_STRING_length(s)));
}

StatusOr<CertificateInfo> Describe(X509* certificate) {
  CertificateInfo info;
  info.subject = NameText(X509_get_subject_name(certificate));
  info.issuer = NameText(X509_get_issuer_name(certificate));
  info.self_signed =
      X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
  StatusOr<WallTime> not_before = TimeOf(X509_get0_notBefore(certificate));
  StatusOr<WallTime> not_after = TimeOf(X509_get0_notAfter(certificate));
  if (!not_before.ok()) return not_before.status();
  if (!not_after.ok()) return not_after.status();
  info.not_before = *not_before;
  info.not_after = *not_after;
  bool has_alternatives = false;
  bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (size_t i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      has_alternatives = true;
      std::string text = AsciiLower(AsnText(name->d.dNSName));
      // A name with a NUL or other strange octets in it names nobody (the trick of 2009 against C
      // strings).
      bool clean = !text.empty();
      for (const char c : text) clean = clean && c > 0x20 && c < 0x7f;
      if (clean) info.names.push_back(std::move(text));
    } else if (name->type == GEN_EMAIL) {
      std::string text = AsciiLower(AsnText(name->d.rfc822Name));
      bool clean = text.find('@') != std::string::npos;
      for (const char c : text) clean = clean && c > 0x20 && c < 0x7f;
      if (clean) info.mailboxes.push_back(std::move(text));
    } else if (name->type == GEN_IPADD) {
      has_alternatives = true;
      if (const std::optional<IpAddress> address =
              IpAddress::FromBytes(AsnText(name->d.iPAddress))) {
        info.addresses.push_back(address->ToString());
      }
    }
  }
  if (!has_alternatives) {
    // RFC 6125 §6.4.4: the common name counts only where there is no alternative name.
    X509_NAME* subject = X509_get_subject_name(certificate);
    const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (index >= 0) {
      const std::string text =
          AsnText(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
      bool clean = !text.empty();
      for (const char c : text) clean = clean && c > 0x20 && c < 0x7f;
      if (clean) info.names.push_back(AsciiLower(text));
    }
  }
  return info;
}

StatusOr<CertificateInfo> DescribeBuffer(CRYPTO_BUFFER* der) {
  ERR_clear_error();
  bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(der));
  if (!certificate)
    return InvalidArgument(StrCat("not an X.509 certificate: ", TakeErrors("malformed")));
  return Describe(certificate.get());
}

// Label names a certificate for people: its first name, else its subject.
std::string Label(const CertificateInfo& info) {
  if (!info.names.empty()) return info.names[0];
  if (!info.addresses.empty()) return info.addresses[0];
  return info.subject.empty() ? "(no name)" : info.subject;
}

std::string Date(WallTime time) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone());
}

}  // namespace

std::string EndPointBinding(CRYPTO_BUFFER* der) {
  ERR_clear_error();
  bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(der));
  int digest = NID_undef;
  if (!certificate ||
      !OBJ_find_sigid_algs(X509_get_signature_nid(certificate.get()), &digest, nullptr)) {
    ERR_clear_error();
    return {};
  }
  if (digest == NID_md5 || digest == NID_md5_sha1 || digest == NID_sha1) digest = NID_sha256;
  const EVP_MD* method = EVP_get_digestbynid(digest);
  if (method == nullptr) return {};
  uint8_t hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der), hash, &size, method, nullptr);
  return std::string(reinterpret_cast<const char*>(hash), size);
}

std::string TakeErrors(std::string_view otherwise) {
  const uint32_t error = ERR_get_error();
  ERR_clear_error();
  if (error == 0) return std::string(otherwise);
  const char* reason = ERR_reason_error_string(error);
  if (reason == nullptr) return StrCat(otherwise, " (", static_cast<uint32_t>(error), ")");
  std::string text = AsciiLower(reason);
  for (char& c : text) {
    if (c == '_') c = ' ';
  }
  return text;
}

StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> ReadPemCertificates(std::string_view pem,
                                                                          size_t most) {
  if (pem.size() > kMaxPemBytes)
    return InvalidArgument(StrCat("more than ", kMaxPemBytes, " bytes of PEM"));
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> certificates;
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return Unavailable("out of memory");
  for (;;) {
    char* name = nullptr;
    char* header = nullptr;
    uint8_t* data = nullptr;
    long size = 0;
    ERR_clear_error();
    if (!PEM_read_bio(bio.get(), &name, &header, &data, &size)) {
      const uint32_t error = ERR_peek_last_error();
      const bool end =
          ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
      ERR_clear_error();
      if (end) break;
      return InvalidArgument("a PEM block is malformed (cut off, or not base64)");
    }
    bssl::UniquePtr<char> free_name(name);
    bssl::UniquePtr<char> free_header(header);
    bssl::UniquePtr<uint8_t> free_data(data);
    const std::string_view kind(name);
    // A file may hold the key too; only certificates are looked at here.
    if (kind != PEM_STRING_X509 && kind != PEM_STRING_X509_OLD) continue;
    if (certificates.size() >= most)
      return InvalidArgument(StrCat("more than ", most, " certificates"));
    bssl::UniquePtr<CRYPTO_BUFFER> der(CRYPTO_BUFFER_new(data, static_cast<size_t>(size), nullptr));
    if (!der) return Unavailable("out of memory");
    certificates.push_back(std::move(der));
  }
  if (certificates.empty()) {
    const bool is_key = pem.find("PRIVATE KEY-----") != std::string_view::npos;
    return InvalidArgument(is_key ? "a private key and no certificate"
                                  : "no certificate in PEM (-----BEGIN CERTIFICATE-----)");
  }
  return certificates;
}

StatusOr<bssl::UniquePtr<EVP_PKEY>> ReadPemKey(std::string_view pem) {
  if (pem.size() > kMaxPemBytes)
    return InvalidArgument(StrCat("more than ", kMaxPemBytes, " bytes of PEM"));
  if (pem.find("PRIVATE KEY-----") == std::string_view::npos) {
    const bool is_certificate = pem.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos;
    return InvalidArgument(is_certificate ? "a certificate and no private key"
                                          : "no private key in PEM (-----BEGIN PRIVATE KEY-----)");
  }
  if (pem.find("ENCRYPTED") != std::string_view::npos)
    return InvalidArgument("the private key is encrypted; decrypt it first");
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return Unavailable("out of memory");
  ERR_clear_error();
  bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (!key)
    return InvalidArgument(StrCat("the private key cannot be read: ", TakeErrors("malformed")));
  return key;
}

StatusOr<bssl::UniquePtr<X509_STORE>> MakeStore(std::string_view ca_pem) {
  StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> authorities =
      ReadPemCertificates(ca_pem, 10'000);
  if (!authorities.ok()) return authorities.status();
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  if (!store) return Unavailable("out of memory");
  for (const bssl::UniquePtr<CRYPTO_BUFFER>& der : *authorities) {
    ERR_clear_error();
    bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(der.get()));
    if (!certificate || !X509_STORE_add_cert(store.get(), certificate.get())) {
      return InvalidArgument(
          StrCat("an authority is not an X.509 certificate: ", TakeErrors("malformed")));
    }
  }
  return store;
}

Status VerifyChain(X509_STORE* store, const STACK_OF(CRYPTO_BUFFER) * chain, bool peer_is_server,
                   std::string_view host, WallTime now) {
  if (chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0)
    return FailedPrecondition("the peer gave no certificate");
  if (sk_CRYPTO_BUFFER_num(chain) > kMaxChainLength)
    return FailedPrecondition("the peer's certificate chain is too long");
  bssl::UniquePtr<X509> leaf;
  bssl::UniquePtr<STACK_OF(X509)> others(sk_X509_new_null());
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, i)));
    if (!certificate) {
      ERR_clear_error();
      return FailedPrecondition("the peer's certificate is malformed");
    }
    if (i == 0) {
      leaf = std::move(certificate);
    } else if (!bssl::PushToStack(others.get(), std::move(certificate))) {
      return Unavailable("out of memory");
    }
  }
  StatusOr<CertificateInfo> info = Describe(leaf.get());
  if (!info.ok()) return FailedPrecondition(std::string(Message(info.status())));
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (!context || !X509_STORE_CTX_init(context.get(), store, leaf.get(), others.get()))
    return Unavailable("out of memory");
  X509_STORE_CTX_set_default(context.get(), peer_is_server ? "ssl_server" : "ssl_client");
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, static_cast<time_t>(absl::ToUnixSeconds(now)));
  // A self-signed certificate or an intermediate in the operator's file is trusted by standing
  // there.
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  const int verified = X509_verify_cert(context.get());
  ERR_clear_error();
  if (verified != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    X509* at_fault = X509_STORE_CTX_get_current_cert(context.get());
    CertificateInfo faulty = *info;
    if (at_fault != nullptr && at_fault != leaf.get()) {
      StatusOr<CertificateInfo> described = Describe(at_fault);
      if (described.ok()) faulty = *std::move(described);
      faulty.names.assign(1, faulty.subject);
    }
    switch (error) {
      case X509_V_ERR_CERT_HAS_EXPIRED:
      case X509_V_ERR_CERT_NOT_YET_VALID: {
        const Status when = CheckValidity(faulty, now);
        if (!when.ok()) return when;
        break;
      }
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return FailedPrecondition(StrCat("certificate of ", Label(*info),
                                         " is self-signed and not among the trusted ones"));
      case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return FailedPrecondition(StrCat("certificate of ", Label(*info), " was issued by ",
                                         info->issuer, ", which leads to no trusted authority"));
      default: break;
    }
    return FailedPrecondition(
        StrCat("certificate of ", Label(faulty), ": ", X509_verify_cert_error_string(error)));
  }
  if (!host.empty()) return CheckName(*info, host);
  return OkStatus();
}

StatusOr<std::vector<CertificateInfo>> ReadCertificates(std::string_view pem) {
  StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> chain = ReadPemCertificates(pem, 10'000);
  if (!chain.ok()) return chain.status();
  std::vector<CertificateInfo> infos;
  for (size_t i = 0; i < chain->size(); ++i) {
    StatusOr<CertificateInfo> info = DescribeBuffer((*chain)[i].get());
    if (!info.ok()) return Annotate(info.status(), StrCat("certificate ", i + 1));
    infos.push_back(*std::move(info));
  }
  return infos;
}

StatusOr<CertificateInfo> DescribeCertificate(std::string_view der) {
  bssl::UniquePtr<CRYPTO_BUFFER> buffer(
      CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
  if (!buffer) return Unavailable("out of memory");
  return DescribeBuffer(buffer.get());
}

Status CheckKeyPair(std::string_view certificate_pem, std::string_view key_pem) {
  StatusOr<std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>> chain =
      ReadPemCertificates(certificate_pem, kMaxChainLength);
  if (!chain.ok()) return Annotate(chain.status(), "certificate");
  StatusOr<bssl::UniquePtr<EVP_PKEY>> key = ReadPemKey(key_pem);
  if (!key.ok()) return Annotate(key.status(), "key");
  for (size_t i = 0; i < chain->size(); ++i) {
    ERR_clear_error();
    bssl::UniquePtr<X509> certificate(X509_parse_from_buffer((*chain)[i].get()));
    if (!certificate)
      return InvalidArgument(
          StrCat("certificate ", i + 1, " is malformed: ", TakeErrors("malformed")));
    if (i > 0) continue;
    bssl::UniquePtr<EVP_PKEY> public_key(X509_get_pubkey(certificate.get()));
    ERR_clear_error();
    if (!public_key || EVP_PKEY_cmp(public_key.get(), key->get()) != 1) {
      ERR_clear_error();
      StatusOr<CertificateInfo> info = Describe(certificate.get());
      return InvalidArgument(StrCat("the key is not that of the certificate",
                                    info.ok() ? " of " + Label(*info) : std::string()));
    }
  }
  return OkStatus();
}

Status CheckValidity(const CertificateInfo& certificate, WallTime now) {
  if (now > certificate.not_after) {
    return FailedPrecondition(
        StrCat("certificate of ", Label(certificate), " expired on ", Date(certificate.not_after)));
  }
  if (now < certificate.not_before) {
    return FailedPrecondition(StrCat("certificate of ", Label(certificate), " is valid from ",
                                     Date(certificate.not_before), " only"));
  }
  return OkStatus();
}

Status CheckName(const CertificateInfo& certificate, std::string_view host) {
  if (const std::optional<IpAddress> address = IpAddress::Parse(host)) {
    const std::string text = address->ToString();
    for (const std::string& named : certificate.addresses) {
      if (named == text) return OkStatus();
    }
  } else {
    for (const std::string& name : certificate.names) {
      if (NameMatches(name, host)) return OkStatus();
    }
  }
  std::vector<std::string> named = certificate.names;
  named.insert(named.end(), certificate.addresses.begin(), certificate.addresses.end());
  if (named.size() > 5) {
    named.resize(5);
    named.push_back("...");
  }
  return FailedPrecondition(StrCat("the certificate is not for ", Escape(host), " but for ",
                                   named.empty() ? std::string("nobody") : StrJoin(named, ", ")));
}

bool NameMatches(std::string_view pattern, std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty()) return false;
  if (!pattern.starts_with("*.")) return EqualsIgnoreCase(pattern, host);
  const std::string_view base = pattern.substr(2);
  if (base.find('.') == std::string_view::npos) return false;
  const size_t dot = host.find('.');
  return dot != std::string_view::npos && dot > 0 && EqualsIgnoreCase(base, host.substr(dot + 1));
}

}  // namespace postern::tls
