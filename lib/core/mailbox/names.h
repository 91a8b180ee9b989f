// Mailbox names: which are accepted, how they go on the wire and on disk (modified UTF-7), what
// LIST's wildcards match, and what a name says about the mailbox's use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"

namespace postern::mailbox {

// NameLimits bounds a name. Defaults: what every file system holds (255 octets for a folder of
// Maildir++, dots included).
struct NameLimits {
  size_t max_bytes = 240;  // of the whole name, in UTF-8 and in modified UTF-7
  size_t max_levels = 32;
};

// CanonicalName gives the form under which a mailbox is kept: INBOX in any case, alone or as the
// first level, becomes "INBOX" (RFC 3501 §5.1), and one separator at the end is dropped (§6.3.3).
// `name` is UTF-8. kInvalidArgument, with a reason for the client, for: no valid UTF-8, control
// characters, an empty name or level, levels "." and "..", a level that starts with "~",
// '/' or NUL inside a level, '*', '%', and what is beyond `limits`. Nothing that it accepts leads
// outside the account's folder.
StatusOr<std::string> CanonicalName(std::string_view name, char separator,
                                    const NameLimits& limits = {});

// DecodeMailboxUtf7 turns a name from the wire or disk into UTF-8. nullopt for what RFC 3501 §5.1.3
// does not allow: octets beyond printable ASCII, a shift that does not end, printable ASCII in
// base64, surplus bits, lone surrogates, control characters. So one mailbox has one name, and no
// encoding hides a separator.
std::optional<std::string> DecodeMailboxUtf7(std::string_view wire);

// EncodeMailboxUtf7 turns UTF-8 into modified UTF-7. What is not valid UTF-8 comes out as U+FFFD.
std::string EncodeMailboxUtf7(std::string_view name);

// MatchesListPattern tells whether `name` fits `pattern`: '*' stands for anything, '%' for anything
// without `separator` (RFC 3501 §6.3.8); INBOX fits in any case. Time is at most |pattern|*|name|,
// memory |name|, whatever the pattern.
bool MatchesListPattern(std::string_view pattern, std::string_view name, char separator);

// SpecialUse is what a mailbox is for (RFC 6154 §2).
enum class SpecialUse : uint8_t {
  kNone,
  kAll,
  kArchive,
  kDrafts,
  kFlaggedMail,
  kJunk,
  kSent,
  kTrash
};

// SpecialUseName gives "\Junk" and its like, "" for kNone.
std::string_view SpecialUseName(SpecialUse use);

// SpecialUseOf guesses the use from the name at the top level, as clients name their folders
// ("Sent", "Sent Messages", "Spam").
SpecialUse SpecialUseOf(std::string_view name);

}  // namespace postern::mailbox
