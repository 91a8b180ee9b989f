// DKIM from end to end: what DkimSigner writes, DkimVerifier reads; and every way to fail.
#include "tests/unit/core/trust/signature_test_keys.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/dkim_sign.h"
#include "lib/core/trust/dkim_verify.h"

namespace postern::trust {
namespace {

constexpr int64_t kThen = 1'700'000'000;
constexpr const char* kMessage =
    "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject:  a  test\r\n"
    "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
    "Hello  Bob, \r\n\r\nthis is it.\r\n\r\n\r\n";

WallTime At(int64_t seconds) { return absl::FromUnixSeconds(seconds); }

DkimSigningKey Key(const char* pem, std::string selector) {
  return DkimSigningKey{*PrivateKey::ParsePem(pem), "example.org", std::move(selector), ""};
}

DkimSignOptions Options() {
  DkimSignOptions options;
  options.keys = {Key(kRsaPkcs1Pem, "rsa"), Key(kEd25519Pem, "ed")};
  return options;
}

std::string Record(const char* pem, std::string_view tags = "") {
  const auto key = *PrivateKey::ParsePem(pem);
  return StrCat("v=DKIM1; k=", KeyKindName(key->kind()), "; ", tags,
                "p=", mail::Base64Encode(key->PublicOctets()));
}

dns::ZoneData Zone(std::string_view rsa_tags = "") {
  dns::ZoneData zone = *dns::ZoneData::Parse("slow._domainkey.example.org. SERVFAIL\n");
  const auto add = [&](std::string_view selector, std::string text) {
    zone.Add(dns::Record{*dns::Name::Parse(StrCat(selector, "._domainkey.example.org")),
                         dns::Type::kTxt, 1, dns::TxtData{{std::move(text)}}});
  };
  add("rsa", Record(kRsaPkcs1Pem, rsa_tags));
  add("ed", Record(kEd25519Pem));
  return zone;
}

std::string Sign(std::string_view message, const DkimSignOptions& options = Options()) {
  StatusOr<std::string> fields = SignDkim(message, {}, options, At(kThen));
  EXPECT_TRUE(fields.ok()) << fields.status();
  return fields.ok() ? StrCat(*fields, message) : "";
}

DkimVerdict Verify(const std::string& message, const dns::ZoneData& zone = Zone(),
                   int64_t now_s = kThen + 60, DkimVerifyOptions options = {}) {
  return dns::RunOnZone(zone, CheckDkim(message, {}, options, At(now_s)));
}

std::string Replace(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Dkim, RoundTrip) {
  for (const Canonicalization header : {Canonicalization::kSimple, Canonicalization::kRelaxed}) {
    for (const Canonicalization body : {Canonicalization::kSimple, Canonicalization::kRelaxed}) {
      DkimSignOptions options = Options();
      options.header_canonicalization = header;
      options.body_canonicalization = body;
      const std::string signed_message = Sign(kMessage, options);
      const DkimVerdict verdict = Verify(signed_message);
      ASSERT_EQ(verdict.signatures.size(), 2U) << verdict.explanation;
      for (const DkimSignatureVerdict& each : verdict.signatures)
        EXPECT_EQ(each.result, DkimResult::kPass) << each.explanation;
      EXPECT_EQ(verdict.signatures[0].key_bits, 2048);
      // And after what the canonical forms forgive.
      const bool relaxed = header == Canonicalization::kRelaxed;
      EXPECT_EQ(Verify(Replace(signed_message, "Subject:  a  test", "subject: a\r\n test")).result,
                relaxed ? DkimResult::kPass : DkimResult::kFail);
      EXPECT_EQ(Verify(signed_message + "\r\n\r\n").result, DkimResult::kPass);
      EXPECT_EQ(Verify(Replace(signed_message, "Bob, \r\n", "Bob,\r\n")).result,
                body == Canonicalization::kRelaxed ? DkimResult::kPass : DkimResult::kFail);
    }
  }
}

TEST(Dkim, FieldsAreFoldedAndDeterministic) {
  DkimSignOptions options = Options();
  options.expires_after = absl::Hours(24);
  options.keys[0].identity = "ann@mail.example.org";
  const std::string signed_message = Sign(kMessage, options);
  EXPECT_EQ(signed_message, Sign(kMessage, options));
  const size_t end = signed_message.find("From: Ann");
  for (std::string_view line : Split(std::string_view(signed_message).substr(0, end), '\n'))
    EXPECT_LE(line.size(), 79U) << line;  // 78 and the CR
  EXPECT_NE(signed_message.find("t=1700000000;"), std::string::npos);
  EXPECT_NE(signed_message.find("x=1700086400;"), std::string::npos);
  EXPECT_NE(signed_message.find("i=ann@mail.example.org;"), std::string::npos);
  const DkimVerdict verdict = Verify(signed_message);
  EXPECT_EQ(verdict.signatures[0].signature.identity, "ann@mail.example.org");
  EXPECT_EQ(verdict.signatures[1].signature.identity, "@example.org");
  EXPECT_EQ(verdict.result, DkimResult::kPass);
}

TEST(Dkim, PiecesDoNotMatter) {
  const std::string message = Sign(kMessage);
  for (const size_t step : {1, 2, 3, 5, 64}) {
    DkimVerifier verifier;
    MessageScan scan({&verifier});
    for (size_t at = 0; at < message.size(); at += step)
      scan.Feed(std::string_view(message).substr(at, step));
    scan.Finish();
    EXPECT_EQ(dns::RunOnZone(Zone(), verifier.Check(At(kThen))).result, DkimResult::kPass) << step;
  }
}

TEST(Dkim, OversigningKeepsOthersOut) {
  const std::string message = Sign(kMessage);
  for (const char* added : {"Subject: another\r\n", "From: eve@example.com\r\n",
                            "Reply-To: eve@example.com\r\n", "Content-Type: text/html\r\n"}) {
    const DkimVerdict verdict = Verify(added + message);
    EXPECT_EQ(verdict.result, DkimResult::kFail) << added;
    EXPECT_EQ(verdict.reason, "signature_differs");
    EXPECT_EQ(Verify(message, Zone()).result, DkimResult::kPass);
  }
  // What is not signed may come.
  EXPECT_EQ(Verify("Received: from somewhere\r\n" + message).result, DkimResult::kPass);
}

TEST(Dkim, SentencesForPeople) {
  const std::string message = Sign(kMessage);
  EXPECT_EQ(Verify(Replace(message, "this is it", "this is not")).explanation,
            "DKIM fail: body hash differs; the message was changed after signing (signer used "
            "relaxed body canonicalization)");
  EXPECT_EQ(Verify(kMessage).explanation, "DKIM none: the message is not signed");
}

struct Fault {
  const char* from;
  const char* to;
  DkimResult result;
  const char* reason;
};

TEST(Dkim, FaultsOfTheField) {
  DkimSignOptions options = Options();
  options.keys.resize(1);
  const std::string message = Sign(kMessage, options);
  const Fault faults[] = {
      {"v=1;", "v=2;", DkimResult::kNeutral, "version_unknown"},
      {"v=1;", "", DkimResult::kNeutral, "missing_tag"},
      {"a=rsa-sha256;", "a=rsa-sha1;", DkimResult::kPermError, "algorithm_historic"},
      {"a=rsa-sha256;", "a=rsa-md5;", DkimResult::kPermError, "algorithm_unknown"},
      {"a=rsa-sha256;", "a=ed25519-sha256;", DkimResult::kPermError, "key_kind_differs"},
      {"c=relaxed/relaxed;", "c=nofws;", DkimResult::kPermError, "canonicalization_unknown"},
      {"d=example.org;", "", DkimResult::kNeutral, "missing_tag"},
      {"d=example.org;", "d=;", DkimResult::kNeutral, "signature_syntax"},
      {"d=example.org;", "d=example.org.;", DkimResult::kNeutral, "signature_syntax"},
      {"d=example.org;", "d=example.org; d=b;", DkimResult::kNeutral, "signature_syntax"},
      {"d=example.org;", "d=example.org; i=@other.org;", DkimResult::kPermError,
       "identity_not_of_domain"},
      {"s=rsa;", "s=none;", DkimResult::kPermError, "no_key"},
      {"s=rsa;", "s=slow;", DkimResult::kTempError, "key_unavailable"},
      {"s=rsa;", "s=ed;", DkimResult::kPermError, "key_kind_differs"},
      {"h=From:From:", "h=", DkimResult::kPermError, "from_not_signed"},
      {"t=1700000000;", "t=1700000000; x=1699999999;", DkimResult::kNeutral, "signature_syntax"},
      {"t=1700000000;", "t=1700000000; x=1700000001;", DkimResult::kPermError, "expired"},
      {"t=1700000000;", "t=1900000000;", DkimResult::kPermError, "signed_in_future"},
      {"t=1700000000;", "t=now;", DkimResult::kNeutral, "signature_syntax"},
      {"t=1700000000;", "t=1700000000; q=http;", DkimResult::kPermError, "query_unknown"},
      {"t=1700000000;", "t=1700000001;", DkimResult::kFail, "signature_differs"},
      {"t=1700000000;", "t=1700000000; l=3;", DkimResult::kFail, "body_hash_differs"},
      {"t=1700000000;", "t=1700000000; l=99999999999999999999999;", DkimResult::kFail,
       "body_too_short"},
      {"t=1700000000;", "t=1700000000; l=-1;", DkimResult::kNeutral, "signature_syntax"},
      {"bh=", "bh=AAAA; bx=", DkimResult::kNeutral, "signature_syntax"},
  };
  for (const Fault& fault : faults) {
    const DkimVerdict verdict = Verify(Replace(message, fault.from, fault.to));
    EXPECT_EQ(verdict.result, fault.result) << fault.to << ": " << verdict.explanation;
    EXPECT_EQ(verdict.reason, fault.reason) << fault.to << ": " << verdict.explanation;
    EXPECT_EQ(verdict.explanation.find(StrCat("DKIM ", DkimResultName(verdict.result), ": ")), 0U);
  }
}

TEST(Dkim, FaultsOfTheKey) {
  DkimSignOptions options = Options();
  options.keys.resize(1);
  const std::string message = Sign(kMessage, options);
  const std::string broken = Replace(message, "this is it", "this is not");
  const Fault faults[] = {
      {"h=sha1; ", "", DkimResult::kPermError, "key_hash_not_allowed"},
      {"h=sha1:sha256; ", "", DkimResult::kPass, "good"},
      {"s=tlsrpt; ", "", DkimResult::kPermError, "key_not_for_mail"},
      {"s=*; ", "", DkimResult::kPass, "good"},
      {"s=email:x; ", "", DkimResult::kPass, "good"},
      {"t=s; ", "", DkimResult::kPass, "good"},
      {"t=y; ", "", DkimResult::kPass, "good"},
      {"p=; ", "", DkimResult::kPermError, "key_syntax"},
  };
  for (const Fault& fault : faults) {
    const DkimVerdict verdict = Verify(message, Zone(fault.from));
    EXPECT_EQ(verdict.result, fault.result) << fault.from << ": " << verdict.explanation;
    EXPECT_EQ(verdict.reason, fault.reason) << fault.from;
  }
  // RFC 6376 §3.6.1, t=y: a failure does not count, and the verdict says that the key is for tests.
  const DkimVerdict testing = Verify(broken, Zone("t=y; "));
  EXPECT_EQ(testing.result, DkimResult::kNeutral);
  EXPECT_TRUE(testing.signatures[0].testing);
  // t=s: i= may not be of a subdomain.
  options.keys[0].identity = "@mail.example.org";
  const std::string below = Sign(kMessage, options);
  EXPECT_EQ(Verify(below).result, DkimResult::kPass);
  EXPECT_EQ(Verify(below, Zone("t=s; ")).reason, "identity_not_of_domain");
}

TEST(Dkim, KeysThatAreTooShortOrTooLong) {
  DkimSignOptions options = Options();
  options.keys.resize(1);
  const std::string message = Sign(kMessage, options);
  DkimVerifyOptions verify;
  verify.check.min_rsa_bits = 4096;
  EXPECT_EQ(Verify(message, Zone(), kThen, verify).reason, "key_too_short");
  verify.check = {};
  verify.check.max_rsa_bits = 1024;
  EXPECT_EQ(Verify(message, Zone(), kThen, verify).reason, "key_too_long");
  EXPECT_FALSE(PrivateKey::ParsePem(kShortRsaPem).ok());
}

TEST(Dkim, SeveralRecordsAtOneName) {
  DkimSignOptions options = Options();
  options.keys.resize(1);
  dns::ZoneData zone;
  for (const std::string& text :
       {std::string("v=spf1 -all"), Record(kEd25519Pem), Record(kRsaPkcs1Pem)}) {
    zone.Add(dns::Record{*dns::Name::Parse("rsa._domainkey.example.org"), dns::Type::kTxt, 1,
                         dns::TxtData{{text}}});
  }
  EXPECT_EQ(Verify(Sign(kMessage, options), zone).result, DkimResult::kPass);
  DkimVerifyOptions verify;
  verify.check.max_key_records = 2;
  EXPECT_EQ(Verify(Sign(kMessage, options), zone, kThen, verify).result, DkimResult::kPermError);
}

TEST(Dkim, BodyLengthLeavesTheRestUnsigned) {
  // We never write l=; a signature with it is made by hand.
  DkimSignature signature;
  signature.algorithm = "ed25519-sha256";
  signature.key_kind = KeyKind::kEd25519;
  signature.header_canonicalization = Canonicalization::kRelaxed;
  signature.domain = "example.org";
  signature.selector = "ed";
  signature.fields = {"From"};
  signature.body_length = 6;
  Sha256 hash;
  hash.Update("Hello ");
  const Digest body = hash.Finish();
  signature.body_hash = std::string(DigestView(body));
  const HeaderFields header("From: Ann <ann@example.org>\r\n", 10);
  const std::string field =
      StrCat("DKIM-Signature:", PrintSignature(SignatureField::kDkim, signature, 15));
  const Digest digest = HashSignedFields(header, signature, field);
  signature.signature = *(*PrivateKey::ParsePem(kEd25519Pem))->Sign(DigestView(digest));
  const std::string message =
      StrCat("DKIM-Signature:", PrintSignature(SignatureField::kDkim, signature, 15),
             "\r\nFrom: Ann <ann@example.org>\r\n\r\nHello Bob\r\n");
  const DkimVerdict verdict = Verify(message);
  EXPECT_EQ(verdict.result, DkimResult::kPass) << verdict.explanation;
  EXPECT_EQ(verdict.signatures[0].unsigned_body_bytes, 5U);
  EXPECT_NE(verdict.explanation.find("the last 5 octets"), std::string::npos);
}

TEST(Dkim, SignerRefuses) {
  const auto reason = [](const DkimSignOptions& options, std::string_view message = kMessage) {
    StatusOr<std::string> fields = SignDkim(message, {}, options, At(kThen));
    return fields.ok() ? std::string() : std::string(Message(fields.status()));
  };
  EXPECT_NE(reason({}).find("no key"), std::string::npos);
  EXPECT_NE(reason(Options(), "To: a\r\n\r\n").find("no From"), std::string::npos);
  EXPECT_NE(reason(Options(), "From: a\r\nFrom: b\r\n\r\n").find("more than one From"),
            std::string::npos);
  EXPECT_NE(reason(Options(), StrCat(" x\r\n", kMessage)).find("begins with a blank"),
            std::string::npos);
  DkimSignOptions options = Options();
  options.keys[0].domain = "exa mple.org";
  EXPECT_NE(reason(options).find("no DNS name"), std::string::npos);
  options = Options();
  options.keys[0].selector = "";
  EXPECT_NE(reason(options).find("selector"), std::string::npos);
  options = Options();
  options.keys[0].identity = "@other.org";
  EXPECT_NE(reason(options).find("identity"), std::string::npos);
  options = Options();
  options.fields.push_back("a:b");
  EXPECT_NE(reason(options).find("no field name"), std::string::npos);
  std::string many = kMessage;
  for (int i = 0; i < 600; ++i) many.insert(0, "To: x\r\n");
  EXPECT_NE(reason(Options(), many).find("more than 500"), std::string::npos);
}

TEST(Dkim, Limits) {
  // Signatures past the limit are one verdict, whatever their number.
  std::string message = Sign(kMessage);
  std::string junk;
  for (int i = 0; i < 30; ++i) junk += "DKIM-Signature: v=1\r\n";
  const DkimVerdict many = Verify(junk + message);
  EXPECT_EQ(many.signatures.size(), 6U);
  EXPECT_EQ(many.signatures.back().reason, "too_many_signatures");
  EXPECT_NE(many.result, DkimResult::kPass);
  // A header that is too large, by octets and by fields.
  const DkimVerdict large = Verify(StrCat("X: ", std::string(2 << 20, 'x'), "\r\n", message));
  EXPECT_EQ(large.result, DkimResult::kPolicy);
  EXPECT_EQ(large.reason, "header_too_large");
  std::string fields;
  for (int i = 0; i < 20000; ++i) fields += "X: y\r\n";
  EXPECT_EQ(Verify(fields + message).reason, "too_many_fields");
  // No body, no header, nothing.
  EXPECT_EQ(Verify("").result, DkimResult::kNone);
  EXPECT_EQ(Verify("\r\n").result, DkimResult::kNone);
  EXPECT_EQ(Verify("DKIM-Signature:").result, DkimResult::kNeutral);
}

TEST(Dkim, BareLineFeedsOfFiles) {
  const std::string crlf = Sign(kMessage);
  std::string lf;
  for (const char c : crlf) {
    if (c != '\r') lf += c;
  }
  MessageScanOptions files;
  files.bare_lf_is_line_end = true;
  for (const std::string& text : {lf, crlf}) {
    EXPECT_EQ(dns::RunOnZone(Zone(), CheckDkim(text, files, {}, At(kThen))).result,
              DkimResult::kPass);
    DkimVerifier verifier;
    MessageScan scan({&verifier}, files);
    for (const char& c : text) scan.Feed(std::string_view(&c, 1));
    scan.Finish();
    EXPECT_EQ(dns::RunOnZone(Zone(), verifier.Check(At(kThen))).result, DkimResult::kPass);
  }
}

TEST(Dkim, KeyCacheSharesKeys) {
  const std::string message = Sign(kMessage);
  DkimKeyCache cache;
  DkimVerifyOptions options;
  options.key_cache = &cache;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(Verify(message, Zone(), kThen, options).result, DkimResult::kPass);
}

TEST(HeaderFields, FromTheBottomUp) {
  const HeaderFields header(
      "A: 1\r\nb : 2\r\nA: 3\r\n continued\r\nno field\r\nB: 4\r\nlong-name-one: 5\r\n"
      "long-name-two: 6\r\n",
      100);
  EXPECT_EQ(header.fields().size(), 7U);
  const auto names = [&](std::string_view name) {
    std::string out;
    for (const uint32_t index : header.Indexes(name)) StrAppend(out, index, " ");
    return out;
  };
  EXPECT_EQ(names("a"), "0 2 ");
  EXPECT_EQ(names("B"), "1 4 ");
  EXPECT_EQ(names("Long-Name-Two"), "6 ");
  EXPECT_EQ(names("long-name-"), "");
  EXPECT_EQ(names(""), "");
  EXPECT_EQ(header.fields()[2].value, " 3\r\n continued");
  EXPECT_EQ(header.FirstOf("a"), &header.fields()[0]);
}

}  // namespace
}  // namespace postern::trust
