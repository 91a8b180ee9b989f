#include "lib/store/mailbox/crlf.h"

#include <gtest/gtest.h>

namespace postern::mailbox {
namespace {

TEST(CrlfTest, ThereAndBackInAnyCut) {
  struct Row {
    const char* in;
    const char* file;
    const char* out;
  };
  const Row rows[] = {
      {"", "", ""},
      {"a\r\nb\r\n", "a\nb\n", "a\r\nb\r\n"},
      {"a\nb", "a\nb", "a\r\nb"},
      {"\r", "\r", "\r"},
      {"a\rb\r\r\n\r\r\r\nc\r", "a\rb\r\r\n\r\r\r\nc\r", "a\rb\r\r\n\r\r\r\nc\r"},
      {"\n\r\n\n", "\n\n\n", "\r\n\r\n\r\n"},
  };
  for (const Row& row : rows) {
    const std::string in = row.in;
    for (size_t step = 1; step <= in.size() + 1; ++step) {
      LfDecoder decoder;
      std::string file;
      for (size_t at = 0; at < in.size(); at += step)
        decoder.Append(std::string_view(in).substr(at, step), file);
      decoder.Finish(file);
      EXPECT_EQ(file, row.file) << in << " by " << step;
      CrlfEncoder encoder;
      CrlfEncoder counter;
      std::string out;
      uint64_t count = 0;
      for (size_t at = 0; at < file.size(); at += step) {
        encoder.Append(std::string_view(file).substr(at, step), out);
        count += counter.Count(std::string_view(file).substr(at, step));
      }
      EXPECT_EQ(out, row.out) << in << " by " << step;
      EXPECT_EQ(count, out.size());
    }
  }
}

}  // namespace
}  // namespace postern::mailbox
