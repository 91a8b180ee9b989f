// Address lists of header fields (RFC 5322 §3.4 and §4.4, RFC 6532): From, To, Cc and the like.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postern::message {

// Past this many mailboxes of one field the rest is passed over.
inline constexpr size_t kMaxMailboxes = 10'000;

// Mailbox is one address of a header, bounds of a group, or what could be read of a malformed one.
// Strings are as written, without quotes, escapes, folding and comments; encoded words in `name`
// are still encoded.
struct Mailbox {
  enum class Kind : unsigned char { kAddress, kGroupStart, kGroupEnd } kind = Kind::kAddress;
  std::string name;  // display name, or the name of the group; else the comment behind an address
                     // without a name
  std::string local_part;  // without quotes
  std::string domain;  // as written, with brackets for a literal; empty when the text had no "@"

  // DisplayName is `name` decoded to UTF-8.
  std::string DisplayName() const;
  // Address is local-part@domain, the local part quoted when it must be.
  std::string Address() const;
};

// AddressListDefects tells where in a value the first fault of each kind shows; npos without one.
struct AddressListDefects {
  size_t missing_comma = std::string_view::npos;  // two addresses without a comma between
  // What RFC 5322 §3.4 and §4.4 do not have: no address, one without local part or domain, words
  // beside one without brackets, an "@" in a display name, something not closed.
  size_t malformed = std::string_view::npos;
};

// ParseAddressList reads a field value. It bears with what mail has: obsolete routes (dropped),
// empty elements, missing brackets and commas, dots and "@" in display names, unclosed comments and
// quotes, text that is no address (a Mailbox with only a local part). Two words with a blank
// between are never joined to one address. Time is linear; comments nest to any depth. `defects`
// may be null.
std::vector<Mailbox> ParseAddressList(std::string_view value,
                                      AddressListDefects* defects = nullptr);

// FormatMailbox writes `name <local@domain>` for a header: the name (UTF-8) quoted or encoded as
// RFC 5322 and RFC 2047 want it. `column` is how many characters stand before it on its line.
std::string FormatMailbox(std::string_view name, std::string_view address, size_t column = 1);

}  // namespace postern::message
