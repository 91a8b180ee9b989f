// Quoted-printable (RFC 2045 §6.7).
#pragma once

#include <string>
#include <string_view>

namespace postern::mail {

// QuotedPrintableEncode writes `octets` in lines of at most 76 characters ended by CRLF. As text,
// CRLF and bare LF are line ends and stay so; with `binary`, every CR and LF is encoded. Blanks at
// the end of a line, "From " at its start and a lone dot are encoded too, so that no relay changes
// them (RFC 2049 §3).
std::string QuotedPrintableEncode(std::string_view octets, bool binary = false);

// QuotedPrintableDecode appends to `out` what `text` holds. Line ends stay as they are; blanks
// before a line end go (RFC 2045 §6.7 rule 3); soft line breaks go; "=" before anything else stays.
// It returns whether the text was correct; 8-bit octets and lines over 76 characters do not count
// against it.
bool QuotedPrintableDecode(std::string_view text, std::string& out);

}  // namespace postern::mail
