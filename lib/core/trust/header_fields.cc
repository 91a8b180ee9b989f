#include "lib/core/trust/header_fields.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

// CompareNames orders names without case, whose first eight octets are the same.
int CompareNames(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 8; i < common; ++i) {
    const auto x = static_cast<unsigned char>(AsciiToLower(a[i]));
    const auto y = static_cast<unsigned char>(AsciiToLower(b[i]));
    if (x != y) return x < y ? -1 : 1;
  }
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

// NameOf gives the name of a field; empty when the line is none (RFC 5322 §3.6.8, with §4.5's
// blanks before the colon).
std::string_view NameOf(std::string_view raw, size_t colon) {
  std::string_view name = raw.substr(0, colon);
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
  for (const char c : name) {
    if (c <= 0x20 || c == 0x7f) return {};
  }
  return name;
}

}  // namespace

// PrefixOf is the first eight octets in lower case, so that they are ordered as names are.
uint64_t HeaderFields::PrefixOf(std::string_view name) {
  const auto octet = [&name](size_t i) { return uint64_t{static_cast<unsigned char>(name[i])}; };
  uint64_t prefix = 0;
  if (name.size() >= 8) {
    prefix = octet(0) << 56 | octet(1) << 48 | octet(2) << 40 | octet(3) << 32 | octet(4) << 24 |
             octet(5) << 16 | octet(6) << 8 | octet(7);
  } else {
    for (size_t i = 0; i < name.size(); ++i) prefix |= octet(i) << (56 - 8 * i);
  }
  // All eight at once: the top bit of an octet says whether it is in "A" to "Z", and a quarter of
  // it makes the difference to lower case.
  constexpr uint64_t kEach = 0x0101010101010101;
  const uint64_t low = prefix & (0x7f * kEach);
  const uint64_t from_a = low + (0x80 - 'A') * kEach;
  const uint64_t past_z = low + (0x7f - 'Z') * kEach;
  const uint64_t upper = from_a & ~past_z & ~prefix & (0x80 * kEach);
  return prefix | upper >> 2;
}

HeaderFields::HeaderFields(std::string text, size_t max_fields) : text_(std::move(text)) {
  const std::string_view all = text_;
  size_t at = 0;
  fields_.reserve(std::min(max_fields, all.size() / 64 + 2));  // few fields are shorter
  while (at < all.size()) {
    if (fields_.size() >= max_fields) {
      truncated_ = true;
      break;
    }
    // The field ends at a CRLF behind which no blank stands.
    size_t search = at;
    size_t end;
    while (true) {
      end = all.find('\n', search);
      if (end == std::string_view::npos) break;
      search = end + 1;
      if (end == at || all[end - 1] != '\r') continue;
      if (search < all.size() && (all[search] == ' ' || all[search] == '\t')) continue;
      break;
    }
    const size_t next = end == std::string_view::npos ? all.size() : end + 1;
    RawField field;
    field.raw = all.substr(at, (end == std::string_view::npos ? all.size() : end - 1) - at);
    const size_t colon = field.raw.find(':');
    if (colon != std::string_view::npos) {
      field.name = NameOf(field.raw, colon);
      field.value = field.raw.substr(colon + 1);
    }
    fields_.push_back(field);
    at = next;
  }
  places_.reserve(fields_.size());
  for (uint32_t i = 0; i < fields_.size(); ++i)
    places_.push_back(Range::Place{PrefixOf(fields_[i].name), i});
  std::sort(places_.begin(), places_.end(), [this](const Range::Place& a, const Range::Place& b) {
    if (a.prefix != b.prefix) return a.prefix < b.prefix;
    const int order = CompareNames(fields_[a.index].name, fields_[b.index].name);
    return order != 0 ? order < 0 : a.index < b.index;
  });
}

HeaderFields::Range HeaderFields::Indexes(std::string_view name) const {
  if (name.empty()) return {};
  const uint64_t prefix = PrefixOf(name);
  const Range::Place* const end = places_.data() + places_.size();
  const Range::Place* first = std::partition_point(
      places_.data(), end, [prefix](const Range::Place& place) { return place.prefix < prefix; });
  if (first == end || first->prefix != prefix) return {};
  const Range::Place* last =
      first + 1 == end || first[1].prefix != prefix
          ? first + 1
          : std::partition_point(
                first, end, [prefix](const Range::Place& place) { return place.prefix == prefix; });
  // Mostly the names with the same first octets are the same; else they are few.
  const auto compare = [&](const Range::Place& place) {
    return CompareNames(fields_[place.index].name, name);
  };
  if (compare(*first) == 0 && (last - first == 1 || compare(last[-1]) == 0)) return {first, last};
  first = std::partition_point(first, last,
                               [&](const Range::Place& place) { return compare(place) < 0; });
  last = std::partition_point(first, last,
                              [&](const Range::Place& place) { return compare(place) <= 0; });
  return {first, last};
}

const RawField* HeaderFields::FirstOf(std::string_view name) const {
  const Range range = Indexes(name);
  return range.size() == 0 ? nullptr : &fields_[range[0]];
}

}  // namespace postern::trust
