// ARC from end to end: chains that ArcSealer makes, and what breaks them.
#include "tests/unit/core/trust/signature_test_keys.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/arc_seal.h"

namespace postern::trust {
namespace {

constexpr const char* kMessage =
    "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=a@example.net;\r\n"
    " dkim=pass header.d=example.net\r\n"
    "Authentication-Results: other.example; spf=fail\r\n"
    "From: Ann <ann@example.net>\r\nTo: list@example.org\r\nSubject: a test\r\n\r\nHello\r\n";

dns::ZoneData Zone() {
  dns::ZoneData zone = *dns::ZoneData::Parse("slow._domainkey.example.org. TIMEOUT\n");
  const auto key = *PrivateKey::ParsePem(kEd25519Pem);
  for (const char* name : {"s._domainkey.example.org", "s._domainkey.two.example"}) {
    zone.Add(dns::Record{
        *dns::Name::Parse(name), dns::Type::kTxt, 1,
        dns::TxtData{{StrCat("k=ed25519; p=", mail::Base64Encode(key->PublicOctets()))}}});
  }
  return zone;
}

ArcVerdict Verify(const std::string& message) {
  return dns::RunOnZone(Zone(), CheckArc(message, {}, {}));
}

StatusOr<std::string> Seal(const std::string& message, std::string domain = "example.org") {
  ArcSealOptions options;
  options.key = {*PrivateKey::ParsePem(kEd25519Pem), std::move(domain), "s", ""};
  options.authserv_id = "mx.example.org";
  ArcVerifier verifier;
  ArcSealer sealer(options);
  MessageScan scan({&verifier, &sealer});
  scan.Feed(message);
  scan.Finish();
  const ArcVerdict verdict = dns::RunOnZone(Zone(), verifier.Check());
  StatusOr<std::string> fields = sealer.Seal(verdict, absl::FromUnixSeconds(1'700'000'000));
  if (!fields.ok()) return fields.status();
  return StrCat(*fields, message);
}

std::string Replace(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Arc, ChainsGrow) {
  EXPECT_EQ(Verify(kMessage).result, ArcResult::kNone);
  std::string message = kMessage;
  for (uint32_t i = 1; i <= 50; ++i) {
    const auto sealed = Seal(message, i % 2 == 0 ? "two.example" : "example.org");
    ASSERT_TRUE(sealed.ok()) << sealed.status();
    message = *sealed;
    if (i > 3 && i < 50) continue;
    const ArcVerdict verdict = Verify(message);
    EXPECT_EQ(verdict.result, ArcResult::kPass) << verdict.explanation;
    EXPECT_EQ(verdict.sets.size(), i);
    EXPECT_EQ(verdict.oldest_pass, 0U);
  }
  const ArcVerdict verdict = Verify(message);
  EXPECT_EQ(verdict.sets[1].domain, "two.example");
  EXPECT_EQ(verdict.sets[0].results,
            "mx.example.org; spf=pass smtp.mailfrom=a@example.net; dkim=pass header.d=example.net");
  // RFC 8617 §4.2.1: 50 are the most.
  EXPECT_EQ(Seal(message).status().code(), StatusCode::kFailedPrecondition);
}

TEST(Arc, LinesAreFolded) {
  const std::string message = *Seal(kMessage);
  const size_t end = message.find("ARC-Authentication-Results");
  for (std::string_view line : Split(std::string_view(message).substr(0, end), '\n'))
    EXPECT_LE(line.size(), 79U) << line;
}

// RFC 6376 §8.15: a second field on top of the signed one is what a reader may see.
TEST(Arc, NothingIsPutOnTopOfWhatIsSealed) {
  const std::string sealed = *Seal(kMessage);
  ASSERT_EQ(Verify(sealed).result, ArcResult::kPass);
  for (const char* added : {"From: ceo@example.org\r\n", "Subject: pay at once\r\n",
                            "Reply-To: thief@example.net\r\n", "Content-Type: text/html\r\n"}) {
    const ArcVerdict verdict = Verify(StrCat(added, sealed));
    EXPECT_EQ(verdict.result, ArcResult::kFail) << added;
    EXPECT_EQ(verdict.reason, "message_signature_differs") << added;
  }
  // Fields of the way may come.
  EXPECT_EQ(Verify(StrCat("Received: from a\r\n", sealed)).result, ArcResult::kPass);
}

TEST(Arc, ChangesOnTheWay) {
  // A list changes the subject between two seals: the chain holds, and the verdict says from where.
  const std::string first = *Seal(kMessage);
  const std::string changed = Replace(first, "Subject: a test", "Subject: [list] a test");
  EXPECT_EQ(Verify(changed).result, ArcResult::kFail);
  EXPECT_EQ(Verify(changed).reason, "message_signature_differs");
  ArcVerdict was_good = Verify(first);
  // The list knows that the chain was good before it changed the message.
  ArcSealOptions options;
  options.key = {*PrivateKey::ParsePem(kEd25519Pem), "two.example", "s", ""};
  options.results = "arc=pass";
  ArcSealer sealer(options);
  MessageScan scan({&sealer});
  scan.Feed(changed);
  scan.Finish();
  const auto fields = sealer.Seal(was_good, absl::FromUnixSeconds(1));
  ASSERT_TRUE(fields.ok()) << fields.status();
  const ArcVerdict verdict = Verify(StrCat(*fields, changed));
  EXPECT_EQ(verdict.result, ArcResult::kPass) << verdict.explanation;
  EXPECT_EQ(verdict.oldest_pass, 2U);
  EXPECT_FALSE(verdict.sets[0].message_good);
}

TEST(Arc, Faults) {
  const std::string one = *Seal(kMessage);
  const std::string two = *Seal(one, "two.example");
  struct Row {
    const char* from;
    const char* to;
    const char* reason;
  };
  const Row rows[] = {
      {"Hello", "Hullo", "body_hash_differs"},
      {"To: list", "To: lust", "message_signature_differs"},
      {"ARC-Authentication-Results: i=2;", "X: i=2;", "structure"},
      {"ARC-Authentication-Results: i=2;", "ARC-Authentication-Results: i=1;", "structure"},
      {"ARC-Authentication-Results: i=2;", "ARC-Authentication-Results: 2;", "signature_syntax"},
      {"cv=pass", "cv=none", "chain_status"},
      {"cv=pass", "cv=fail", "sealed_as_failed"},
      {"cv=pass", "cv=what", "signature_syntax"},
      {"cv=pass", "cv=pass; h=from", "signature_syntax"},
      {"ARC-Seal: a=ed25519-sha256", "ARC-Seal: a=rsa-sha1", "algorithm_historic"},
      {"i=1; mx.example.org", "i=1; my.example.org", "seal_differs"},
      {"d=two.example", "d=none.example", "no_key"},
  };
  for (const Row& row : rows) {
    const ArcVerdict verdict = Verify(Replace(two, row.from, row.to));
    EXPECT_EQ(verdict.result, ArcResult::kFail) << row.to << ": " << verdict.explanation;
    EXPECT_EQ(verdict.reason, row.reason) << row.to << ": " << verdict.explanation;
  }
  // A DNS that does not answer breaks no chain.
  const ArcVerdict slow = Verify(Replace(one, "s=s;", "s=slow;"));
  EXPECT_EQ(slow.result, ArcResult::kTempError) << slow.explanation;
}

TEST(Arc, ABrokenChainIsSealedOnceAndNoMore) {
  const std::string broken = Replace(*Seal(kMessage), "Hello", "Hullo");
  const auto sealed = Seal(broken, "two.example");
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_NE(sealed->find("cv=fail"), std::string::npos);
  const ArcVerdict verdict = Verify(*sealed);
  EXPECT_EQ(verdict.result, ArcResult::kFail);
  EXPECT_EQ(verdict.reason, "sealed_as_failed");
  EXPECT_EQ(Seal(*sealed).status().code(), StatusCode::kFailedPrecondition);
}

TEST(Arc, SealerRefuses) {
  ArcSealOptions options;
  options.key = {*PrivateKey::ParsePem(kEd25519Pem), "example.org", "s", ""};
  options.fields = {"From", "ARC-Seal"};
  ArcSealer sealer(options);
  MessageScan scan({&sealer});
  scan.Feed(kMessage);
  scan.Finish();
  EXPECT_EQ(sealer.Seal({}, absl::UnixEpoch()).status().code(), StatusCode::kInvalidArgument);
}

TEST(Arc, TwoMethodsOnOnePass) {
  // What a receiver does: DKIM and ARC over the same octets.
  const std::string message = *Seal(kMessage);
  ArcVerifier first, second;
  MessageScan scan({&first, &second});
  for (const char& c : message) scan.Feed(std::string_view(&c, 1));
  scan.Finish();
  EXPECT_EQ(dns::RunOnZone(Zone(), first.Check()).result, ArcResult::kPass);
  EXPECT_EQ(dns::RunOnZone(Zone(), second.Check()).result, ArcResult::kPass);
}

}  // namespace
}  // namespace postern::trust
