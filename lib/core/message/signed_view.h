// What a signature of multipart/signed covers (RFC 1847 §2.1, RFC 8551 §3.5.3, RFC 3156 §5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/message/parser.h"

namespace postern::message {

// SignedView shows one multipart/signed. The views point into the octets that were parsed.
struct SignedView {
  uint32_t content_part = kNoPart;    // what was signed, with all below it
  uint32_t signature_part = kNoPart;  // the signature; DecodeBody gives its octets
  // The signed octets exactly as they stand, header of the part included; the line end before the
  // delimiter is not among them (RFC 1847 §2.1 rule 4). Lines that end in LF here were signed with
  // CRLF: the digest is over CanonicalOctets.
  std::string_view octets;
  std::string protocol;  // lower case: "application/pkcs7-signature", "application/pgp-signature"
  std::string micalg;    // lower case: "sha-256", "pgp-sha512"; may be empty

  // CanonicalOctets is `octets` with every line end as CRLF.
  std::string CanonicalOctets() const;
};

// ViewSigned describes part `index` when it is a multipart/signed with the two parts that it must
// have, and the second is of the protocol that the first says; nothing otherwise. Nothing is
// verified.
std::optional<SignedView> ViewSigned(const MessageView& message, uint32_t index);

// FindSigned gives the first part that ViewSigned describes, in the order of the parts, and nothing
// when the message has none.
std::optional<SignedView> FindSigned(const MessageView& message);

}  // namespace postern::message
