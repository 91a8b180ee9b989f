#include "lib/core/smtp/server_framing.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/text_writer.h"

namespace postern::smtp {
namespace {

struct Framed {
  std::string text;
  bool ended = false;
  uint8_t defects = 0;
  std::string rest;
};

// Frame runs a TextFramer over `input` in pieces, keeping what it leaves for the next time.
Framed Frame(const std::string& input, size_t piece_bytes) {
  TextFramer framer;
  Framed framed;
  std::string kept;
  for (size_t at = 0; at < input.size(); at += piece_bytes) {
    kept += input.substr(at, piece_bytes);
    if (framed.ended) continue;
    const TextFramer::Result result = framer.Next(kept.data(), kept.size());
    framed.text += kept.substr(0, result.text_bytes);
    kept.erase(0, result.consumed);
    EXPECT_TRUE(framed.ended || result.ended || kept.size() <= 2) << Escape(kept);
    framed.ended = result.ended;
  }
  framed.rest = kept;
  framed.defects = framer.defects();
  return framed;
}

using namespace std::string_literals;  // NOLINT: NULs in vectors

TEST(TextFramer, Vectors) {
  const struct {
    std::string input, text;
    bool ended;
    int defects;
    std::string rest;
  } kVectors[] = {
      {".\r\n", "", true, 0, ""},
      {".\r\nQUIT\r\n", "", true, 0, "QUIT\r\n"},
      {"a\r\n.\r\n", "a\r\n", true, 0, ""},
      {"a\r\n..\r\n.\r\n", "a\r\n.\r\n", true, 0, ""},
      {"...\r\n.\r\n", "..\r\n", true, 0, ""},
      {".a\r\n.\r\n", "a\r\n", true, 0, ""},
      {"\r\n\r\n.\r\n", "\r\n\r\n", true, 0, ""},
      {"a.\r\n.\r\n", "a.\r\n", true, 0, ""},
      // What looks like an end and is none.
      {"a\n.\n", "a\n.\n", false, kDefectBareLf, ""},
      {"a\n.\r\n", "a\n.\r\n", false, kDefectBareLf, ""},
      {"a\r\n.\n", "a\r\n\n", false, kDefectBareLf, ""},
      {"a\r.\r\n.", "a\r.\r\n", false, kDefectBareCr, "."},
      {"a\r\n.\rb", "a\r\n\rb", false, kDefectBareCr, ""},
      {"a\r\n.\r\r\n", "a\r\n\r\r\n", false, kDefectBareCr, ""},
      {"a\r\n.\0\r\n"s, "a\r\n\0\r\n"s, false, kDefectNul, ""},
      {"a\r\n. \r\n", "a\r\n \r\n", false, 0, ""},
      {"a\r\n\xAE\r\n", "a\r\n\xAE\r\n", false, kDefectEightBit, ""},
      {"a\r\0\n.\r\n"s, "a\r\0\n.\r\n"s, false, kDefectBareCr | kDefectBareLf | kDefectNul, ""},
      {"a\r", "a", false, 0, "\r"},
      {"a\r\n.\r", "a\r\n", false, 0, ".\r"},
  };
  for (const auto& vector : kVectors) {
    for (size_t piece = 1; piece <= vector.input.size(); ++piece) {
      SCOPED_TRACE(StrCat(Escape(vector.input), " by ", piece));
      const Framed framed = Frame(vector.input, piece);
      EXPECT_EQ(framed.text, vector.text);
      EXPECT_EQ(framed.ended, vector.ended);
      EXPECT_EQ(framed.defects, vector.defects);
      EXPECT_EQ(framed.rest, vector.rest);
    }
  }
}

// Every string of up to seven of the octets that matter, against the rule written down the slow
// way.
TEST(TextFramer, EndsAtCrLfDotCrLfAndNowhereElse) {
  constexpr char kOctets[] = {'\r', '\n', '.', 'x'};
  for (size_t length = 1; length <= 7; ++length) {
    size_t count = 1;
    for (size_t i = 0; i < length; ++i) count *= 4;
    for (size_t number = 0; number < count; ++number) {
      std::string input;
      for (size_t n = number, i = 0; i < length; ++i, n /= 4) input.push_back(kOctets[n % 4]);
      // The slow way: CRLF is put in front for the start, and the first CRLF.CRLF ends it.
      const size_t end = ("\r\n" + input).find("\r\n.\r\n");
      for (const size_t piece : {size_t{1}, size_t{3}, length}) {
        const Framed framed = Frame(input, piece);
        ASSERT_EQ(framed.ended, end != std::string::npos) << Escape(input);
        if (!framed.ended) continue;
        ASSERT_EQ(framed.rest, ("\r\n" + input).substr(end + 5)) << Escape(input);
      }
    }
  }
}

TEST(TextFramer, TakesBackWhatTextWriterWrites) {
  for (const std::string text : {"", ".\r\n", "a\r\n", "..\r\n.a\r\n\r\n", ".\r\n.\r\n.\r\n"}) {
    TextWriter writer(/*stuff_dots=*/true);
    std::string wire;
    writer.Write(text, wire);
    writer.Finish(wire);
    wire += ".\r\n";
    const Framed framed = Frame(wire, 2);
    EXPECT_TRUE(framed.ended);
    EXPECT_EQ(framed.text, text);
    EXPECT_EQ(framed.rest, "");
  }
}

TEST(TextChecker, FindsTheSameDefectsHoweverItIsCut) {
  const struct {
    std::string text;
    int defects;
  } kVectors[] = {
      {"a\r\nb\r\n", 0},
      {"a", kDefectNoFinalCrlf},
      {"a\r\nb\n", kDefectBareLf | kDefectNoFinalCrlf},
      {"a\rb\r\n", kDefectBareCr},
      {"a\r\r\n", kDefectBareCr},
      {"a\r", kDefectBareCr | kDefectNoFinalCrlf},
      {"\0\r\n"s, kDefectNul},
      {StrCat(std::string(999, 'x'), "\r\n"), kDefectLongLine},
      {StrCat(std::string(998, 'x'), "\r\n"), 0},
  };
  for (const auto& vector : kVectors) {
    for (size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{5000}}) {
      TextChecker checker;
      for (size_t at = 0; at < vector.text.size(); at += piece)
        checker.Scan(std::string_view(vector.text).substr(at, piece));
      checker.Finish();
      EXPECT_EQ(checker.defects(), vector.defects) << Escape(vector.text, 40) << " by " << piece;
    }
  }
}

TEST(LineScanner, LinesAndTheirLimits) {
  LineScanner scanner;
  auto result = scanner.Next("NOO", 10);
  EXPECT_EQ(result.found, LineScanner::Found::kNothing);
  EXPECT_EQ(result.consumed, 0u);
  result = scanner.Next("NOOP\r\nX", 10);
  EXPECT_EQ(result.found, LineScanner::Found::kLine);
  EXPECT_EQ(result.line, "NOOP");
  EXPECT_EQ(result.consumed, 6u);
  result = scanner.Next("NOOP\n", 10);
  EXPECT_EQ(result.found, LineScanner::Found::kBareLf);
  EXPECT_EQ(result.line, "NOOP");
  EXPECT_EQ(scanner.Next("12345678\r\n", 10).found, LineScanner::Found::kLine);
  EXPECT_EQ(scanner.Next("123456789\r\n", 10).found, LineScanner::Found::kTooLong);
  // An overlong line is dropped as it comes, and told at its end.
  result = scanner.Next("1234567890123", 10);
  EXPECT_EQ(result.found, LineScanner::Found::kNothing);
  EXPECT_EQ(result.consumed, 13u);
  EXPECT_EQ(scanner.overlong_bytes(), 13u);
  result = scanner.Next("4\r\nNOOP\r\n", 10);
  EXPECT_EQ(result.found, LineScanner::Found::kTooLong);
  EXPECT_EQ(result.consumed, 3u);
  EXPECT_EQ(scanner.Next("NOOP\r\n", 10).found, LineScanner::Found::kLine);
}

TEST(LooksForeign, Vectors) {
  EXPECT_EQ(LooksForeign("EHLO"), "");
  EXPECT_EQ(LooksForeign("\r\n"), "");
  EXPECT_EQ(LooksForeign("E"), "");
  EXPECT_EQ(LooksForeign("\x16"), "TLS");
  EXPECT_EQ(LooksForeign("\x80\x2e\x01\x03"), "binary data");
  EXPECT_EQ(LooksForeign("A\x01"), "binary data");
}

}  // namespace
}  // namespace postern::smtp
