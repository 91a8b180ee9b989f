// How strings go out (RFC 3501 §4.3, §9): as an atom, in quotes, as a literal, or as NIL. The
// reading of them is in scanner.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::imap {

// AppendString writes `s` as a quoted string when it may stand in one (7-bit, no CR, LF or NUL, at
// most 1,000 octets), else as a literal. A NUL, which no literal may hold (RFC 3501 §9, CHAR8),
// goes out as '?'.
void AppendString(std::string& out, std::string_view s);

// AppendAString writes `s` as it is when it is a plain word, else as AppendString does.
void AppendAString(std::string& out, std::string_view s);

// AppendNString writes NIL for nullopt, else as AppendString does.
void AppendNString(std::string& out, const std::optional<std::string>& s);

// AppendText adds human-readable text of a response (RFC 3501 §9, text): one line of printable
// ASCII, whatever `s` holds.
void AppendText(std::string& out, std::string_view s);

}  // namespace postern::imap
