// Sequence sets (RFC 3501 §9, sequence-set): "1:4,7,9:*", of message numbers or of UIDs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mailbox/uid_set.h"

namespace postern::imap {

// SequenceSet is the set as the client wrote it. What "*" means is known only where it is used: the
// largest number in the mailbox (RFC 3501 §9, seq-number).
struct SequenceSet {
  static constexpr uint32_t kStar = 0;  // 0 is no message number, so it stands for "*"

  // Range runs from `first` to `last`, both included, in either order (RFC 3501 §9: "2:4" and "4:2"
  // are equivalent).
  struct Range {
    uint32_t first = 0;
    uint32_t last = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };
  std::vector<Range> ranges;

  bool empty() const { return ranges.empty(); }

  // Resolve gives the numbers that are meant, with `largest` for "*". When `largest` is 0 (an empty
  // mailbox) "*" is nothing, and so is a range that ends in it.
  mailbox::UidSet Resolve(uint32_t largest) const;

  // ToString writes the set as the protocol does. "" for an empty set.
  std::string ToString() const;

  friend bool operator==(const SequenceSet&, const SequenceSet&) = default;
};

// ParseSequenceSet reads exactly `text`; nullopt for a syntax error, a zero, a number above 2^32-1
// or more than `max_ranges`.
std::optional<SequenceSet> ParseSequenceSet(std::string_view text, size_t max_ranges = 16384);

}  // namespace postern::imap
