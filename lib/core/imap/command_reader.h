// CommandReader: the framing of commands (RFC 3501 §2.2.1, §4.3; RFC 7888): lines that end in "{n}"
// or "{n+}" go on behind n octets, and a command ends with the first line that does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/base/buffer.h"

namespace postern::imap {

// CommandReader gathers one command at a time out of a queue of octets. A command is kept with its
// literals in place, each as
// "{n}" CRLF and its octets, which is what Scanner reads; the last line end is dropped.
class CommandReader {
 public:
  // Literal is one that is announced: the command so far stands in text(), up to but without the
  // "{".
  struct Literal {
    uint64_t size_bytes = 0;
    bool synchronizing = true;  // the client waits for "+" (RFC 3501 §7.5)
  };

  enum class Progress : uint8_t {
    kNeedInput,  // the queue is empty, or holds half a literal
    kCommand,    // text() is a whole command
    kLiteral,    // literal() is announced: call TakeLiteral, or take its octets out of the queue
                 // yourself
    kTooLong,    // the command is over the limit; the rest of its line was dropped
    kTooLongLiteral,  // the same, and a non-synchronizing literal stands behind it: its octets
                      // would be taken for commands
    kEndless,         // more than the bound was dropped of one line: end the connection
    kBadOctet,  // a NUL or a bare CR stands in it (RFC 3501 §9: neither is a CHAR of a line); the
                // line was dropped
  };

  // Read goes on. `limit_bytes` bounds the command with its literals, `discard_limit_bytes` what is
  // read over of a line beyond that while its end is looked for. Lines end in CRLF; LF alone is
  // understood.
  Progress Read(ByteQueue& input, size_t limit_bytes, size_t discard_limit_bytes);

  // TakeLiteral makes the announced literal part of the command. Its size must fit the limit.
  void TakeLiteral();

  const Literal& literal() const { return literal_; }
  // text lends the command so far; of one that is over the limit, its beginning.
  std::string_view text() const { return text_; }
  // Clear makes ready for the next command and gives memory back.
  void Clear();
  // idle tells whether no octet of a command has come.
  bool idle() const { return text_.empty() && !discarding_; }

 private:
  Progress EndOfLine();

  std::string text_;
  size_t line_start_ = 0;  // where the line that is being read begins in text_
  uint64_t literal_left_ = 0;
  bool discarding_ = false;  // over the limit: octets up to the line's end are dropped
  bool bad_octet_ = false;
  size_t discarded_bytes_ = 0;  // of the command
  std::string tail_;            // of a discarded line: its last octets, to see a literal
  Literal literal_;
};

}  // namespace postern::imap
