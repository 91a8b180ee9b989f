// Writes the text of a message for the wire: line ends made CRLF, dots stuffed.
#pragma once

#include <string>
#include <string_view>

namespace postern::smtp {

// TextWriter copies pieces of a text to an output, so that whatever line ends went in, only CRLF
// comes out (RFC 5321 §2.3.8: a bare CR or LF that we pass on is a message that we smuggle for
// somebody).
class TextWriter {
 public:
  // `stuff_dots` for DATA (RFC 5321 §4.5.2); BDAT has none.
  explicit TextWriter(bool stuff_dots) : stuff_dots_(stuff_dots) {}

  // Write appends `octets` to `out`. A CR at the end of a piece waits for the next.
  void Write(std::string_view octets, std::string& out);
  // Finish ends the last line when it has no end.
  void Finish(std::string& out);

 private:
  bool stuff_dots_;
  bool at_line_start_ = true;
  bool after_cr_ = false;  // a CR was read and its CRLF is not written yet
};

}  // namespace postern::smtp
