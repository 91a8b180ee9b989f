#include "lib/core/trust/failure_report.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/message/parser.h"

namespace postern::trust {
namespace {

DmarcCheck Check(const char* record, DmarcResult result, bool spf, bool dkim) {
  DmarcCheck check;
  check.record = ParseDmarcRecord(record);
  check.result = result;
  check.spf_aligned = spf;
  check.dkim_aligned = dkim;
  check.author_domain = "example.com";
  check.explanation = "DMARC fail: because";
  return check;
}

TEST(FailureReportTest, IsMadeWhenTheRecordAsksForIt) {
  const auto fail = DmarcResult::kFail;
  const auto pass = DmarcResult::kPass;
  const struct {
    const char* record;
    DmarcResult result;
    bool spf_aligned, dkim_aligned, spf_failed, dkim_failed;
    bool wanted;
  } kCases[] = {
      {"v=DMARC1; p=none", fail, false, false, true, true, false},
      {"v=DMARC1; p=none; ruf=mailto:a@b", fail, false, false, false, false, true},
      {"v=DMARC1; p=none; ruf=mailto:a@b", pass, true, false, false, true, false},
      {"v=DMARC1; p=none; ruf=mailto:a@b; fo=1", pass, true, false, false, false, true},
      {"v=DMARC1; p=none; ruf=mailto:a@b; fo=1", pass, true, true, false, false, false},
      {"v=DMARC1; p=none; ruf=mailto:a@b; fo=d", pass, true, false, false, true, true},
      {"v=DMARC1; p=none; ruf=mailto:a@b; fo=d", fail, false, false, true, false, false},
      {"v=DMARC1; p=none; ruf=mailto:a@b; fo=s", pass, false, true, true, false, true},
      {"v=DMARC1; p=none; ruf=mailto:a@b", DmarcResult::kTempError, false, false, true, true,
       false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(WantsFailureReport(Check(c.record, c.result, c.spf_aligned, c.dkim_aligned),
                                 {c.spf_failed, c.dkim_failed}),
              c.wanted)
        << c.record;
  }
}

TEST(FailureReportTest, HasTheFieldsAndIsReadBack) {
  DmarcFailureReport facts;
  facts.user_agent = "Postern/0.1";
  facts.client = IpAddress::Parse("192.0.2.1");
  facts.client_port = 4711;
  facts.mail_from = "a@bounce.example";
  facts.reporting_mta = "mx.example.org";
  facts.delivery_result = "reject";
  facts.results = {
      "mx.example.org", 1, {{"dmarc", 1, "fail", "", "", {{"header", "from", "example.com"}}}}};
  facts.message = "From: a@example.com\r\n\r\nsecret\r\n";
  const message::ArfReport report =
      MakeFailureReport(Check("v=DMARC1; p=none", DmarcResult::kFail, false, false), facts);
  message::ArfMail mail;
  mail.from = "postmaster@example.org";
  mail.to = {"ruf@example.com"};
  mail.message_id = "<1@example.org>";
  mail.boundary_seed = "0123456789abcdef";
  const std::string text = message::BuildArf(report, mail);
  EXPECT_EQ(text.find("secret"), std::string::npos);
  const message::MessageView view = message::ParseMessage(text);
  EXPECT_TRUE(IsFailureReport(view));
  const StatusOr<message::ArfReport> back = message::ParseArf(view);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->identity_alignment, "none");
  EXPECT_EQ(back->reported_domain.at(0), "example.com");
  const StatusOr<AuthenticationResults> results =
      ParseAuthenticationResults(back->authentication_results.at(0));
  ASSERT_TRUE(results.ok());
  EXPECT_EQ(*results, facts.results);
  EXPECT_FALSE(IsFailureReport(message::ParseMessage("From: a@b\r\n\r\nx")));
}

}  // namespace
}  // namespace postern::trust
