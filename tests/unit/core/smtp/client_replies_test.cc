#include "lib/core/smtp/client_replies.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

using Found = ReplyReader::Found;
using namespace std::string_literals;  // NOLINT: NULs in vectors

// Read feeds `input` in pieces and gives the first thing that is found.
Found Read(const std::string& input, size_t piece_bytes, mail::Reply& reply,
           ReplyLimits limits = {}) {
  ReplyReader reader(limits);
  std::string kept;
  for (size_t at = 0; at < input.size(); at += piece_bytes) {
    kept += input.substr(at, piece_bytes);
    const ReplyReader::Result result = reader.Next(kept);
    kept.erase(0, result.consumed);
    if (result.found == Found::kReply) reply = reader.TakeReply();
    if (result.found != Found::kNothing) return result.found;
  }
  return Found::kNothing;
}

TEST(ReplyReader, Replies) {
  const struct {
    std::string input, text;
  } kVectors[] = {
      {"250 ok\r\n", "250 ok"},
      {"250\r\n", "250"},
      {"250 \r\n", "250"},
      {"250-a\r\n250 b\r\n", "250 a b"},
      {"250-a\n250 b\n", "250 a b"},
      {"553-\r\n553\r\n", "553"},
      {"550 5.1.1 no such user\r\n", "550 5.1.1 no such user"},
      {"550-5.1.1 no\r\n550 5.1.1 such user\r\n", "550 5.1.1 no such user"},
      {"250 5.1.1 a class that does not fit is text\r\n",
       "250 5.1.1 a class that does not fit is text"},
      {"554 \x1b]0;evil\x07\r\n", "554 ?]0;evil?"},
      {"554 a\rb\0c\r\n"s, "554 a?b?c"},
      {"554 \xC3\xA9\r\n", "554 ??"},
  };
  for (const auto& vector : kVectors) {
    for (size_t piece = 1; piece <= vector.input.size(); ++piece) {
      mail::Reply reply;
      ASSERT_EQ(Read(vector.input, piece, reply), Found::kReply) << Escape(vector.input);
      std::string text = reply.ToString();
      while (!text.empty() && text.back() == ' ') text.pop_back();
      EXPECT_EQ(text, vector.text);
    }
  }
}

TEST(ReplyReader, Malformed) {
  for (const std::string& input :
       {"hello\r\n"s, "25\r\n"s, "150 x\r\n"s, "650 x\r\n"s, "250x\r\n"s, "250-a\r\n251 b\r\n"s,
        "\r\n"s, "2 0 x\r\n"s, std::string(5000, '2'), "250 " + std::string(5000, 'x') + "\r\n"}) {
    mail::Reply reply;
    EXPECT_EQ(Read(input, 7, reply), Found::kMalformed) << Escape(input, 20);
  }
}

TEST(ReplyReader, Bounds) {
  const ReplyLimits limits{.max_line_bytes = 100, .max_lines = 3, .max_text_bytes = 10};
  mail::Reply reply;
  EXPECT_EQ(Read("250-a\r\n250-b\r\n250 c\r\n", 100, reply, limits), Found::kReply);
  EXPECT_EQ(Read("250-a\r\n250-b\r\n250-c\r\n250 d\r\n", 100, reply, limits), Found::kMalformed);
  EXPECT_EQ(Read("250-12345678\r\n250-12345678\r\n250 x\r\n", 100, reply, limits), Found::kReply);
  EXPECT_EQ(reply.Text(), "12345678 12");
}

}  // namespace
}  // namespace postern::smtp
