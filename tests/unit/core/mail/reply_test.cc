#include "lib/core/mail/reply.h"

#include "gtest/gtest.h"

namespace postern::mail {
namespace {

// RFC 2034 §4: one enhanced status, of the code's class.
TEST(Reply, FromTextOfOperatorsAndFilters) {
  const struct {
    const char* text;
    const char* wire;
  } rows[] = {
      {"550 5.7.1 go away", "550 5.7.1 go away\r\n"},
      {"550 go away", "550 go away\r\n"},
      {" 451  4.7.1  later ", "451 4.7.1 later\r\n"},
      {"550 5.7.1", "550 5.7.1 \r\n"},
      // of another class
      {"451 5.7.1 later", "451 4.7.1 later\r\n"},
      {"550 4.2.0 never", "550 5.2.0 never\r\n"},
      // several
      {"451 4.7.1 5.7.1 text", "451 4.7.1 text\r\n"},
      {"451 5.7.1 4.3.2 text", "451 4.3.2 text\r\n"},
      {"550 5.7.1 5.7.1 text", "550 5.7.1 text\r\n"},
      {"550 5.1.1 5.7.1 5.2.2", "550 5.1.1 \r\n"},
      {"550 4.1.1 4.7.1 text", "550 5.1.1 text\r\n"},
      // no status
      {"550 5.7 x", "550 5.7 x\r\n"},
      {"550 5.7.1: x", "550 5.7.1: x\r\n"},
      {"550 5.7.1 the text has 5.7.2 in it", "550 5.7.1 the text has 5.7.2 in it\r\n"},
      {"550 5.7.1 192.0.2.1 is listed", "550 5.7.1 192.0.2.1 is listed\r\n"},
  };
  for (const auto& row : rows) {
    const StatusOr<Reply> reply = Reply::FromText(row.text);
    ASSERT_TRUE(reply.ok()) << row.text;
    EXPECT_EQ(reply->ToWire(), row.wire) << row.text;
  }
  for (const char* wrong : {"", "5", "250 2.0.0 fine", "600 x", "550x", "5.7.1 x"})
    EXPECT_FALSE(Reply::FromText(wrong).ok()) << wrong;
}

// What another server said is told as it was.
TEST(Reply, FromTextOfAnswers) {
  for (const char* text :
       {"550 5.7.1 5.1.1 no", "550 4.7.1 no", "250 2.1.5 2.1.5 fine", "354 go"}) {
    const StatusOr<Reply> reply = Reply::FromText(text, /*any_class=*/true);
    ASSERT_TRUE(reply.ok()) << text;
    EXPECT_EQ(reply->ToString(), text);
  }
}

TEST(Reply, ToWireHasOneStatusOnEachLine) {
  Reply reply(554, {5, 7, 1}, "5.7.1 one");
  reply.lines = {"5.7.1 one", "5.7.1 4.7.0 two", "5.7.9", "", "in 5.7.1 line"};
  EXPECT_EQ(reply.ToWire(),
            "554-5.7.1 one\r\n554-5.7.1 two\r\n554-5.7.1 \r\n554-5.7.1 \r\n554 5.7.1 in 5.7.1 "
            "line\r\n");
  // Without a status of its own the text's are left: what they are is not known here.
  reply.status = {};
  reply.lines = {"5.7.1 one"};
  EXPECT_EQ(reply.ToWire(), "554 5.7.1 one\r\n");
}

}  // namespace
}  // namespace postern::mail
