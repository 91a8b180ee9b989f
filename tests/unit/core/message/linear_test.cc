// Hostile shapes: time grows with the input and no faster, and memory stays inside the limits.
#include "tests/unit/core/growth.h"
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/imap_section.h"
#include "lib/core/message/imap_structure.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

// Everything that a server asks about a message.
void ReadAll(const std::string& raw) {
  const MessageView view = ParseMessage(raw);
  EnvelopeText(view);
  BodyStructureText(view, true);
  DecodedText(view);
  ASSERT_LE(view.parts().size(), ParseOptions().max_parts);
}

struct Shape {
  std::string_view name;
  std::function<std::string(size_t)> make;
  std::function<void(const std::string&)> read;
  size_t count;
};

const Shape kShapes[] = {
    {"headers", [](size_t n) { return Repeat("X-Header: value\r\n", n) + "\r\nbody"; }, ReadAll,
     100'000},
    {"To fields", [](size_t n) { return Repeat("To: a@b.example\r\n", n) + "\r\n"; }, ReadAll,
     100'000},
    {"one field of many lines",
     [](size_t n) { return "Subject: x\r\n" + Repeat(" y\r\n", n) + "\r\n"; }, ReadAll, 200'000},
    {"one long line", [](size_t n) { return "Subject: " + std::string(n, 'x') + "\r\n\r\n"; },
     ReadAll, 1'000'000},
    {"addresses", [](size_t n) { return Repeat("a@b.example, ", n); },
     [](const std::string& s) { ParseAddressList(s); }, 9'000},
    {"comments in comments",
     [](size_t n) { return std::string(n, '(') + std::string(n, ')') + "a@b"; },
     [](const std::string& s) { ParseAddressList(s); }, 50'000},
    {"open comments", [](size_t n) { return Repeat("a(", n); },
     [](const std::string& s) { ParseAddressList(s); }, 50'000},
    {"open quotes", [](size_t n) { return Repeat("a\"", n); },
     [](const std::string& s) { ParseAddressList(s); }, 50'000},
    {"open brackets", [](size_t n) { return Repeat("<a", n); },
     [](const std::string& s) { ParseAddressList(s); }, 50'000},
    {"groups", [](size_t n) { return Repeat("g:a@b;", n); },
     [](const std::string& s) { ParseAddressList(s); }, 3'000},
    {"words and words", [](size_t n) { return Repeat("a ", n); },
     [](const std::string& s) { ParseAddressList(s); }, 100'000},
    {"cut UTF-8", [](size_t n) { return Repeat("\xE2\x82", n); },
     [](const std::string& s) { DecodeText(s); }, 100'000},
    {"encoded words", [](size_t n) { return Repeat("=?utf-8?Q?a?= ", n); },
     [](const std::string& s) { DecodeText(s); }, 50'000},
    {"beginnings of encoded words", [](size_t n) { return Repeat("=?a?Q?x", n) + "?="; },
     [](const std::string& s) { DecodeText(s); }, 100'000},
    {"words in many charsets", [](size_t n) { return Repeat("=?x?Q?a?= =?y?B?YQ==?= ", n); },
     [](const std::string& s) { DecodeText(s); }, 5'000},
    {"parameters", [](size_t n) { return "a/b" + Repeat("; n=v", n); },
     [](const std::string& s) { ParseContentType(s); }, 50'000},
    {"parameters without semicolons", [](size_t n) { return "a/b; n=" + Repeat("v ", n); },
     [](const std::string& s) { ParseContentType(s); }, 100'000},
    {"open quotes in parameters", [](size_t n) { return "a/b" + Repeat("; n=\\\"", n); },
     [](const std::string& s) { ParseContentType(s); }, 50'000},
    {"pieces",
     [](size_t n) {
       std::string s = "a/b";
       for (size_t i = 0; i < n; ++i) StrAppend(s, "; n*", n - i, "*=x");
       return s;
     },
     [](const std::string& s) { ParseContentType(s); }, 20'000},
    {"comments in a type", [](size_t n) { return "a/b; " + Repeat("(", n); },
     [](const std::string& s) { ParseContentType(s); }, 200'000},
    {"comments in a date", [](size_t n) { return Repeat("(x)", n); },
     [](const std::string& s) { (void)mail::ParseDate(s).ok(); }, 200'000},
    {"parts",
     [](size_t n) {
       return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + Repeat("--b\r\n\r\nx\r\n", n) +
              "--b--\r\n";
     },
     ReadAll, 2'400},
    {"parts past the limit",
     [](size_t n) {
       return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + Repeat("--b\r\n\r\nx\r\n", n);
     },
     [](const std::string& s) { ParseMessage(s); }, 50'000},
    {"multiparts in multiparts",
     [](size_t n) {
       std::string s;
       for (size_t i = 0; i < n; ++i)
         StrAppend(s, "Content-Type: multipart/mixed; boundary=b", i, "\r\n\r\n--b", i, "\r\n");
       return s;
     },
     ReadAll, 5'000},
    {"multiparts with one boundary",
     [](size_t n) { return Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", n); },
     ReadAll, 2'400},
    {"messages in messages",
     [](size_t n) { return Repeat("Content-Type: message/rfc822\r\n\r\n", n); }, ReadAll, 20'000},
    {"lines of dashes in the deepest part",
     [](size_t n) {
       std::string s;
       for (int i = 0; i < 99; ++i)
         StrAppend(s, "Content-Type: multipart/mixed; boundary=", 100 + i, "\r\n\r\n--", 100 + i,
                   "\r\n");
       return s + "\r\n" + Repeat("--999\n", n);
     },
     [](const std::string& s) { ParseMessage(s); }, 200'000},
    {"dashes",
     [](size_t n) {
       return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + std::string(n, '-');
     },
     ReadAll, 1'000'000},
    {"returns", [](size_t n) { return std::string(n, '\r'); }, ReadAll, 500'000},
    {"NULs", [](size_t n) { return std::string(n, '\0'); }, ReadAll, 200'000},
};

TEST(Linear, TimeGrowsWithTheInput) {
  for (const Shape& shape : kShapes) {
    const std::string small = shape.make(shape.count / 16);
    const std::string large = shape.make(shape.count);
    // Sixteen times the input; a square would take 256 times as long. The rest of the room is for
    // caches that overflow.
    const Growth growth =
        MeasureGrowth([&] { shape.read(small); }, [&] { shape.read(large); }, 64, 0.03);
    EXPECT_TRUE(growth.ok()) << shape.name << ": " << growth;
    EXPECT_LT(growth.large, 1.0 * kSlowdown) << shape.name;
  }
}

// The gigabyte is a row of bench/message_bench; here is an eighth of it.
TEST(Linear, BadInputOfAnySizeTakesUnderASecond) {
  const double second = 1.0 * kSlowdown;
  std::string nested;
  for (int i = 0; i < 1'000; ++i)
    StrAppend(nested, "Content-Type: multipart/mixed; boundary=b", i, "\r\n\r\n--b", i, "\r\n");
  const std::string fields = Repeat("X-Header: value\r\n", 100'000) + "\r\nbody";
  const std::string long_field = "Subject: " + std::string(10 << 20, 'x') + "\r\n\r\nbody";
  const std::string many_words = "Subject: " + Repeat("=?utf-8?Q?a?=\r\n ", 600'000) + "\r\n\r\n";
  for (const std::string& raw : {nested, fields, long_field, many_words}) {
    EXPECT_LT(SecondsWithin(second, [&] { ReadAll(raw); }), second) << raw.substr(0, 40);
  }
  const std::string boundaries =
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + Repeat("--b\r\n", (128 << 20) / 5);
  const auto read = [&] {
    const MessageView view = ParseMessage(boundaries);
    EXPECT_EQ(view.parts().size(), ParseOptions().max_parts);
  };
  EXPECT_LT(SecondsWithin(second, read), second);
}

TEST(Linear, LimitsHold) {
  // 20,000 levels: a hundred are read, the rest is opaque.
  std::string nested = Repeat("Content-Type: message/rfc822\r\n\r\n", 20'000);
  MessageView view = ParseMessage(nested);
  EXPECT_EQ(view.parts().size(), 101u);
  EXPECT_TRUE(view.HasDefect(Defect::kDepthLimit));
  nested = Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", 20'000);
  view = ParseMessage(nested);
  EXPECT_LE(view.parts().size(), ParseOptions().max_parts);
  EXPECT_TRUE(view.HasDefect(Defect::kDepthLimit));
  const std::string parts =
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + Repeat("--b\r\n", 100'000);
  view = ParseMessage(parts);
  EXPECT_EQ(view.parts().size(), ParseOptions().max_parts);
  EXPECT_TRUE(view.HasDefect(Defect::kPartLimit));
  EXPECT_EQ(view.parts().back().end_offset, parts.size());
  std::string headers = Repeat("A: b\r\n", 100'001) + "\r\nbody";
  view = ParseMessage(headers);
  EXPECT_EQ(view.all_headers().size(), 100'000u);
  EXPECT_TRUE(view.HasDefect(Defect::kHeaderCountLimit));
  EXPECT_EQ(view.BodyBytes(view.root()), "body");
  headers = "Subject: " + std::string(2 << 20, 'x') + "\r\nTo: a@b\r\n\r\nbody";
  view = ParseMessage(headers);
  EXPECT_TRUE(view.HasDefect(Defect::kHeaderSizeLimit));
  EXPECT_EQ(view.BodyBytes(view.root()), "body");
  EXPECT_EQ(ParseAddressList(Repeat("a@b,", 100'000)).size(), kMaxMailboxes);
}

}  // namespace
}  // namespace postern::message
