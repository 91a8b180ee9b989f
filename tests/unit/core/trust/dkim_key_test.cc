#include "lib/core/trust/dkim_key.h"

#include "tests/unit/core/trust/signature_test_keys.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

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

// The quick check of exponent 65537 says what BoringSSL's own one says, of good signatures and of
// everything near them.
TEST(PublicKey, AgreesWithTheLibrary) {
  const auto key = *PrivateKey::ParsePem(kRsaPkcs1Pem);
  const auto published = *PublicKey::Parse(KeyKind::kRsa, key->PublicOctets());
  const std::string octets = key->PublicOctets();
  const uint8_t* der = reinterpret_cast<const uint8_t*>(octets.data());
  const bssl::UniquePtr<EVP_PKEY> library(
      d2i_PUBKEY(nullptr, &der, static_cast<long>(octets.size())));
  ASSERT_TRUE(library);
  RSA* const rsa = EVP_PKEY_get0_RSA(library.get());
  const auto both = [&](std::string_view digest, const std::string& signature) {
    const bool theirs =
        RSA_verify(NID_sha256, reinterpret_cast<const uint8_t*>(digest.data()), digest.size(),
                   reinterpret_cast<const uint8_t*>(signature.data()), signature.size(), rsa) == 1;
    EXPECT_EQ(published->Verify(digest, signature), theirs);
    return theirs;
  };
  for (int i = 0; i < 50; ++i) {
    const std::string digest(32, static_cast<char>(i * 37));
    const std::string signature = *key->Sign(digest);
    EXPECT_TRUE(both(digest, signature));
    std::string other = signature;
    other[static_cast<size_t>(i * 5)] ^= static_cast<char>(1 << (i % 8));
    EXPECT_FALSE(both(digest, other));
    EXPECT_FALSE(both(std::string(32, '\xfe'), signature));
  }
  // Numbers at the ends of the range, and the modulus and more.
  std::string modulus(256, '\0');
  ASSERT_TRUE(BN_bn2bin_padded(reinterpret_cast<uint8_t*>(modulus.data()), modulus.size(),
                               RSA_get0_n(rsa)));
  std::string above = modulus;
  ++above.back();
  for (const std::string& odd : {std::string(256, '\0'), std::string(255, '\0') + '\1', modulus,
                                 above, std::string(256, '\xff'), std::string(257, '\0')})
    EXPECT_FALSE(both(std::string(32, 'd'), odd));
  // What the private key makes of other encodings: another hash's name, short padding, a parameter
  // left out, and zeros for padding.
  const std::string digest(32, 'd');
  const std::string name(
      "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19);
  const auto encoded = [&](std::string_view block, char padding, std::string_view tail) {
    std::string text(block);
    text.append(256 - block.size() - 1 - tail.size(), padding);
    text += '\0';
    return text.append(tail);
  };
  const std::string begin("\0\1", 2);
  std::string sha512 = name;
  sha512[14] = '\3';
  std::string without = name;
  without.erase(15, 2);
  without[1] = '\x2f';
  without[3] = '\x0b';
  const std::pair<std::string, bool> kCases[] = {
      {encoded(begin, '\xff', name + digest), true},
      {encoded(begin, '\xff', sha512 + digest), false},
      {encoded(begin, '\xff', without + digest), false},
      {encoded(begin, '\xff', name + digest.substr(1)), false},
      {encoded(begin, '\xff', name + digest + "x"), false},
      {encoded(begin, '\0', name + digest), false},
      {encoded(begin + "\xff\xff\xff\xff\xff\xff\xff\xff" + '\0' + name + digest, 'x', ""), false},
      {encoded(std::string("\0\2", 2), '\xff', name + digest), false},
  };
  const bssl::UniquePtr<BIO> pem(BIO_new_mem_buf(kRsaPkcs1Pem, -1));
  const bssl::UniquePtr<RSA> secret(
      PEM_read_bio_RSAPrivateKey(pem.get(), nullptr, nullptr, nullptr));
  for (const auto& [text, good] : kCases) {
    std::string signature(256, '\0');
    size_t size = 0;
    ASSERT_TRUE(RSA_sign_raw(secret.get(), &size, reinterpret_cast<uint8_t*>(signature.data()),
                             signature.size(), reinterpret_cast<const uint8_t*>(text.data()),
                             text.size(), RSA_NO_PADDING));
    EXPECT_EQ(both(digest, signature), good) << (&text - &kCases[0].first);
  }
}

// Keys of every length, and of another exponent.
TEST(PublicKey, OfEveryKind) {
  for (const int bits : {1024, 1152, 1536, 2048, 3072, 4096}) {
    for (const unsigned long e : {65537UL, 3UL}) {
      if (bits > 2048 && e == 3) continue;  // making keys takes long
      const bssl::UniquePtr<RSA> rsa(RSA_new());
      const bssl::UniquePtr<BIGNUM> exponent(BN_new());
      ASSERT_TRUE(BN_set_word(exponent.get(), e) &&
                  RSA_generate_key_ex(rsa.get(), bits, exponent.get(), nullptr));
      uint8_t* der = nullptr;
      size_t size = 0;
      ASSERT_TRUE(RSA_public_key_to_bytes(&der, &size, rsa.get()));
      const auto key = PublicKey::Parse(KeyKind::kRsa,
                                        std::string_view(reinterpret_cast<const char*>(der), size));
      OPENSSL_free(der);
      ASSERT_TRUE(key.ok()) << key.status();
      EXPECT_EQ((*key)->bits(), bits);
      const std::string digest(32, 'd');
      std::string signature(RSA_size(rsa.get()), '\0');
      unsigned length = 0;
      ASSERT_TRUE(RSA_sign(NID_sha256, reinterpret_cast<const uint8_t*>(digest.data()), 32,
                           reinterpret_cast<uint8_t*>(signature.data()), &length, rsa.get()));
      EXPECT_TRUE((*key)->Verify(digest, signature)) << bits << " " << e;
      signature[7] ^= 1;
      EXPECT_FALSE((*key)->Verify(digest, signature)) << bits << " " << e;
    }
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
