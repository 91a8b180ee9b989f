// DKIM: a message with a body of 4 KiB verified and signed, beside the one RSA operation and the
// hashing that cannot be avoided; and the canonical forms alone. dkim_opendkim measures
// libopendkim on the same message; dkim_table runs both and puts them side by side.
//
// "raw" is one RSA-2048 operation of BoringSSL's own functions; "floor" is that and SHA-256 over as
// many octets as the message has.
#include "bench/dkim_message.h"
#include "tests/unit/core/trust/signature_test_keys.h"
#include <string>

#include <benchmark/benchmark.h>
#include <openssl/bio.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/dkim_sign.h"
#include "lib/core/trust/dkim_verify.h"

namespace postern::trust {
namespace {

using bench::MakeBody;
using bench::MakeMessage;

constexpr int64_t kThen = 1'700'000'000;

std::shared_ptr<const PrivateKey> Key(const char* pem) { return *PrivateKey::ParsePem(pem); }

DkimSignOptions SignOptions(const char* pem) {
  DkimSignOptions options;
  options.keys = {DkimSigningKey{Key(pem), "example.org", "s", ""}};
  return options;
}

// Records answers the one question with the key of `pem`.
std::vector<dns::Answer> Records(const char* pem) {
  const auto key = Key(pem);
  dns::Answer answer;
  answer.kind = dns::Answer::Kind::kOk;
  answer.records.push_back(
      dns::Record{*dns::Name::Parse("s._domainkey.example.org"), dns::Type::kTxt, 1,
                  dns::TxtData{{StrCat("v=DKIM1; k=", KeyKindName(key->kind()),
                                       "; p=", mail::Base64Encode(key->PublicOctets()))}}});
  return {answer};
}

void Verify(benchmark::State& state, const char* pem) {
  const std::string plain = MakeMessage(static_cast<size_t>(state.range(0)));
  const std::string message =
      StrCat(*SignDkim(plain, {}, SignOptions(pem), absl::FromUnixSeconds(kThen)), plain);
  DkimKeyCache cache;
  DkimVerifyOptions options;
  options.key_cache = &cache;
  const std::vector<dns::Answer> records = Records(pem);
  for (auto _ : state) {
    DkimVerifier verifier(options);
    MessageScan scan({&verifier});
    scan.Feed(message);
    scan.Finish();
    dns::Inquiry<DkimVerdict> check = verifier.Check(absl::FromUnixSeconds(kThen));
    while (!check.questions().empty()) check.Resume(records);
    if (check.Take().result != DkimResult::kPass) state.SkipWithError("no pass");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * message.size()));
}
void BM_VerifyRsa2048(benchmark::State& state) { Verify(state, kRsaPkcs1Pem); }
BENCHMARK(BM_VerifyRsa2048)->Arg(4096)->Arg(65536)->Arg(1 << 20);
void BM_VerifyEd25519(benchmark::State& state) { Verify(state, kEd25519Pem); }
BENCHMARK(BM_VerifyEd25519)->Arg(4096);

void Sign(benchmark::State& state, const char* pem) {
  const std::string message = MakeMessage(static_cast<size_t>(state.range(0)));
  const DkimSignOptions options = SignOptions(pem);
  for (auto _ : state) {
    const auto fields = SignDkim(message, {}, options, absl::FromUnixSeconds(kThen));
    if (!fields.ok()) state.SkipWithError("not signed");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * message.size()));
}
void BM_SignRsa2048(benchmark::State& state) { Sign(state, kRsaPkcs1Pem); }
BENCHMARK(BM_SignRsa2048)->Arg(4096);
void BM_SignEd25519(benchmark::State& state) { Sign(state, kEd25519Pem); }
BENCHMARK(BM_SignEd25519)->Arg(4096);

// The floors: one operation of the key, and SHA-256 over the message.
Digest HashOf(std::string_view octets) {
  Sha256 hash;
  hash.Update(octets);
  return hash.Finish();
}
// RsaOf reads the key once, for BoringSSL's functions.
bssl::UniquePtr<RSA> RsaOf(const char* pem) {
  const bssl::UniquePtr<BIO> in(BIO_new_mem_buf(pem, -1));
  return bssl::UniquePtr<RSA>(PEM_read_bio_RSAPrivateKey(in.get(), nullptr, nullptr, nullptr));
}
struct RawRsa {
  bssl::UniquePtr<RSA> key = RsaOf(kRsaPkcs1Pem);
  uint8_t signature[256] = {};
  unsigned size = 0;
  bool Sign(const Digest& digest) {
    return RSA_sign(NID_sha256, digest.data(), digest.size(), signature, &size, key.get()) == 1;
  }
  bool Verify(const Digest& digest) const {
    return RSA_verify(NID_sha256, digest.data(), digest.size(), signature, size, key.get()) == 1;
  }
};

void VerifyBelow(benchmark::State& state, bool with_hash) {
  const std::string message = MakeMessage(4096);
  RawRsa raw;
  Digest digest = HashOf(message);
  if (!raw.Sign(digest)) state.SkipWithError("not signed");
  for (auto _ : state) {
    if (with_hash) digest = HashOf(message);
    if (!raw.Verify(digest)) state.SkipWithError("no pass");
  }
}
void BM_VerifyRawRsa2048(benchmark::State& state) { VerifyBelow(state, false); }
BENCHMARK(BM_VerifyRawRsa2048);
void BM_VerifyFloorRsa2048(benchmark::State& state) { VerifyBelow(state, true); }
BENCHMARK(BM_VerifyFloorRsa2048);

void SignBelow(benchmark::State& state, bool with_hash) {
  const std::string message = MakeMessage(4096);
  RawRsa raw;
  Digest digest = HashOf(message);
  for (auto _ : state) {
    if (with_hash) digest = HashOf(message);
    if (!raw.Sign(digest)) state.SkipWithError("not signed");
  }
}
void BM_SignRawRsa2048(benchmark::State& state) { SignBelow(state, false); }
BENCHMARK(BM_SignRawRsa2048);
void BM_SignFloorRsa2048(benchmark::State& state) { SignBelow(state, true); }
BENCHMARK(BM_SignFloorRsa2048);

void BM_CanonicalBody(benchmark::State& state) {
  const std::string body = MakeBody(1 << 20);
  for (auto _ : state) {
    CanonicalBody canonical(static_cast<Canonicalization>(state.range(0)));
    size_t bytes = 0;
    const auto sink = [&bytes](std::string_view octets) { bytes += octets.size(); };
    canonical.Feed(body, sink);
    canonical.Finish(sink);
    benchmark::DoNotOptimize(bytes);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(BM_CanonicalBody)->Arg(0)->Arg(1);

void BM_Sha256(benchmark::State& state) {
  const std::string body = MakeBody(1 << 20);
  for (auto _ : state) benchmark::DoNotOptimize(HashOf(body));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(BM_Sha256);

// Shapes that a hostile sender may choose, under the limits that everybody has: the time for twice
// as much is at most about twice as long.
enum Shape { kSignatures, kLongHeader, kBlanks, kEmptyLines, kManyFields, kLongList };
std::string HostileMessage(Shape shape, size_t n) {
  const std::string plain = MakeMessage(1024);
  const std::string field =
      *SignDkim(plain, {}, SignOptions(kEd25519Pem), absl::FromUnixSeconds(kThen));
  std::string text;
  switch (shape) {
    case kSignatures:
      while (text.size() < n) text += field;
      return text + plain;
    case kLongHeader: return StrCat(field, "Subject: ", std::string(n, 'x'), "\r\n", plain);
    case kBlanks: return StrCat(field, plain, std::string(n, ' '), "x\r\n");
    case kEmptyLines:
      text = StrCat(field, plain);
      for (size_t i = 0; i < n / 2; ++i) text += "\r\n";
      return text + "x";
    case kManyFields:
      for (size_t i = 0; text.size() < n; ++i) StrAppend(text, "X-F", i * 7919 % 100003, ": y\r\n");
      return StrCat(field, text, plain);
    case kLongList:
      text = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=s; h=from";
      while (text.size() < n) text += ":to:x";
      return StrCat(text, "; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=AAAA\r\n", plain);
  }
  return text;
}
void BM_Hostile(benchmark::State& state) {
  const std::string message =
      HostileMessage(static_cast<Shape>(state.range(0)), static_cast<size_t>(state.range(1)));
  const std::vector<dns::Answer> records = Records(kEd25519Pem);
  for (auto _ : state) {
    DkimVerifier verifier;
    MessageScan scan({&verifier});
    scan.Feed(message);
    scan.Finish();
    dns::Inquiry<DkimVerdict> check = verifier.Check(absl::FromUnixSeconds(kThen));
    while (!check.questions().empty()) check.Resume(records);
    benchmark::DoNotOptimize(check.Take());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * message.size()));
}
BENCHMARK(BM_Hostile)
    ->ArgsProduct({{kSignatures, kLongHeader, kBlanks, kEmptyLines, kManyFields, kLongList},
                   {1 << 20, 2 << 20, 4 << 20, 8 << 20}});

}  // namespace
}  // namespace postern::trust

BENCHMARK_MAIN();
