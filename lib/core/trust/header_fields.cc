#include "lib/core/trust/header_fields.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

// CompareNames orders names without case.
int CompareNames(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
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

uint64_t HeaderFields::PrefixOf(std::string_view name) {
  uint64_t prefix = 0;
  for (size_t i = 0; i < 8; ++i) {
    prefix =
        prefix << 8 | (i < name.size() ? static_cast<unsigned char>(AsciiToLower(name[i])) : 0U);
  }
  return prefix;
}

HeaderFields::HeaderFields(std::string text, size_t max_fields) : text_(std::move(text)) {
  const std::string_view all = text_;
  size_t at = 0;
  fields_.reserve(std::min<size_t>(max_fields, 32));
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
  // The prefixes are sorted with the places, so that most comparisons stay in one array.
  std::vector<std::pair<uint64_t, uint32_t>> keys;
  keys.reserve(fields_.size());
  for (const RawField& field : fields_)
    keys.emplace_back(PrefixOf(field.name), static_cast<uint32_t>(keys.size()));
  std::sort(keys.begin(), keys.end(), [this](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first < b.first;
    const int order = CompareNames(fields_[a.second].name, fields_[b.second].name);
    return order != 0 ? order < 0 : a.second < b.second;
  });
  prefixes_.reserve(keys.size());
  order_.reserve(keys.size());
  for (const auto& [prefix, index] : keys) {
    prefixes_.push_back(prefix);
    order_.push_back(index);
  }
}

HeaderFields::Range HeaderFields::Indexes(std::string_view name) const {
  if (name.empty()) return {};
  const uint64_t prefix = PrefixOf(name);
  const auto range = std::equal_range(prefixes_.begin(), prefixes_.end(), prefix);
  const uint32_t* first = order_.data() + (range.first - prefixes_.begin());
  const uint32_t* last = order_.data() + (range.second - prefixes_.begin());
  // Names that are the same in their first octets are few.
  first = std::partition_point(
      first, last, [&](uint32_t index) { return CompareNames(fields_[index].name, name) < 0; });
  last = std::partition_point(
      first, last, [&](uint32_t index) { return CompareNames(fields_[index].name, name) <= 0; });
  return Range{first, last};
}

const RawField* HeaderFields::FirstOf(std::string_view name) const {
  const Range range = Indexes(name);
  return range.size() == 0 ? nullptr : &fields_[range[0]];
}

}  // namespace postern::trust
