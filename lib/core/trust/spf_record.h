// The SPF record (RFC 7208 §4.6.1 and §12): its terms as values, read by the exact grammar and
// written again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/trust/spf_macro.h"

namespace postern::trust {

// What a directive says when its mechanism matches (RFC 7208 §4.6.2).
enum class SpfQualifier : char { kPass = '+', kFail = '-', kSoftFail = '~', kNeutral = '?' };

struct SpfMechanism {
  enum class Kind { kAll, kInclude, kA, kMx, kPtr, kIp4, kIp6, kExists };
  SpfQualifier qualifier = SpfQualifier::kPass;
  Kind kind = Kind::kAll;
  // domain is the domain-spec of include, a, mx, ptr and exists; nothing for the record's own.
  std::optional<SpfMacroString> domain;
  // ip4 and ip6: the network's 4 or 16 octets. Not an IpAddress, which makes an IPv4 address of
  // ::ffff:192.0.2.1, while RFC 7208 §5.6 never compares ip6 with an IPv4 client.
  std::string network;
  int ip4_bits = 32;   // prefix length for IPv4: a, mx, ip4
  int ip6_bits = 128;  // for IPv6: a, mx, ip6
  std::string text;    // as the record has it, with the qualifier

  // ToString writes it anew: "-a:%{d}/24//64", names in lower case, no "+".
  std::string ToString() const;
};

struct SpfModifier {
  std::string name;
  SpfMacroString value;
};

struct SpfRecord {
  std::vector<SpfMechanism> mechanisms;
  std::optional<SpfMacroString> redirect;
  std::optional<SpfMacroString> explanation;  // exp=
  std::vector<SpfModifier> unknown;           // of no effect (RFC 7208 §6)

  // ToString writes the record anew: the mechanisms, then redirect, exp and the unknown modifiers.
  // Reading it gives the same record.
  std::string ToString() const;
};

struct SpfRecordLimits {
  size_t max_bytes = 65535;  // what a DNS answer can carry at all (RFC 1035 §3.2.1 RDLENGTH)
};

// IsSpfRecord tells whether `txt` is an SPF record at all: "v=spf1" in any case, then a blank or
// the end (RFC 7208 §4.5).
bool IsSpfRecord(std::string_view txt);

// ParseSpfRecord reads all of `txt`, for which IsSpfRecord holds. Any mistake in it spoils it whole
// (§4.6): kInvalidArgument names the term and says what is wrong with it.
StatusOr<SpfRecord> ParseSpfRecord(std::string_view txt, const SpfRecordLimits& limits = {});

}  // namespace postern::trust
