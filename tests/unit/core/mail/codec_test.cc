#include <string>

#include <gtest/gtest.h>

#include "lib/core/mail/base64.h"
#include "lib/core/mail/base64_groups.h"
#include "lib/core/mail/message_id.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"

namespace postern::mail {
namespace {

std::string AllOctets() {
  std::string octets;
  for (int i = 0; i < 256; ++i) octets.push_back(static_cast<char>(i));
  return octets;
}

TEST(Base64, VectorsOfRfc4648) {
  const std::pair<std::string_view, std::string_view> cases[] = {{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : cases) {
    EXPECT_EQ(Base64Encode(plain), coded);
    EXPECT_EQ(Base64Decode(coded), std::string(plain));
  }
}

TEST(Base64, StrictTakesNothingElse) {
  for (const std::string_view bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v\n", " Zm9v",
                                     "Z=9v", "====", "Zg==Zg==", "Zm-v", "=", "A==="}) {
    EXPECT_FALSE(Base64Decode(bad).has_value()) << bad;
  }
}

TEST(Base64, LenientKeepsWhatItCan) {
  struct {
    std::string_view text, decoded;
    bool clean;
  } const cases[] = {
      {"Zm9v\r\nYmFy\r\n", "foobar", true},
      {"Zm9 vYm\tFy", "foobar", true},
      {"Zm9vYg==", "foob", true},
      {"Zm9vYg", "foob", false},
      {"Zg==Zm9v", "ffoo", false},
      {"Zm9v!YmFy", "foobar", false},
      {"Zg==\r\nZg==\r\n", "ff", false},
      {"Z", "", false},
      {"=", "", true},
      {"Zm9vY", "foo", false},
      {"Zm9vYmE=\r\n", "fooba", true},
      {"Z=", "", false},
  };
  for (const auto& c : cases) {
    std::string out;
    EXPECT_EQ(Base64DecodeLenient(c.text, out), c.clean) << c.text;
    EXPECT_EQ(out, c.decoded) << c.text;
  }
}

TEST(Base64, LinesRoundTrip) {
  std::string octets;
  for (int i = 0; i < 10; ++i) octets += AllOctets();
  for (size_t n = 0; n < octets.size(); n += 37) {
    const std::string_view part = std::string_view(octets).substr(0, n);
    const std::string coded = Base64EncodeLines(part);
    for (size_t at = 0; at < coded.size();) {
      const size_t lf = coded.find('\n', at);
      ASSERT_NE(lf, std::string::npos);
      EXPECT_LE(lf - at, 77u);
      at = lf + 1;
    }
    std::string out = "x";
    EXPECT_TRUE(Base64DecodeLenient(coded, out));
    EXPECT_EQ(out.substr(1), part);
  }
}

TEST(QuotedPrintable, Decodes) {
  struct {
    std::string_view text, decoded;
    bool correct;
  } const cases[] = {
      {"hello", "hello", true},
      {"a=3Db", "a=b", true},
      {"a=3db", "a=b", true},
      {"foo =\r\nbar", "foo bar", true},
      {"foo=  \r\nbar", "foobar", true},
      {"foo  \r\nbar", "foo\r\nbar", true},
      {"a=\nb", "ab", true},
      {"a\nb", "a\nb", true},
      {"a=zzb", "a=zzb", false},
      {"a=", "a", true},
      {"a=4", "a=4", false},
      {"=E2=82=AC", "€", true},
      {"a \t", "a \t", true},
      {"a= ", "a", true},
      {"=0D=0A", "\r\n", true},
      {"", "", true},
      {"==\r\n", "=", false},
  };
  for (const auto& c : cases) {
    std::string out;
    EXPECT_EQ(QuotedPrintableDecode(c.text, out), c.correct) << c.text;
    EXPECT_EQ(out, c.decoded) << c.text;
  }
}

TEST(QuotedPrintable, RoundTripsAndKeepsLinesShort) {
  std::string text = "From here\r\n.\r\ntrailing \t\r\n" + std::string(300, 'x') + "\r\n" +
                     std::string(100, '=') + "\r\nend ";
  for (const bool binary : {false, true}) {
    const std::string octets = binary ? AllOctets() + text : text;
    const std::string coded = QuotedPrintableEncode(octets, binary);
    std::string out;
    EXPECT_TRUE(QuotedPrintableDecode(coded, out));
    EXPECT_EQ(out, octets);
    size_t column = 0;
    for (const char c : coded) {
      column = c == '\n' ? 0 : column + 1;
      EXPECT_LE(column, 77u);
      EXPECT_TRUE((c >= ' ' && c < 0x7f) || c == '\t' || c == '\r' || c == '\n');
    }
    EXPECT_EQ(("\r\n" + coded).find("\r\nFrom "), std::string::npos);
    EXPECT_EQ(("\r\n" + coded).find("\r\n.\r\n"), std::string::npos);
  }
  std::string out;
  QuotedPrintableDecode(QuotedPrintableEncode("a\nb\r\nc"), out);
  EXPECT_EQ(out, "a\r\nb\r\nc");
}

TEST(Xtext, RoundTripsAndRefuses) {
  EXPECT_EQ(XtextEncode("a+b=c d"), "a+2Bb+3Dc+20d");
  EXPECT_EQ(XtextDecode(XtextEncode(AllOctets())), AllOctets());
  EXPECT_EQ(XtextDecode("a+2bb"), "a+b");
  for (const std::string_view bad : {"+", "+2", "+2G", "a=b", "a b", "\xC3\xBC"})
    EXPECT_FALSE(XtextDecode(bad).has_value()) << bad;
}

TEST(Xtext, Utf8Addresses) {
  EXPECT_EQ(Utf8AddressEncode("dörte@b.example"), "d\\x{F6}rte@b.example");
  EXPECT_EQ(Utf8AddressDecode("d\\x{F6}rte@b.example"), "dörte@b.example");
  EXPECT_EQ(Utf8AddressDecode("dörte@b.example"), "dörte@b.example");
  EXPECT_EQ(Utf8AddressDecode(Utf8AddressEncode("a\\b+c=d€😀")), "a\\b+c=d€😀");
  for (const std::string_view bad :
       {"\\x{}", "\\x{D800}", "\\x{110000}", "\\x{A}", "\\x", "a b", "\xFF", "\\x{0}"}) {
    EXPECT_FALSE(Utf8AddressDecode(bad).has_value()) << bad;
  }
}

TEST(Utf8, ValidScrubbedAndCut) {
  EXPECT_TRUE(IsValidUtf8("plain ascii of some length, ünd €, 😀"));
  for (const std::string_view bad :
       {"\x80", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "aaaaaaaa\xFF"}) {
    EXPECT_FALSE(IsValidUtf8(bad));
  }
  EXPECT_EQ(ScrubUtf8("a\xFFü\xE2\x82"), "a\uFFFDü\uFFFD\uFFFD");
  EXPECT_EQ(TruncateUtf8("a€", 3), "a");
  EXPECT_EQ(TruncateUtf8("a€", 4), "a€");
  std::string out;
  AppendUtf8(0xD800, out);
  EXPECT_EQ(out, kReplacementCharacter);
}

// Made is text of the octets given, each as likely as the others, the same at every run.
std::string Made(std::string_view octets, size_t size, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  std::string out;
  for (size_t i = 0; i < size; ++i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    out.push_back(octets[(state >> 20) % octets.size()]);
  }
  return out;
}

TEST(Base64, FastAndPortableGroupsAgree) {
  const std::string clean = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string all = AllOctets();
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    std::string text = Made(clean, seed % 300, seed);
    // Some foreign octets at made places: line ends, neighbours of the ranges, anything.
    for (size_t i = 0; i < seed % 4; ++i) {
      const std::string foreign = i == 0 ? "\r\n" : Made(all + "@[`{/:=,.", 1, seed + i);
      text.insert(text.size() * (i + 1) / 5, foreign);
    }
    const auto* p = reinterpret_cast<const unsigned char*>(text.data());
    std::string fast(text.size() + 128, 'x'), portable(text.size() + 128, 'x');
    char* fast_to = fast.data();
    char* portable_to = portable.data();
    const auto* fast_at = DecodeGroups(p, p + text.size(), text.size() + 1, &fast_to);
    const auto* portable_at =
        DecodeGroupsPortable(p, p + text.size(), text.size() + 1, &portable_to);
    ASSERT_EQ(fast_at - p, portable_at - p) << seed;
    fast.resize(static_cast<size_t>(fast_to - fast.data()));
    portable.resize(static_cast<size_t>(portable_to - portable.data()));
    ASSERT_EQ(fast, portable) << seed;
  }
}

TEST(Base64, PiecesGiveTheSame) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const std::string text = Made("ABCDefgh0189+/=\r\n !", 400, seed);
    std::string whole, pieces;
    const bool clean = Base64DecodeLenient(text, whole);
    Base64Decoder decoder;
    for (size_t at = 0; at < text.size(); at += 1 + seed % 70)
      decoder.Decode(std::string_view(text).substr(at, 1 + seed % 70), pieces);
    EXPECT_EQ(decoder.Finish(pieces), clean) << seed;
    EXPECT_EQ(pieces, whole) << seed;
  }
}

TEST(Base64, LongTextOfAnyLineLength) {
  const std::string octets = Made(AllOctets(), 100'000, 7);
  for (const size_t line : {4, 60, 64, 72, 76, 100, 1000}) {
    std::string out = "kept";
    EXPECT_TRUE(Base64DecodeLenient(Base64EncodeLines(octets, line), out));
    EXPECT_EQ(out, "kept" + octets) << line;
  }
  EXPECT_EQ(Base64Decode(Base64Encode(octets)), octets);
}

// PlainQuotedPrintable is RFC 2045 §6.7 as a reader of it would write it down, a line at a time.
bool PlainQuotedPrintable(std::string_view text, std::string& out) {
  const auto hex = [](char c) {
    const size_t at = std::string_view("0123456789ABCDEFabcdef").find(c);
    return at == std::string_view::npos ? -1 : static_cast<int>(at < 16 ? at : at - 6);
  };
  bool correct = true;
  while (!text.empty()) {
    const size_t lf = text.find('\n');
    std::string_view line = text.substr(0, lf);
    text.remove_prefix(lf == std::string_view::npos ? text.size() : lf + 1);
    const bool crlf = lf != std::string_view::npos && !line.empty() && line.back() == '\r';
    if (crlf) line.remove_suffix(1);
    std::string_view bare = line;
    while (!bare.empty() && (bare.back() == ' ' || bare.back() == '\t')) bare.remove_suffix(1);
    const bool soft = !bare.empty() && bare.back() == '=';
    if (lf != std::string_view::npos || soft) line = bare;
    if (soft) line.remove_suffix(1);
    for (size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '=' && i + 2 < line.size() && hex(line[i + 1]) >= 0 && hex(line[i + 2]) >= 0) {
        out.push_back(static_cast<char>(hex(line[i + 1]) << 4 | hex(line[i + 2])));
        i += 2;
      } else {
        correct = correct && line[i] != '=';
        out.push_back(line[i]);
      }
    }
    if (lf != std::string_view::npos && !soft) out += crlf ? "\r\n" : "\n";
  }
  return correct;
}

TEST(QuotedPrintable, DecodesAsThePlainFormDoes) {
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const std::string text =
        Made(seed % 2 == 0 ? "=3Da \t\r\n" : "= 3DfxyzabcdeABCDE\n0123456789----------------", 120,
             seed);
    std::string plain = "kept", ours = "kept";
    const bool correct = PlainQuotedPrintable(text, plain);
    EXPECT_EQ(QuotedPrintableDecode(text, ours), correct) << seed;
    ASSERT_EQ(ours, plain) << seed;
  }
  const std::string octets = Made(AllOctets(), 100'000, 7);
  std::string out;
  EXPECT_TRUE(QuotedPrintableDecode(QuotedPrintableEncode(octets, true), out));
  EXPECT_EQ(out, octets);
}

TEST(MessageId, IsMadeOfTheOctetsAlone) {
  EXPECT_EQ(MakeMessageId(std::string(5, '\0'), "b.example"), "<00000000@b.example>");
  EXPECT_EQ(MakeMessageId(std::string(16, '\xFF'), "b.example"),
            "<zzzzzzzzzzzzzzzzzzzzzzzzzw@b.example>");
}

}  // namespace
}  // namespace postern::mail
