// Charsets: octets of any of them to UTF-8, through ICU and a list of the aliases that mail has.
#pragma once

#include <string>
#include <string_view>

namespace postern::message {

// AppendAsUtf8 decodes `octets` in `charset` and adds the UTF-8 to `out`. Names compare without
// case, quotes and blanks; the ones mail writes wrongly are known. An unknown charset, and an empty
// one, is taken for UTF-8 when it is valid UTF-8 and for windows-1252 otherwise. It returns false
// when the charset was unknown or octets had no meaning in it (they become U+FFFD).
bool AppendAsUtf8(std::string_view charset, std::string_view octets, std::string& out);

// IsKnownCharset tells whether AppendAsUtf8 has a decoder for the name.
bool IsKnownCharset(std::string_view charset);

// EncodeFromUtf8 writes `text` (UTF-8) in `charset`; false when the charset is unknown or cannot
// hold the text, and then `out` is as it was.
bool EncodeFromUtf8(std::string_view charset, std::string_view text, std::string& out);

// FoldCase is `text` (UTF-8) in Unicode's default case folding, for comparing without case. Invalid
// octets become U+FFFD.
std::string FoldCase(std::string_view text);

}  // namespace postern::message
