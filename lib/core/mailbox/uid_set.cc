#include "lib/core/mailbox/uid_set.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::mailbox {
namespace {

// Normalise sorts `ranges` and joins those that touch or overlap.
void Normalise(std::vector<UidRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const UidRange& a, const UidRange& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const UidRange& range : ranges) {
    if (kept > 0 && range.first <= uint64_t{ranges[kept - 1].last} + 1) {
      ranges[kept - 1].last = std::max(ranges[kept - 1].last, range.last);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
}

// Ordered gives a range its order and its place above zero; false when nothing is left of it.
bool Ordered(uint32_t& first, uint32_t& last) {
  if (first > last) std::swap(first, last);
  if (last == 0) return false;
  first = std::max(first, 1u);
  return true;
}

}  // namespace

UidSet::UidSet(std::initializer_list<uint32_t> numbers)
    : UidSet(FromNumbers(std::span<const uint32_t>(numbers.begin(), numbers.size()))) {}

UidSet UidSet::OfRange(uint32_t first, uint32_t last) {
  UidSet set;
  if (Ordered(first, last)) set.ranges_.push_back({first, last});
  return set;
}

UidSet UidSet::FromNumbers(std::span<const uint32_t> numbers) {
  std::vector<uint32_t> sorted(numbers.begin(), numbers.end());
  std::sort(sorted.begin(), sorted.end());
  UidSet set;
  for (const uint32_t number : sorted) set.Add(number);
  return set;
}

UidSet UidSet::FromRanges(std::span<const UidRange> ranges) {
  UidSet set;
  set.ranges_.reserve(ranges.size());
  for (UidRange range : ranges) {
    if (Ordered(range.first, range.last)) set.ranges_.push_back(range);
  }
  Normalise(set.ranges_);
  return set;
}

void UidSet::AddRange(uint32_t first, uint32_t last) {
  if (!Ordered(first, last)) return;
  if (ranges_.empty() || first > ranges_.back().last) {
    if (!ranges_.empty() && first == ranges_.back().last + 1) {
      ranges_.back().last = last;
    } else {
      ranges_.push_back({first, last});
    }
    return;
  }
  if (Contains(first) && Contains(last) && first == last) return;
  // The ranges that touch first..last become one.
  auto begin =
      std::lower_bound(ranges_.begin(), ranges_.end(), first,
                       [](const UidRange& r, uint32_t n) { return uint64_t{r.last} + 1 < n; });
  auto end = begin;
  while (end != ranges_.end() && end->first <= uint64_t{last} + 1) ++end;
  if (begin == end) {
    ranges_.insert(begin, {first, last});
    return;
  }
  begin->first = std::min(begin->first, first);
  begin->last = std::max((end - 1)->last, last);
  ranges_.erase(begin + 1, end);
}

bool UidSet::Contains(uint32_t number) const {
  const auto at = std::lower_bound(ranges_.begin(), ranges_.end(), number,
                                   [](const UidRange& r, uint32_t n) { return r.last < n; });
  return at != ranges_.end() && at->first <= number;
}

uint64_t UidSet::Count() const {
  uint64_t count = 0;
  for (const UidRange& range : ranges_) count += uint64_t{range.last} - range.first + 1;
  return count;
}

UidSet UidSet::Union(const UidSet& other) const {
  UidSet set;
  set.ranges_.reserve(ranges_.size() + other.ranges_.size());
  set.ranges_ = ranges_;
  set.ranges_.insert(set.ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  Normalise(set.ranges_);
  return set;
}

UidSet UidSet::Intersect(const UidSet& other) const {
  UidSet set;
  size_t i = 0;
  size_t j = 0;
  while (i < ranges_.size() && j < other.ranges_.size()) {
    const UidRange& a = ranges_[i];
    const UidRange& b = other.ranges_[j];
    const uint32_t first = std::max(a.first, b.first);
    const uint32_t last = std::min(a.last, b.last);
    if (first <= last) set.ranges_.push_back({first, last});
    a.last < b.last ? ++i : ++j;
  }
  return set;
}

UidSet UidSet::Subtract(const UidSet& other) const {
  UidSet set;
  size_t j = 0;
  for (const UidRange& range : ranges_) {
    uint64_t at = range.first;
    while (j < other.ranges_.size() && other.ranges_[j].last < at) ++j;
    size_t k = j;
    while (k < other.ranges_.size() && other.ranges_[k].first <= range.last) {
      if (other.ranges_[k].first > at)
        set.ranges_.push_back({static_cast<uint32_t>(at), other.ranges_[k].first - 1});
      at = uint64_t{other.ranges_[k].last} + 1;
      ++k;
    }
    if (at <= range.last) set.ranges_.push_back({static_cast<uint32_t>(at), range.last});
  }
  return set;
}

std::vector<uint32_t> UidSet::Numbers(size_t limit) const {
  std::vector<uint32_t> numbers;
  for (const UidRange& range : ranges_) {
    for (uint64_t n = range.first; n <= range.last; ++n) {
      if (numbers.size() >= limit) return numbers;
      numbers.push_back(static_cast<uint32_t>(n));
    }
  }
  return numbers;
}

std::string UidSet::ToString() const {
  std::string out;
  for (const UidRange& range : ranges_) {
    if (!out.empty()) out.push_back(',');
    StrAppend(out, range.first);
    if (range.last != range.first) StrAppend(out, ":", range.last);
  }
  return out;
}

std::optional<UidSet> ParseUidSet(std::string_view text, uint32_t largest, size_t max_ranges) {
  std::vector<UidRange> ranges;
  size_t elements = 0;
  // seq-number = nz-number / "*"; a leading zero is not an nz-number (RFC 3501 §9).
  const auto number = [largest](std::string_view s) -> std::optional<uint32_t> {
    if (s == "*") return largest;
    if (s.empty() || s[0] == '0') return std::nullopt;
    const std::optional<uint64_t> value = ParseUint(s, kMaxNumber);
    if (!value) return std::nullopt;
    return static_cast<uint32_t>(*value);
  };
  while (true) {
    if (++elements > max_ranges) return std::nullopt;
    const size_t comma = text.find(',');
    const std::string_view element = text.substr(0, comma);
    const size_t colon = element.find(':');
    const std::optional<uint32_t> first = number(element.substr(0, colon));
    if (!first) return std::nullopt;
    std::optional<uint32_t> last = first;
    if (colon != std::string_view::npos) last = number(element.substr(colon + 1));
    if (!last) return std::nullopt;
    // "*" of an empty mailbox came out as 0 and takes its range with it.
    if (*first != 0 && *last != 0) ranges.push_back({*first, *last});
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return UidSet::FromRanges(ranges);
}

}  // namespace postern::mailbox
