// What is made of bodies: pieces, text out of HTML, flowed lines, bounces and notifications.
#include <algorithm>
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/flowed.h"
#include "lib/core/message/html_text.h"
#include "lib/core/message/mdn.h"
#include "lib/core/message/signed_view.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

std::string Repeat(std::string_view unit, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += unit;
  return out;
}

TEST(BodyReader, GivesWhatDecodeBodyGives) {
  std::string octets;
  for (int i = 0; i < 30'000; ++i) octets.push_back(static_cast<char>(i * 7919 >> 3));
  const std::string bodies[] = {
      "Content-Transfer-Encoding: base64\r\n\r\n" + mail::Base64EncodeLines(octets),
      "Content-Transfer-Encoding: base64\r\n\r\n" + mail::Base64Encode(octets) + "YQ",
      "Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
          mail::QuotedPrintableEncode(octets, true),
      "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + Repeat("=C3=BC = =3", 500),
      "Content-Transfer-Encoding: quoted-printable\r\n\r\na" + Repeat(" \t", 500) + "\r\nb  =\r\n",
      "Content-Transfer-Encoding: 8bit\r\n\r\n" + octets,
  };
  for (const std::string& raw : bodies) {
    const MessageView view = ParseMessage(raw);
    std::string whole;
    const bool correct = DecodeBody(view, view.root(), whole);
    for (const size_t size : {64, 65, 77, 100, 1000, 100'000}) {
      BodyReader reader(view, view.root(), size);
      std::string pieces;
      for (std::string_view piece; reader.Next(&piece);) {
        EXPECT_FALSE(piece.empty());
        pieces += piece;
      }
      EXPECT_EQ(pieces, whole) << size;
      EXPECT_EQ(reader.correct(), correct) << size;
    }
  }
}

TEST(HtmlText, IsWhatAReaderSees) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"plain  text\n here", "plain text here"},
      {"<p>One</p><p>Two &amp; <b>bold</b>er</p>", "One\n\nTwo & bolder"},
      {"a<br>b<div>c</div>d", "a\nb\nc\nd"},
      {"<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1\t2\n3"},
      {"<head><title>no</title><style>p{}</style></head><script>no()</script>yes", "yes"},
      {"<pre>a\n  b</pre>", "a\n  b"},
      {"<img src=x alt='a cat'>!", "a cat !"},
      {"<!-- <p>no</p> -->yes<![CDATA[", "yes"},
      {"&uuml;&#x20AC;&nosuch;", "\xC3\xBC\xE2\x82\xAC&nosuch;"},
      {"<ul><li>one<li>two</ul>end", "one\ntwo\n\nend"},
      {"&#x110000ffffffffffffffff;", nullptr},
      {"<p style='display: none' title=\"<b>\">x", "x"},
  };
  for (const auto& [html, text] : cases) {
    const std::string got = HtmlToText(html);
    EXPECT_TRUE(mail::IsValidUtf8(got)) << html;
    if (text != nullptr) {
      EXPECT_EQ(got, text) << html;
    }
  }
}

TEST(HtmlText, IsBounded) {
  const auto start = std::chrono::steady_clock::now();
  const std::string shapes[] = {
      Repeat("<div>", 1'000'000),        Repeat("<b>", 100'000) + Repeat("<p>x", 100'000),
      Repeat("<p><b id=1></p>", 50'000), Repeat("<table><tr><td>", 100'000),
      Repeat("<a href=x><i>", 200'000),  Repeat("<", 1'000'000),
      Repeat("&amp", 500'000),           Repeat("<!--", 500'000),
      Repeat("<script>", 200'000),
  };
  for (const std::string& html : shapes) {
    HtmlOptions options;
    options.max_output_bytes = 1000;
    EXPECT_LE(HtmlToText(html, options).size(), 1000u);
  }
  // Sanitizers and busy machines take their time; what is ruled out is growth with the square.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  // Where there is no room for a tree, the tags go all the same.
  HtmlOptions small;
  small.max_nodes = 5;
  small.max_output_bytes = 1;
  EXPECT_EQ(HtmlToText("\xC3\xBC", small), "");
  small.max_output_bytes = 100;
  EXPECT_EQ(HtmlToText("<p>One <b>two</b><style>p{}</style><!-- no > --> three", small),
            "One two three");
}

TEST(Text, IsReadAsItsSenderMeantIt) {
  const auto text = [](std::string_view raw) {
    const MessageView view = ParseMessage(raw);
    return DecodeBodyText(view, view.root());
  };
  // A byte order mark is no text (RFC 3629 §6).
  EXPECT_EQ(text("Content-Type: text/plain; charset=utf-8\r\n\r\n\xEF\xBB\xBFx"), "x");
  EXPECT_EQ(text("\r\n\xEF\xBB\xBFx\xEF\xBB\xBF"), "x\xEF\xBB\xBF");
  // HTML says itself what it is written in, when nothing else does.
  const std::string russian = "\xCF\xF0\xE8";
  EXPECT_EQ(text("Content-Type: text/html\r\n\r\n<META Charset = 'windows-1251'>" + russian),
            "<META Charset = 'windows-1251'>При");
  EXPECT_EQ(text("Content-Type: text/html\r\n\r\n<meta http-equiv=Content-Type "
                 "content=\"text/html; charset=windows-1251\">" +
                 russian),
            "<meta http-equiv=Content-Type content=\"text/html; charset=windows-1251\">При");
  EXPECT_EQ(text("Content-Type: text/html; charset=koi8-r\r\n\r\n<meta charset=utf-8>\xF0"),
            "<meta charset=utf-8>П");
  EXPECT_EQ(text("Content-Type: text/html\r\n\r\n<meta charset=x-nobody>\xC3\xA4"),
            "<meta charset=x-nobody>ä");
  EXPECT_EQ(text("Content-Type: text/html\r\n\r\n<meta charset"), "<meta charset");
}

TEST(Preview, SaysWhatTheMessageSays) {
  const auto preview = [](std::string_view raw, size_t bytes = 256) {
    return PreviewText(ParseMessage(raw), bytes);
  };
  EXPECT_EQ(preview("Subject: x\n\n> quoted\nHello,\n\n  world\n"), "Hello, world");
  EXPECT_EQ(preview("Subject: x\n\n> only quoted\n"), "> only quoted");
  EXPECT_EQ(preview("Subject: x\n\na\xC3\xBC\n", 2), "a");
  EXPECT_EQ(preview("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: "
                    "attachment\n\nno\n--b\nContent-Type: text/html\n\n<p>yes\n--b--\n"),
            "yes");
}

TEST(Flowed, ParagraphsAreJoined) {
  const struct {
    const char* flowed;
    bool delsp;
    const char* text;
  } cases[] = {
      {"a \r\nb\r\nc\r\n", false, "a b\nc\n"},
      {"a \r\nb\r\n", true, "ab\n"},
      {"> a \r\n> b\r\n>> c \r\n> d\r\n", false, "> a b\n>> c \n> d\n"},
      {" >not a quote\r\n From me\r\n", false, ">not a quote\nFrom me\n"},
      {"a \r\n-- \r\nsig\r\n", false, "a \n-- \nsig\n"},
      {"", false, ""},
      {"a ", false, "a \n"},
  };
  for (const auto& c : cases) EXPECT_EQ(UnflowText(c.flowed, c.delsp), c.text) << c.flowed;
  // A dash pair that the cut would leave alone on its line is no signature.
  EXPECT_EQ(UnflowText(FlowText("word -- word", 8), false), "word -- word\n");
  const std::string text =
      "A paragraph that is longer than the width and so has to be cut at words.\n"
      "> A quoted paragraph that is longer than the width as well, and cut.\n"
      ">unlike this\n From here\n-- \nSig\n\nEnd\n";
  for (const size_t width : {10, 30, 72}) {
    const std::string flowed = FlowText(text, width);
    EXPECT_EQ(UnflowText(flowed, false),
              "A paragraph that is longer than the width and so has to be cut at words.\n"
              "> A quoted paragraph that is longer than the width as well, and cut.\n"
              "> unlike this\n From here\n-- \nSig\n\nEnd\n")
        << width;
  }
}

TEST(Content, DefectsOfBodies) {
  const auto defects = [](std::string_view raw) {
    std::string out;
    for (const DefectAt& each : ContentDefects(ParseMessage(raw)))
      StrAppend(out, DefectName(each.defect), "@", each.part, " ");
    return out;
  };
  EXPECT_EQ(defects("\r\nplain\r\n"), "");
  EXPECT_EQ(defects("Content-Type: text/plain; charset=x-nobody\r\n\r\nx"), "unknown_charset@0 ");
  EXPECT_EQ(defects("Content-Type: text/plain; charset=utf-8\r\n\r\n\xFF"),
            "bad_charset_octets@0 ");
  EXPECT_EQ(defects("\r\n\xFF"), "bad_charset_octets@0 ");
  EXPECT_EQ(defects("Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJ!"),
            "bad_encoded_body@0 ");
}

TEST(Signed, ViewsOfWhatWasSigned) {
  const std::string raw =
      "Content-Type: multipart/signed; boundary=b; micalg=SHA-256;\r\n"
      " protocol=\"application/pkcs7-signature\"\r\n\r\n"
      "--b\r\nContent-Type: text/plain\r\n\r\nhello \r\n\r\n"
      "--b\r\nContent-Type: application/x-pkcs7-signature\r\nContent-Transfer-Encoding: "
      "base64\r\n\r\n"
      "QUJD\r\n--b--\r\n";
  const MessageView view = ParseMessage(raw);
  const std::optional<SignedView> found = FindSigned(view);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->octets, "Content-Type: text/plain\r\n\r\nhello \r\n");
  EXPECT_EQ(found->CanonicalOctets(), found->octets);
  EXPECT_EQ(found->micalg, "sha-256");
  EXPECT_EQ(found->protocol, "application/pkcs7-signature");
  std::string signature;
  DecodeBody(view, view.part(found->signature_part), signature);
  EXPECT_EQ(signature, "ABC");
  std::string lf = raw;
  lf.erase(std::remove(lf.begin(), lf.end(), '\r'), lf.end());
  const MessageView lf_view = ParseMessage(lf);
  EXPECT_EQ(FindSigned(lf_view)->CanonicalOctets(), found->octets);
  // A signature of another kind than was said is none.
  std::string other = raw;
  other.replace(other.find("x-pkcs7-signature"), 17, "pgp-signature");
  EXPECT_FALSE(FindSigned(ParseMessage(other)).has_value());
}

std::string Outline(const MessageView& view) {
  std::string out;
  for (const Part& part : view.parts())
    StrAppend(out, std::string(part.depth, '.'), part.type, "/", part.subtype, " ");
  return out;
}

TEST(Compose, OnlyTheLevelsThatAreNeeded) {
  OutgoingPart picture;
  picture.content_type = "image/png";
  picture.content_id = "<p@x>";
  picture.content = "PNG";
  OutgoingPart file;
  file.content_type = "application/pdf";
  file.file_name =
      "Gr\xC3\xBC\xC3\x9F"
      "e.pdf";
  file.content = "PDF";
  const auto outline = [](Letter letter) {
    std::string raw;
    AppendPart(ComposeLetter(std::move(letter)), "0123456789abcdef", raw);
    const MessageView view = ParseMessage(raw);
    EXPECT_TRUE(view.defects().empty());
    return Outline(view);
  };
  EXPECT_EQ(outline({"text", "", {}, {}}), "text/plain ");
  EXPECT_EQ(outline({"", "<p>", {}, {}}), "text/html ");
  EXPECT_EQ(outline({"text", "<p>", {}, {}}), "multipart/alternative .text/plain .text/html ");
  EXPECT_EQ(outline({"", "<p>", {picture}, {}}), "multipart/related .text/html .image/png ");
  EXPECT_EQ(outline({"text", "<p>", {picture}, {file}}),
            "multipart/mixed .multipart/alternative ..text/plain ..multipart/related ...text/html "
            "...image/png .application/pdf ");
  EXPECT_EQ(outline({"text", "", {picture}, {}}), "multipart/mixed .text/plain .image/png ");
}

TEST(Compose, SourcesAreReadPieceByPiece) {
  std::string octets;
  for (int i = 0; i < 300'000; ++i) octets.push_back(static_cast<char>(i * 31 >> 2));
  size_t given = 0;
  Letter letter;
  letter.text = "see below";
  letter.attachments.emplace_back();
  letter.attachments[0].content_type = "application/octet-stream";
  letter.attachments[0].file_name = "a.bin";
  letter.attachments[0].source = [&](char* to, size_t size) -> StatusOr<size_t> {
    const size_t n = std::min({size, octets.size() - given, size_t{1000}});
    std::copy_n(octets.data() + given, n, to);
    given += n;
    return n;
  };
  const OutgoingPart part = ComposeLetter(std::move(letter));
  std::string raw;
  size_t longest = 0;
  ASSERT_TRUE(WritePart(part, "0123456789abcdef", [&](std::string_view piece) {
                raw += piece;
                longest = std::max(longest, piece.size());
                return OkStatus();
              }).ok());
  EXPECT_LT(longest, 200'000u);
  const MessageView view = ParseMessage(raw);
  ASSERT_EQ(view.parts().size(), 3u);
  std::string decoded;
  EXPECT_TRUE(DecodeBody(view, view.part(2), decoded));
  EXPECT_EQ(decoded, octets);
  // What fails, fails the message.
  OutgoingPart broken;
  broken.source = [](char*, size_t) -> StatusOr<size_t> { return NotFound("gone"); };
  EXPECT_EQ(WritePart(broken, "x", [](std::string_view) { return OkStatus(); }).code(),
            StatusCode::kNotFound);
}

TEST(Bounce, OwnNotificationReadsBack) {
  DsnRequest request;
  request.reporting_mta = "mx.example.org";
  request.sender = {"a", "example.com"};
  request.message_id = "<1@example.org>";
  request.boundary_seed = "0123456789abcdef";
  request.envelope_id = "QQ314159";
  request.original = "Message-ID: <o@example.com>\r\nSubject: x\r\n\r\nbody\r\n";
  DsnRecipient recipient;
  recipient.address = {"b\xC3\xBC", "example.net"};
  recipient.status = {5, 1, 1};
  recipient.reply = mail::Reply(550, {5, 1, 1}, "No such user");
  recipient.remote_mta = "mx.example.net";
  request.recipients = {recipient, recipient};
  request.recipients[1].action = DsnAction::kDelayed;
  request.recipients[1].status = {4, 4, 1};
  request.recipients[1].reply.reset();
  const std::string raw = BuildDsn(request);
  const Bounce bounce = ReadBounce(ParseMessage(raw));
  EXPECT_EQ(bounce.form, Bounce::Form::kStatus);
  EXPECT_EQ(bounce.reporting_mta.value, "mx.example.org");
  EXPECT_EQ(bounce.original_envelope_id, "QQ314159");
  EXPECT_EQ(bounce.original_message_id, "<o@example.com>");
  ASSERT_EQ(bounce.recipients.size(), 2u);
  EXPECT_EQ(bounce.recipients[0].final_recipient, "b\xC3\xBC@example.net");
  EXPECT_EQ(bounce.recipients[0].action, DsnAction::kFailed);
  EXPECT_EQ(bounce.recipients[0].reply_code, 550);
  EXPECT_EQ(bounce.recipients[0].BestStatus().ToString(), "5.1.1");
  EXPECT_EQ(bounce.recipients[0].remote_mta.value, "mx.example.net");
  EXPECT_EQ(bounce.recipients[1].action, DsnAction::kDelayed);
  EXPECT_EQ(bounce.recipients[1].status.ToString(), "4.4.1");
}

TEST(Bounce, RepliesInTexts) {
  const struct {
    const char* text;
    int code;
    const char* status;
  } cases[] = {
      {"550 5.1.1 <a@b>: User unknown", 550, "5.1.1"},
      {"host mx[192.0.2.1] said: 450-4.2.1 busy", 450, "4.2.1"},
      {"smtp; 552 mailbox full", 552, ""},
      {"#5.1.1 smtp;550 no", 550, "5.1.1"},
      {"connection from 198.51.100.5 port 587 timed out after 500ms", 0, ""},
      {"version 4.5.6.7 of 5.1.10.2", 0, ""},
      {"", 0, ""},
  };
  for (const auto& c : cases) {
    const SmtpReplyIn reply = FindSmtpReply(c.text);
    EXPECT_EQ(reply.code, c.code) << c.text;
    EXPECT_EQ(reply.status.ToString(), c.status) << c.text;
  }
}

TEST(Bounce, LettersAreNone) {
  EXPECT_EQ(ReadBounce(ParseMessage("From: a@b\r\n\r\nerror 550 5.1.1\r\n")).form,
            Bounce::Form::kNone);
}

TEST(Mdn, BuiltAndRead) {
  MdnRequest request;
  request.mdn.reporting_ua = "mail.example.org; Postern";
  request.mdn.final_recipient = "b@example.org";
  request.mdn.original_message_id = "<o@example.com>";
  request.mdn.disposition = MdnDisposition::kDeleted;
  request.mdn.automatic_action = true;
  request.mdn.modifiers = {"error"};
  request.mdn.error = "no room\r\nX: y";
  request.from = "b@example.org";
  request.to = "a@example.com";
  request.subject =
      "Gr\xC3\xBC\xC3\x9F"
      "e";
  request.message_id = "<n@example.org>";
  request.boundary_seed = "0123456789abcdef";
  request.original =
      "Subject: Gr\xC3\xBC\xC3\x9F"
      "e\r\n\r\nbody\r\n";
  const std::string raw = BuildMdn(request);
  EXPECT_TRUE(IsAscii(raw));
  const MessageView view = ParseMessage(raw);
  EXPECT_TRUE(view.defects().empty());
  const StatusOr<Mdn> mdn = ParseMdn(view);
  ASSERT_TRUE(mdn.ok());
  EXPECT_EQ(mdn->final_recipient, "b@example.org");
  EXPECT_EQ(mdn->original_message_id, "<o@example.com>");
  EXPECT_EQ(mdn->disposition, MdnDisposition::kDeleted);
  EXPECT_TRUE(mdn->automatic_action);
  EXPECT_FALSE(mdn->sent_automatically);
  EXPECT_EQ(mdn->modifiers, std::vector<std::string>{"error"});
  EXPECT_EQ(mdn->error, "no room  X: y");
  EXPECT_EQ(ParseMdn(ParseMessage("Subject: x\r\n\r\n")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ParseMdn(ParseMessage("Content-Type: message/disposition-notification\r\n\r\nx: y\r\n"))
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(Mdn, WhoMayBeTold) {
  const auto wanted = [](std::string_view header) { return MdnRecipient(ParseMessage(header)); };
  EXPECT_EQ(wanted("From: a@b\r\n\r\n").address, "");
  const std::string_view same =
      "Return-Path: <a@b>\r\nDisposition-Notification-To: A <a@b>\r\n\r\n";
  EXPECT_EQ(wanted(same).address, "a@b");
  EXPECT_FALSE(wanted(same).ask_first);
  EXPECT_TRUE(wanted("Return-Path: <x@b>\r\nDisposition-Notification-To: a@b\r\n\r\n").ask_first);
  EXPECT_TRUE(wanted("Disposition-Notification-To: a@b\r\n\r\n").ask_first);
  EXPECT_EQ(wanted("Content-Type: multipart/report; boundary=x\r\nDisposition-Notification-To: "
                   "a@b\r\n\r\n")
                .address,
            "");
}

}  // namespace
}  // namespace postern::message
