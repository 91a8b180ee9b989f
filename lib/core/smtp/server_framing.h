// Where things end on the wire: a command line, a text sent by DATA, a chunk sent by BDAT. Nothing
// here knows what a command means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/smtp/server_session.h"

namespace postern::smtp {

// InputBuffer keeps what the peer has said and nobody has read yet. Its memory grows on demand up
// to the bound, stays while a message flows through it, and is given back by Release.
class InputBuffer {
 public:
  // Append takes as much of `octets` as `limit_bytes` allows and returns how much that was.
  size_t Append(std::string_view octets, size_t limit_bytes);
  std::string_view View() const { return std::string_view(bytes_).substr(start_); }
  // data lends the same octets for changes in place.
  char* data() { return bytes_.data() + start_; }
  size_t size() const { return bytes_.size() - start_; }
  bool empty() const { return size() == 0; }
  void Consume(size_t n);
  // ConsumeAndWipe overwrites what it drops: for lines with passwords.
  void ConsumeAndWipe(size_t n);
  void Clear();
  // Release gives the memory back when nothing is kept.
  void Release();

 private:
  std::string bytes_;
  size_t start_ = 0;
};

// LineScanner finds the end of one command line, without looking at any octet twice.
class LineScanner {
 public:
  enum class Found : uint8_t { kNothing, kLine, kBareLf, kTooLong };
  struct Result {
    Found found = Found::kNothing;
    std::string_view line;  // without its end; kLine and kBareLf
    size_t consumed = 0;    // octets with the end; for kTooLong all that may be dropped now
  };

  // Next looks for the end of the line that `input` starts with. `limit_bytes` counts CRLF.
  // kTooLong is told once, when the end of the overlong line has come; until then kNothing comes
  // with `consumed` > 0: octets that are of no use any more.
  Result Next(std::string_view input, size_t limit_bytes);
  // overlong_bytes is how much of an overlong line was dropped so far.
  size_t overlong_bytes() const { return dropped_; }
  void Reset() { scanned_ = dropped_ = 0; }

 private:
  size_t scanned_ = 0;
  size_t dropped_ = 0;
};

// TextFramer takes the dots out of a text sent by DATA (RFC 5321 §4.5.2) and finds its end: a line
// of one dot, where a line starts behind CRLF (or at the very start) and ends in CRLF, and nothing
// else (§4.1.1.4). A bare CR, a bare LF and a NUL are content, and remembered: stopping early would
// leave the two sides out of step.
class TextFramer {
 public:
  struct Result {
    size_t consumed = 0;    // octets of the input that are done with
    size_t text_bytes = 0;  // the text stands in data[0 .. text_bytes)
    bool ended = false;     // the final dot was met: what follows `consumed` is the next command
  };

  // Next works on data[0 .. size), moving text over the stuffed dots in place. It may leave the
  // last two octets for the next time ("\r", ".", ".\r").
  Result Next(char* data, size_t size);

  uint8_t defects() const { return defects_; }
  uint64_t longest_line_bytes() const { return longest_line_; }

 private:
  void EndLine(uint64_t bytes);

  bool at_line_start_ = true;
  uint8_t defects_ = 0;
  uint64_t line_bytes_ = 0;
  uint64_t longest_line_ = 0;
};

// TextChecker looks for the same defects in octets that need no unstuffing (BDAT with BODY other
// than BINARYMIME).
class TextChecker {
 public:
  void Scan(std::string_view octets);
  // Finish is called behind the last chunk.
  void Finish();

  uint8_t defects() const { return defects_; }
  uint64_t longest_line_bytes() const { return longest_line_; }

 private:
  bool after_cr_ = false;
  bool at_line_start_ = true;
  uint8_t defects_ = 0;
  uint64_t line_bytes_ = 0;
  uint64_t longest_line_ = 0;
};

// LooksForeign tells whether `start`, the first octets a client sent, cannot be SMTP: TLS, or
// binary data. It answers from the first octets alone, because no line end may ever come; "" when
// there is nothing to object to, else what it looks like.
std::string_view LooksForeign(std::string_view start);

}  // namespace postern::smtp
