#include "lib/core/imap/sequence_set.h"

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

mailbox::UidSet SequenceSet::Resolve(uint32_t largest) const {
  std::vector<mailbox::UidRange> resolved;
  resolved.reserve(ranges.size());
  for (const Range& range : ranges) {
    const uint32_t first = range.first == kStar ? largest : range.first;
    const uint32_t last = range.last == kStar ? largest : range.last;
    if (first != 0 && last != 0) resolved.push_back({first, last});
  }
  return mailbox::UidSet::FromRanges(resolved);
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

}  // namespace postern::imap
