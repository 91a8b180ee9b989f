// Message disposition notifications (RFC 8098): "your message was displayed".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/base/time.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/parser.h"

namespace postern::message {

// MdnDisposition is what was done with the message (RFC 8098 §3.2.6.2).
enum class MdnDisposition : uint8_t { kDisplayed, kDeleted, kDispatched, kProcessed };
std::string_view MdnDispositionName(MdnDisposition disposition);

// Mdn is one notification: the fields of message/disposition-notification (RFC 8098 §3.1).
struct Mdn {
  std::string reporting_ua;         // "host.example; Program 1.0"; may be empty
  std::string original_recipient;   // address, may be empty; written also from "type;address"
  std::string final_recipient;      // address
  std::string original_message_id;  // with brackets; may be empty
  MdnDisposition disposition = MdnDisposition::kDisplayed;
  // The modes (§3.2.6.1): did a person act, and was it a person who let the notification go out.
  bool automatic_action = false;
  bool sent_automatically = false;
  std::vector<std::string> modifiers;  // "error", ...
  std::string error;                   // the Error field (§3.2.7)
};

// MdnRequest is everything that a notification is made of.
struct MdnRequest {
  Mdn mdn;
  std::string from;           // mailbox for From, ready for a header (FormatMailbox)
  std::string to;             // the address of Disposition-Notification-To, checked by MdnRecipient
  std::string subject;        // of the original, UTF-8; may be empty
  std::string message_id;     // for the notification, with brackets
  std::string boundary_seed;  // random letters and digits, at least 16
  WallTime date;
  int offset_minutes = 0;
  std::string_view original;  // the message; its header is returned. May be empty
  bool smtputf8 = false;      // the notification may have UTF-8 in its header (RFC 6533)
};

// BuildMdn writes the notification, CRLF lines, ASCII unless `smtputf8` is set, to be sent from the
// null reverse-path (RFC 8098 §3). Strings are written as notice_text.h has it.
std::string BuildMdn(const MdnRequest& request);

// ParseMdn reads a notification that came in. NotFound: the message has no
// message/disposition-notification part; InvalidArgument: it has one that says neither for whom nor
// what.
StatusOr<Mdn> ParseMdn(const MessageView& message);

// MdnRecipient tells where a notification for `message` should go, and whether one may be sent
// without asking a person. RFC 8098 §2.1: never without the person's leave when the address is not
// that of the one Return-Path, or when several addresses or fields ask (the first is given). Never
// at all for a notification (§3), and when Disposition-Notification-Options requires what we do not
// know (§2.2), which is all: the string is empty, as when none was asked for.
struct MdnWanted {
  std::string address;
  bool ask_first = true;
};
MdnWanted MdnRecipient(const MessageView& message);

}  // namespace postern::message
