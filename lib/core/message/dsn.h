// Delivery status notifications (RFC 3464, RFC 6522, RFC 6533): what tells a sender what became of
// the message.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/reply.h"

namespace postern::message {

// DsnAction is the Action field (RFC 3464 §2.3.3).
enum class DsnAction : unsigned char { kFailed, kDelayed, kDelivered, kRelayed, kExpanded };
std::string_view DsnActionName(DsnAction action);

// DsnRecipient is what became of one recipient. Strings may come from anywhere: they are made fit
// for their field.
struct DsnRecipient {
  mail::Address address;           // Final-Recipient
  std::string original_recipient;  // ORCPT as "type;address" (ForwardPath::dsn_original_recipient);
                                   // empty: none was given
  DsnAction action = DsnAction::kFailed;
  mail::EnhancedStatus status;  // empty: 5.0.0, 4.0.0 or 2.0.0 by the action
  // for people: "the mailbox is full"; may be empty, and is not
  // repeated when it is the reply
  std::string reason;
  std::optional<mail::Reply> reply;  // of the remote server: Diagnostic-Code
  std::string remote_mta;            // its name; empty: none was reached
  std::optional<WallTime> last_attempt;
  std::optional<WallTime> will_retry_until;  // of a delay
};

// DsnRequest is everything that a notification is made of; nothing is read from elsewhere.
struct DsnRequest {
  DsnAction action = DsnAction::kFailed;  // what the subject says
  std::string reporting_mta;              // our name; written in A-labels
  mail::Address sender;                   // who gets it: the reverse-path of the message
  std::string message_id;     // for the notification, with brackets: mail::MakeMessageId
  std::string boundary_seed;  // random letters and digits, at least 16
  WallTime date;
  int offset_minutes = 0;   // zone for every date
  std::string envelope_id;  // ENVID; empty: none was given
  std::optional<WallTime> arrival_date;
  std::vector<DsnRecipient> recipients;  // those with something to tell
  std::string_view original;             // the message, or at least its header, with CRLF lines
  bool return_full = false;              // RET=FULL of a failure: all of it, otherwise its header
  bool smtputf8 = false;  // the notification may have UTF-8 in its header and is sent with SMTPUTF8
};

// BuildDsn writes the whole notification, CRLF lines, to be sent from the null reverse-path. It is
// ASCII unless `smtputf8` is set or an original with 8-bit octets is returned in full
// (Examine(...).eight_bit tells; then it is sent with BODY=8BITMIME). Strings are written as
// notice_text.h has it; a message with UTF-8 in its header goes back as message/global, in base64
// without `smtputf8` (RFC 6532 §3.7). The bounds are those of the caller: it grows with the
// recipients and the original.
std::string BuildDsn(const DsnRequest& request);

}  // namespace postern::message
