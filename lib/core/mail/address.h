// Addresses as SMTP writes them (RFC 5321 §4.1.2, RFC 6531 §3.3). Header addresses with names and
// comments are core/message's.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"

namespace postern::mail {

// Limits of RFC 5321 §4.5.3.1, in octets.
inline constexpr size_t kMaxLocalPartBytes = 64;  // §4.5.3.1.1; of SRS0= and SRS1= kMaxPathBytes
inline constexpr size_t kMaxDomainBytes = 255;    // §4.5.3.1.2
inline constexpr size_t kMaxPathBytes = 256;      // §4.5.3.1.3, with the angle brackets

// Address is local-part@domain, in the form we compare and store: the local part without quotes or
// escapes, case kept; the domain lower-cased, either a name (A-labels or U-labels as given) or an
// address literal with its brackets. The null reverse-path is the empty Address.
struct Address {
  std::string local_part;
  std::string domain;

  bool empty() const { return local_part.empty() && domain.empty(); }
  // IsInternational tells whether SMTPUTF8 is needed to send to it.
  bool IsInternational() const;
  // DomainLiteral is the address of a domain like "[192.0.2.1]".
  std::optional<IpAddress> DomainLiteral() const;
  // ToString gives local-part@domain, the local part quoted when it must be; "" for the empty
  // Address; without "@" when there is no domain ("postmaster").
  std::string ToString() const;
  friend auto operator<=>(const Address&, const Address&) = default;
};

struct AddressOptions {
  bool allow_utf8 = true;  // RFC 6531: U+0080 and above in both parts (valid UTF-8 only)
  // "postmaster" (RFC 5321 §4.1.1.3), and bare users of the local socket
  bool allow_no_domain = false;
};

// ParseAddress reads exactly `text` as RFC 5321's Mailbox. The error says in one line what is
// wrong.
StatusOr<Address> ParseAddress(std::string_view text, const AddressOptions& options = {});

// ParsePath reads "<...>" from the front of `text`: a mailbox, with an optional source route that
// is recognised and dropped (RFC 5321 §4.1.1.3), or "<>" (the empty Address) when `allow_null`. On
// success `*rest` is what follows the ">".
StatusOr<Address> ParsePath(std::string_view text, bool allow_null, const AddressOptions& options,
                            std::string_view* rest);

// IsValidDomainName tells whether `text` is a domain name of RFC 5321 (letters, digits, hyphens,
// dots; labels of 1 to 63; with `allow_utf8` also U-labels). Not for literals.
bool IsValidDomainName(std::string_view text, bool allow_utf8 = true);

// DomainToAscii converts U-labels to A-labels (UTS #46, non-transitional) and lower-cases; an error
// names what is not allowed.
StatusOr<std::string> DomainToAscii(std::string_view domain);
// DomainToUnicode converts A-labels to U-labels for people; what does not convert stays.
std::string DomainToUnicode(std::string_view domain);

}  // namespace postern::mail
