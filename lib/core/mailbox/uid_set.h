// Sets of message numbers (UIDs or sequence numbers) as ranges: the algebra works on ranges, so
// that "1:4294967295" costs as much as "7".
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern::mailbox {

inline constexpr uint32_t kMaxNumber = 4294967295u;  // RFC 3501 §9, nz-number

// UidRange runs from `first` to `last`, both included; 1 <= first <= last.
struct UidRange {
  uint32_t first = 0;
  uint32_t last = 0;
  friend bool operator==(const UidRange&, const UidRange&) = default;
};

// UidSet is a set of numbers 1..2^32-1 as ascending ranges that neither touch nor overlap. A value;
// n is its number of ranges.
class UidSet {
 public:
  UidSet() = default;
  UidSet(std::initializer_list<uint32_t> numbers);

  // Of is {number}; OfRange is first..last in either order (RFC 3501 §9: "2:4" and "4:2" are
  // equivalent); FromNumbers takes numbers in any order. Zero is no number: it is left out, and a
  // range that starts at 0 starts at 1.
  static UidSet Of(uint32_t number) { return OfRange(number, number); }
  static UidSet OfRange(uint32_t first, uint32_t last);
  static UidSet FromNumbers(std::span<const uint32_t> numbers);
  // FromRanges takes ranges in any order, overlapping or reversed.
  static UidSet FromRanges(std::span<const UidRange> ranges);

  // Add is cheap at the end (rising numbers), O(n) elsewhere.
  void Add(uint32_t number) { AddRange(number, number); }
  void AddRange(uint32_t first, uint32_t last);

  bool empty() const { return ranges_.empty(); }
  bool Contains(uint32_t number) const;
  // Count is how many numbers are in the set.
  uint64_t Count() const;
  uint32_t Min() const { return ranges_.empty() ? 0 : ranges_.front().first; }
  uint32_t Max() const { return ranges_.empty() ? 0 : ranges_.back().last; }
  // ranges lends the ranges, until the set changes.
  const std::vector<UidRange>& ranges() const { return ranges_; }

  UidSet Union(const UidSet& other) const;
  UidSet Intersect(const UidSet& other) const;
  UidSet Subtract(const UidSet& other) const;

  // Numbers lists the members, at most `limit` of them, rising.
  std::vector<uint32_t> Numbers(size_t limit = 1 << 20) const;

  // ToString writes the shortest sequence-set, "1:3,5"; "" when empty.
  std::string ToString() const;

  friend bool operator==(const UidSet&, const UidSet&) = default;

 private:
  std::vector<UidRange> ranges_;
};

// ParseUidSet reads exactly `text` as a sequence-set (RFC 3501 §9), "*" being `largest`, the
// highest number in use. nullopt for a syntax error, zero, a number past 2^32-1, or more than
// `max_ranges` elements. With `largest` 0 (an empty mailbox) "*" is nothing, and so is a range that
// ends in it.
std::optional<UidSet> ParseUidSet(std::string_view text, uint32_t largest,
                                  size_t max_ranges = 100000);

}  // namespace postern::mailbox
