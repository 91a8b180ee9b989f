// SEARCH's criteria (RFC 3501 §6.4.4), from text to mailbox::SearchKey.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/mailbox/search.h"

namespace postern::imap {

class Scanner;

// SearchContext is what criteria are read against.
struct SearchContext {
  // what "*" is among message numbers: how many messages the session knows of
  uint32_t largest_number = 0;
  uint32_t largest_uid = 0;  // and among UIDs
  int depth_limit = 32;      // parentheses, NOT and OR inside one another
  size_t keys_limit = 1000;
};

// ParseSearchCriteria reads all of `text`: an optional CHARSET and one or more keys.
// kInvalidArgument is a syntax error (BAD), with the reason; kUnimplemented is a charset that is
// not known (NO [BADCHARSET], RFC 3501 §6.4.4: US-ASCII and UTF-8 are).
StatusOr<mailbox::SearchKey> ParseSearchCriteria(std::string_view text,
                                                 const SearchContext& context);

}  // namespace postern::imap
