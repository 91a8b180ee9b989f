// The message that the benches of DKIM sign and verify.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

namespace postern::bench {

inline std::string MakeBody(size_t bytes) {
  static constexpr const char* kWords[] = {"the",  "message", "of",    "a",   "person", "who",
                                           "says", "what",    "there", "is,", "writes", "lines."};
  std::string body;
  uint32_t seed = 1;
  size_t column = 0;
  while (body.size() < bytes) {
    seed = seed * 1103515245 + 12345;
    const std::string_view word = kWords[(seed >> 16) % std::size(kWords)];
    if (column + word.size() > 72) {
      body += "\r\n";
      column = 0;
    } else if (column != 0) {
      body += ' ';
    }
    body += word;
    column += word.size() + 1;
  }
  return body + "\r\n";
}

inline std::string MakeMessage(size_t body_bytes) {
  return "Received: from mail.example.com (mail.example.com [192.0.2.1])\r\n"
         "\tby mx.example.net with ESMTPS id 4Rk2bC3z\r\n"
         "\tfor <bob@example.net>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n"
         "From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.net>\r\n"
         "Subject: A message of ordinary size for measuring\r\n"
         "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <20231114221320.1@example.org>\r\n"
         "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
         "Content-Transfer-Encoding: 7bit\r\nUser-Agent: Example/1.0\r\n\r\n" +
         MakeBody(body_bytes);
}

}  // namespace postern::bench
