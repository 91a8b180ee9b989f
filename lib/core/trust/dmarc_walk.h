// The questions of one DMARC check, for the files of core/trust that ask them: which records there
// are, and whose organisational domain is which (RFC 9989 §4.10). Not for users of the layer.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/dns/inquiry.h"
#include "lib/core/trust/dmarc_check.h"

namespace postern::trust::dmarc {

// Lookup is what is known of one _dmarc name.
struct Lookup {
  std::string outcome;
  std::optional<DmarcFound> found;
  bool temporary = false;
};

// Walks is the memory of one check: names asked stay known, so that identities that share their
// parents cost no further question.
struct Walks {
  DmarcOptions options;
  std::map<std::string, Lookup, std::less<>> known;
  size_t queries = 0;
};

// Normal is a domain in lower-case A-labels without the final dot; "" when it is no name.
std::string Normal(std::string_view domain);

// NameOf makes a DNS name of text whose labels have no escapes.
std::optional<dns::Name> NameOf(std::string_view text);

// UsesList tells whether organisational domains come from the list of public suffixes.
bool UsesList(const DmarcOptions& options);

// Discover asks for all that the DNS says about `domain`, which is Normal. `walks` outlives it.
dns::Inquiry<DmarcDiscovery> Discover(Walks* walks, std::string domain);

// OrganizationOf finds the organisational domain of an authenticated domain; "" when the DNS did
// not answer. `walks` outlives it.
dns::Inquiry<std::string> OrganizationOf(Walks* walks, std::string domain);

}  // namespace postern::trust::dmarc
