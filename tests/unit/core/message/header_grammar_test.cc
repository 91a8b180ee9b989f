#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/charset.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"

namespace postern::message {
namespace {

std::string Print(const ParameterList& parameters) {
  std::string out;
  for (const Parameter& p : parameters.list) {
    StrAppend(out, out.empty() ? "" : "; ", p.name, "=", p.value);
    if (!p.language.empty()) StrAppend(out, "[", p.language, "]");
  }
  return out;
}

TEST(ContentType, ReadsWhatMailHas) {
  struct {
    std::string_view value, type, parameters;
  } const cases[] = {
      {"text/plain", "text/plain", ""},
      {" Text/HTML ; Charset=\"utf-8\"", "text/html", "charset=utf-8"},
      {"text/plain; charset =us-ascii (Plain text)", "text/plain", "charset=us-ascii"},
      {"(c) text (d) / (e) plain (f); (g) a (h) = (i) b (j)", "text/plain", "a=b"},
      {"message/partial; id=\"ABC@host.com\";", "message/partial", "id=ABC@host.com"},
      {"multipart/mixed; boundary=gc0pJq0M:08jU534c0p", "multipart/mixed",
       "boundary=gc0pJq0M:08jU534c0p"},
      {"application/x-stuff\n title*0*=us-ascii'en'This%20is%20even%20more%20\n "
       "title*1*=%2A%2A%2Afun%2A%2A%2A%20\n title*2=\"isn't it!\"",
       "application/x-stuff", "title=This is even more ***fun*** isn't it![en]"},
      {"a/b; n*1=two; n*0=one", "a/b", "n=onetwo"},
      {"a/b; n*0=one; n*2=three", "a/b", "n=one"},
      {"a/b; n*1=one; n*2=two", "a/b", "n=onetwo"},
      {"a/b; n*999999999=x; m=1", "a/b", "n*999999999=x; m=1"},
      {"a/b; n=plain; n*=utf-8''%e2%82%ac", "a/b", "n=€"},
      {"a/b; n*=utf-8''%e2%82%ac; n=plain", "a/b", "n=€"},
      {"a/b; n*0*=utf-8''%e2%82; n*1*=%ac", "a/b", "n=€"},
      {"a/b; n=first; n=second", "a/b", "n=first"},
      {"a/b; n=\"=?utf-8?Q?=E2=82=AC?=\"", "a/b", "n=€"},
      {"a/b; name=my file.pdf; x=y", "a/b", "name=my file.pdf; x=y"},
      {"a/b; name=my file.pdf x=y", "a/b", "name=my file.pdf; x=y"},
      {"a/b; name=\"not closed; x=y", "a/b", "name=not closed; x=y"},
      {"a/b; name=\"a\\\"b\"; ; ;x", "a/b", "name=a\"b"},
      {"a/b; name=\"\"; x=", "a/b", "name=; x="},
      {"a/b; =x; ==; n=1", "a/b", "n=1"},
      {"a/b; n=f(1).pdf", "a/b", "n=f(1).pdf"},
      {"text", "text/", ""},
      {"", "/", ""},
      {";", "/", ""},
      {"/plain", "/", ""},
  };
  for (const auto& c : cases) {
    const ContentType type = ParseContentType(c.value);
    EXPECT_EQ(type.type + "/" + type.subtype, c.type) << c.value;
    EXPECT_EQ(Print(type.parameters), c.parameters) << c.value;
  }
}

TEST(ContentType, ParametersAreCapped) {
  std::string value = "a/b";
  for (int i = 0; i < 20'000; ++i) StrAppend(value, "; p", i, "=x");
  EXPECT_EQ(ParseContentType(value).parameters.list.size(), kMaxParameters);
}

TEST(ContentType, EncodedParametersReadBack) {
  for (const std::string& value :
       {std::string("plain"), std::string("two words"), std::string("a\"b\\c"),
        std::string("Über/Größe 'x' %41*"), std::string(), std::string(300, 'x'),
        std::string("日本語の長い名前のファイルがここにありますよ、とても長いです.pdf"),
        std::string("tab\there")}) {
    const std::string coded = EncodeParameter("filename", value);
    const std::string* read = nullptr;
    const ParameterList list = ParseParameters(coded);
    read = list.Find("filename");
    ASSERT_NE(read, nullptr) << coded;
    EXPECT_EQ(*read, value) << coded;
    EXPECT_TRUE(IsAscii(coded));
    for (const std::string_view line : Split(coded, '\n')) EXPECT_LE(line.size(), 79u) << coded;
  }
}

TEST(EncodedWord, Decodes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"plain text", "plain text"},
      {"=?ISO-8859-1?Q?a?=", "a"},
      {"(=?ISO-8859-1?Q?a?= b)", "(a b)"},
      {"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
      {"=?ISO-8859-1?Q?a?=  \r\n  =?ISO-8859-1?Q?b?=", "ab"},
      {"=?ISO-8859-1?Q?a_b?=", "a b"},
      {"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"},
      {"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"},
      {"=?utf-8?B?4oKs?=", "€"},
      {"=?utf-8?B?4o?= =?utf-8?B?Ks?=", "\uFFFD*"},
      {"=?utf-8?Q?=E2=82?= =?utf-8?Q?=AC?=", "€"},
      {"=?iso-8859-1?q?=E4?=", "ä"},
      {"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
      {"=?windows-1251?Q?=CF=F0?=", "Пр"},
      {"=?no-such-charset?Q?abc?=", "abc"},
      {"=?utf-8?X?abc?=", "=?X?abc?="},
      {"=?utf-8?Q?abc", "=?utf-8?Q?abc"},
      {"=?utf-8?Q?a=?utf-8?Q?b?=", "=?utf-8?Q?ab"},
      {"=??Q?a?=", "=??Q?a?="},
      {"a=?utf-8?Q?b?=c", "abc"},
      {"=?utf-8?Q?line=0D=0ABcc:_x?=", "line  Bcc: x"},
      {"folded\r\n text", "folded text"},
      {"raw ü", "raw ü"},
      {"raw \xFC", "raw ü"},
      {"", ""},
      {"=?utf-8?Q?"
       "?=",
       ""},
      {"= ?", "= ?"},
  };
  for (const auto& [value, expected] : cases) {
    if (value == "=?utf-8?X?abc?=") {
      EXPECT_EQ(DecodeText(value), value);
      continue;
    }
    EXPECT_EQ(DecodeText(value), expected) << value;
  }
}

TEST(EncodedWord, EncodesAndReadsBack) {
  for (const std::string& text :
       {std::string("plain"), std::string("Grüße aus Köln"),
        std::string("日本語の件名はとても長いので一つの単語には入りません、二つ三つ必要です"),
        std::string("=?utf-8?Q?x?="), std::string(500, 'x') + "ü",
        std::string("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀"), std::string()}) {
    for (const WordContext context : {WordContext::kText, WordContext::kPhrase}) {
      const std::string coded = EncodeText(text, context);
      EXPECT_TRUE(IsAscii(coded));
      if (coded.find('"') == std::string::npos) {
        EXPECT_EQ(DecodeText(coded), text) << coded;
      }
      if (coded.compare(0, 2, "=?") != 0) continue;
      for (const std::string_view word : Split(coded, ' ')) EXPECT_LE(word.size(), 75u) << word;
    }
  }
  EXPECT_EQ(EncodeText("Doe, John", WordContext::kPhrase), "\"Doe, John\"");
  EXPECT_EQ(EncodeText("John Doe", WordContext::kPhrase), "John Doe");
  EXPECT_EQ(EncodeText("a\"b\\", WordContext::kPhrase), "\"a\\\"b\\\\\"");
  EXPECT_EQ(EncodeText("a\r\nBcc: x"), "a  Bcc: x");
}

TEST(Charset, DecodesWithAliasesAndFallback) {
  struct {
    std::string_view charset, octets, text;
    bool clean;
  } const cases[] = {
      {"utf-8", "ü", "ü", true},
      {"UTF8", "ü", "ü", true},
      {"utf-8", "\xFF", "\uFFFD", false},
      {"iso-8859-1", "\xFC", "ü", true},
      {"latin1", "\x80", "€", true},
      {"us-ascii", "\xFC", "ü", false},
      {"us-ascii", "ü", "ü", false},
      {"\"koi8-r\"", "\xC1", "а", true},
      {"gb2312", "\xD6\xD0", "中", true},
      {"big5", "\xA4\xA4", "中", true},
      {"shift_jis", "\x93\xFA", "日", true},
      {"ks_c_5601-1987", "\xB0\xA1", "가", true},
      {"utf-16le", std::string_view("\x3D\xD8\x00\xDE", 4), "😀", true},
      {"x-nonsense", "ü", "ü", false},
      {"x-nonsense", "\xFC", "ü", false},
      {"", "abc", "abc", false},
      {"utf-7", "+AOQ-", "ä", true},
      {"windows-1252,version=1", "a", "a", false},
  };
  for (const auto& c : cases) {
    std::string out;
    EXPECT_EQ(AppendAsUtf8(c.charset, c.octets, out), c.clean) << c.charset;
    EXPECT_EQ(out, c.text) << c.charset;
  }
  // Longer than one piece of the decoder, with a surrogate pair at every place.
  std::string utf16;
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {
    utf16.append(i == 0 ? std::string_view("a\0", 2) : std::string_view("\x3D\xD8\x00\xDE", 4));
    expected += i == 0 ? "a" : "😀";
  }
  std::string out;
  EXPECT_TRUE(AppendAsUtf8("utf-16le", utf16, out));
  EXPECT_EQ(out, expected);
}

TEST(Charset, EncodesAndFolds) {
  std::string out;
  EXPECT_TRUE(EncodeFromUtf8("iso-8859-1", "ä", out));
  EXPECT_EQ(out, "\xE4");
  EXPECT_FALSE(EncodeFromUtf8("iso-8859-1", "€", out));
  EXPECT_EQ(out, "\xE4");
  EXPECT_EQ(FoldCase("ÄSSE straße"), FoldCase("ässe STRASSE"));
  EXPECT_EQ(FoldCase("ABC"), "abc");
}

}  // namespace
}  // namespace postern::message
