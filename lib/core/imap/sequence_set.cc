#include "lib/core/imap/sequence_set.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::imap {
namespace {

std::optional<uint32_t> ParseSequenceNumber(std::string_view text) {
  if (text == "*") return SequenceSet::kStar;
  // RFC 3501 §9, nz-number: a digit other than zero comes first.
  if (text.empty() || text[0] == '0') return std::nullopt;
  const std::optional<uint64_t> number = ParseUint(text, UINT32_MAX);
  if (!number) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

void AppendNumber(std::string& out, uint32_t number) {
  if (number == SequenceSet::kStar) {
    out.push_back('*');
  } else {
    StrAppend(out, number);
  }
}

}  // namespace

std::optional<SequenceSet> ParseSequenceSet(std::string_view text, size_t max_ranges) {
  SequenceSet set;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view piece = text.substr(0, comma);
    const size_t colon = piece.find(':');
    const std::optional<uint32_t> first = ParseSequenceNumber(piece.substr(0, colon));
    std::optional<uint32_t> last = first;
    if (colon != std::string_view::npos) last = ParseSequenceNumber(piece.substr(colon + 1));
    if (!first || !last || set.ranges.size() >= max_ranges) return std::nullopt;
    set.ranges.push_back({*first, *last});
    if (comma == std::string_view::npos) return set;
    text.remove_prefix(comma + 1);
  }
}

std::vector<SequenceSet::Range> SequenceSet::Resolve(uint32_t largest) const {
  std::vector<Range> out;
  out.reserve(ranges.size());
  for (Range range : ranges) {
    if (range.first == kStar) range.first = largest;
    if (range.last == kStar) range.last = largest;
    if (range.first > range.last) std::swap(range.first, range.last);
    if (range.last == 0) continue;
    range.first = std::max<uint32_t>(range.first, 1);
    out.push_back(range);
  }
  std::sort(out.begin(), out.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const Range& range : out) {
    // In 64 bits, because the end of a range may be the largest number there is.
    if (kept > 0 && range.first <= uint64_t{out[kept - 1].last} + 1) {
      out[kept - 1].last = std::max(out[kept - 1].last, range.last);
    } else {
      out[kept++] = range;
    }
  }
  out.resize(kept);
  return out;
}

std::string SequenceSet::ToString() const {
  std::string out;
  for (const Range& range : ranges) {
    if (!out.empty()) out.push_back(',');
    AppendNumber(out, range.first);
    if (range.last == range.first) continue;
    out.push_back(':');
    AppendNumber(out, range.last);
  }
  return out;
}

std::string FormatNumberSet(const std::vector<uint32_t>& ascending) {
  SequenceSet set;
  for (uint32_t number : ascending) {
    if (!set.ranges.empty() && set.ranges.back().last + 1 == number) {
      set.ranges.back().last = number;
    } else {
      set.ranges.push_back({number, number});
    }
  }
  return set.ToString();
}

}  // namespace postern::imap
