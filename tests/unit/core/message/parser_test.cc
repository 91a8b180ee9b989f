#include "lib/core/message/parser.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

// Outline draws the tree: one line a part with depth, type and the body in quotes (for multiparts
// the number of parts).
std::string Outline(const MessageView& view) {
  std::string out;
  for (const Part& part : view.parts()) {
    out.append(part.depth * 2u, ' ');
    StrAppend(out, part.type, "/", part.subtype);
    switch (part.kind) {
      case PartKind::kLeaf: StrAppend(out, " \"", Escape(view.BodyBytes(part)), "\""); break;
      case PartKind::kMultipart: StrAppend(out, " ", part.child_count); break;
      case PartKind::kMessage: StrAppend(out, " message"); break;
    }
    if (part.opaque) out += " opaque";
    out += '\n';
  }
  return out;
}

std::string Defects(const MessageView& view) {
  std::string out;
  for (const DefectAt& at : view.defects()) {
    if (!out.empty()) out += ' ';
    out += DefectName(at.defect);
  }
  return out;
}

struct Case {
  std::string_view name;
  std::string_view message;  // "\n" is written for "\r\n"; both are tried
  std::string_view outline;
  std::string_view defects;
};

const Case kCases[] = {
    {"plain", "Subject: x\n\nbody\n", "text/plain \"body\\n\"\n", ""},
    {"no body", "Subject: x\n", "text/plain \"\"\n", ""},
    {"empty", "", "text/plain \"\"\n", ""},
    {"no header", "\nbody", "text/plain \"body\"\n", ""},
    {"body at once", "just text\nmore: text\n", "text/plain \"just text\\nmore: text\\n\"\n",
     "missing_header_end"},
    {"header ends without an empty line", "Subject: x\nnot a field\n",
     "text/plain \"not a field\\n\"\n", "missing_header_end"},
    {"mbox", "From me Thu Jan  1\nSubject: x\n\nb", "text/plain \"b\"\n", "mbox_from_line"},
    {"nameless", ": x\nSubject: y\n\nb", "text/plain \"b\"\n", "malformed_header_line"},
    {"two parts",
     "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n--b\nContent-Type: "
     "text/html\n\ntwo\n\n--b--\nepilogue\n",
     "multipart/mixed 2\n  text/plain \"one\"\n  text/html \"two\\n\"\n", ""},
    {"quoted boundary with folding inside",
     "Content-Type: multipart/mixed; boundary=\"foo\n bar\"\n\n--foo bar\n\none\n--foo bar--\n",
     "multipart/mixed 1\n  text/plain \"one\"\n", ""},
    {"boundary in pieces",
     "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\n--ab\n\none\n--ab--\n",
     "multipart/mixed 1\n  text/plain \"one\"\n", ""},
    {"not closed", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n",
     "multipart/mixed 1\n  text/plain \"one\\n\"\n", "missing_close_delimiter"},
    {"inner one not closed",
     "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; "
     "boundary=i\n\n--i\n\na\n--o\n\nb\n--o--\n",
     "multipart/mixed 2\n  multipart/alternative 1\n    text/plain \"a\"\n  text/plain \"b\"\n",
     "missing_close_delimiter"},
    {"one boundary a prefix of the other",
     "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; "
     "boundary=b1\n\n--b1\n\na\n--b1--\n--b\n\nc\n--b--\n",
     "multipart/mixed 2\n  multipart/alternative 1\n    text/plain \"a\"\n  text/plain \"c\"\n",
     ""},
    {"equal boundaries",
     "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; "
     "boundary=b\n\n--b\n\na\n--b--\n--b--\n",
     "multipart/mixed 1\n  multipart/alternative 1\n    text/plain \"a\"\n", ""},
    {"no boundary", "Content-Type: multipart/mixed\n\n--b\n\none\n",
     "multipart/mixed \"--b\\n\\none\\n\"\n", "multipart_no_boundary"},
    {"boundary never comes", "Content-Type: multipart/mixed; boundary=b\n\ntext\n",
     "multipart/mixed \"text\\n\"\n", "multipart_no_parts"},
    {"close before any part", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
     "multipart/mixed \"--b--\\n\"\n", "multipart_no_parts"},
    {"blanks behind a delimiter",
     "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b--  \n",
     "multipart/mixed 1\n  text/plain \"one\"\n", ""},
    {"like a delimiter",
     "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bc\n --b\n--b-\n--b--\n",
     "multipart/mixed 1\n  text/plain \"--bc\\n --b\\n--b-\"\n", ""},
    {"part without header end",
     "Content-Type: multipart/mixed; boundary=b\n\n--b\ntext\n--b\nSubject: x\n--b--\n",
     "multipart/mixed 2\n  text/plain \"text\"\n  text/plain \"\"\n",
     "missing_header_end missing_header_end"},
    {"parts without body", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b--\n",
     "multipart/mixed 2\n  text/plain \"\"\n  text/plain \"\"\n", ""},
    {"forwarded", "Content-Type: message/rfc822\n\nSubject: y\n\ninner\n",
     "message/rfc822 message\n  text/plain \"inner\\n\"\n", ""},
    {"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: y\n\ninner\n--b--\n",
     "multipart/digest 1\n  message/rfc822 message\n    text/plain \"inner\"\n", ""},
    {"forwarded multipart in a multipart",
     "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: "
     "message/rfc822\n\nContent-Type: multipart/mixed; "
     "boundary=i\n\n--i\n\na\n--i--\n\n--o\n\nb\n--o--\n",
     "multipart/mixed 2\n  message/rfc822 message\n    multipart/mixed 1\n      text/plain \"a\"\n "
     " text/plain \"b\"\n",
     ""},
    {"forwarded, cut by the delimiter",
     "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\nSubject: "
     "y\n--o--\n",
     "multipart/mixed 1\n  message/rfc822 message\n    text/plain \"\"\n", "missing_header_end"},
    {"encoded message stays closed",
     "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA==\n",
     "message/rfc822 \"U3ViamVjdDogeA==\\n\"\n", "encoded_message"},
    {"encoded multipart",
     "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: "
     "base64\n\n--b\n\none\n--b--\n",
     "multipart/mixed 1\n  text/plain \"one\"\n", "encoded_multipart"},
    {"bad type", "Content-Type: text\n\nx", "text/plain \"x\"\n", "bad_content_type"},
    {"strange encoding", "Content-Transfer-Encoding: rot13\n\nx", "text/plain \"x\"\n",
     "unknown_encoding"},
    {"8-bit header", "Subject: \xFF\n\nx", "text/plain \"x\"\n", "invalid_utf8_in_header"},
};

TEST(Parser, DrawsTheTree) {
  for (const Case& c : kCases) {
    const std::string lf(c.message);
    MessageView view = ParseMessage(lf);
    EXPECT_EQ(Outline(view), c.outline) << c.name;
    EXPECT_EQ(Defects(view), c.defects) << c.name;
    std::string crlf;
    for (const char ch : lf) {
      if (ch == '\n') crlf += '\r';
      crlf += ch;
    }
    view = ParseMessage(crlf);
    std::string outline = Outline(view);
    for (size_t at; (at = outline.find("\\r")) != std::string::npos;) outline.erase(at, 2);
    EXPECT_EQ(outline, c.outline) << c.name << " with CRLF";
    EXPECT_EQ(Defects(view), c.defects) << c.name << " with CRLF";
  }
}

TEST(Parser, EveryOffsetStandsWhereItShould) {
  const std::string raw =
      "A: 1\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\nB: "
      "2\r\n\r\none\r\n--b--\r\nepi\r\n";
  const MessageView view = ParseMessage(raw);
  ASSERT_EQ(view.parts().size(), 2u);
  EXPECT_EQ(view.HeaderBytes(view.root()),
            "A: 1\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
  EXPECT_EQ(view.BodyBytes(view.root()), "pre\r\n--b\r\nB: 2\r\n\r\none\r\n--b--\r\nepi\r\n");
  EXPECT_EQ(view.HeaderBytes(view.part(1)), "B: 2\r\n\r\n");
  EXPECT_EQ(view.Bytes(view.part(1)), "B: 2\r\n\r\none");
  EXPECT_EQ(view.part(1).header_end_offset, view.part(1).body_offset - 2);
  EXPECT_EQ(view.headers(view.part(1))[0].raw(), "B: 2\r\n");
}

TEST(Parser, KeepsFieldsAsWritten) {
  const std::string raw = "Subject : folded\r\n\tvalue \r\nX-a:\r\nto:b\nFrom:\r\n\r\n";
  const MessageView view = ParseMessage(raw);
  const auto headers = view.headers(view.root());
  ASSERT_EQ(headers.size(), 4u);
  EXPECT_EQ(headers[0].name, "Subject");
  EXPECT_EQ(headers[0].field, Field::kSubject);
  EXPECT_EQ(headers[0].value, " folded\r\n\tvalue ");
  EXPECT_EQ(headers[0].raw(), "Subject : folded\r\n\tvalue \r\n");
  EXPECT_EQ(Unfold(headers[0].value), "folded\tvalue");
  EXPECT_EQ(headers[1].value, "");
  EXPECT_EQ(headers[2].raw(), "to:b\n");
  EXPECT_EQ(view.Find(view.root(), "FROM"), &headers[3]);
  EXPECT_EQ(view.Find(view.root(), Field::kTo), &headers[2]);
  EXPECT_EQ(view.Find(view.root(), "none"), nullptr);
}

TEST(Parser, KnowsItsFieldNames) {
  const std::pair<std::string_view, Field> names[] = {
      {"bcc", Field::kBcc},
      {"CC", Field::kCc},
      {"Content-Description", Field::kContentDescription},
      {"Content-Disposition", Field::kContentDisposition},
      {"Content-ID", Field::kContentId},
      {"Content-Language", Field::kContentLanguage},
      {"Content-Location", Field::kContentLocation},
      {"Content-MD5", Field::kContentMd5},
      {"Content-Transfer-Encoding", Field::kContentTransferEncoding},
      {"Content-Type", Field::kContentType},
      {"Date", Field::kDate},
      {"DKIM-Signature", Field::kDkimSignature},
      {"From", Field::kFrom},
      {"In-Reply-To", Field::kInReplyTo},
      {"List-Id", Field::kListId},
      {"Message-Id", Field::kMessageId},
      {"MIME-Version", Field::kMimeVersion},
      {"Received", Field::kReceived},
      {"References", Field::kReferences},
      {"Reply-To", Field::kReplyTo},
      {"Resent-Date", Field::kResentDate},
      {"Resent-From", Field::kResentFrom},
      {"Return-Path", Field::kReturnPath},
      {"Sender", Field::kSender},
      {"Subject", Field::kSubject},
      {"To", Field::kTo},
      {"X", Field::kOther},
      {"Tx", Field::kOther},
      {"", Field::kOther},
      {"Receivee", Field::kOther}};
  for (const auto& [name, field] : names) EXPECT_EQ(FieldOf(name), field) << name;
}

TEST(Parser, LimitsLeaveOneOpaquePart) {
  ParseOptions options;
  options.max_parts = 3;
  const std::string parts =
      "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b\n\n2\n--b\n\n3\n--b--\n";
  MessageView view = ParseMessage(parts, options);
  EXPECT_EQ(
      Outline(view),
      "multipart/mixed 2\n  text/plain \"1\"\n  text/plain \"2\\n--b\\n\\n3\\n--b--\\n\" opaque\n");
  EXPECT_EQ(Defects(view), "part_limit");

  options = {};
  options.max_depth = 1;
  view = ParseMessage(
      "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; "
      "boundary=i\n\n--i\n\na\n--i--\n--o\n\nb\n--o--\n",
      options);
  EXPECT_EQ(
      Outline(view),
      "multipart/mixed 2\n  multipart/mixed \"--i\\n\\na\\n--i--\" opaque\n  text/plain \"b\"\n");
  EXPECT_EQ(Defects(view), "depth_limit");

  options = {};
  options.max_headers = 2;
  view = ParseMessage("A: 1\nB: 2\nC: 3\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
                      options);
  EXPECT_EQ(view.headers(view.root()).size(), 2u);
  EXPECT_EQ(Outline(view), "text/plain \"--b\\n\\nx\\n\" opaque\n");
  EXPECT_EQ(Defects(view), "header_count_limit");

  options = {};
  options.max_header_bytes = 8;
  view = ParseMessage("A: 1\nB: 2345\nC: 3\n\nbody", options);
  EXPECT_EQ(Outline(view), "text/plain \"body\" opaque\n");
  EXPECT_EQ(Defects(view), "header_size_limit");

  options = {};
  options.max_defects = 2;
  view = ParseMessage(":1\n:2\n:3\n\n", options);
  EXPECT_EQ(view.defects().size(), 2u);
}

TEST(Parser, HeaderAlone) {
  const std::string raw = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n";
  const MessageView view = ParseHeader(raw);
  ASSERT_EQ(view.parts().size(), 1u);
  EXPECT_EQ(view.BodyBytes(view.root()), "--b\n\nx\n");
}

TEST(Scan, FindsLinesThatBeginWithDashes) {
  OctetSet third{};
  third['b'] = true;
  for (size_t pad = 0; pad < 70; ++pad) {
    const std::string text = std::string(pad, 'x') + "\n-\n-b\n--c\n--b";
    EXPECT_EQ(FindDashLine(text, 0, third), pad + 10) << pad;
    EXPECT_EQ(FindDashLine(text, pad + 11, third), text.size()) << pad;
    EXPECT_EQ(FindDashLine(text, pad + 10, third), pad + 10) << pad;
  }
  EXPECT_EQ(FindDashLine("", 0, third), 0u);
  EXPECT_EQ(FindDashLine("\n-", 0, third), 2u);
  EXPECT_EQ(FindDashLine("\n--", 0, third), 3u);
  EXPECT_EQ(FindDashLine("\n--b", 0, third), 1u);
  EXPECT_EQ(FindDashLine("--b", 0, third), 0u);
  // The middle of a line is no beginning of one.
  EXPECT_EQ(FindDashLine("x--b", 1, third), 4u);
}

TEST(Scan, ExaminesOctets) {
  OctetFacts facts = Examine("ab\r\ncde\n\r");
  EXPECT_TRUE(facts.bare_lf);
  EXPECT_TRUE(facts.bare_cr);
  EXPECT_FALSE(facts.eight_bit);
  EXPECT_FALSE(facts.nul);
  EXPECT_EQ(facts.lf_count, 2u);
  EXPECT_EQ(facts.longest_line_bytes, 3u);
  facts = Examine(std::string_view("\xC3\xBC\0\r\n", 5));
  EXPECT_TRUE(facts.eight_bit && facts.nul);
  EXPECT_FALSE(facts.bare_cr || facts.bare_lf);
}

}  // namespace
}  // namespace postern::message
