// What the builder owes to RFC 2045, 2046 and 2047 besides the tree: canonical line ends, honest
// transfer encodings, lines of 76.
#include "lib/core/message/builder.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

constexpr std::string_view kSeed = "0123456789abcdef";

OutgoingPart Leaf(std::string type, std::string content) {
  OutgoingPart part;
  part.content_type = std::move(type);
  part.content = std::move(content);
  return part;
}

// Stream gives `content` in pieces of seven octets.
OutgoingPart Stream(std::string type, std::string content) {
  OutgoingPart part;
  part.content_type = std::move(type);
  part.source = [content = std::move(content), at = size_t{0}](
                    char* to, size_t size) mutable -> StatusOr<size_t> {
    const size_t n = std::min({size, content.size() - at, size_t{7}});
    content.copy(to, n, at);
    at += n;
    return n;
  };
  return part;
}

std::string Written(const OutgoingPart& part) {
  std::string raw;
  EXPECT_TRUE(WritePart(part, kSeed, [&](std::string_view piece) {
                raw += piece;
                return OkStatus();
              }).ok());
  return raw;
}

std::string Decoded(const OutgoingPart& part) {
  const std::string raw = Written(part);
  const MessageView view = ParseMessage(raw);
  std::string octets;
  EXPECT_TRUE(DecodeBody(view, view.root(), octets));
  return octets;
}

// RFC 2045 §6.8: "text line breaks must be converted into CRLF sequences prior to base64 encoding".
TEST(Builder, TextHasCrlfInsideBase64) {
  constexpr const char* kText = "Привет\nМир\r\nещё\n";
  constexpr const char* kCanonical = "Привет\r\nМир\r\nещё\r\n";
  for (const char* type : {"text/plain; charset=utf-8", "text/html; charset=utf-8", "TEXT/csv"}) {
    EXPECT_EQ(Decoded(Leaf(type, kText)), kCanonical) << type;
    EXPECT_EQ(Decoded(Stream(type, kText)), kCanonical) << type;
  }
  // A CR at the end of one piece and the LF at the beginning of the next are one line end.
  EXPECT_EQ(Decoded(Stream("text/plain", "123456\r\n\n")), "123456\r\n\r\n");
  // Every line end doubles: more than a piece comes of a piece.
  EXPECT_EQ(Decoded(Stream("text/plain", std::string(200'000, '\n'))).size(), 400'000u);
  // Octets stay what they are, and so does a text whose octets 10 are no line ends.
  EXPECT_EQ(Decoded(Leaf("application/x", "\xFF\n")), "\xFF\n");
  EXPECT_EQ(Decoded(Stream("application/x", "\xFF\n")), "\xFF\n");
  EXPECT_EQ(Decoded(Leaf("text/plain; charset=UTF-16LE", std::string("a\0\n\0", 4))),
            std::string("a\0\n\0", 4));
  EXPECT_EQ(Decoded(Leaf("text/plain; charset=utf-16be", "\x4E\x0A")), "\x4E\x0A");
}

// RFC 2045 §6.4: what encloses 8bit says 8bit; RFC 2046 §5.2.1: a message is not encoded.
TEST(Builder, WhatEnclosesEightBitSaysSo) {
  const auto mixed = [](OutgoingPart inner) {
    OutgoingPart alternative;
    alternative.content_type = "multipart/alternative";
    alternative.parts = {Leaf("text/plain", "x\r\n"), std::move(inner)};
    OutgoingPart whole;
    whole.content_type = "multipart/mixed";
    whole.parts = {Leaf("text/plain", "y\r\n"), std::move(alternative)};
    return whole;
  };
  const auto encodings = [](const std::string& raw) {
    const MessageView view = ParseMessage(raw);
    std::string out;
    for (const Part& part : view.parts()) {
      const Header* header = view.Find(part, Field::kContentTransferEncoding);
      StrAppend(out, header == nullptr ? "-" : Trim(header->value), " ");
    }
    return out;
  };
  constexpr const char* kInner = "Subject: s\n\nGrüße\n";
  EXPECT_EQ(encodings(Written(mixed(Leaf("message/rfc822", kInner)))), "8bit - 8bit - 8bit - ");
  EXPECT_EQ(encodings(Written(mixed(Stream("message/rfc822", kInner)))), "8bit - 8bit - 8bit - ");
  EXPECT_EQ(encodings(Written(mixed(Leaf("message/rfc822", "Subject: s\r\n\r\nx\r\n")))),
            "- - - - - - ");
  EXPECT_EQ(encodings(Written(mixed(Leaf("text/plain", "Grüße\r\n")))), "- - - - base64 ");
  const std::string raw = Written(Stream("message/rfc822", kInner));
  EXPECT_NE(raw.find("\r\n\r\nSubject: s\r\n\r\nGrüße\r\n"), std::string::npos) << raw;
}

// RFC 2047 §2: "each line of a header field that contains one or more 'encoded-word's is limited to
// 76 characters", the name of the field counted.
TEST(Builder, LinesWithEncodedWordsHave76Characters) {
  const std::string text = "Grüße aus München, wo es heute schön ist, und größer als je zuvor";
  const std::string kanji = "日本語の件名がここにありますので長くなります日本語の件名がここに";
  for (const std::string& value : {text, kanji, text + kanji + text}) {
    for (const std::string name :
         {"Subject", "X", "Content-Description", "X-Of-Forty-Characters-Or-So"}) {
      std::string out;
      AppendTextHeader(name, value, out);
      for (const std::string_view line : Split(out, '\n')) EXPECT_LE(line.size(), 77u) << out;
      EXPECT_EQ(DecodeText(ParseMessage(out).all_headers()[0].value), value);
      out.clear();
      AppendAddressHeader(name, {{value, "a@example.org"}, {value, "b@example.org"}}, out);
      for (const std::string_view line : Split(out, '\n')) EXPECT_LE(line.size(), 77u) << out;
    }
  }
}

TEST(BuilderTest, AWordThatFitsOnNoLineComesBackWhole) {
  for (const size_t size : {900u, 985u, 988u, 989u, 1200u, 5000u}) {
    const std::string text = StrCat("a ", std::string(size, 'x'));
    std::string out;
    AppendTextHeader("Subject", text, out);
    const MessageView view = ParseHeader(out);
    EXPECT_EQ(DecodeText(view.Find(view.root(), Field::kSubject)->value), text) << size;
    for (const std::string_view line : Split(out, '\n')) EXPECT_LE(line.size(), 999u);
  }
}

TEST(BuilderTest, ListIdKeepsItsBrackets) {
  std::string out;
  AppendTextHeader("List-Id", "Liste \xc3\xa9 <l.example.org>", out);
  EXPECT_EQ(out, "List-Id: =?utf-8?Q?Liste_=C3=A9?= <l.example.org>\r\n");
  out.clear();
  AppendTextHeader("List-Id", "A list <l.example.org>", out);
  EXPECT_EQ(out, "List-Id: A list <l.example.org>\r\n");
}

TEST(BuilderTest, AMessageWithLongLinesIsNotWrittenAsItIs) {
  const std::string seed = "0123456789abcdef";
  OutgoingPart part;
  part.content_type = "message/rfc822";
  part.content = StrCat("Subject: x\r\n\r\n", std::string(998, 'y'), "\r\n");
  std::string out;
  const OctetSink sink = [&out](std::string_view octets) {
    out.append(octets);
    return OkStatus();
  };
  EXPECT_TRUE(WritePart(part, seed, sink).ok());
  part.content = StrCat("Subject: x\r\n\r\n", std::string(999, 'y'), "\r\n");
  EXPECT_EQ(WritePart(part, seed, sink).code(), StatusCode::kInvalidArgument);
  size_t at = 0;
  OutgoingPart streamed = part;
  streamed.source = [&](char* to, size_t size) -> StatusOr<size_t> {
    const std::string_view piece =
        std::string_view(part.content).substr(at, std::min<size_t>(size, 7));
    std::copy(piece.begin(), piece.end(), to);
    at += piece.size();
    return piece.size();
  };
  EXPECT_EQ(WritePart(streamed, seed, sink).code(), StatusCode::kInvalidArgument);
  // RFC 6532 §3.7
  part.content_type = "message/global";
  out.clear();
  EXPECT_TRUE(WritePart(part, seed, sink).ok());
  const MessageView view = ParseMessage(out);
  std::string decoded;
  EXPECT_TRUE(DecodeBody(view, view.root(), decoded));
  EXPECT_EQ(decoded, part.content);
}

}  // namespace
}  // namespace postern::message
