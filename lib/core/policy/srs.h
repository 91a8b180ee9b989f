// SRS, the sender rewriting scheme: mail that we forward carries an address of ours, under which
// bounces find their way back, so that it passes the next server's SPF check.
//
// The addresses are OpenSMTPD's, so that those it gave out are still good here:
//   SRS0=HHHH=TT=domain=user@ours         user@domain, forwarded by us at the day TT
//   SRS1=HHHH=first==hhhh=TT=...@ours     SRS0=hhhh=TT=...@first, forwarded by us in turn
// TT is the number of the day modulo 1024, in two characters of base32; HHHH the first four of the
// base64 of the SHA-1 of the key and all that follows. 24 bits are no seal, but enough for what
// they guard: a bounce, from a null sender, sent on to the address that is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/core/mail/address.h"
#include "lib/core/policy/model.h"

namespace postern::policy {

// EncodeSrs gives the sender for mail from `sender` that came to `domain` of ours and goes on.
// `sender` itself where that would be no address any more (RFC 5321 §4.5.3.1.3). The null sender
// stays null. `day` counts from 1970-01-01.
mail::Address EncodeSrs(const SrsSettings& settings, const mail::Address& sender,
                        const std::string& domain, int64_t day);

// IsSrs tells whether `address` looks like one of these.
bool IsSrs(const mail::Address& address);

// DecodeSrs gives the address that a bounce to `address` goes to: nullopt when it is not one that
// we made with the key or the backup key, or is older than the ttl (or of a day after tomorrow).
std::optional<mail::Address> DecodeSrs(const SrsSettings& settings, const mail::Address& address,
                                       int64_t day);

}  // namespace postern::policy
