#include "lib/core/policy/table_keys.h"

#include <algorithm>

namespace postern::policy {

NetworkKey KeyOfNetwork(const IpAddress& address, int bits) {
  NetworkKey key;
  const std::string_view bytes = address.bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const int keep = std::clamp(bits - static_cast<int>(i) * 8, 0, 8);
    key.octets[i] = static_cast<char>(static_cast<uint8_t>(bytes[i]) & (0xff00u >> keep));
  }
  key.octets[16] = static_cast<char>(static_cast<uint8_t>(bits));
  key.octets[17] = address.is_v6() ? '6' : '4';
  return key;
}

std::optional<IpAddress> ReadAddress(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  if (StartsWithIgnoreCase(text, "ipv6:")) text.remove_prefix(5);
  return IpAddress::Parse(text);
}

std::optional<IpNetwork> ReadNetwork(std::string_view text) {
  if (const std::optional<IpAddress> address = ReadAddress(text)) {
    return IpNetwork{*address, address->is_v6() ? 128 : 32};
  }
  return IpNetwork::Parse(text);
}

bool IsOneLabelGlob(std::string_view pattern) {
  return pattern.size() > 2 && pattern[0] == '*' && pattern[1] == '.' && !IsGlob(pattern.substr(1));
}

std::string OneLabelGlobOf(std::string_view domain) {
  const size_t dot = domain.find('.');
  return dot == std::string_view::npos ? "" : StrCat("*", domain.substr(dot));
}

std::string_view DomainOf(std::string_view mailaddr) {
  const size_t at = mailaddr.rfind('@');
  return at == std::string_view::npos ? std::string_view() : mailaddr.substr(at + 1);
}

bool IsNamed(Service service, std::string_view entry) {
  switch (service) {
    case Service::kDomain: return !IsGlob(entry) || IsOneLabelGlob(entry);
    case Service::kMailaddr: {
      const std::string_view domain = DomainOf(entry);
      return !IsGlob(domain) || IsOneLabelGlob(domain);
    }
    case Service::kRegex: return false;
    default: return true;
  }
}

}  // namespace postern::policy
