// The names under which the entries of a table are found: what lets a look-up try a handful of
// exact names instead of comparing with every entry. Everything here is in lower case.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

// NetworkKey is what tells networks apart: the first bits of an address, their number, the family.
struct NetworkKey {
  std::array<char, 18> octets{};
  std::string_view view() const { return {octets.data(), octets.size()}; }
  friend bool operator==(const NetworkKey&, const NetworkKey&) = default;
};
NetworkKey KeyOfNetwork(const IpAddress& address, int bits);

// ReadAddress reads an address as entries and keys have it: bare, in brackets, with the tag of RFC
// 5321 §4.1.3. ReadNetwork reads that or an address with its prefix length.
std::optional<IpAddress> ReadAddress(std::string_view text);
std::optional<IpNetwork> ReadNetwork(std::string_view text);

// PrefixLengths are those in use among some networks.
struct PrefixLengths {
  std::bitset<33> v4;
  std::bitset<129> v6;
  void Add(const IpNetwork& network) {
    const auto bits = static_cast<size_t>(network.prefix_bits);
    if (network.address.is_v6()) {
      v6.set(bits);
    } else {
      v4.set(bits);
    }
  }
  // ForEachKey calls `take` with the key of each network in use that may hold `address`.
  template <typename Take>
  void ForEachKey(const IpAddress& address, Take take) const {
    for (int bits = address.is_v6() ? 128 : 32; bits >= 0; --bits) {
      const auto at = static_cast<size_t>(bits);
      if (address.is_v6() ? v6.test(at) : v4.test(at)) take(KeyOfNetwork(address, bits));
    }
  }
};

// IsGlob tells whether a pattern has a `*`. IsOneLabelGlob: whether it is "*.rest", which matches a
// name of one label before that rest, and so is found under a name that the look-up can tell.
inline bool IsGlob(std::string_view pattern) { return pattern.find('*') != std::string_view::npos; }
bool IsOneLabelGlob(std::string_view pattern);
// OneLabelGlobOf is the pattern of that kind that matches `domain`; "" when it has no dot.
std::string OneLabelGlobOf(std::string_view domain);
// DomainOf is what follows the last @, or "".
std::string_view DomainOf(std::string_view mailaddr);

// IsNamed tells whether an entry for kDomain or kMailaddr is found under its own text by
// ForEachName; if not, only a comparison finds it. Entries of the other services are named, but for
// kRegex.
bool IsNamed(Service service, std::string_view entry);

// ForEachName calls `take` with each name under which an entry that matches `key` may stand, for
// kDomain and kMailaddr; for the exact services that is `key` alone. kNetaddr has PrefixLengths.
template <typename Take>
void ForEachName(Service service, std::string_view key, char sub_address_delimiter, Take take) {
  take(key);
  if (service == Service::kDomain) {
    if (const std::string glob = OneLabelGlobOf(key); !glob.empty()) take(std::string_view(glob));
    return;
  }
  if (service != Service::kMailaddr) return;
  if (key != "@") take(std::string_view("@"));
  if (key.empty()) return;
  const size_t at = key.rfind('@');
  // An entry with a delimiter wants the whole user part, one without ignores what follows it.
  const std::string_view tagged = key.substr(0, at);
  const std::string_view user = tagged.substr(0, tagged.find(sub_address_delimiter));
  std::string name;
  const auto try_domain = [&](std::string_view domain) {
    name.assign(user).append("@").append(domain);
    take(std::string_view(name));
    if (tagged.size() != user.size()) {
      name.assign(tagged).append("@").append(domain);
      take(std::string_view(name));
    }
    name.assign("@").append(domain);
    take(std::string_view(name));
  };
  const std::string_view domain = DomainOf(key);
  if (at != std::string_view::npos) try_domain(domain);
  if (const std::string glob = OneLabelGlobOf(domain); !glob.empty()) try_domain(glob);
  if (!tagged.empty()) take(tagged);
  if (!user.empty() && user.size() != tagged.size()) take(user);
}

}  // namespace postern::policy
