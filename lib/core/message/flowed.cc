#include "lib/core/message/flowed.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"

namespace postern::message {
namespace {

// TakeLine takes the first line off `text`, without its line end.
std::string_view TakeLine(std::string_view* text) {
  const size_t lf = text->find('\n');
  std::string_view line = text->substr(0, lf);
  text->remove_prefix(lf == std::string_view::npos ? text->size() : lf + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

size_t QuoteDepth(std::string_view line) {
  return std::min(line.find_first_not_of('>'), line.size());
}

void AppendQuotes(size_t depth, std::string& out) {
  out.append(depth, '>');
  if (depth > 0) out.push_back(' ');
}

}  // namespace

std::string UnflowText(std::string_view text, bool delsp) {
  std::string out;
  out.reserve(text.size());
  bool flowing = false;  // the line before goes on
  size_t depth_before = 0;
  while (!text.empty()) {
    std::string_view line = TakeLine(&text);
    const size_t depth = QuoteDepth(line);
    line.remove_prefix(depth);
    if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    const bool signature = line == "-- ";
    // §4.5: a flowed line before another depth, or before the signature, ends its paragraph.
    if (flowing && (depth != depth_before || signature)) {
      out.push_back('\n');
      flowing = false;
    }
    if (!flowing) AppendQuotes(depth, out);
    const bool flows = !signature && !line.empty() && line.back() == ' ';
    if (flows && delsp) line.remove_suffix(1);
    out.append(line);
    if (!flows) out.push_back('\n');
    flowing = flows;
    depth_before = depth;
  }
  if (flowing) out.push_back('\n');
  return out;
}

std::string FlowText(std::string_view text, size_t width) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  width = std::max<size_t>(width, 8);
  while (!text.empty()) {
    std::string_view line = TakeLine(&text);
    const size_t depth = QuoteDepth(line);
    line.remove_prefix(depth);
    if (depth > 0 && !line.empty() && line.front() == ' ') line.remove_prefix(1);
    const bool signature = depth == 0 && line == "-- ";
    // A blank at the end would say that the line goes on.
    while (!signature && !line.empty() && line.back() == ' ') line.remove_suffix(1);
    do {
      AppendQuotes(depth, out);
      const size_t room = width > depth + 2 ? width - depth - 2 : 1;
      size_t take = line.size();
      if (take > room) {
        const size_t blank = line.rfind(' ', room);
        const size_t next =
            blank != std::string_view::npos && blank > 0 ? blank : line.find(' ', room);
        // The blanks stay at the end of the line: they are what makes it flow.
        take = next == std::string_view::npos
                   ? line.size()
                   : std::min(line.find_first_not_of(' ', next), line.size());
      }
      if (take < line.size() && line.substr(0, take) == "-- ") {
        // §4.3: alone on its line it would be taken for the signature.
        const size_t next = line.find(' ', take);
        take = next == std::string_view::npos
                   ? line.size()
                   : std::min(line.find_first_not_of(' ', next), line.size());
      }
      const std::string_view piece = line.substr(0, take);
      line.remove_prefix(take);
      // §4.4: what could be read as a quote, a stuffed blank or an mbox line is stuffed.
      if (depth == 0 && !piece.empty() &&
          (piece.front() == ' ' || piece.front() == '>' || piece.substr(0, 5) == "From "))
        out.push_back(' ');
      out.append(piece);
      out.append("\r\n");
    } while (!line.empty());
  }
  return out;
}

}  // namespace postern::message
