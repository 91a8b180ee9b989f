#include "lib/core/milter/reply_text.h"

#include <gtest/gtest.h>

namespace postern::milter {
namespace {

TEST(MilterReplyText, IsRead) {
  struct Row {
    std::string_view text;
    std::string_view wire;
  };
  const Row rows[] = {
      {"550 5.7.1 go away", "550 5.7.1 go away\r\n"},
      {"451 later", "451 later\r\n"},
      {"550", "550 \r\n"},
      {"550 5.7.1", "550 5.7.1 \r\n"},
      {"550 4.7.1 of another class", "550 4.7.1 of another class\r\n"},
      {"550 100%% sure", "550 100% sure\r\n"},
      {"550 50%x 1%", "550 50x 1\r\n"},
      {"554-5.7.1 one\r\n554-5.7.1 two\r\n554 5.7.1 three",
       "554-5.7.1 one\r\n554-5.7.1 two\r\n554 5.7.1 three\r\n"},
      {"554-one\n554 two", "554-one\r\n554 two\r\n"},
      {"421 4.7.0 bye", "421 4.7.0 bye\r\n"},
  };
  for (const Row& row : rows) {
    const StatusOr<mail::Reply> reply = ReadReplyText(row.text, 1000);
    ASSERT_TRUE(reply.ok()) << row.text;
    EXPECT_EQ(reply->ToWire(), row.wire);
  }
}

TEST(MilterReplyText, WhatIsNoReplyIsRefused) {
  for (const std::string_view text : {"", "no", "250 fine", "354 go on", "55 x", "5500 x", "550x",
                                      "+50 x", "600 x", "550-one\r\n551 two", "550-one\r\ntwo"}) {
    EXPECT_FALSE(ReadReplyText(text, 1000).ok()) << text;
  }
  EXPECT_FALSE(ReadReplyText("550 0123456789", 13).ok());
  EXPECT_TRUE(ReadReplyText("550 0123456789", 14).ok());
}

TEST(MilterReplyText, IsWrittenAndReadBack) {
  mail::Reply reply(550, {5, 7, 1}, "100% sure\r\n250 ok");
  reply.lines.push_back("two");
  const std::string text = WriteReplyText(reply);
  EXPECT_EQ(text, "550-5.7.1 100%% sure250 ok\r\n550 5.7.1 two");
  const StatusOr<mail::Reply> back = ReadReplyText(text, 1000);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->lines, (std::vector<std::string>{"100% sure250 ok", "two"}));
}

}  // namespace
}  // namespace postern::milter
