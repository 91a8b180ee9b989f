#include "lib/core/trust/spf_domain.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"

namespace postern::trust {

std::optional<dns::Name> SpfName(std::string_view domain) {
  if (!domain.empty() && domain.back() == '.') domain.remove_suffix(1);
  if (domain.empty()) return std::nullopt;
  std::string wire;
  for (const std::string_view label : Split(domain, '.')) {
    if (label.empty() || label.size() > dns::kMaxLabelBytes) return std::nullopt;
    wire.push_back(static_cast<char>(label.size()));
    wire += label;
  }
  wire.push_back('\0');
  return dns::Name::FromWire(wire);
}

std::optional<std::string> SpfDomain(std::string_view domain) {
  if (!domain.empty() && domain.back() == '.') domain.remove_suffix(1);
  if (domain.empty() || domain.front() == '[') return std::nullopt;
  std::string ascii(domain);
  if (!IsAscii(domain)) {
    StatusOr<std::string> converted = mail::DomainToAscii(domain);
    if (!converted.ok()) return std::nullopt;
    ascii = *std::move(converted);
  }
  const auto is_bad = [](char c) { return !IsAsciiPrintable(c) || c == ' '; };
  if (std::any_of(ascii.begin(), ascii.end(), is_bad)) return std::nullopt;
  if (ascii.find('.') == std::string::npos || !SpfName(ascii)) return std::nullopt;
  return ascii;
}

}  // namespace postern::trust
