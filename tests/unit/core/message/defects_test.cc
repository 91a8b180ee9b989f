// Every defect of fields and bodies, by name and place.
#include "lib/core/message/defects.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::message {
namespace {

std::string Print(const std::vector<DefectAt>& list) {
  std::string out;
  for (const DefectAt& each : list)
    StrAppend(out, out.empty() ? "" : " ", DefectName(each.defect), "@", each.part, ":",
              each.offset);
  return out;
}

std::string Fields(std::string_view raw) { return Print(FieldDefects(ParseMessage(raw))); }
std::string Octets(std::string_view raw) { return Print(OctetDefects(ParseMessage(raw))); }

TEST(Defects, OfFields) {
  const std::pair<std::string, std::string_view> cases[] = {
      {"From: a@b.example\r\nSubject: s\r\nDate: 1 Jul 2003 10:52 GMT\r\n\r\n", ""},
      {"Received: a\r\nReceived: b\r\nX: 1\r\nX: 2\r\n\r\n", ""},
      {"Subject: s\r\nSubject: t\r\nSUBJECT: u\r\n\r\n", "repeated_field@0:12 repeated_field@0:24"},
      {"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", "repeated_field@0:26"},
      {"Date: garbage\r\n\r\n", "bad_date@0:0"},
      {"Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n\r\n", ""},
      {"To: a@b.c b@c.d\r\n\r\n", "missing_comma@0:10"},
      {"X: y\r\nTo: nobody\r\n\r\n", "bad_address@0:10"},
      {"X: =?bogus-charset?q?=e4?=\r\n\r\n", "unknown_charset@0:0"},
      {"X: =?utf-8?q?=ZZ?=\r\n\r\n", "bad_encoded_word@0:0"},
      {"X: =?utf-8?q?=ff?=\r\n\r\n", "bad_encoded_word@0:0"},
      {"X: =?utf-8?x?a?=\r\n\r\n", "bad_encoded_word@0:0"},
      {"X: =?utf-8?q?open\r\n\r\n", "bad_encoded_word@0:0"},
      {"X: =?utf-8?b?R3LDvMOfZQ?= a=?b\r\n\r\n", ""},
      {"Content-Disposition: attachment; filename*=bogus''%e4\r\n\r\n", "unknown_charset@0:0"},
      {"Content-Disposition: attachment; filename*=utf-8''%zz\r\n\r\n", "bad_parameter@0:0"},
      {"Content-Disposition: attachment; filename*=%41\r\n\r\n", "bad_parameter@0:0"},
      {"Content-Disposition: attachment; f*0=a; f*2=b\r\n\r\n", "bad_parameter@0:0"},
      {"Content-Type: text/html charset=utf-8\r\n\r\n", "bad_parameter@0:0"},
      {"Content-Type: text/html (c) ; charset*=utf-8''a%20b\r\n\r\n", ""},
      {"From : a@b.example\r\nSubject\t: x\r\n\r\n",
       "blank_before_colon@0:4 blank_before_colon@0:27"},
      {"X: y\r\nZ: " + std::string(996, 'x') + "\r\n\r\n", "long_line@0:6"},
      {"Z: " + std::string(995, 'x') + "\r\n\r\n", ""},
      {"X: a\r\nY: b\n\r\n", "bare_lf@0:10"},
      {"X: a\nY: b\n\n", ""},
      // The fields of a part are judged as those of a part, those of a message inside as its own.
      {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nSubject: 1\r\nSubject: 2\r\n\r\n"
       "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: 1\r\nSubject: 2\r\n\r\n--b--\r\n",
       "repeated_field@3:125"},
  };
  for (const auto& [raw, expected] : cases) EXPECT_EQ(Fields(raw), expected) << raw;
}

TEST(Defects, OfOctets) {
  const std::string k8 = "Content-Transfer-Encoding: 8bit\r\n";
  const std::pair<std::string, std::string_view> cases[] = {
      {"\r\nplain\r\nlines\r\n", ""},
      {"\r\nab\xC3\xA4\r\n", "undeclared_8bit@0:4"},
      {k8 + "\r\nab\xC3\xA4\r\n", ""},
      {"Content-Transfer-Encoding: quoted-printable\r\n\r\n\xC3\xA4", "undeclared_8bit@0:47"},
      {"Content-Transfer-Encoding: 7BIT (c)\r\n\r\n\xC3\xA4", "undeclared_8bit@0:39"},
      {"Content-Transfer-Encoding: binary\r\n\r\n\xC3\xA4\r\0\n", ""},
      {"\r\na" + std::string(1, '\0') + "b", "nul_in_body@0:3"},
      {"\r\na\rb\nc\r\n", "bare_cr_in_body@0:3 bare_lf@0:5"},
      {"\na\nb\n", ""},
      {"\r\nx\r\n" + std::string(999, 'y') + "\r\nz", "long_line@0:5"},
      {"\r\n" + std::string(998, 'y') + "\r\nz", ""},
      // Bodies of parts one by one; the line end before a delimiter is not theirs.
      {"Content-Type: multipart/mixed; "
       "boundary=b\r\n\r\n--b\r\n\r\na\r\n--b\r\n\r\n\xFF\r\n--b--\r\n",
       "undeclared_8bit@2:62"},
  };
  for (const auto& [raw, expected] : cases) EXPECT_EQ(Octets(raw), expected) << raw;
}

TEST(Defects, AreBounded) {
  std::string raw;
  for (int i = 0; i < 1000; ++i) raw += "Subject: x\r\n";
  EXPECT_EQ(FieldDefects(ParseMessage(raw)).size(), 100u);
  EXPECT_EQ(FieldDefects(ParseMessage(raw), 7).size(), 7u);
}

}  // namespace
}  // namespace postern::message
