#include "lib/core/mail/line_ends.h"

#include <gtest/gtest.h>

namespace postern::mail {
namespace {

TEST(LineEnds, AreCrlf) {
  const struct {
    const char* text;
    const char* lines;
    const char* ended;
  } cases[] = {
      {"", "", ""},
      {"a", "a", "a\r\n"},
      {"a\n\nb\n", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
      {"a\r\nb", "a\r\nb", "a\r\nb\r\n"},
      {"\n", "\r\n", "\r\n"},
      {"a\rb\r", "a\rb\r", "a\rb\r\r\n"},
      {"a\r\r\n", "a\r\r\n", "a\r\r\n"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(CrlfLines(each.text), each.lines) << each.text;
    EXPECT_EQ(WithCrlf(each.text), each.ended) << each.text;
  }
}

}  // namespace
}  // namespace postern::mail
