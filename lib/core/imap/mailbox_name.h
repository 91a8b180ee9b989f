// Mailbox names: modified UTF-7 on the wire (RFC 3501 §5.1.3), UTF-8 inside; which names we accept; LIST's wildcards.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::imap {

// DecodeMailboxUtf7 turns a name from the wire into UTF-8. It refuses (nullopt) what RFC 3501 §5.1.3 does not allow: octets
// above 0x7e, a shift that does not end, printable ASCII in base64, surplus bits, lone surrogates, and anything that is a
// control character. So one mailbox has one name on the wire, and no encoding hides a separator.
std::optional<std::string> DecodeMailboxUtf7(std::string_view wire);

// EncodeMailboxUtf7 turns UTF-8 into what goes on the wire. `name` is valid UTF-8: one that is not comes out with U+FFFD.
std::string EncodeMailboxUtf7(std::string_view name);

// CanonicalMailboxName checks a name in UTF-8 that is to be opened or made, and gives the form under which it is kept: INBOX in
// any case, alone or as the first of several levels, becomes "INBOX" (RFC 3501 §5.1); one `separator` at the end is dropped
// (§6.3.3). kInvalidArgument, with a reason for the client, for an empty name or level, for levels "." and "..", for '/' or NUL
// in a level, for wildcards, and beyond 1,000 octets or 64 levels.
StatusOr<std::string> CanonicalMailboxName(std::string_view name, char separator);

// MatchesListPattern tells whether `name` fits `pattern` (both UTF-8): '*' stands for anything, '%' for anything without
// `separator` (RFC 3501 §6.3.8). INBOX fits in any case. Cost is |pattern| * |name|, at worst, without recursion.
bool MatchesListPattern(std::string_view pattern, std::string_view name, char separator);

}  // namespace postern::imap
