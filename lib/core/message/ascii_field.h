// A header field with 8-bit octets, written in ASCII: for a server that takes no others (RFC 6152
// §3 speaks of bodies only; RFC 6531 §3.2 forbids to send such a header to one without SMTPUTF8).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/message/header_field.h"

namespace postern::message {

// AsciiField writes `field` anew in ASCII, folded and ended by CRLF. People read the same in it,
// and a program finds what it looks for where ASCII can say it; the forms are those of RFC 6857
// §3.1:
//   - text is written in encoded words (RFC 2047), of UTF-8, or of windows-1252 taken for UTF-8
//     where the octets are none, as DecodeText reads them everywhere;
//   - of addresses the names too, while domains become A-labels (RFC 5891); an address that is not
//     ASCII even so is named by a group without members;
//   - parameters of Content-Type and Content-Disposition take the form of RFC 2231;
//   - of fields for programs (Received, References) comments become encoded words; one with 8-bit
//     octets elsewhere would mean something else, and goes under the name "Downgraded-" (§3.1.10).
// Of addresses and parameters comments are lost, but for one that is the only name. nullopt when it
// cannot be done: it has no name (IsFieldName) or a very long one, more addresses than are read, or
// a boundary that is not ASCII.
std::optional<std::string> AsciiField(const Header& field);

// IsFieldName tells whether a line with this name before its colon is a field: printable ASCII, as
// RFC 5322 §2.2 wants it, and blanks, as mail has it.
bool IsFieldName(std::string_view name);

}  // namespace postern::message
