// What notices make of strings beyond ASCII, and whom they may go to.
#include <initializer_list>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/arf.h"
#include "lib/core/message/dsn.h"
#include "lib/core/message/mdn.h"
#include "lib/core/message/notice_text.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

constexpr std::string_view kOriginal =
    "From: José <josé@bücher.example>\r\nMessage-ID: <o@x.example>\r\nSubject: "
    "Grüße\r\n\r\nbody\r\n";

DsnRequest International() {
  DsnRequest request;
  request.reporting_mta = "mx.bücher.example";
  request.sender = {"joe", "bücher.example"};
  request.message_id = "<id1@mx.example>";
  request.boundary_seed = "0123456789abcdef";
  request.date = absl::FromUnixSeconds(1'700'000'000);
  request.original = kOriginal;
  DsnRecipient recipient;
  recipient.address = {"用户", "例え.jp"};
  recipient.original_recipient = "utf-8;\\x{7528}\\x{6237}@例え.jp";
  recipient.reply = mail::Reply(550, {5, 1, 1}, "Ünknown user");
  recipient.remote_mta = "mx.例え.jp";
  request.recipients.push_back(recipient);
  recipient.address = {"bob", "bücher.example"};
  recipient.original_recipient = "utf-8;bob@bücher.example";
  request.recipients.push_back(recipient);
  return request;
}

bool Has(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

void ExpectHas(std::string_view text, std::initializer_list<std::string_view> pieces) {
  for (const std::string_view piece : pieces)
    EXPECT_TRUE(Has(text, piece)) << piece << "is not in\n" << text;
}

std::string Decoded(const MessageView& view, uint32_t part) {
  std::string out;
  DecodeBody(view, view.part(part), out);
  return out;
}

TEST(Notice, WithoutSmtputf8NothingIsLostAndAllIsAscii) {
  const std::string dsn = BuildDsn(International());
  EXPECT_TRUE(IsAscii(dsn));
  ExpectHas(dsn, {"From: Mailer Daemon <MAILER-DAEMON@mx.xn--bcher-kva.example>\r\n",
                  "To: <joe@xn--bcher-kva.example>\r\n",
                  "Reporting-MTA: dns; mx.xn--bcher-kva.example\r\n",
                  "Remote-MTA: dns; mx.xn--r8jz45g.jp\r\n",
                  "Diagnostic-Code: smtp; 550 5.1.1 \\x{DC}nknown user\r\n",
                  // RFC 6533 §3: escaped once.
                  "Original-Recipient: utf-8; \\x{7528}\\x{6237}@\\x{4F8B}\\x{3048}.jp\r\n",
                  "Final-Recipient: utf-8; \\x{7528}\\x{6237}@\\x{4F8B}\\x{3048}.jp\r\n",
                  "Final-Recipient: rfc822; bob@xn--bcher-kva.example\r\n"});
  const MessageView view = ParseMessage(dsn);
  const std::string text = Decoded(view, 1);
  ExpectHas(text, {"<用户@例え.jp>\r\n", "answered: 550 5.1.1 Ünknown user\r\n"});
  EXPECT_TRUE(view.part(2).Is("message", "delivery-status"));
  EXPECT_TRUE(view.part(3).Is("text", "rfc822-headers"));
}

TEST(Notice, WithSmtputf8ItIsUtf8) {
  DsnRequest request = International();
  request.smtputf8 = true;
  request.sender = {"josé", "bücher.example"};
  const std::string dsn = BuildDsn(request);
  ExpectHas(dsn, {"To: <josé@bücher.example>\r\n",
                  "From: Mailer Daemon <MAILER-DAEMON@mx.xn--bcher-kva.example>\r\n",
                  "Remote-MTA: dns; mx.xn--r8jz45g.jp\r\n",
                  "Diagnostic-Code: smtp; 550 5.1.1 Ünknown user\r\n",
                  "Original-Recipient: utf-8; 用户@例え.jp\r\n",
                  "Content-Type: message/global-delivery-status\r\n",
                  "Content-Type: message/global-headers\r\n"});
}

TEST(Notice, ASenderThatCannotBeNamedIsNamedByAGroup) {
  DsnRequest request = International();
  request.sender = {"josé", "bücher.example"};
  const std::string dsn = BuildDsn(request);
  EXPECT_TRUE(IsAscii(dsn));
  EXPECT_TRUE(Has(dsn, "To: =?utf-8?Q?jos=C3=A9=40b=C3=BCcher=2Eexample?=:;\r\n") ||
              Has(dsn, ":;\r\n"))
      << dsn;
  EXPECT_FALSE(Has(dsn, "??@"));
}

// RFC 6532 §3.7: a message with UTF-8 in its header is message/global, encoded where the path has
// no SMTPUTF8.
TEST(Notice, AMessageWithUtf8InItsHeaderIsGlobal) {
  DsnRequest request = International();
  request.return_full = true;
  std::string dsn = BuildDsn(request);
  EXPECT_TRUE(IsAscii(dsn));
  EXPECT_TRUE(Has(dsn, "Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n"))
      << dsn;
  EXPECT_EQ(Decoded(ParseMessage(dsn), 3), kOriginal);
  request.smtputf8 = true;
  dsn = BuildDsn(request);
  EXPECT_TRUE(Has(dsn, "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n"));

  ArfReport report;
  report.feedback_type = "abuse";
  report.original = std::string(kOriginal);
  ArfMail mail;
  mail.from = "a@b.example";
  mail.to = {"c@d.example"};
  mail.message_id = "<1@b.example>";
  mail.boundary_seed = "0123456789abcdef";
  std::string arf = BuildArf(report, mail);
  EXPECT_TRUE(IsAscii(arf)) << arf;
  EXPECT_TRUE(Has(arf, "Content-Type: message/global\r\n"));
  EXPECT_EQ(ParseArf(ParseMessage(arf))->original, kOriginal);
  report.headers_only = true;
  arf = BuildArf(report, mail);
  EXPECT_TRUE(IsAscii(arf)) << arf;
  EXPECT_TRUE(Has(ParseArf(ParseMessage(arf))->original, "Subject: Grüße\r\n"));
}

MdnRequest Disposition() {
  MdnRequest request;
  request.mdn.final_recipient = "bob@x.example";
  request.from = "bob@x.example";
  request.to = "josé@bücher.example";
  request.message_id = "<n@x.example>";
  request.boundary_seed = "0123456789abcdef";
  request.original = kOriginal;
  return request;
}

TEST(Notice, DispositionsHaveUtf8WhereItIsAsked) {
  MdnRequest request = Disposition();
  request.smtputf8 = true;
  request.mdn.final_recipient = "bøb@x.example";
  std::string mdn = BuildMdn(request);
  ExpectHas(
      mdn,
      {"To: <josé@bücher.example>\r\n", "Content-Type: message/global-disposition-notification\r\n",
       "Final-Recipient: utf-8; bøb@x.example\r\n", "Content-Type: message/global-headers\r\n"});
  EXPECT_TRUE(ParseMessage(mdn).defects().empty());
  EXPECT_EQ(ParseMdn(ParseMessage(mdn))->final_recipient, "bøb@x.example");
  request.smtputf8 = false;
  request.to = "joe@bücher.example";
  mdn = BuildMdn(request);
  EXPECT_TRUE(IsAscii(mdn));
  ExpectHas(mdn, {"To: <joe@xn--bcher-kva.example>\r\n",
                  "Final-Recipient: utf-8; b\\x{F8}b@x.example\r\n"});
  EXPECT_TRUE(Has(Decoded(ParseMessage(mdn), 1), "sent to bøb@x.example\r\n"));
}

TEST(Notice, TheOriginalRecipientHasOneType) {
  MdnRequest request = Disposition();
  for (const std::string_view given : {"rfc822;bob@alias.example", "bob@alias.example"}) {
    request.mdn.original_recipient = std::string(given);
    const std::string mdn = BuildMdn(request);
    EXPECT_TRUE(Has(mdn, "Original-Recipient: rfc822; bob@alias.example\r\n")) << mdn;
    EXPECT_EQ(ParseMdn(ParseMessage(mdn))->original_recipient, "bob@alias.example");
  }
}

TEST(Notice, WhoIsAskedBeforeADispositionIsSent) {
  const struct {
    std::string_view header;
    std::string_view address;
    bool ask;
  } kCases[] = {
      {"Return-Path: <a@x>\r\nDisposition-Notification-To: a@x\r\n", "a@x", false},
      {"Return-Path: <a@X>\r\nDisposition-Notification-To: a@x\r\n", "a@x", false},
      {"Return-Path: <A@x>\r\nDisposition-Notification-To: a@x\r\n", "a@x", true},
      {"Return-Path: <>\r\nDisposition-Notification-To: a@x\r\n", "a@x", true},
      {"Return-Path: <a@x>\r\nDisposition-Notification-To: a@x, b@x\r\n", "a@x", true},
      {"Return-Path: <a@x>\r\nDisposition-Notification-To: a@x\r\n"
       "Disposition-Notification-To: b@x\r\n",
       "a@x", true},
      {"Return-Path: <a@x>\r\nReturn-Path: <b@x>\r\nDisposition-Notification-To: a@x\r\n", "a@x",
       true},
      {"Return-Path: <a@x>\r\nDisposition-Notification-To: a@x\r\n"
       "Disposition-Notification-Options: foo = Required ,1,x\r\n",
       "", true},
      {"Return-Path: <a@x>\r\nDisposition-Notification-To: a@x\r\n"
       "Disposition-Notification-Options: required=optional,1; b=optional,2\r\n",
       "a@x", false},
  };
  for (const auto& c : kCases) {
    const MdnWanted wanted = MdnRecipient(ParseMessage(StrCat(c.header, "\r\n")));
    EXPECT_EQ(wanted.address, c.address) << c.header;
    EXPECT_EQ(wanted.ask_first, c.ask) << c.header;
  }
}

}  // namespace
}  // namespace postern::message
