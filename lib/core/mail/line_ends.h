// Line ends of SMTP and IMAP: CRLF (RFC 5321 §2.3.8).
#pragma once

#include <string>
#include <string_view>

namespace postern::mail {

// CrlfLines gives `text` with CRLF where it has LF alone. A lone CR stays.
std::string CrlfLines(std::string_view text);

// WithCrlf is CrlfLines, and a last line without its end gets one.
std::string WithCrlf(std::string_view text);

}  // namespace postern::mail
