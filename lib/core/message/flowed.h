// Text whose lines flow (RFC 3676, format=flowed).
#pragma once

#include <string>
#include <string_view>

namespace postern::message {

// UnflowText joins the lines of a text/plain part with format=flowed: a line that ends in a blank
// goes on in the next one of the same quote depth (§4.2), "-- " is never joined (§4.3), the blank
// of space-stuffing goes (§4.4), and with `delsp` so does the blank at which lines are joined
// (§4.5). A quoted paragraph is one line behind its ">"s and a blank. Line ends are LF. Linear
// time.
std::string UnflowText(std::string_view text, bool delsp);

// FlowText writes paragraphs (lines of any length, LF or CRLF) as format=flowed without DelSp, in
// lines of at most `width` characters where words allow it, CRLF at their ends. A line that begins
// with ">"s is a quoted paragraph; every line of it gets them.
std::string FlowText(std::string_view text, size_t width = 72);

}  // namespace postern::message
