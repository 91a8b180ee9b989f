#include "lib/core/smtp/text_writer.h"

#include <algorithm>

namespace postern::smtp {

void TextWriter::Write(std::string_view octets, std::string& out) {
  size_t at = 0;
  while (at < octets.size()) {
    if (after_cr_) {
      // CR LF is one line end; CR before anything else is one too.
      out.append("\r\n");
      after_cr_ = false;
      at_line_start_ = true;
      if (octets[at] == '\n') {
        ++at;
        continue;
      }
    }
    const size_t end = std::min(octets.find_first_of("\r\n", at), octets.size());
    if (end > at) {
      if (at_line_start_ && stuff_dots_ && octets[at] == '.') out.push_back('.');
      out.append(octets.substr(at, end - at));
      at_line_start_ = false;
    }
    if (end == octets.size()) return;
    if (octets[end] == '\r') {
      after_cr_ = true;
    } else {
      out.append("\r\n");
      at_line_start_ = true;
    }
    at = end + 1;
  }
}

void TextWriter::Finish(std::string& out) {
  if (after_cr_ || !at_line_start_) out.append("\r\n");
  after_cr_ = false;
  at_line_start_ = true;
}

}  // namespace postern::smtp
