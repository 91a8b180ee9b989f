// The reply that a filter wants the client to hear: "550 5.7.1 go away", of one line or several,
// with each percent sign doubled (Sendmail takes the text for a format).
#pragma once

#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/mail/reply.h"

namespace postern::milter {

// ReadReplyText reads one. It is an error when a line has no code, when the codes differ or are
// not 4xx or 5xx, and when the text is longer than `max_bytes`.
StatusOr<mail::Reply> ReadReplyText(std::string_view text, size_t max_bytes);

// WriteReplyText gives the text of a reply, without the NUL.
std::string WriteReplyText(const mail::Reply& reply);

}  // namespace postern::milter
