#include "lib/core/smtp/text_writer.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

TEST(TextWriter, Vectors) {
  const struct {
    std::string text, stuffed, plain;
  } kVectors[] = {
      {"", "", ""},
      {"a", "a\r\n", "a\r\n"},
      {"a\r\n", "a\r\n", "a\r\n"},
      {"a\n", "a\r\n", "a\r\n"},
      {"a\r", "a\r\n", "a\r\n"},
      {"a\rb\nc\r\nd", "a\r\nb\r\nc\r\nd\r\n", "a\r\nb\r\nc\r\nd\r\n"},
      {".\r\n", "..\r\n", ".\r\n"},
      {"a\n.\nb", "a\r\n..\r\nb\r\n", "a\r\n.\r\nb\r\n"},
      {"a\r.\r\nb", "a\r\n..\r\nb\r\n", "a\r\n.\r\nb\r\n"},
      {"\r\r\n\n", "\r\n\r\n\r\n", "\r\n\r\n\r\n"},
      {"..a.\r\n", "...a.\r\n", "..a.\r\n"},
  };
  for (const auto& vector : kVectors) {
    for (const bool stuff : {true, false}) {
      for (size_t piece = 1; piece <= 9; ++piece) {
        TextWriter writer(stuff);
        std::string out;
        for (size_t at = 0; at < vector.text.size(); at += piece)
          writer.Write(std::string_view(vector.text).substr(at, piece), out);
        writer.Finish(out);
        EXPECT_EQ(out, stuff ? vector.stuffed : vector.plain)
            << Escape(vector.text) << " by " << piece;
      }
    }
  }
}

}  // namespace
}  // namespace postern::smtp
