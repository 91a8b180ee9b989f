// xtext, the encoding of ESMTP parameter values (RFC 3461 §4), and utf-8-addr-xtext of RFC 6533 §3.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::mail {

// XtextEncode writes printable ASCII other than "+" and "=" as it is and every other octet as +HH.
std::string XtextEncode(std::string_view octets);

// XtextDecode reads xtext exactly; nullopt for characters that may not stand in it and for "+"
// without two upper-case hexadecimal digits (RFC 3461 §4; lower case, which some senders write, is
// taken too).
std::optional<std::string> XtextDecode(std::string_view text);

// Utf8AddressDecode reads the value of ORCPT=utf-8;... in the forms of RFC 6533 §3: "\x{HEX}"
// stands for a character, UTF-8 stands for itself, and what is left is xtext-free ASCII. nullopt
// when it is malformed or not UTF-8.
std::optional<std::string> Utf8AddressDecode(std::string_view text);

// Utf8AddressEncode writes `address` (UTF-8) as utf-8-addr-xtext: ASCII only, other characters,
// "\", "+" and "=" as \x{HEX}.
std::string Utf8AddressEncode(std::string_view address);

}  // namespace postern::mail
