#include "lib/core/trust/dkim_key.h"

#include "tests/unit/core/trust/signature_test_keys.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/dns/zone.h"
#include "lib/core/mail/base64.h"

namespace postern::trust {
namespace {

TEST(PrivateKey, PemForms) {
  const auto pkcs1 = PrivateKey::ParsePem(kRsaPkcs1Pem);
  const auto pkcs8 = PrivateKey::ParsePem(StrCat("a comment\n", kRsaPkcs8Pem));
  ASSERT_TRUE(pkcs1.ok() && pkcs8.ok()) << pkcs1.status() << pkcs8.status();
  EXPECT_EQ((*pkcs1)->bits(), 2048);
  EXPECT_EQ((*pkcs1)->PublicOctets(), (*pkcs8)->PublicOctets());
  const auto ed = PrivateKey::ParsePem(kEd25519Pem);
  ASSERT_TRUE(ed.ok()) << ed.status();
  EXPECT_EQ((*ed)->kind(), KeyKind::kEd25519);
  EXPECT_EQ((*ed)->PublicOctets().size(), 32U);
  for (const auto& key : {*pkcs1, *ed}) {
    const auto again = PrivateKey::ParsePem(key->ToPem());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ((*again)->PublicOctets(), key->PublicOctets());
  }
}

TEST(PrivateKey, SaysWhatIsThereInstead) {
  const auto why = [](std::string_view pem) {
    const auto key = PrivateKey::ParsePem(pem);
    return key.ok() ? std::string("(a key)") : std::string(Message(key.status()));
  };
  EXPECT_NE(why(kShortRsaPem).find("too short"), std::string::npos) << why(kShortRsaPem);
  EXPECT_NE(why(kEncryptedPem).find("passphrase"), std::string::npos) << why(kEncryptedPem);
  EXPECT_NE(why(kEcPem).find("neither RSA nor Ed25519"), std::string::npos) << why(kEcPem);
  EXPECT_NE(why("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n").find("PUBLIC KEY"),
            std::string::npos);
  EXPECT_NE(why("hello").find("no private key"), std::string::npos);
  EXPECT_NE(why("-----BEGIN PRIVATE KEY-----\nAA").find("no END"), std::string::npos);
  EXPECT_NE(why("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").find("can read"),
            std::string::npos);
}

TEST(PrivateKey, SignsWhatThePublicKeyVerifies) {
  const std::string digest(32, 'd');
  for (const char* pem : {kRsaPkcs1Pem, kEd25519Pem}) {
    const auto key = PrivateKey::ParsePem(pem);
    ASSERT_TRUE(key.ok());
    const auto signature = (*key)->Sign(digest);
    ASSERT_TRUE(signature.ok());
    EXPECT_EQ(*(*key)->Sign(digest), *signature);  // deterministic
    const auto published = PublicKey::Parse((*key)->kind(), (*key)->PublicOctets());
    ASSERT_TRUE(published.ok());
    EXPECT_TRUE((*published)->Verify(digest, *signature));
    EXPECT_FALSE((*published)->Verify(std::string(32, 'e'), *signature));
    EXPECT_FALSE((*published)->Verify(digest, signature->substr(1)));
    EXPECT_FALSE((*published)->Verify(digest, ""));
    EXPECT_FALSE((*key)->Sign("short").ok());
  }
}

TEST(DkimKeyRecord, Reads) {
  const auto key = PrivateKey::ParsePem(kRsaPkcs1Pem);
  const std::string p = mail::Base64Encode((*key)->PublicOctets());
  DkimKeyRecord record;
  auto fault = ParseDkimKeyRecord(
      StrCat("v=DKIM1; h=sha1:SHA256; k=rsa; n=hello=20there; s=email:other; t=y:s:x; g=*; p=", p),
      &record);
  ASSERT_FALSE(fault) << fault->explanation;
  EXPECT_EQ(StrJoin(record.hashes, ","), "sha1,sha256");
  EXPECT_EQ(record.notes, "hello there");
  EXPECT_EQ(StrJoin(record.services, ","), "email,other");
  EXPECT_TRUE(record.testing && record.strict && !record.revoked);
  EXPECT_EQ(record.key->bits(), 2048);
  // What is printed reads as the same.
  DkimKeyRecord again;
  fault = ParseDkimKeyRecord(record.ToString(), &again);
  ASSERT_FALSE(fault) << fault->explanation;
  EXPECT_EQ(again.ToString(), record.ToString());
}

TEST(DkimKeyRecord, Refuses) {
  const auto reason = [](std::string_view text) -> std::string {
    DkimKeyRecord record;
    const auto fault = ParseDkimKeyRecord(text, &record);
    return fault ? fault->reason : record.revoked ? "(revoked)" : "(good)";
  };
  EXPECT_EQ(reason("v=DKIM1; p="), "(revoked)");
  EXPECT_EQ(reason("p="), "(revoked)");
  EXPECT_EQ(reason("v=DKIM1"), "key_syntax");
  EXPECT_EQ(reason("v=DKIM2; p="), "key_version");
  EXPECT_EQ(reason("k=rsa; v=DKIM1; p="), "key_version");
  EXPECT_EQ(reason("k=dsa; p=AAAA"), "key_kind_unknown");
  EXPECT_EQ(reason("p=!!"), "key_syntax");
  EXPECT_EQ(reason("p=AAAA"), "key_unusable");
  EXPECT_EQ(reason("k=ed25519; p=AAAA"), "key_unusable");
  EXPECT_EQ(reason("v=spf1 -all"), "key_version");
  EXPECT_EQ(reason("hello"), "key_syntax");
  EXPECT_EQ(reason(std::string(9000, 'a')), "key_syntax");
}

TEST(DkimKeyRecord, ZoneText) {
  const auto key = PrivateKey::ParsePem(kRsaPkcs1Pem);
  DkimKeyRecord record;
  record.public_octets = (*key)->PublicOctets();
  const std::string line = DkimZoneText("s1._domainkey.example.org.", record.ToString());
  const auto zone = dns::ZoneData::Parse(line);
  ASSERT_TRUE(zone.ok()) << zone.status() << line;
  const dns::Answer answer =
      zone->Query(*dns::Name::Parse("s1._domainkey.example.org"), dns::Type::kTxt);
  ASSERT_TRUE(answer.ok());
  const auto& txt = std::get<dns::TxtData>(answer.records[0].data);
  EXPECT_EQ(txt.Joined(), record.ToString());
  EXPECT_EQ(txt.strings.size(), 2U);
  for (const std::string& each : txt.strings) EXPECT_LE(each.size(), 255U);
}

TEST(DkimKeyCache, KeepsWhatIsUsed) {
  DkimKeyCache cache(4);
  const auto first = cache.Read("v=DKIM1; p=");
  for (int i = 0; i < 10; ++i) {
    cache.Read(StrCat("v=DKIM1; n=", i, "; p="));
    EXPECT_EQ(cache.Read("v=DKIM1; p="), first);  // the same object: it was not read again
  }
  EXPECT_TRUE(cache.Read("nonsense")->fault.has_value());
}

}  // namespace
}  // namespace postern::trust
