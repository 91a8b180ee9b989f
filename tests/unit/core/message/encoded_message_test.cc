// Messages in base64 or quoted-printable, forwarded notices, and other forms that mail has.
#include "lib/core/message/encoded_message.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/message/arf.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/defects.h"
#include "lib/core/message/mdn.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

std::string Encoded(std::string_view type, std::string_view encoding, std::string_view inside) {
  return StrCat(
      "Content-Type: ", type, "\r\nContent-Transfer-Encoding: ", encoding, "\r\n\r\n",
      encoding == "base64" ? mail::Base64EncodeLines(inside) : mail::QuotedPrintableEncode(inside));
}

constexpr std::string_view kInside =
    "Subject: Grüße\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n"
    "--i\r\nContent-Type: text/html\r\n\r\n<p>two\r\n--i--\r\n";

TEST(EncodedMessage, ItsPartsAreFound) {
  for (const std::string_view encoding : {"base64", "quoted-printable"}) {
    const std::string raw =
        StrCat("Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\r\nbefore\r\n--o\r\n",
               Encoded("message/global", encoding, kInside), "\r\n--o\r\n\r\nbehind\r\n--o--\r\n");
    MessageView view = ParseMessage(raw);
    ASSERT_EQ(view.parts().size(), 4u);
    EXPECT_TRUE(view.defects().empty());  // RFC 6532 §3.7
    OpenEncodedMessages(&view);
    const MessageView copy = view;
    ASSERT_EQ(copy.parts().size(), 7u);
    EXPECT_TRUE(copy.defects().empty());
    EXPECT_EQ(copy.part(2).kind, PartKind::kMessage);
    EXPECT_EQ(copy.part(2).first_child, 3u);
    EXPECT_EQ(copy.part(2).next_sibling, 6u);
    EXPECT_EQ(copy.part(3).parent, 2u);
    EXPECT_EQ(copy.part(3).depth, 2);
    EXPECT_EQ(copy.part(3).child_count, 2u);
    EXPECT_EQ(copy.part(4).next_sibling, 5u);
    EXPECT_TRUE(copy.part(5).Is("text", "html"));
    EXPECT_EQ(copy.BodyBytes(copy.part(4)), "one");
    EXPECT_EQ(copy.Bytes(copy.part(3)), kInside);
    EXPECT_EQ(copy.BodyBytes(copy.part(6)), "behind");
    EXPECT_EQ(Unfold(copy.Find(copy.part(3), Field::kSubject)->value), "Grüße");
    EXPECT_EQ(copy.OffsetInRaw(copy.part(4)), copy.part(2).header_offset);
    EXPECT_EQ(copy.all_headers().size(), 6u);
    EXPECT_TRUE(FieldDefects(copy, 10).empty());
    EXPECT_TRUE(OctetDefects(copy, 10).empty());
    EXPECT_TRUE(ContentDefects(copy, 10).empty());
  }
}

TEST(EncodedMessage, OneThatMayNotBeIsOpenedWithItsDefect) {
  const std::string raw = Encoded("message/rfc822", "base64", kInside);
  MessageView view = ParseMessage(raw);
  OpenEncodedMessages(&view);
  ASSERT_EQ(view.parts().size(), 4u);
  EXPECT_TRUE(view.HasDefect(Defect::kEncodedMessage));
  EXPECT_EQ(view.BodyBytes(view.part(2)), "one");
}

TEST(EncodedMessage, BoundsHold) {
  std::string raw = "Subject: innermost\r\n\r\nx";
  for (int i = 0; i < 5; ++i) raw = Encoded("message/global", "base64", raw);
  MessageView view = ParseMessage(raw);
  OpenEncodedMessages(&view);
  EXPECT_EQ(view.parts().size(), 4u);
  EXPECT_EQ(view.part(3).kind, PartKind::kLeaf);
  EXPECT_EQ(view.part(3).depth, 3);
  view = ParseMessage(raw);
  OpenEncodedMessages(&view, {}, {.max_levels = 10});
  ASSERT_EQ(view.parts().size(), 6u);
  EXPECT_EQ(view.BodyBytes(view.part(5)), "x");
  view = ParseMessage(raw);
  OpenEncodedMessages(&view, {}, {.max_levels = 10, .max_decoded_bytes = 10});
  EXPECT_EQ(view.parts().size(), 1u);
  ParseOptions options;
  options.max_parts = 2;
  view = ParseMessage(raw, options);
  OpenEncodedMessages(&view, options);
  EXPECT_EQ(view.parts().size(), 2u);
  options = {};
  options.max_depth = 1;
  view = ParseMessage(raw, options);
  OpenEncodedMessages(&view, options);
  EXPECT_EQ(view.parts().size(), 2u);
}

constexpr std::string_view kReports[] = {
    "From: MAILER-DAEMON@x\r\nContent-Type: multipart/report; boundary=r\r\n\r\n--r\r\n\r\nno\r\n"
    "--r\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
    "Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n--r--\r\n",
    "Content-Type: multipart/report; boundary=r\r\n\r\n--r\r\n\r\nseen\r\n"
    "--r\r\nContent-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822; a@b\r\n"
    "Disposition: manual-action/MDN-sent-manually; displayed\r\n--r--\r\n",
    "Content-Type: multipart/report; boundary=r\r\n\r\n--r\r\n\r\nspam\r\n"
    "--r\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
    "User-Agent: x/1\r\n--r--\r\n"};

int KindsOf(const MessageView& view) {
  return (ReadBounce(view).form == Bounce::Form::kStatus ? 1 : 0) + (ParseMdn(view).ok() ? 2 : 0) +
         (ParseArf(view).ok() ? 4 : 0);
}

TEST(Notices, AForwardOfOneIsNone) {
  int kind = 1;
  for (const std::string_view report : kReports) {
    EXPECT_EQ(KindsOf(ParseMessage(report)), kind);
    // A list that puts its footer below does not make another message of it.
    const std::string around = "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n";
    EXPECT_EQ(KindsOf(ParseMessage(StrCat(around, report, "\r\n--o--\r\n"))), kind);
    EXPECT_EQ(KindsOf(ParseMessage(StrCat(around, "\r\nlook\r\n--o\r\nContent-Type: message/rfc822",
                                          "\r\n\r\n", report, "\r\n--o--\r\n"))),
              0);
    kind *= 2;
  }
}

TEST(Notices, LinesOfATextKeepABlankBetween) {
  const Bounce bounce =
      ReadBounce(ParseMessage("From: MAILER-DAEMON@x.example\r\nReturn-Path: <>\r\n\r\nIt "
                              "failed:\r\n\r\n  bob@x.example\r\n"
                              "    host mx.x.example [192.0.2.9]\r\n    SMTP error from remote: "
                              "550 5.1.1 no such user\r\n"));
  ASSERT_EQ(bounce.recipients.size(), 1u);
  EXPECT_EQ(
      bounce.recipients[0].diagnostic.value,
      "bob@x.example host mx.x.example [192.0.2.9] SMTP error from remote: 550 5.1.1 no such user");
}

TEST(Defects, DatesBefore1900AreNone) {
  for (const std::string_view date :
       {"2 Mar 0026 10:00:00 +0000", "31 Dec 1899 23:59:59 +0000", "1 Jan 0001 00:00:00 +0000"}) {
    const std::string raw = StrCat("Date: ", date, "\r\n\r\n");
    const std::vector<DefectAt> defects = FieldDefects(ParseMessage(raw), 10);
    ASSERT_EQ(defects.size(), 1u) << date;
    EXPECT_EQ(defects[0].defect, Defect::kBadDate);
  }
  for (const std::string_view date : {"1 Jan 1900 00:00:00 +0000", "31 Dec 9999 23:59:59 +0000"}) {
    const std::string raw = StrCat("Date: ", date, "\r\n\r\n");
    EXPECT_TRUE(FieldDefects(ParseMessage(raw), 10).empty()) << date;
  }
}

TEST(ContentDisposition, AKindInQuotesIsReadWithItsDefect) {
  const ContentDisposition read = ParseContentDisposition(" \"attachment\"; filename=foo.txt");
  EXPECT_EQ(read.kind, "attachment");
  EXPECT_EQ(*read.parameters.Find("filename"), "foo.txt");
  const std::vector<DefectAt> defects = FieldDefects(
      ParseMessage("Content-Disposition: \"attachment\"; filename=foo.txt\r\n\r\n"), 10);
  ASSERT_EQ(defects.size(), 1u);
  EXPECT_EQ(defects[0].defect, Defect::kBadParameter);
}

TEST(Charset, RomanianLettersOfLatin10) {
  std::string out;
  EXPECT_TRUE(IsKnownCharset("ISO-8859-16"));
  EXPECT_TRUE(AppendAsUtf8("iso-8859-16", "\xfe\xba\xe3 \xa4", out));
  EXPECT_EQ(out, "\xc8\x9b\xc8\x99\xc4\x83 \xe2\x82\xac");
}

TEST(Parser, CommentsBeforeTheTransferEncoding) {
  for (const std::string_view field :
       {"(c) base64", " (a (b) \\) c)\r\n base64 (d)", "\"base64\"", "base64"}) {
    const std::string raw = StrCat("Content-Transfer-Encoding: ", field, "\r\n\r\nYWJj\r\n");
    const MessageView view = ParseMessage(raw);
    std::string body;
    EXPECT_TRUE(DecodeBody(view, view.root(), body)) << field;
    EXPECT_EQ(body, "abc") << field;
  }
  const std::string eight = "Content-Transfer-Encoding: (c) 8bit\r\n\r\n\xc3\xa4\r\n";
  EXPECT_TRUE(OctetDefects(ParseMessage(eight), 10).empty());
}

TEST(Parser, WhatStandsBeforeTheHeader) {
  const MessageView quoted = ParseMessage(">From a@b Mon Mar  2\r\nSubject: x\r\n\r\nbody");
  EXPECT_TRUE(quoted.HasDefect(Defect::kMboxFromLine));
  EXPECT_NE(quoted.Find(quoted.root(), Field::kSubject), nullptr);
  EXPECT_EQ(quoted.BodyBytes(quoted.root()), "body");
  for (const std::string_view raw : {"\r\nSubject: x\r\n\r\nbody", "\n\n\nSubject: x\n\nbody"})
    EXPECT_TRUE(ParseMessage(raw).HasDefect(Defect::kLeadingEmptyLine)) << raw;
  for (const std::string_view raw : {"\r\nbody", "\r\n", "", "\r\n\r\n", "Subject: x\r\n\r\nA: b"})
    EXPECT_TRUE(ParseMessage(raw).defects().empty()) << raw;
}

}  // namespace
}  // namespace postern::message
