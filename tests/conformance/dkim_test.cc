// The DKIM suites: messages that others signed, with their keys; and Wycheproof's RSA and Ed25519
// signatures through the functions that verify them.

#include "tests/conformance/json.h"
#include "tests/conformance/suite.h"
#include <algorithm>
#include <sstream>

#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/trust/dkim_verify.h"

namespace postern::trust {
namespace {

using conformance::Json;

constexpr int64_t kNow = 1'800'000'000;  // later than what the suites were signed at

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Json ReadJson(const std::string& path) { return Json::Parse(ReadFile(path)); }

std::vector<std::string> FilesOf(const std::string& folder, std::string_view suffix) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.size() >= suffix.size() &&
        std::string_view(name).substr(name.size() - suffix.size()) == suffix)
      names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void AddTxt(dns::ZoneData& zone, std::string_view name, std::vector<std::string> strings) {
  StatusOr<dns::Name> parsed = dns::Name::Parse(name);
  if (!parsed.ok()) return;
  zone.Add(dns::Record{*parsed, dns::Type::kTxt, 300, dns::TxtData{std::move(strings)}});
}

// NameAndText splits "name: text" or "name text".
void AddLine(dns::ZoneData& zone, std::string_view line) {
  const size_t end = line.find_first_of(" \t:");
  if (end == std::string_view::npos) return;
  std::string_view text = Trim(line.substr(end));
  if (!text.empty() && text.front() == ':') text = Trim(text.substr(1));
  AddTxt(zone, line.substr(0, end), {std::string(text)});
}

dns::ZoneData ZoneOf(const Json& map) {
  dns::ZoneData zone;
  for (const auto& [name, value] : map.Object()) AddTxt(zone, name, {value.String()});
  return zone;
}

DkimVerdict Verify(const std::string& message, const dns::ZoneData& zone, int64_t now_s = kNow,
                   DkimVerifyOptions options = {}) {
  MessageScanOptions scan;
  scan.bare_lf_is_line_end = true;
  return dns::RunOnZone(zone,
                        CheckDkim(message, scan, std::move(options), absl::FromUnixSeconds(now_s)));
}

std::string Describe(const DkimVerdict& verdict) {
  std::string text = StrCat(DkimResultName(verdict.result), " [", verdict.explanation, "]");
  for (const DkimSignatureVerdict& each : verdict.signatures)
    StrAppend(text, "\n    ", each.reason, ": ", each.explanation);
  return text;
}

TEST(DkimSuite, Signed) {
  const auto folder = conformance::Folder("dkim/signed");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/signed");
  const dns::ZoneData zone = ZoneOf(ReadJson(*folder + "/dns.json"));
  const Json cases = ReadJson(*folder + "/cases.json");
  for (const Json& each : cases.Array()) {
    const std::string& file = each["message"].String();
    const DkimVerdict verdict = Verify(ReadFile(StrCat(*folder, "/messages/", file)), zone);
    const bool passed = verdict.result == DkimResult::kPass;
    bool good = passed == (each["expect"].String() == "pass");
    // Which half is at fault must be told right too.
    if (each["fail_reason"].String() == "bad signature")
      good = good && verdict.reason == "signature_differs";
    if (each["fail_reason"].String().find("body hash") != std::string::npos)
      good = good && verdict.reason == "body_hash_differs";
    tally.Count(file, good, StrCat(each["expect"].String(), ", but ", Describe(verdict)));
  }
  tally.Finish();
}

TEST(DkimSuite, RfcMessages) {
  const auto folder = conformance::Folder("dkim/dkimpy");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/dkimpy");
  const dns::ZoneData zone = ZoneOf(ReadJson(*folder + "/dns.json"));
  // RFC 8463 appendix A: the message signed with both keys.
  const DkimVerdict verdict = Verify(ReadFile(*folder + "/rfc6376.signed.msg"), zone);
  bool all = !verdict.signatures.empty();
  for (const DkimSignatureVerdict& each : verdict.signatures)
    all = all && each.result == DkimResult::kPass;
  tally.Count("rfc6376.signed.msg", all, Describe(verdict));
  // Key records to be refused, and one that is not for mail.
  for (const char* name : {"badk.txt", "badversion.txt", "test_bad.txt"}) {
    DkimKeyRecord record;
    const auto fault = ParseDkimKeyRecord(Trim(ReadFile(StrCat(*folder, "/", name))), &record);
    tally.Count(name, fault.has_value(), "the record was taken");
  }
  for (const char* name : {"test.txt", "test2.txt", "ed25519test.dns", "eximtest.dns"}) {
    DkimKeyRecord record;
    const auto fault = ParseDkimKeyRecord(Trim(ReadFile(StrCat(*folder, "/", name))), &record);
    tally.Count(name, !fault, fault ? fault->explanation : "");
  }
  DkimKeyRecord record;
  const auto fault = ParseDkimKeyRecord(Trim(ReadFile(*folder + "/test_tlsrpt.txt")), &record);
  tally.Count("test_tlsrpt.txt", !fault && record.services == std::vector<std::string>{"tlsrpt"},
              "s= was not read");
  // Their private keys, both PEM and the bare seed of RFC 8032 §7.1.
  for (const char* name : {"test", "test2"}) {
    const auto key = PrivateKey::ParsePem(ReadFile(StrCat(*folder, "/", name, ".private")));
    DkimKeyRecord published;
    ParseDkimKeyRecord(Trim(ReadFile(StrCat(*folder, "/", name, ".txt"))), &published);
    tally.Count(StrCat(name, ".private"),
                key.ok() && (*key)->PublicOctets() == published.public_octets, "another key");
  }
  const std::optional<std::string> seed =
      mail::Base64Decode(Trim(ReadFile(*folder + "/rfc8032_7_1.key")));
  const auto key = PrivateKey::FromEd25519Seed(seed.value_or(""));
  // RFC 8463 appendix A.2 publishes this one.
  tally.Count("rfc8032_7_1.key",
              key.ok() && mail::Base64Encode((*key)->PublicOctets()) ==
                              "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
              "another key");
  tally.Finish();
}

TEST(DkimSuite, MailAuth) {
  const auto folder = conformance::Folder("dkim/mail-auth");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/mail-auth");
  for (const std::string& file : FilesOf(*folder, ".txt")) {
    std::string text = ReadFile(StrCat(*folder, "/", file));
    const size_t blank = text.find("\n\n");
    dns::ZoneData zone;
    for (std::string_view line : Split(std::string_view(text).substr(0, blank), '\n'))
      AddLine(zone, line);
    const DkimVerdict verdict = Verify(text.substr(blank + 2), zone, 1'667'843'664);
    tally.Count(
        file, !verdict.signatures.empty() && verdict.signatures.back().result == DkimResult::kPass,
        Describe(verdict));
  }
  tally.Finish();
}

TEST(DkimSuite, Chasquid) {
  const auto folder = conformance::Folder("dkim/chasquid");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/chasquid");
  for (const std::string& file : FilesOf(*folder, ".msg")) {
    const std::string base = StrCat(*folder, "/", file.substr(0, file.size() - 4));
    const Json expected = ReadJson(base + ".result");
    if (expected.IsNull()) {
      // A message whose header is malformed: whatever we say of it, it is no pass.
      const DkimVerdict verdict = Verify(ReadFile(base + ".msg"), {});
      tally.Count(file, verdict.result != DkimResult::kPass, Describe(verdict));
      continue;
    }
    dns::ZoneData zone;
    // A line that ends in a backslash goes on.
    std::string records = ReadFile(base + ".dns");
    for (size_t at = records.find("\\\n"); at != std::string::npos; at = records.find("\\\n", at))
      records.erase(at, 2);
    for (std::string_view line : Split(records, '\n')) AddLine(zone, line);
    DkimVerifyOptions options;
    options.max_signatures = 5;  // upstream's
    const DkimVerdict verdict = Verify(ReadFile(base + ".msg"), zone, kNow, options);
    bool good = true;
    const std::vector<Json>& results = expected["Results"].Array();
    for (size_t i = 0; i < results.size(); ++i) {
      good = good && i < verdict.signatures.size() &&
             (verdict.signatures[i].result == DkimResult::kPass) ==
                 (results[i]["State"].String() == "SUCCESS") &&
             verdict.signatures[i].signature.domain == results[i]["Domain"].String() &&
             verdict.signatures[i].signature.selector == results[i]["Selector"].String();
    }
    tally.Count(file, good, Describe(verdict));
  }
  tally.Finish();
}

TEST(DkimSuite, Rspamd) {
  const auto folder = conformance::Folder("dkim/rspamd");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/rspamd");
  const Json records = ReadJson(*folder + "/dns.json");
  std::string text;
  for (const Json& record : records.Array()) {
    if (record["type"].String() != "txt") continue;
    const std::string& rcode = record["rcode"].String();
    if (rcode == "timeout") StrAppend(text, record["name"].String(), ". TIMEOUT\n");
  }
  dns::ZoneData zone = *dns::ZoneData::Parse(text);
  for (const Json& record : records.Array()) {
    if (record["type"].String() != "txt") continue;
    for (const Json& reply : record["replies"].Array())
      AddTxt(zone, record["name"].String(), {reply.String()});
  }
  const Json cases = ReadJson(*folder + "/cases.json");
  for (const Json& each : cases.Array()) {
    const std::string& file = each["message"].String();
    DkimVerifyOptions options;
    options.max_signatures = 5;  // upstream's
    const DkimVerdict verdict =
        Verify(ReadFile(StrCat(*folder, "/messages/", file)), zone, kNow, options);
    const char* symbol = verdict.result == DkimResult::kPass        ? "R_DKIM_ALLOW"
                         : verdict.result == DkimResult::kNone      ? "R_DKIM_NA"
                         : verdict.result == DkimResult::kTempError ? "R_DKIM_TEMPFAIL"
                         : verdict.result == DkimResult::kFail      ? "R_DKIM_REJECT"
                                                                    : "R_DKIM_PERMFAIL";
    bool good = true;
    for (const Json& expected : each["expect_symbols"].Array())
      good = good && expected.String() == symbol;
    for (const Json& absent : each["expect_absent"].Array())
      good = good && absent.String() != symbol;
    tally.Count(file, good, Describe(verdict));
  }
  tally.Finish();
}

TEST(DkimSuite, MailDkim) {
  const auto folder = conformance::Folder("dkim/mail-dkim");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/mail-dkim");
  dns::ZoneData zone;
  const std::string records = ReadFile(*folder + "/FAKE_DNS.dat");
  for (std::string_view line : Split(records, '\n')) {
    if (!line.empty() && line.front() != '#') AddLine(zone, line);
  }
  const Json cases = ReadJson(*folder + "/expected.json");
  for (const auto& [file, expected] : cases.Object()) {
    const DkimVerdict verdict = Verify(ReadFile(StrCat(*folder, "/corpus/", file)), zone);
    // The notes name what today's rules refuse although the arithmetic is right.
    const bool pass = expected["default"].String() == "pass" && expected["notes"].Array().empty();
    tally.Count(file, (verdict.result == DkimResult::kPass) == pass,
                StrCat(expected["default"].String(), ", but ", Describe(verdict)));
  }
  tally.Finish();
}

TEST(DkimSuite, RealMail) {
  const auto folder = conformance::Folder("dkim/jdkim");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/jdkim");
  const dns::ZoneData zone = ZoneOf(ReadJson(*folder + "/dns.json"));
  for (const std::string& file : FilesOf(*folder, ".eml")) {
    const DkimVerdict verdict = Verify(ReadFile(StrCat(*folder, "/", file)), zone);
    tally.Count(file,
                (verdict.result == DkimResult::kPass) == (file.find("FAIL") == std::string::npos),
                Describe(verdict));
  }
  tally.Finish();
  conformance::Tally others("dkim/others");
  if (const auto mailauth = conformance::Folder("dkim/mailauth")) {
    dns::ZoneData keys;
    const Json records = ReadJson(*mailauth + "/dns.json");
    for (const auto& [name, value] : records.Object()) {
      for (const Json& record : value["TXT"].Array()) {
        std::vector<std::string> strings;
        for (const Json& piece : record.Array()) strings.push_back(piece.String());
        AddTxt(keys, name, std::move(strings));
      }
    }
    const DkimVerdict verdict = Verify(ReadFile(*mailauth + "/signed.eml"), keys);
    bool all = !verdict.signatures.empty();
    for (const DkimSignatureVerdict& each : verdict.signatures)
      all = all && each.result == DkimResult::kPass;
    others.Count("mailauth/signed.eml", all, Describe(verdict));
  }
  if (const auto mimekit = conformance::Folder("dkim/mimekit")) {
    // The key is published as a PEM file, and the selectors are those in the message.
    std::string key = ReadFile(*mimekit + "/gmail.pub");
    const size_t begin = key.find("KEY-----") + 8;
    key = key.substr(begin, key.find("-----END") - begin);
    const std::string message = ReadFile(*mimekit + "/gmail.msg");
    dns::ZoneData keys;
    AddTxt(keys, "20120113._domainkey.gmail.com", {StrCat("k=rsa; p=", key)});
    const DkimVerdict verdict = Verify(message, keys);
    others.Count("mimekit/gmail.msg", verdict.result == DkimResult::kPass, Describe(verdict));
    const auto zone_text = dns::ZoneData::Parse(ReadFile(*mimekit + "/example.bind9"));
    const auto pem = PrivateKey::ParsePem(ReadFile(*mimekit + "/example.pem"));
    bool same = false;
    if (zone_text.ok() && pem.ok()) {
      const auto answer = zone_text->Query(
          *dns::Name::Parse("1433868189.example._domainkey.example.com"), dns::Type::kTxt);
      DkimKeyRecord record;
      same =
          answer.ok() &&
          !ParseDkimKeyRecord(std::get<dns::TxtData>(answer.records[0].data).Joined(), &record) &&
          record.public_octets == (*pem)->PublicOctets() && record.strict;
    }
    others.Count("mimekit/example.bind9", same, "the key in the zone is not the private key's");
  }
  others.Finish();
}

TEST(DkimSuite, Canonicalization) {
  const auto folder = conformance::Folder("dkim/flanker-canonicalization");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  conformance::Tally tally("dkim/flanker-canonicalization");
  for (const std::string& file : FilesOf(*folder, "")) {
    if (file.rfind("email.", 0) != 0) continue;
    const std::string number = file.substr(6);
    std::string message;
    const std::string as_stored = ReadFile(StrCat(*folder, "/", file));
    for (const char c : as_stored) {
      if (c == '\n' && (message.empty() || message.back() != '\r')) message += '\r';
      message += c;
    }
    for (const Canonicalization kind : {Canonicalization::kSimple, Canonicalization::kRelaxed}) {
      size_t end = message.find("\r\n\r\n");
      const bool starts_empty = message.rfind("\r\n", 0) == 0;
      const std::string header_text = starts_empty               ? ""
                                      : end == std::string::npos ? message
                                                                 : message.substr(0, end + 2);
      const std::string body = starts_empty               ? message.substr(2)
                               : end == std::string::npos ? ""
                                                          : message.substr(end + 4);
      const HeaderFields header(header_text, 1000);
      std::string text;
      for (const RawField& field : header.fields()) {
        AppendCanonicalField(kind, field.raw, text);
        text += "\r\n";
      }
      text += "\r\n";
      CanonicalBody canonical(kind);
      const auto sink = [&](std::string_view octets) { text += octets; };
      for (const char& c : body) canonical.Feed(std::string_view(&c, 1), sink);
      canonical.Finish(sink);
      const std::string expected =
          ReadFile(StrCat(*folder, "/", CanonicalizationName(kind), ".expected.", number));
      tally.Count(StrCat(CanonicalizationName(kind), ".", number), text == expected,
                  StrCat(Escape(text, 2000), "\n  expected ", Escape(expected, 2000)));
    }
  }
  tally.Finish();
}

TEST(WycheproofSuite, Signatures) {
  const auto folder = conformance::Folder("crypto/wycheproof");
  if (!folder) GTEST_SKIP() << conformance::kSkipped;
  for (const char* file : {"rsa_signature_2048_sha256_test.json",
                           "rsa_signature_4096_sha256_test.json", "ed25519_test.json"}) {
    conformance::Tally tally(StrCat("crypto/", file));
    const bool rsa = file[0] == 'r';
    const Json suite = ReadJson(StrCat(*folder, "/", file));
    for (const Json& group : suite["testGroups"].Array()) {
      const auto der = HexDecode(group["publicKeyDer"].String());
      const auto key = PublicKey::Parse(rsa ? KeyKind::kRsa : KeyKind::kEd25519, der.value_or(""));
      ASSERT_TRUE(key.ok()) << key.status();
      if (rsa) {
        // The bare form of RFC 6376 §3.6.1 is the same key.
        const auto bare =
            PublicKey::Parse(KeyKind::kRsa, HexDecode(group["publicKeyAsn"].String()).value_or(""));
        EXPECT_TRUE(bare.ok() && (*bare)->bits() == (*key)->bits());
      }
      for (const Json& test : group["tests"].Array()) {
        const std::string message = HexDecode(test["msg"].String()).value_or("");
        const std::string signature = HexDecode(test["sig"].String()).value_or("");
        Sha256 hash;
        hash.Update(message);
        const Digest digest = hash.Finish();
        const bool good =
            (*key)->Verify(rsa ? DigestView(digest) : std::string_view(message), signature);
        // "acceptable" is what an implementation may do either way.
        const std::string& result = test["result"].String();
        tally.Count(StrCat(test["tcId"].Int()),
                    result == "acceptable" || good == (result == "valid"),
                    StrCat(result, ": ", test["comment"].String()));
      }
    }
    tally.Finish();
  }
}

}  // namespace
}  // namespace postern::trust
