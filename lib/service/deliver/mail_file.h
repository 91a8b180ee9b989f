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

// ReturnPathHeader gives the first of them alone.
std::string ReturnPathHeader(const queue::Envelope& envelope);

// WithoutReturnPath passes a message on in pieces, less the Return-Path fields of its header: final
// delivery puts its own on top, and there is to be one (RFC 5321 §4.4). It holds back no more than
// the beginning of one line (kMaxHeldBytes), and copies nothing but the header.
class WithoutReturnPath {
 public:
  static constexpr size_t kMaxHeldBytes = 64;
  // Push hands on what stays of `piece`; Finish what was held back. An error is the sink's.
  Status Push(std::string_view piece, const Sink& sink);
  Status Finish(const Sink& sink);

 private:
  // Line is what is known of the line that is being read.
  enum class Line : uint8_t { kBeginning, kStays, kGoes };
  // JudgeLine looks at held_, the beginning of a line, and tells what becomes of it; kBeginning:
  // more of it must be seen.
  Line JudgeLine() const;

  Line line_ = Line::kBeginning;
  bool field_goes_ = false;  // the field before, for its continuation lines
  bool in_body_ = false;
  std::string held_;
};

// WriteMaildirText writes `headers` and then `body`, less its Return-Path, with CRLF turned into
// LF, as mail programs expect in a Maildir.
Status WriteMaildirText(const std::string& headers, const store::Body& body, const Sink& sink);

// WriteMboxText writes From_ line, `headers`, `body` less its Return-Path with LF ends, and an
// empty line. A line of '>'s and "From " gets one more '>' (mboxrd), so that reading turns it back
// exactly. The same envelope and body always give the same octets.
Status WriteMboxText(const queue::Envelope& envelope, const std::string& headers,
                     const store::Body& body, const Sink& sink);

// WasDeliveredTo tells whether the header of `body` has a field Delivered-To with `address`: then
// the message comes back from where it was delivered. It looks at the first 256 KiB.
StatusOr<bool> WasDeliveredTo(const store::Body& body, const mail::Address& address);

// IsMarkedAsSpam tells whether the header of `body` has a field "X-Spam: yes" or "X-Spam-Flag: yes"
// (any case) with nothing behind it; it looks at the first 256 KiB.
StatusOr<bool> IsMarkedAsSpam(const store::Body& body);

}  // namespace postern::deliver
