#include "lib/core/message/arf.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::message {
namespace {

ArfReport Sample() {
  ArfReport report;
  report.feedback_type = "auth-failure";
  report.user_agent = "Postern/0.1";
  report.original_mail_from = "<a@example.com>";
  report.arrival_date = "Sat, 21 Nov 2026 13:00:00 +0000";
  report.source_ip = "192.0.2.1";
  report.source_port = "4711";
  report.incidents = 3;
  report.original_rcpt_to = {"<b@example.org>", "<c@example.org>"};
  report.authentication_results = {"mx.example.org; dmarc=fail header.from=example.com"};
  report.reported_domain = {"example.com"};
  report.auth_failure = "dmarc";
  report.delivery_result = "reject";
  report.identity_alignment = "none";
  report.dkim_canonicalized_body = StrCat(std::string(200, 'A'), "==");
  report.others = {{"X-More", "something"}};
  report.original = "From: a@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nbody\r\n";
  return report;
}

ArfMail Mail() {
  ArfMail mail;
  mail.from = "postmaster@example.org";
  mail.to = {"reports@example.com"};
  mail.message_id = "<1@example.org>";
  mail.boundary_seed = "0123456789abcdef";
  return mail;
}

TEST(ArfTest, WhatIsWrittenIsRead) {
  const ArfReport report = Sample();
  const std::string text = BuildArf(report, Mail());
  const StatusOr<ArfReport> back = ParseArf(ParseMessage(text));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(FormatFeedbackFields(*back), FormatFeedbackFields(report));
  EXPECT_EQ(back->original, report.original);
  EXPECT_FALSE(back->headers_only);
  EXPECT_EQ(back->incidents, 3u);
  EXPECT_NE(back->text.find("from IP 192.0.2.1"), std::string::npos);
  EXPECT_NE(text.find("Subject: =?utf-8?B?Rlc6IEdyw7zDn2U=?="), std::string::npos) << text;
}

TEST(ArfTest, TheHeaderMayGoAlone) {
  ArfReport report = Sample();
  report.headers_only = true;
  const std::string text = BuildArf(report, Mail());
  EXPECT_EQ(text.find("body\r\n"), std::string::npos);
  const StatusOr<ArfReport> back = ParseArf(ParseMessage(text));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->headers_only);
  EXPECT_TRUE(back->original.starts_with("From: a@example.com\r\nSubject: "));
}

TEST(ArfTest, NothingBreaksOutOfItsField) {
  ArfReport report = Sample();
  report.user_agent = "a\r\nX-Evil: 1";
  report.dkim_canonicalized_header = "ab\r\nX-Evil: 2";
  report.others = {{"X Evil", "3"}, {"X-Good\r\nX-Evil", "4"}, {"", "5"}};
  report.original = "From: a@j\xc3\xbcrgen.example\r\n\r\n";
  const StatusOr<ArfReport> back = ParseArf(ParseMessage(BuildArf(report, Mail())));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->others.empty());
  EXPECT_EQ(back->user_agent, "a  X-Evil: 1");
  EXPECT_EQ(back->original, report.original);
}

TEST(ArfTest, SaysWhatIsMissing) {
  EXPECT_EQ(ParseArf(ParseMessage("Subject: x\r\n\r\ny")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ParseArf(ParseMessage("Content-Type: message/feedback-report\r\n\r\nVersion: 1\r\n"))
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseFeedbackFields(
                "\r\n\r\nfeedback-type : abuse\r\nFeedback-Type: x\r\nIncidents: many\r\n")
                ->feedback_type,
            "abuse");
}

TEST(ArfTest, KeepsItsBounds) {
  ArfLimits limits;
  limits.max_field_bytes = 10;
  limits.max_fields = 3;
  limits.max_original_bytes = 20;
  const StatusOr<ArfReport> fields = ParseFeedbackFields(
      "Feedback-Type: abuse\r\nUser-Agent: 0123456789abc\r\nX-A: 1\r\nX-B: 2\r\n", limits);
  ASSERT_TRUE(fields.ok());
  EXPECT_EQ(fields->user_agent, "012345678");
  EXPECT_LE(fields->others.size(), 1u);
  limits.max_fields = 100;
  EXPECT_LE(ParseArf(ParseMessage(BuildArf(Sample(), Mail())), limits)->original.size(), 20u);
}

}  // namespace
}  // namespace postern::message
