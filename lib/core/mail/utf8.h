// UTF-8 as mail needs it (RFC 3629, RFC 6532 §3.1): is it valid, cut it, make it valid.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::mail {

// U+FFFD, what stands for octets that mean nothing.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// DecodeUtf8 reads one character of RFC 3629 from the front of `text` (no surrogates, no overlong
// forms, at most U+10FFFF) and sets `*length` to its octets. When the front is not a character it
// returns -1 and sets `*length` to 1. `text` is not empty.
int32_t DecodeUtf8(std::string_view text, size_t* length);

// AppendUtf8 adds `code_point` to `out`; what is not a Unicode scalar value becomes U+FFFD.
void AppendUtf8(uint32_t code_point, std::string& out);

// IsValidUtf8 tells whether all of `text` is UTF-8; ASCII is.
bool IsValidUtf8(std::string_view text);

// ScrubUtf8 copies `text`, each octet that is not part of a valid character replaced by U+FFFD.
std::string ScrubUtf8(std::string_view text);

// TruncateUtf8 is the longest prefix of at most `max_bytes` octets that does not end inside a
// character.
std::string_view TruncateUtf8(std::string_view text, size_t max_bytes);

}  // namespace postern::mail
