// Reads a server's replies (RFC 5321 §4.2), suspicious of everything: what a reply says ends in
// logs, bounces and queues.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/mail/reply.h"

namespace postern::smtp {

struct ReplyLimits {
  size_t max_line_bytes = 4096;
  size_t max_lines = 100;
  size_t max_text_bytes = 16'384;
};

// ReplyReader puts replies together line by line.
class ReplyReader {
 public:
  enum class Found : uint8_t { kNothing, kReply, kMalformed };
  struct Result {
    Found found = Found::kNothing;
    size_t consumed = 0;
  };

  explicit ReplyReader(ReplyLimits limits) : limits_(limits) {}

  // Next reads at most one reply from the front of `input`; lines that are complete are consumed in
  // any case. At kReply TakeReply has it; at kMalformed error() says what is wrong, and the
  // connection is of no use any more.
  //
  // A reply line is three digits, the first of them 2 to 5, then "-" or a blank and text, or
  // nothing (RFC 5321 §4.2.1); all lines of a reply have the same code. A bare LF ends a line too.
  // Octets that are not printable ASCII become "?", so that no text of a server can start a line, a
  // terminal sequence or a field of ours.
  Result Next(std::string_view input);

  mail::Reply TakeReply();
  std::string_view error() const { return error_; }
  // partial tells whether a reply was begun.
  bool partial() const { return lines_ > 0; }

 private:
  Result Malformed(std::string_view error);

  ReplyLimits limits_;
  mail::Reply reply_;
  size_t lines_ = 0;
  size_t text_bytes_ = 0;
  size_t scanned_ = 0;
  std::string_view error_;
};

}  // namespace postern::smtp
