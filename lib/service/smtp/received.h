// The Received field that we put in front of a message (RFC 5321 §4.4).
#pragma once

#include <string>

#include "lib/core/base/time.h"
#include "lib/service/smtp/backend.h"

namespace postern::service {

// FormatReceived gives the whole field, folded and ended by CRLF. `single_recipient` is named only
// when the message has no other (RFC 5321 §7.2 asks not to disclose them); empty otherwise.
// `offset_minutes` is the zone of the date, east of UTC.
std::string FormatReceived(const SmtpSessionFacts& facts, bool smtputf8,
                           const std::string& message_id, const std::string& single_recipient,
                           WallTime now, int offset_minutes);

}  // namespace postern::service
