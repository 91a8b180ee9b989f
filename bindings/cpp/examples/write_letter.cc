// Writes a message with a text, the same in HTML, a picture in it and an attachment that is read
// while it is written.
#include <cstdio>
#include <cstring>
#include <iostream>

#include <postern/message.hpp>

int main() {
  postern::Letter letter;
  letter.From("Jürgen Müller", "juergen@example.org")
      .To("Ann", "ann@example.com")
      .Subject("Grüße aus München")
      .Text("Hello Ann,\nthe picture is below.\n")
      .Html("<p>Hello Ann,</p><img src=\"cid:sun@example.org\">")
      .Show("sun@example.org", "image/png", "not really a picture");
  std::size_t left = 100'000;
  letter.AttachStream("zeros.bin", "application/octet-stream",
                      [&left](char* to, std::size_t size) -> std::optional<std::size_t> {
                        const std::size_t count = size < left ? size : left;
                        std::memset(to, 0, count);
                        left -= count;
                        return count;
                      });
  const auto written = letter.Write([](std::string_view octets) {
    return std::fwrite(octets.data(), 1, octets.size(), stdout) == octets.size();
  });
  if (!written) {
    std::cerr << written.error().message << "\n";
    return 1;
  }
  return 0;
}
