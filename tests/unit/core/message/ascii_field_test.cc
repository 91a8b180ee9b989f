#include "lib/core/message/ascii_field.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

// Written gives the first field of `header` in ASCII; "-" when that cannot be.
std::string Written(const std::string& header) {
  const std::string raw = header + "\r\n\r\n";
  const MessageView view = ParseMessage(raw);
  if (view.headers(view.root()).empty()) return "no field";
  const std::optional<std::string> text = AsciiField(view.headers(view.root())[0]);
  if (!text.has_value()) return "-";
  EXPECT_FALSE(Examine(*text).eight_bit || Examine(*text).bare_lf || Examine(*text).bare_cr);
  EXPECT_LE(Examine(*text).longest_line_bytes, 998u);
  EXPECT_EQ(text->substr(text->size() - 2), "\r\n");
  return text->substr(0, text->size() - 2);
}

TEST(AsciiField, Forms) {
  const struct {
    std::string header;
    std::string written;
  } kTable[] = {
      {"Subject: caf\xc3\xa9", "Subject: =?utf-8?B?Y2Fmw6k=?="},
      // windows-1252 where it is no UTF-8, as everywhere.
      {"Subject: caf\xe9 au lait", "Subject: =?utf-8?Q?caf=C3=A9_au_lait?="},
      {"X-Note: =?utf-8?Q?=E2=82=AC?= gr\xc3\xbc\xc3\x9f", "X-Note: =?utf-8?B?4oKsIGdyw7zDnw==?="},
      {"From: Ren\xc3\xa9 <rene@a.example>", "From: =?utf-8?B?UmVuw6k=?= <rene@a.example>"},
      {"To: \"Gr\xc3\xbc\xc3\x9f, Otto\" <o@a.example>, plain@b.example",
       "To: =?utf-8?B?R3LDvMOfLCBPdHRv?= <o@a.example>, plain@b.example"},
      {"Reply-To: a@b\xc3\xbc\x63her.example", "Reply-To: a@xn--bcher-kva.example"},
      {"Cc: Ren\xc3\xa9 <ren\xc3\xa9@a.example>, b@c.example",
       "Cc: =?utf-8?B?UmVuw6kgPHJlbsOpQGEuZXhhbXBsZT4=?=:;, b@c.example"},
      {"To: Fr\xc3\xa8res: a@b.example, \xc3\xa9@b.example;, c@d.example",
       "To: =?utf-8?Q?Fr=C3=A8res?=: a@b.example;, =?utf-8?B?w6lAYi5leGFtcGxl?=:;,\r\n "
       "c@d.example"},
      {"Content-Type: text/plain; charset=utf-8; name=\"caf\xc3\xa9.txt\"",
       "Content-Type: text/plain;\r\n\tcharset=\"utf-8\";\r\n\tname*=utf-8''caf%C3%A9.txt"},
      {"Content-Disposition: attachment; filename=caf\xe9.txt; size=\"1\"",
       "Content-Disposition: attachment;\r\n\tfilename*=utf-8''caf%C3%A9.txt;\r\n\tsize=\"1\""},
      {"Content-Type: caf\xc3\xa9", "Content-Type: =?utf-8?B?Y2Fmw6k=?="},
      {"Content-Type: multipart/mixed; boundary=\"\xc3\xa9\"", "-"},
      {"Received: from a (caf\xc3\xa9 \\( (b\\\\) c) by d; Mon, 1 Jan 2024 00:00:00 +0000",
       "Received: from a (=?utf-8?B?Y2Fmw6kgXCggKGJcXCkgYw==?=) by d; Mon, 1 Jan\r\n"
       " 2024 00:00:00 +0000"},
      {"Message-ID: <\xc3\xa9@a.example>",
       "Downgraded-Message-ID: =?utf-8?B?PMOpQGEuZXhhbXBsZT4=?="},
      {"List-Id: Caf\xc3\xa9 <list.example>", "List-Id: =?utf-8?B?Q2Fmw6k=?= <list.example>"},
      {"X-Caf\xc3\xa9: a", "-"},
      {"X-Open: (caf\xc3\xa9", "X-Open: =?utf-8?B?KGNhZsOp?="},
      {"References: <a@b> (caf\xc3\xa9", "References: <a@b> (=?utf-8?B?Y2Fmw6k=?=)"},
  };
  for (const auto& row : kTable) EXPECT_EQ(Written(row.header), row.written) << row.header;
}

// What a reader of ours saw in the field it sees in what is written.
TEST(AsciiField, ItReadsTheSame) {
  std::string long_text;
  for (int i = 0; i < 300; ++i) long_text += i % 7 == 0 ? " \xe2\x82\xac" : "\xc3\xa9";
  const std::string subject = Written("Subject: " + long_text);
  EXPECT_LE(Examine(subject).longest_line_bytes, 78u);
  EXPECT_EQ(DecodeText(subject.substr(8)), std::string(Trim(long_text)));

  const std::string disposition =
      Written("Content-Disposition: attachment; filename=\"" + std::string(Trim(long_text)) + "\"");
  const ParameterList parameters = ParseContentDisposition(disposition.substr(20)).parameters;
  ASSERT_NE(parameters.Find("filename"), nullptr);
  EXPECT_EQ(*parameters.Find("filename"), Trim(long_text));

  const std::string to = Written("To: " + long_text + " <a@b.example>, \xc3\xa9 <c@d.example>");
  const std::vector<Mailbox> list = ParseAddressList(to.substr(3));
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].DisplayName(), Trim(long_text));
  EXPECT_EQ(list[0].Address(), "a@b.example");
  EXPECT_EQ(list[1].DisplayName(), "\xc3\xa9");
}

TEST(AsciiField, AListThatIsNotReadWholeIsNotCut) {
  std::string to = "To: \xc3\xa9 <a@b.example>";
  for (size_t i = 0; i < kMaxMailboxes; ++i) to += ",a@b";
  EXPECT_EQ(Written(to), "-");
}

}  // namespace
}  // namespace postern::message
