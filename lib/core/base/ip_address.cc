#include "lib/core/base/ip_address.h"

#include <vector>

#include "lib/core/base/strings.h"

namespace postern {
namespace {

std::optional<std::array<uint8_t, 4>> ParseDottedQuad(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, '.');
  if (parts.size() != 4) return std::nullopt;
  std::array<uint8_t, 4> octets{};
  for (size_t i = 0; i < 4; ++i) {
    // "010" is octal to some and decimal to others: refused, as inet_pton does.
    if (parts[i].size() > 3 || (parts[i].size() > 1 && parts[i][0] == '0')) return std::nullopt;
    const std::optional<uint64_t> value = ParseUint(parts[i], 255);
    if (!value.has_value()) return std::nullopt;
    octets[i] = static_cast<uint8_t>(*value);
  }
  return octets;
}

std::optional<uint16_t> ParseHexGroup(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return static_cast<uint16_t>(value);
}

// ParseGroups appends the groups of one side of "::" to `out`; a dotted quad may stand at the very
// end.
bool ParseGroups(std::string_view text, bool may_end_in_v4, std::vector<uint16_t>* out) {
  if (text.empty()) return true;
  const std::vector<std::string_view> parts = Split(text, ':');
  for (size_t i = 0; i < parts.size(); ++i) {
    if (may_end_in_v4 && i + 1 == parts.size() && parts[i].find('.') != std::string_view::npos) {
      const auto quad = ParseDottedQuad(parts[i]);
      if (!quad.has_value()) return false;
      out->push_back(static_cast<uint16_t>((*quad)[0] << 8 | (*quad)[1]));
      out->push_back(static_cast<uint16_t>((*quad)[2] << 8 | (*quad)[3]));
      continue;
    }
    const std::optional<uint16_t> group = ParseHexGroup(parts[i]);
    if (!group.has_value()) return false;
    out->push_back(*group);
  }
  return true;
}

}  // namespace

IpAddress IpAddress::V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  IpAddress address;
  address.bytes_ = {a, b, c, d};
  return address;
}

std::optional<IpAddress> IpAddress::FromBytes(std::string_view octets) {
  static constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  IpAddress address;
  if (octets.size() == 16 && octets.substr(0, 12) == kMapped) octets.remove_prefix(12);
  if (octets.size() != 4 && octets.size() != 16) return std::nullopt;
  address.v6_ = octets.size() == 16;
  for (size_t i = 0; i < octets.size(); ++i) address.bytes_[i] = static_cast<uint8_t>(octets[i]);
  return address;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  if (text.find(':') == std::string_view::npos) {
    const auto quad = ParseDottedQuad(text);
    if (!quad.has_value()) return std::nullopt;
    return V4((*quad)[0], (*quad)[1], (*quad)[2], (*quad)[3]);
  }
  std::vector<uint16_t> head;
  std::vector<uint16_t> tail;
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (!ParseGroups(text, true, &head) || head.size() != 8) return std::nullopt;
  } else {
    if (!ParseGroups(text.substr(0, gap), false, &head)) return std::nullopt;
    if (!ParseGroups(text.substr(gap + 2), true, &tail)) return std::nullopt;
    if (head.size() + tail.size() > 7) return std::nullopt;
    head.resize(8 - tail.size(), 0);
    head.insert(head.end(), tail.begin(), tail.end());
  }
  std::string octets;
  for (const uint16_t group : head) {
    octets.push_back(static_cast<char>(group >> 8));
    octets.push_back(static_cast<char>(group & 0xff));
  }
  return FromBytes(octets);
}

bool IpAddress::IsLoopback() const {
  if (!v6_) return bytes_[0] == 127;
  for (size_t i = 0; i < 15; ++i) {
    if (bytes_[i] != 0) return false;
  }
  return bytes_[15] == 1;
}

bool IpAddress::IsAny() const {
  for (const uint8_t octet : bytes_) {
    if (octet != 0) return false;
  }
  return true;
}

std::string IpAddress::ToString() const {
  if (!v6_) return StrCat(bytes_[0], ".", bytes_[1], ".", bytes_[2], ".", bytes_[3]);
  std::array<uint16_t, 8> groups{};
  for (size_t i = 0; i < 8; ++i)
    groups[i] = static_cast<uint16_t>(bytes_[2 * i] << 8 | bytes_[2 * i + 1]);
  // RFC 5952 §4.2: the longest run of two or more zero groups, the first of equals, becomes "::".
  size_t best_at = 8, best_length = 1;
  for (size_t i = 0; i < 8;) {
    size_t j = i;
    while (j < 8 && groups[j] == 0) ++j;
    if (j - i > best_length) best_at = i, best_length = j - i;
    i = std::max(j, i + 1);
  }
  std::string text;
  for (size_t i = 0; i < 8;) {
    if (i == best_at) {
      text += "::";
      i += best_length;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    char digits[4];
    text.append(digits, std::to_chars(digits, digits + 4, groups[i], 16).ptr);
    ++i;
  }
  return text;
}

std::string IpAddress::ToLiteral() const { return StrCat(v6_ ? "[IPv6:" : "[", ToString(), "]"); }

std::optional<IpNetwork> IpNetwork::Parse(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  const size_t slash = text.find('/');
  const std::optional<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  if (!address.has_value()) return std::nullopt;
  const int max_bits = address->is_v6() ? 128 : 32;
  if (slash == std::string_view::npos) return IpNetwork{*address, max_bits};
  const std::optional<uint64_t> bits =
      ParseUint(text.substr(slash + 1), static_cast<uint64_t>(max_bits));
  if (!bits.has_value()) return std::nullopt;
  return IpNetwork{*address, static_cast<int>(*bits)};
}

bool IpNetwork::Contains(const IpAddress& candidate) const {
  if (candidate.is_v6() != address.is_v6()) return false;
  const std::string_view a = address.bytes();
  const std::string_view b = candidate.bytes();
  const size_t whole = static_cast<size_t>(prefix_bits) / 8;
  const int rest = prefix_bits % 8;
  if (a.substr(0, whole) != b.substr(0, whole)) return false;
  if (rest == 0) return true;
  const int mask = 0xff << (8 - rest) & 0xff;
  return ((a[whole] ^ b[whole]) & mask) == 0;
}

std::string IpNetwork::ToString() const { return StrCat(address.ToString(), "/", prefix_bits); }

std::string Endpoint::ToString() const {
  if (is_unix()) return unix_path;
  if (address.is_v6()) return StrCat("[", address.ToString(), "]:", port);
  return StrCat(address.ToString(), ":", port);
}

}  // namespace postern
