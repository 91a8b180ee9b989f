#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/imap_section.h"
#include "lib/core/message/imap_structure.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

// The example message of RFC 3501 §6.4.5, in the shape that it numbers: 1 text, 2 octet-stream, 3 a
// message with two parts, 4 a multipart of an image and a message with two texts.
constexpr std::string_view kMessage =
    "From: a@b.example\r\nTo: c@d.example\r\nSubject: outer\r\nContent-Type: multipart/mixed; "
    "boundary=o\r\n\r\n"
    "pre\r\n--o\r\nContent-Type: text/plain\r\n\r\none\r\n"
    "--o\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n"
    "--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: three\r\nContent-Type: multipart/mixed; "
    "boundary=i\r\n\r\n"
    "--i\r\n\r\nthree.one\r\n--i\r\n\r\nthree.two\r\n--i--\r\n"
    "--o\r\nContent-Type: multipart/mixed; boundary=p\r\n\r\n"
    "--p\r\nContent-Type: image/gif\r\n\r\nfour.one\r\n"
    "--p\r\nContent-Type: message/rfc822\r\n\r\nSubject: four.two\r\nContent-Type: "
    "text/plain\r\n\r\nfour.two.text\r\n--p--\r\n"
    "--o--\r\n";

std::string Section(const MessageView& view, std::string_view text) {
  const StatusOr<SectionSpec> spec = ParseSection(text);
  if (!spec.ok()) return "bad section";
  const StatusOr<SectionRange> range = FindSection(view, *spec);
  return range.ok() ? range->ToString() : "NIL";
}

TEST(ImapSection, FollowsTheNumbersOfRfc3501) {
  const MessageView view = ParseMessage(kMessage);
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", kMessage},
      {"HEADER",
       "From: a@b.example\r\nTo: c@d.example\r\nSubject: outer\r\nContent-Type: multipart/mixed; "
       "boundary=o\r\n\r\n"},
      {"HEADER.FIELDS (subject To)", "To: c@d.example\r\nSubject: outer\r\n\r\n"},
      {"HEADER.FIELDS (none)", "\r\n"},
      {"HEADER.FIELDS.NOT (subject To Content-Type)", "From: a@b.example\r\n\r\n"},
      {"1", "one"},
      {"1.MIME", "Content-Type: text/plain\r\n\r\n"},
      {"1.1", "NIL"},
      {"1.HEADER", "NIL"},
      {"1.TEXT", "NIL"},
      {"2", "two"},
      {"3.HEADER", "Subject: three\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"},
      {"3.TEXT", "--i\r\n\r\nthree.one\r\n--i\r\n\r\nthree.two\r\n--i--"},
      {"3.1", "three.one"},
      {"3.2", "three.two"},
      {"3.2.MIME", "\r\n"},
      {"3.3", "NIL"},
      {"3.MIME", "Content-Type: message/rfc822\r\n\r\n"},
      {"3.HEADER.FIELDS (SUBJECT)", "Subject: three\r\n\r\n"},
      {"4.MIME", "Content-Type: multipart/mixed; boundary=p\r\n\r\n"},
      {"4.1", "four.one"},
      {"4.2.HEADER", "Subject: four.two\r\nContent-Type: text/plain\r\n\r\n"},
      {"4.2.TEXT", "four.two.text"},
      {"4.2.1", "four.two.text"},
      {"4.2.1.MIME", "Subject: four.two\r\nContent-Type: text/plain\r\n\r\n"},
      {"4.2.2", "NIL"},
      {"5", "NIL"},
      {"4294967295", "NIL"},
      {"MIME", "bad section"},
      {"0", "bad section"},
      {"4294967296", "bad section"},
      {"1.", "bad section"},
      {"x", "bad section"},
      {"HEADER.FIELDS ()", "bad section"},
      {"HEADER.FIELDS (a", "bad section"},
  };
  for (const auto& [section, expected] : cases)
    EXPECT_EQ(Section(view, section), expected) << section;
  EXPECT_EQ(Section(view, "text"), view.BodyBytes(view.root()));
}

TEST(ImapSection, AMessageWithoutPartsHasPartOne) {
  const MessageView view = ParseMessage("Subject: x\r\n\r\nbody");
  EXPECT_EQ(Section(view, "1"), "body");
  EXPECT_EQ(Section(view, "1.MIME"), "Subject: x\r\n\r\n");
  EXPECT_EQ(Section(view, "2"), "NIL");
  EXPECT_EQ(Section(view, "1.1"), "NIL");
  const MessageView forwarded =
      ParseMessage("Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninner");
  EXPECT_EQ(Section(forwarded, "1"), "Subject: y\r\n\r\ninner");
  EXPECT_EQ(Section(forwarded, "1.HEADER"), "Subject: y\r\n\r\n");
  EXPECT_EQ(Section(forwarded, "1.1"), "inner");
  EXPECT_EQ(Section(forwarded, "1.1.1"), "NIL");
  EXPECT_EQ(Section(ParseMessage("Subject: x\r\n"), "HEADER.FIELDS (SUBJECT)"), "Subject: x\r\n");
}

TEST(ImapSection, PartialsAndNames) {
  const MessageView view = ParseMessage("A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody");
  const SectionRange range = *FindSection(view, *ParseSection("HEADER.FIELDS (A C)"));
  EXPECT_EQ(range.size(), 14u);
  std::string out;
  range.Append(out, 4, 4);
  EXPECT_EQ(out, "\r\nC:");
  out.clear();
  range.Append(out, 100, 4);
  range.Append(out, 0, 0);
  EXPECT_EQ(out, "");
  EXPECT_EQ(ParseSection("1.2.header.fields (\"X Y\" To)")->ToString(),
            "1.2.HEADER.FIELDS (\"X Y\" To)");
}

TEST(ImapEnvelope, WritesEveryField) {
  const MessageView view = ParseMessage(
      "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nSubject: IMAP4rev1 WG\r\n mtg summary\r\n"
      "From: Terry Gray <gray@cac.washington.edu>\r\nTo: imap@cac.washington.edu\r\n"
      "Cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: "
      "<B27397-0100000@cac.washington.edu>\r\n\r\n");
  EXPECT_EQ(EnvelopeText(view),
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary\" "
            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" "
            "\"cac.washington.edu\")) "
            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" "
            "\"cac.washington.edu\")) "
            "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" "
            "\"MIT.EDU\")) NIL NIL "
            "\"<B27397-0100000@cac.washington.edu>\")");
  EXPECT_EQ(EnvelopeText(ParseMessage("")), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
  EXPECT_EQ(EnvelopeText(ParseMessage("To: g: a@b, \"q\\\"q\" <c@d>;, postmaster\r\n\r\n")),
            "(NIL NIL NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(\"q\\\"q\" NIL \"c\" "
            "\"d\")(NIL NIL NIL NIL)"
            "(NIL NIL \"postmaster\" \"\")) NIL NIL NIL NIL)");
}

// An address list is NIL or has addresses (RFC 3501 §9, env-from); brackets around nothing are
// none.
TEST(ImapEnvelope, WhatNamesNobodyIsLeftOut) {
  const std::string nobody = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
  for (const char* from : {"<<<>>>,,@", "<>", ",,,", "@", "<@>", ".", "", "()", ">"}) {
    const std::string text = StrCat("From: ", from, "\r\n\r\n");
    const bool dot = std::string_view(from) == ".";
    const std::string one = "((NIL NIL \".\" \"\"))";
    EXPECT_EQ(EnvelopeText(ParseMessage(text)),
              dot ? StrCat("(NIL NIL ", one, " ", one, " ", one, " NIL NIL NIL NIL NIL)") : nobody)
        << from;
  }
  EXPECT_EQ(EnvelopeText(ParseMessage("From: a@b\r\nSender: <>\r\nTo: g:<>;,No One <>\r\n\r\n")),
            "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) "
            "((NIL NIL \"g\" NIL)(NIL NIL NIL NIL)(\"No One\" NIL \"\" \"\")) NIL NIL NIL NIL)");
}

TEST(ImapString, IsQuotedOrALiteral) {
  std::string out;
  AppendImapString("a\"b\\", false, out);
  EXPECT_EQ(out, "\"a\\\"b\\\\\"");
  out.clear();
  AppendImapString("ü", false, out);
  EXPECT_EQ(out, "{2}\r\nü");
  out.clear();
  AppendImapString("ü", true, out);
  EXPECT_EQ(out, "\"ü\"");
  out.clear();
  AppendImapString("\xFF", true, out);
  EXPECT_EQ(out, "{1}\r\n\xFF");
  out.clear();
  AppendImapString(std::string_view("a\0b", 3), true, out);
  EXPECT_EQ(out, "\"a b\"");
  out.clear();
  AppendImapString("a\r\nb", false, out);
  EXPECT_EQ(out, "{4}\r\na\r\nb");
}

TEST(ImapBodyStructure, DescribesTheTree) {
  EXPECT_EQ(
      BodyStructureText(ParseMessage(kMessage), false),
      "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 0)(\"application\" "
      "\"octet-stream\" NIL NIL NIL \"7bit\" 3)"
      "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 102 (NIL \"three\" NIL NIL NIL NIL NIL NIL NIL "
      "NIL) "
      "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 9 0)"
      "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 9 0) \"mixed\") 9)"
      "((\"image\" \"gif\" NIL NIL NIL \"7bit\" 8)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 60 "
      "(NIL \"four.two\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" \"plain\" (\"charset\" "
      "\"us-ascii\") NIL NIL \"7bit\" 13 0) 3) \"mixed\") "
      "\"mixed\")");
  EXPECT_EQ(
      BodyStructureText(
          ParseMessage(
              "Content-Type: TEXT/HTML; charset=\"utf-8\"; name*0*=utf-8''%C3%BC; name*1=\"b "
              "c\"\r\n"
              "Content-Transfer-Encoding: BASE64\r\nContent-ID: <x@y>\r\nContent-Description: d\r\n"
              "Content-Disposition: attachment; filename=f.html\r\nContent-Language: en, de\r\n"
              "Content-Location: http://x/\r\nContent-MD5: Q2hlY2s=\r\n\r\nYQ==\r\n"),
          true),
      "(\"TEXT\" \"HTML\" (\"charset\" \"utf-8\" \"name*\" \"utf-8''%C3%BCb%20c\") \"<x@y>\" \"d\" "
      "\"BASE64\" 6 1 "
      "\"Q2hlY2s=\" (\"attachment\" (\"filename\" \"f.html\")) (\"en\" \"de\") \"http://x/\")");
  EXPECT_EQ(BodyStructureText(
                ParseMessage("Content-Type: multipart/mixed; boundary=b\r\n\r\nno part\r\n"), true),
            "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 9 1 NIL NIL NIL NIL)");
  EXPECT_EQ(
      BodyStructureText(
          ParseMessage("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--"),
          true),
      "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) "
      "\"mixed\" (\"boundary\" \"b\") NIL NIL NIL)");
  EXPECT_EQ(
      BodyStructureText(
          ParseMessage(
              "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ=="),
          false),
      "(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 4)");
}

TEST(Text, IsDecodedForSearch) {
  const MessageView view = ParseMessage(
      "Subject: =?iso-8859-1?Q?GR=DCSSE?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
      "--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: "
      "quoted-printable\r\n\r\nStra=DFe=20und\r\nWeg\r\n"
      "--b\r\nContent-Type: application/octet-stream\r\n\r\nsecret\r\n"
      "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--b--\r\n");
  const std::string text = DecodedText(view);
  for (const std::string_view wanted : {"grüsse", "STRASSE UND", "inner", "INNER TEXT", "Weg"}) {
    EXPECT_NE(text.find(FoldCase(wanted)), std::string::npos) << wanted;
  }
  EXPECT_EQ(text.find("secret"), std::string::npos);
  TextOptions body;
  body.headers = false;
  EXPECT_EQ(DecodedText(view, body).find(FoldCase("grüsse")), std::string::npos);
  EXPECT_NE(DecodedText(view, body).find("inner text"), std::string::npos);
  const MessageView html = ParseMessage(
      "Content-Type: text/html\r\n\r\n<p class=hidden>Gr&uuml;&szlig;e <b>a</b>us</p>\r\n");
  EXPECT_NE(DecodedText(html).find(FoldCase("grüsse aus")), std::string::npos);
  EXPECT_EQ(DecodedText(html).find("hidden"), std::string::npos);
  TextOptions source;
  source.html_as_text = false;
  EXPECT_NE(DecodedText(html, source).find("hidden"), std::string::npos);
  TextOptions small;
  small.max_bytes = 10;
  EXPECT_LE(DecodedText(view, small).size(), 11u);
  bool found = false;
  EXPECT_EQ(DecodedHeader(view, "subject", false, &found), "GRÜSSE");
  EXPECT_TRUE(found);
  EXPECT_EQ(DecodedHeader(view, "to", false, &found), "");
  EXPECT_FALSE(found);
}

}  // namespace
}  // namespace postern::message
