#include "lib/core/policy/model.h"

#include "lib/core/base/strings.h"

namespace postern::policy {

const SourceLocation* OptionPlaces::Find(std::string_view word) const {
  for (const auto& [option, place] : places_) {
    if (option == word) return &place;
  }
  return nullptr;
}

const SourceLocation& OptionPlaces::Find(std::string_view word,
                                         const SourceLocation& otherwise) const {
  const SourceLocation* found = Find(word);
  return found == nullptr ? otherwise : *found;
}
namespace {

template <typename Items>
int FindByName(const Items& items, std::string_view name) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].name == name) return static_cast<int>(i);
  }
  return kNoIndex;
}

const char* SchemePrefix(RelayScheme scheme) {
  switch (scheme) {
    case RelayScheme::kSmtp: return "smtp://";
    case RelayScheme::kSmtpTls: return "smtp+tls://";
    case RelayScheme::kSmtpNoTls: return "smtp+notls://";
    case RelayScheme::kSmtps: return "smtps://";
    case RelayScheme::kLmtp: return "lmtp://";
  }
  return "";
}

}  // namespace

const char* ServiceName(Service service) {
  switch (service) {
    case Service::kAlias: return "alias";
    case Service::kDomain: return "domain";
    case Service::kCredentials: return "credentials";
    case Service::kNetaddr: return "netaddr";
    case Service::kUserinfo: return "userinfo";
    case Service::kSource: return "source";
    case Service::kMailaddr: return "mailaddr";
    case Service::kAddrname: return "addrname";
    case Service::kMailaddrmap: return "mailaddrmap";
    case Service::kRelayhost: return "relayhost";
    case Service::kString: return "string";
    case Service::kRegex: return "regex";
  }
  return "";
}

std::string RelayUrl::ToString() const {
  std::string out = SchemePrefix(scheme);
  if (!label.empty()) StrAppend(out, label, "@");
  const bool bracketed = host_is_address && host.find(':') != std::string::npos;
  StrAppend(out, bracketed ? "[" : "", host, bracketed ? "]" : "", ":", port);
  return out;
}

TableId Config::FindTable(std::string_view name) const { return FindByName(tables, name); }
int Config::FindPki(std::string_view name) const { return FindByName(pkis, AsciiLower(name)); }
int Config::FindCa(std::string_view name) const { return FindByName(cas, name); }
int Config::FindAction(std::string_view name) const { return FindByName(actions, name); }
int Config::FindFilter(std::string_view name) const { return FindByName(filters, name); }

}  // namespace postern::policy
