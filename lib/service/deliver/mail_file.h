// How a queued message becomes the text of a mailbox: LF line ends, the headers of final delivery
// on top, and for an mbox the From_ line and its quoting.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/core/queue/envelope.h"
#include "lib/store/queue/queue.h"

namespace postern::deliver {

// Sink takes pieces of a text, in order.
using Sink = std::function<Status(std::string_view)>;

// DeliveryHeaders gives what final delivery puts on top: Return-Path (RFC 5321 §4.4) and
// Delivered-To, ended by LF.
std::string DeliveryHeaders(const queue::Envelope& envelope);

// WriteMaildirText writes `headers` and then `body` with CRLF turned into LF, as mail programs
// expect in a Maildir.
Status WriteMaildirText(const std::string& headers, const store::Body& body, const Sink& sink);

// WriteMboxText writes From_ line, `headers`, `body` with LF ends and an empty line. A line of '>'s
// and "From " gets one more '>' (mboxrd), so that reading turns it back exactly. The same envelope
// and body always give the same octets.
Status WriteMboxText(const queue::Envelope& envelope, const std::string& headers,
                     const store::Body& body, const Sink& sink);

// WasDeliveredTo tells whether the header of `body` has a field Delivered-To with `address`: then
// the message comes back from where it was delivered. It looks at the first 256 KiB.
StatusOr<bool> WasDeliveredTo(const store::Body& body, const mail::Address& address);

// IsMarkedAsSpam tells whether the header of `body` has a field "X-Spam: yes" (any case); it looks
// at the first 256 KiB.
StatusOr<bool> IsMarkedAsSpam(const store::Body& body);

}  // namespace postern::deliver
