#include "lib/core/message/dsn.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

DsnRequest Request() {
  DsnRequest request;
  request.reporting_mta = "mail.example.org";
  request.sender = {"alice", "example.com"};
  request.message_id = "<id1@mail.example.org>";
  request.boundary_seed = "0123456789abcdef";
  request.date = absl::FromUnixSeconds(1'700'000'000);
  request.envelope_id = "QQ314159";
  request.arrival_date = absl::FromUnixSeconds(1'699'999'000);
  request.original =
      "From: alice@example.com\r\nMessage-ID: <orig@example.com>\r\nSubject: hi\r\n\r\nbody\r\n";
  DsnRecipient recipient;
  recipient.address = {"bob", "example.net"};
  recipient.original_recipient = "rfc822;bob@alias.example";
  recipient.status = {5, 1, 1};
  recipient.reply = mail::Reply(550, {5, 1, 1}, "No such user");
  recipient.remote_mta = "mx.example.net";
  recipient.reason = "the server refused the recipient";
  recipient.last_attempt = request.date;
  request.recipients.push_back(recipient);
  return request;
}

TEST(Dsn, IsAMultipartReportOfThreeParts) {
  const std::string dsn = BuildDsn(Request());
  EXPECT_TRUE(IsAscii(dsn));
  const MessageView view = ParseMessage(dsn);
  EXPECT_TRUE(view.defects().empty());
  ASSERT_EQ(view.parts().size(), 4u);
  EXPECT_TRUE(view.root().Is("multipart", "report"));
  const ContentType type = ParseContentType(view.Find(view.root(), Field::kContentType)->value);
  EXPECT_EQ(*type.parameters.Find("report-type"), "delivery-status");
  EXPECT_EQ(Unfold(view.Find(view.root(), Field::kSubject)->value), "Undelivered: hi");
  EXPECT_EQ(Unfold(view.Find(view.root(), Field::kFrom)->value),
            "Mailer Daemon <MAILER-DAEMON@mail.example.org>");
  EXPECT_EQ(Unfold(view.Find(view.root(), Field::kTo)->value), "<alice@example.com>");
  EXPECT_EQ(Unfold(view.Find(view.root(), Field::kInReplyTo)->value), "<orig@example.com>");
  EXPECT_EQ(Unfold(view.Find(view.root(), "Auto-Submitted")->value), "auto-replied");
  EXPECT_TRUE(view.part(1).Is("text", "plain"));
  EXPECT_NE(view.BodyBytes(view.part(1)).find("mx.example.net answered: 550 5.1.1 No such user"),
            std::string::npos);
  EXPECT_TRUE(view.part(2).Is("message", "delivery-status"));
  EXPECT_EQ(view.BodyBytes(view.part(2)),
            "Original-Envelope-Id: QQ314159\r\n"
            "Reporting-MTA: dns; mail.example.org\r\n"
            "Arrival-Date: Tue, 14 Nov 2023 21:56:40 +0000\r\n"
            "\r\n"
            "Original-Recipient: rfc822; bob@alias.example\r\n"
            "Final-Recipient: rfc822; bob@example.net\r\n"
            "Action: failed\r\n"
            "Status: 5.1.1\r\n"
            "Remote-MTA: dns; mx.example.net\r\n"
            "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
            "Last-Attempt-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n");
  EXPECT_TRUE(view.part(3).Is("text", "rfc822-headers"));
  EXPECT_EQ(view.BodyBytes(view.part(3)),
            "From: alice@example.com\r\nMessage-ID: <orig@example.com>\r\nSubject: hi\r\n");
}

std::string TextOf(const DsnRequest& request) {
  const std::string dsn = BuildDsn(request);
  const MessageView view = ParseMessage(dsn);
  return std::string(view.BodyBytes(view.part(1)));
}

// What a person reads: what happened, who said what, what to do. Nothing twice.
TEST(Dsn, TellsASenderEverythingOnce) {
  DsnRequest request = Request();
  request.recipients[0].reason = "550 5.1.1 No such user";  // a relay's reason is the reply
  DsnRecipient full;
  full.address = {"carol", "example.net"};
  full.status = {5, 2, 2};
  full.reason = "mailbox is over quota";
  request.recipients.push_back(full);
  DsnRecipient late;
  late.address = {"dave", "example.com"};
  late.status = {5, 4, 7};
  late.reason = "451 4.4.1 Connection to mx.example.com failed: connection refused";
  late.last_attempt = request.date;
  request.recipients.push_back(late);
  EXPECT_EQ(TextOf(request),
            "Your message \"hi\", sent on Tue, 14 Nov 2023 21:56:40 +0000, could not be\r\n"
            "delivered to the recipients below and will not be tried again.\r\n"
            "\r\n"
            "<bob@example.net>\r\n"
            "    The server mx.example.net answered: 550 5.1.1 No such user\r\n"
            "    The address seems to be wrong or out of use: check it for mistakes, or\r\n"
            "    ask the recipient in another way for the right one.\r\n"
            "\r\n"
            "<carol@example.net>\r\n"
            "    Mailbox is over quota.\r\n"
            "    The mailbox is full: send the message again in a few days, or reach the\r\n"
            "    recipient in another way.\r\n"
            "\r\n"
            "<dave@example.com>\r\n"
            "    All attempts failed; the last one was made on Tue, 14 Nov 2023 22:13:20\r\n"
            "    +0000.\r\n"
            "    Connection to mx.example.com failed: connection refused.\r\n"
            "    Send the message again later if it still matters; if that fails as well,\r\n"
            "    tell the recipient in another way that the mail servers of example.com\r\n"
            "    have a problem.\r\n"
            "\r\n"
            "The header of your message is attached.\r\n"
            "\r\n"
            "-- \r\n"
            "The mail server mail.example.org\r\n");
}

TEST(Dsn, AdviceFollowsTheStatus) {
  const struct {
    mail::EnhancedStatus status;
    std::string_view advice;
  } kCases[] = {
      {{5, 1, 2}, "no mail server for example.net"},
      {{5, 1, 10}, "no mail server for"},
      {{5, 1, 8}, "ask the administrator"},
      {{5, 2, 1}, "takes no mail at present"},
      {{5, 2, 3}, "send a smaller one"},
      {{5, 2, 4}, "leads to no mailbox"},
      {{5, 3, 4}, "send a smaller one"},
      {{5, 4, 4}, "again later"},
      {{5, 6, 3}, "as plain text"},
      {{5, 6, 7}, "beyond A to Z"},
      {{5, 7, 1}, "by its own rules"},
      {{}, "ask the administrator"},
  };
  for (const auto& c : kCases) {
    DsnRequest request = Request();
    request.recipients[0].status = c.status;
    std::string text = TextOf(request);
    for (size_t at = 0; (at = text.find("\r\n    ", at)) != std::string::npos;)
      text.replace(at, 6, " ");
    EXPECT_NE(text.find(c.advice), std::string::npos) << c.advice << "\n" << text;
  }
  DsnRequest delayed = Request();
  delayed.action = delayed.recipients[0].action = DsnAction::kDelayed;
  EXPECT_EQ(TextOf(delayed).find("check it for mistakes"), std::string::npos)
      << "there is nothing to do while it is tried";
}

TEST(Dsn, AMessageWithoutASubjectHasNone) {
  DsnRequest request = Request();
  request.original = "From: alice@example.com\r\n\r\nbody\r\n";
  request.arrival_date = std::nullopt;
  EXPECT_NE(BuildDsn(request).find("Subject: Your message could not be delivered\r\n"),
            std::string::npos);
  EXPECT_TRUE(TextOf(request).starts_with("Your message could not be delivered to the recipient"));
  // One that is encoded is repeated in the header as it is, and told in the text.
  request.original = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n";
  EXPECT_NE(BuildDsn(request).find("Subject: Undelivered: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"),
            std::string::npos);
  EXPECT_TRUE(TextOf(request).starts_with("Your message \"Gr=C3=BC=C3=9Fe\" could not"));
  request.smtputf8 = true;
  EXPECT_TRUE(TextOf(request).starts_with("Your message \"Grüße\" could not be delivered"));
}

TEST(Dsn, ReturnsTheWholeMessageWhenAsked) {
  DsnRequest request = Request();
  request.return_full = true;
  const std::string dsn = BuildDsn(request);
  const MessageView view = ParseMessage(dsn);
  ASSERT_EQ(view.parts().size(), 5u);
  EXPECT_TRUE(view.part(3).Is("message", "rfc822"));
  EXPECT_EQ(view.BodyBytes(view.part(3)), request.original);
}

TEST(Dsn, StringsFromOutsideStayInTheirField) {
  DsnRequest request = Request();
  const std::string evil =
      "x\r\nBcc: victim@example.net\r\n\r\n--=_0123456789abcdef_dsn\r\n\x1b]0;\xFFü";
  request.envelope_id = evil;
  request.recipients[0].reason = evil;
  request.recipients[0].remote_mta = evil;
  request.recipients[0].original_recipient = "rfc822;" + evil;
  request.recipients[0].address.local_part = evil;
  request.recipients[0].reply = mail::Reply(550, {5, 1, 1}, evil);
  request.sender.local_part = evil;
  request.message_id = evil;
  const std::string dsn = BuildDsn(request);
  EXPECT_TRUE(IsAscii(dsn));
  EXPECT_EQ(dsn.find('\x1b'), std::string::npos);
  EXPECT_EQ(dsn.find("\r\nBcc:"), std::string::npos);
  const MessageView view = ParseMessage(dsn);
  EXPECT_EQ(view.parts().size(), 4u);
  EXPECT_EQ(view.headers(view.root()).size(),
            ParseMessage(BuildDsn(Request())).headers(view.root()).size());
  for (const std::string_view line : Split(dsn, '\n')) EXPECT_LE(line.size(), 999u);
}

TEST(Dsn, InternationalAddresses) {
  DsnRequest request = Request();
  request.recipients[0].address = {"dörte", "sörensen.example"};
  request.recipients[0].original_recipient = "utf-8;dörte@sörensen.example";
  request.original = "From: dörte@sörensen.example\r\nSubject: Grüße\r\n\r\nbody\r\n";
  std::string dsn = BuildDsn(request);
  EXPECT_TRUE(IsAscii(dsn));
  EXPECT_NE(dsn.find("Final-Recipient: utf-8; d\\x{F6}rte@s\\x{F6}rensen.example\r\n"),
            std::string::npos);
  EXPECT_NE(dsn.find("Content-Transfer-Encoding: quoted-printable\r\n"), std::string::npos);
  request.smtputf8 = true;
  request.sender = {"dörte", "sörensen.example"};
  dsn = BuildDsn(request);
  EXPECT_NE(dsn.find("To: <dörte@sörensen.example>\r\n"), std::string::npos);
  EXPECT_NE(dsn.find("Final-Recipient: utf-8; dörte@sörensen.example\r\n"), std::string::npos);
  const MessageView view = ParseMessage(dsn);
  EXPECT_TRUE(view.part(2).Is("message", "global-delivery-status"));
  EXPECT_TRUE(view.part(3).Is("message", "global-headers"));
}

TEST(Dsn, StatusFollowsTheAction) {
  DsnRequest request = Request();
  request.action = DsnAction::kDelayed;
  request.recipients[0].action = DsnAction::kDelayed;
  request.recipients[0].status = {};
  request.recipients[0].will_retry_until = absl::FromUnixSeconds(1'700'300'000);
  const std::string delayed = BuildDsn(request);
  EXPECT_NE(delayed.find("Status: 4.0.0\r\n"), std::string::npos);
  EXPECT_NE(delayed.find("Will-Retry-Until: Sat, 18 Nov 2023 09:33:20 +0000\r\n"),
            std::string::npos);
  EXPECT_NE(delayed.find("Subject: Delayed: hi\r\n"), std::string::npos);
  request.action = request.recipients[0].action = DsnAction::kFailed;
  request.recipients[0].status = {4, 4, 7};
  EXPECT_NE(BuildDsn(request).find("Status: 5.4.7\r\n"), std::string::npos);
}

TEST(Builder, FoldsHeaders) {
  std::string out;
  AppendHeader("Subject", std::string(60, 'a') + " " + std::string(60, 'b') + " c", out);
  EXPECT_EQ(out, "Subject: " + std::string(60, 'a') + "\r\n " + std::string(60, 'b') + " c\r\n");
  out.clear();
  AppendHeader("X", "a\r\nBcc: b", out);
  EXPECT_EQ(out, "X: a  Bcc: b\r\n");
  out.clear();
  AppendHeader("X", std::string(3000, 'x'), out);
  for (const std::string_view line : Split(out, '\n')) EXPECT_LE(line.size(), 999u);
  out.clear();
  AppendHeader("X", "", out);
  EXPECT_EQ(out, "X:\r\n");
  for (const std::string& text : {std::string(400, 'x') + " Grüße " + std::string(40, 'y'),
                                  std::string("Grüße an alle, die dies lesen können und mögen")}) {
    out.clear();
    AppendTextHeader("Subject", text, out);
    const MessageView view = ParseMessage(out);
    ASSERT_EQ(view.all_headers().size(), 1u);
    EXPECT_EQ(DecodeText(view.all_headers()[0].value), text);
  }
  out.clear();
  AppendAddressHeader(
      "To", {{"Dörte", "d@example.com"}, {"", "e@example.com"}, {"Doe, John", "j@example.com"}},
      out);
  EXPECT_EQ(out,
            "To: =?utf-8?B?RMO2cnRl?= <d@example.com>, e@example.com, \"Doe, John\"\r\n "
            "<j@example.com>\r\n");
}

TEST(Builder, WritesATreeThatReadsBack) {
  OutgoingPart html{"text/html; charset=utf-8", "", "", "<p>Grüße</p>\r\n", {}, {}};
  OutgoingPart text{"text/plain; charset=utf-8", "", "", "plain\r\n", {}, {}};
  OutgoingPart file{"application/octet-stream", "Größe.bin", "",
                    std::string("\0\xFF\r", 3), {},          {}};
  OutgoingPart alternative{"multipart/alternative", "", "", "", {}, {text, html}};
  OutgoingPart mixed{"multipart/mixed",  "", "", "", {{"Subject", "x"}, {"MIME-Version", "1.0"}},
                     {alternative, file}};
  std::string out;
  AppendPart(mixed, "0123456789abcdef", out);
  EXPECT_TRUE(IsAscii(out));
  const MessageView view = ParseMessage(out);
  EXPECT_TRUE(view.defects().empty());
  ASSERT_EQ(view.parts().size(), 5u);
  EXPECT_EQ(DecodeBodyText(view, view.part(2)), "plain\r\n");
  EXPECT_EQ(DecodeBodyText(view, view.part(3)), "<p>Grüße</p>\r\n");
  std::string octets;
  EXPECT_TRUE(DecodeBody(view, view.part(4), octets));
  EXPECT_EQ(octets, file.content);
  const ContentDisposition disposition =
      ParseContentDisposition(view.Find(view.part(4), Field::kContentDisposition)->value);
  EXPECT_EQ(disposition.kind, "attachment");
  EXPECT_EQ(*disposition.parameters.Find("filename"), "Größe.bin");
}

TEST(Builder, ChoosesEncodings) {
  EXPECT_EQ(ChooseEncoding("plain\r\n", true), ContentEncoding::k7Bit);
  EXPECT_EQ(ChooseEncoding("", true), ContentEncoding::k7Bit);
  EXPECT_EQ(ChooseEncoding("Grüße an alle zusammen\r\n", true), ContentEncoding::kQuotedPrintable);
  EXPECT_EQ(ChooseEncoding("日本語の本文\r\n", true), ContentEncoding::kBase64);
  EXPECT_EQ(ChooseEncoding(std::string(2000, 'x'), true), ContentEncoding::kQuotedPrintable);
  EXPECT_EQ(ChooseEncoding("bare\n", true), ContentEncoding::kQuotedPrintable);
  EXPECT_EQ(ChooseEncoding("\xFF", false), ContentEncoding::kBase64);
}

}  // namespace
}  // namespace postern::message
