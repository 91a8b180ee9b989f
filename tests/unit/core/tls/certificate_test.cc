#include "lib/core/tls/certificate.h"

#include "tests/unit/core/tls/make_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postern::tls {
namespace {

using ::testing::HasSubstr;
using tls_test::Made;
using tls_test::MakeCertificate;

TEST(Certificate, IsDescribed) {
  const Made made = MakeCertificate({"mx.example.com", {"MX.example.com", "*.example.net"}});
  StatusOr<std::vector<CertificateInfo>> infos = ReadCertificates(made.certificate_pem);
  ASSERT_TRUE(infos.ok()) << Text(infos.status());
  ASSERT_EQ(infos->size(), 1u);
  const CertificateInfo& info = infos->front();
  EXPECT_EQ(info.subject, "CN=mx.example.com");
  EXPECT_EQ(info.names, (std::vector<std::string>{"mx.example.com", "*.example.net"}));
  EXPECT_EQ(info.not_after, absl::FromUnixSeconds(2051222400));
  EXPECT_TRUE(info.self_signed);
  EXPECT_TRUE(CheckName(info, "Mx.Example.Com").ok());
  EXPECT_TRUE(CheckName(info, "a.example.net").ok());
  EXPECT_THAT(std::string(Message(CheckName(info, "other.org"))),
              HasSubstr("not for other.org but for mx.example.com"));
  EXPECT_TRUE(CheckValidity(info, absl::FromUnixSeconds(1767225600)).ok());
  EXPECT_EQ(Message(CheckValidity(info, absl::FromUnixSeconds(2051222401))),
            "certificate of mx.example.com expired on 2035-01-01 00:00 UTC");
  EXPECT_THAT(std::string(Message(CheckValidity(info, absl::FromUnixSeconds(0)))),
              HasSubstr("is valid from 2025-01-01"));
}

TEST(Certificate, CommonNameCountsWhereNoOtherNameIs) {
  const Made made = MakeCertificate({"mx.example.com", {}});
  EXPECT_TRUE(CheckName(ReadCertificates(made.certificate_pem)->front(), "mx.example.com").ok());
}

TEST(Certificate, KeysMustFit) {
  const Made a = MakeCertificate({"a.example", {}});
  const Made b = MakeCertificate({"b.example", {}});
  EXPECT_TRUE(CheckKeyPair(a.certificate_pem, a.key_pem).ok());
  struct Row {
    std::string certificate, key, what;
  };
  const Row rows[] = {
      {a.certificate_pem, b.key_pem, "the key is not that of the certificate of a.example"},
      {a.key_pem, a.key_pem, "certificate: a private key and no certificate"},
      {a.certificate_pem, a.certificate_pem, "key: a certificate and no private key"},
      {"", a.key_pem, "certificate: no certificate in PEM"},
      {a.certificate_pem, "nonsense", "key: no private key in PEM"},
      {a.certificate_pem.substr(0, 200), a.key_pem, "certificate: "},
      {a.certificate_pem, a.key_pem.substr(0, 80), "key: "},
      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", a.key_pem,
       "certificate 1 is malformed"},
  };
  for (const Row& row : rows) {
    const Status status = CheckKeyPair(row.certificate, row.key);
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(std::string(Message(status)), HasSubstr(row.what));
  }
}

TEST(Certificate, NamesMatchAsRfc6125Says) {
  EXPECT_TRUE(NameMatches("mx.example.com", "MX.EXAMPLE.COM."));
  EXPECT_TRUE(NameMatches("*.example.com", "mx.example.com"));
  EXPECT_FALSE(NameMatches("*.example.com", "a.mx.example.com"));
  EXPECT_FALSE(NameMatches("*.example.com", "example.com"));
  EXPECT_FALSE(NameMatches("*.com", "example.com"));
  EXPECT_FALSE(NameMatches("m*.example.com", "mx.example.com"));
  EXPECT_FALSE(NameMatches("*", "com"));
  EXPECT_FALSE(NameMatches("*.example.com", ".example.com"));
  EXPECT_FALSE(NameMatches("", ""));
}

}  // namespace
}  // namespace postern::tls
