#include "lib/core/trust/authenticate.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

constexpr char kZone[] =
    "1.2.0.192.in-addr.arpa. PTR mail.example.com.\n"
    "mail.example.com. A 192.0.2.1\n"
    "mail.example.com. TXT \"v=spf1 a -all\"\n"
    "example.com. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n"
    "_dmarc.example.com. TXT \"v=DMARC1; p=reject; aspf=s\"\n";

constexpr char kMessage[] = "From: Joe <joe@Example.com>\r\nSubject: x\r\n\r\nbody\r\n";

Authentication Found(std::string_view message, std::string mail_from,
                     AuthenticateOptions options = {}, const char* client = "192.0.2.1") {
  AuthenticateRequest request;
  if (*client != '\0') request.client = IpAddress::Parse(client);
  request.helo = "mail.example.com";
  request.mail_from = std::move(mail_from);
  request.authserv_id = "mx.example.org";
  request.now = absl::FromUnixSeconds(1'800'000'000);
  return dns::RunOnZone(*dns::ZoneData::Parse(kZone),
                        Authenticate(std::string(message), request, options));
}

TEST(AuthenticateTest, RunsEveryCheckAndWritesTheField) {
  const Authentication found = Found(kMessage, "joe@example.com");
  EXPECT_EQ(
      FormatAuthenticationResults(found.results),
      "mx.example.org;\r\n\tiprev=pass (mail.example.com) policy.iprev=192.0.2.1;\r\n"
      "\tspf=pass smtp.helo=mail.example.com;\r\n\tspf=pass smtp.mailfrom=joe@example.com;\r\n"
      "\tdkim=none;\r\n\tdmarc=pass (p=reject dis=none) header.from=example.com");
  ASSERT_EQ(found.explanations.size(), 5u);
  EXPECT_TRUE(found.explanations.back().starts_with("DMARC pass: SPF passed for example.com"))
      << found.explanations.back();
}

TEST(AuthenticateTest, ANullReversePathIsCheckedByHelo) {
  const Authentication found = Found(kMessage, "");
  EXPECT_FALSE(found.spf_helo.has_value());
  EXPECT_EQ(found.spf->result, SpfResult::kPass);
  // mail.example.com is not example.com, and the record wants strict alignment.
  EXPECT_EQ(found.dmarc->result, DmarcResult::kFail);
  EXPECT_EQ(found.dmarc->disposition, DmarcPolicy::kReject);
  EXPECT_NE(FormatAuthenticationResults(found.results).find("spf=pass smtp.helo=mail.example.com"),
            std::string::npos);
}

TEST(AuthenticateTest, WithoutAClientOnlyTheMessageIsChecked) {
  const Authentication found = Found(kMessage, "joe@example.com", {}, "");
  EXPECT_FALSE(found.iprev || found.spf || found.spf_helo);
  EXPECT_EQ(found.dmarc->result, DmarcResult::kFail);
  AuthenticateOptions only;
  only.check_dkim = only.check_arc = only.check_dmarc = false;
  const Authentication spf = Found(kMessage, "joe@example.com", only);
  EXPECT_TRUE(spf.spf && !spf.dkim && !spf.arc && !spf.dmarc);
}

TEST(AuthenticateTest, BrokenHeadersAreNoPass) {
  EXPECT_EQ(Found("Subject: x\r\n\r\nbody", "joe@example.com").dmarc->reason, "from_missing");
  EXPECT_EQ(
      Found("From: a@example.com\r\nFrom: b@example.net\r\n\r\n", "joe@example.com").dmarc->result,
      DmarcResult::kPermError);
  AuthenticateOptions small;
  small.scan.limits.max_header_bytes = 10;
  const Authentication found = Found(kMessage, "joe@example.com", small);
  EXPECT_EQ(found.dmarc->result, DmarcResult::kPermError);
  EXPECT_NE(found.dmarc->result, DmarcResult::kPass);
}

TEST(AuthenticateTest, ASignatureThatFailedForNowKeepsTheResultOpen) {
  DkimVerdict dkim;
  dkim.signatures.resize(3);
  dkim.signatures[0].result = DkimResult::kFail;
  dkim.signatures[0].signature.domain = "fail.example";
  dkim.signatures[1].result = DkimResult::kTempError;
  dkim.signatures[1].signature.domain = "later.example";
  dkim.signatures[2].result = DkimResult::kPass;
  dkim.signatures[2].signature.domain = "pass.example";
  Spf spf;
  spf.result = SpfResult::kSoftFail;
  const DmarcInput input = DmarcInputOf({}, &spf, &dkim);
  EXPECT_FALSE(input.spf.has_value());
  ASSERT_EQ(input.dkim.size(), 2u);
  EXPECT_TRUE(input.dkim[0].temporary_failure);
  EXPECT_EQ(input.dkim[1].domain, "pass.example");
}

}  // namespace
}  // namespace postern::trust
