// What came back: reading delivery status notifications (RFC 3464, RFC 6533), and, of bounces that
// have no such part, what their text tells.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mail/date.h"
#include "lib/core/mail/reply.h"
#include "lib/core/message/dsn.h"
#include "lib/core/message/parser.h"

namespace postern::message {

struct BounceLimits {
  // Past this many recipients the rest is passed over. A server that takes a message takes a
  // hundred at least (RFC 5321 §4.5.3.1.8); expanded lists are longer.
  size_t max_recipients = 10'000;
  // How much of the text of a bounce without a status part is looked at; what is told stands in
  // front of the message that is returned.
  size_t max_text_bytes = 256 * 1024;
};

// TypedValue is "type; value" of a status field (RFC 3464 §2.1.2). Without a type the whole is the
// value.
struct TypedValue {
  std::string type;  // lower case: "dns", "rfc822", "utf-8", "smtp", "x-unix"
  std::string value;
};

// ReportedRecipient is what is said of one recipient. Empty is what was not said.
struct ReportedRecipient {
  // The address, without angle brackets; utf-8 addresses (RFC 6533 §3) decoded. Empty where a text
  // does not name one.
  std::string final_recipient;
  std::string original_recipient;
  std::optional<DsnAction> action;
  mail::EnhancedStatus status;  // the Status field, or of a text, the first that stands in it
  // What the server said to the one that reports: the SMTP reply code and status in the diagnostic,
  // 0 and empty when there is none, and the whole diagnostic on one line.
  int reply_code = 0;
  mail::EnhancedStatus reply_status;
  TypedValue diagnostic;
  TypedValue remote_mta;
  std::optional<mail::MailDate> last_attempt;
  std::optional<mail::MailDate> will_retry_until;

  // BestStatus is `status`, unless that only gives its class ("5.0.0") and the reply says more.
  mail::EnhancedStatus BestStatus() const;
};

// Bounce is a notification that was read.
struct Bounce {
  enum class Form : uint8_t {
    kNone,    // not a bounce
    kStatus,  // it has a message/delivery-status part
    kText,    // it has none; what is here was found in its text
  };
  Form form = Form::kNone;
  TypedValue reporting_mta;
  std::string original_envelope_id;
  std::optional<mail::MailDate> arrival_date;
  std::vector<ReportedRecipient> recipients;
  // The part that holds the returned message or its header; kNoPart when there is none.
  uint32_t returned_part = kNoPart;
  // The Message-ID in what was returned, with its brackets; empty when it is not there.
  std::string original_message_id;
};

// IsOfMessageItself tells whether `part` is one of the message, not of a message inside it: a
// notice that was forwarded is none of the forward.
bool IsOfMessageItself(const MessageView& message, const Part& part);

// ReadBounce reads a notification that came in. What it finds was written by whoever sent the
// message: a forged bounce reads like a true one.
Bounce ReadBounce(const MessageView& message, const BounceLimits& limits = {});

// ParseDeliveryStatus reads the body of a message/delivery-status part: the group of the message,
// then one for each recipient (RFC 3464 §2.1). It bears with groups that no empty line divides.
void ParseDeliveryStatus(std::string_view body, const BounceLimits& limits, Bounce* bounce);

// SmtpReplyIn looks for the SMTP reply in a diagnostic text: a code of three digits that stands
// like one, and an enhanced status.
struct SmtpReplyIn {
  int code = 0;
  mail::EnhancedStatus status;
};
SmtpReplyIn FindSmtpReply(std::string_view text);

}  // namespace postern::message
