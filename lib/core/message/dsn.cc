#include "lib/core/message/dsn.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/dsn_text.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

// TypedAddress is an address in a delivery-status field (RFC 3464 §2.3.1, RFC 6533 §3).
std::string TypedAddress(const mail::Address& address, bool smtputf8) {
  const std::string text = address.ToString();
  if (IsAscii(text)) return "rfc822; " + PrintableLine(text);
  if (smtputf8 && mail::IsValidUtf8(text)) return "utf-8; " + text;
  return "utf-8; " + mail::Utf8AddressEncode(text);
}

// OriginalRecipient is ORCPT as a field value; "" when it is not "type;address".
std::string OriginalRecipient(std::string_view orcpt, bool smtputf8) {
  const size_t semicolon = orcpt.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0 || semicolon + 1 == orcpt.size())
    return "";
  const std::string type = AsciiLower(orcpt.substr(0, semicolon));
  if (!std::all_of(type.begin(), type.end(), [](char c) { return IsAsciiAlnum(c) || c == '-'; }))
    return "";
  const std::string_view address = Trim(orcpt.substr(semicolon + 1));
  if (type == "utf-8" && !IsAscii(address)) {
    if (smtputf8 && mail::IsValidUtf8(address)) {
      std::string one_line(address);
      std::replace_if(
          one_line.begin(), one_line.end(),
          [](char c) { return IsAscii(c) && !IsAsciiPrintable(c); }, '?');
      return "utf-8; " + one_line;
    }
    return "utf-8; " + mail::Utf8AddressEncode(address);
  }
  return StrCat(type, "; ", PrintableLine(address));
}

mail::EnhancedStatus StatusOf(const DsnRecipient& recipient) {
  mail::EnhancedStatus status = recipient.status;
  const int klass = recipient.action == DsnAction::kFailed    ? 5
                    : recipient.action == DsnAction::kDelayed ? 4
                                                              : 2;
  if (status.empty()) return {klass, 0, 0};
  // A failure after many temporary refusals keeps what it was about, as the class of what became of
  // it (RFC 3463 §2).
  status.klass = klass;
  return status;
}

// StatusPart is message/delivery-status: one group of fields for the message and one for each
// recipient.
std::string StatusPart(const DsnRequest& request) {
  std::string out;
  if (!request.envelope_id.empty())
    AppendHeader("Original-Envelope-Id", PrintableLine(request.envelope_id), out);
  AppendHeader("Reporting-MTA", "dns; " + PrintableLine(request.reporting_mta), out);
  if (request.arrival_date.has_value()) {
    AppendHeader("Arrival-Date", mail::FormatDate(*request.arrival_date, request.offset_minutes),
                 out);
  }
  for (const DsnRecipient& recipient : request.recipients) {
    out += "\r\n";
    const std::string original = OriginalRecipient(recipient.original_recipient, request.smtputf8);
    if (!original.empty()) AppendHeader("Original-Recipient", original, out);
    AppendHeader("Final-Recipient", TypedAddress(recipient.address, request.smtputf8), out);
    AppendHeader("Action", DsnActionName(recipient.action), out);
    AppendHeader("Status", StatusOf(recipient).ToString(), out);
    if (!recipient.remote_mta.empty())
      AppendHeader("Remote-MTA", "dns; " + PrintableLine(recipient.remote_mta), out);
    if (recipient.reply.has_value()) {
      AppendHeader("Diagnostic-Code", "smtp; " + PrintableLine(recipient.reply->ToString()), out);
    }
    if (recipient.last_attempt.has_value()) {
      AppendHeader("Last-Attempt-Date",
                   mail::FormatDate(*recipient.last_attempt, request.offset_minutes), out);
    }
    if (recipient.will_retry_until.has_value()) {
      AppendHeader("Will-Retry-Until",
                   mail::FormatDate(*recipient.will_retry_until, request.offset_minutes), out);
    }
  }
  return out;
}

// OriginalId is the Message-ID of the original when it can be repeated as it is.
std::string OriginalId(const MessageView& original) {
  const Header* header = original.Find(original.root(), Field::kMessageId);
  if (header == nullptr) return "";
  const std::string id = Unfold(header->value);
  const bool plain = id.size() > 2 && id.size() < 500 && id.front() == '<' &&
                     id.find('>') == id.size() - 1 && IsAscii(id) &&
                     id.find(' ') == std::string::npos;
  return plain ? id : "";
}

}  // namespace

std::string_view DsnActionName(DsnAction action) {
  switch (action) {
    case DsnAction::kFailed: return "failed";
    case DsnAction::kDelayed: return "delayed";
    case DsnAction::kDelivered: return "delivered";
    case DsnAction::kRelayed: return "relayed";
    case DsnAction::kExpanded: return "expanded";
  }
  return "failed";
}

std::string BuildDsn(const DsnRequest& request) {
  const std::string server = PrintableLine(request.reporting_mta);
  const MessageView original = ParseHeader(request.original);
  const std::string text = DsnText(request, original);
  const std::string status = StatusPart(request);
  std::string_view returned = request.original;
  // RFC 6522 §3: without the body the part is text/rfc822-headers, up to the empty line.
  if (!request.return_full) returned = returned.substr(0, original.root().header_end_offset);
  const bool returned_8bit = Examine(returned).eight_bit;
  const bool text_8bit = !IsAscii(text);
  const bool status_8bit = !IsAscii(status);
  // RFC 6533 §5, §6: the global forms hold UTF-8; without SMTPUTF8 the part stays what it was, its
  // octets guarded.
  const bool global =
      request.smtputf8 && returned_8bit && mail::IsValidUtf8(original.HeaderBytes(original.root()));
  const std::string boundary = StrCat("=_", request.boundary_seed, "_dsn");

  std::string out;
  AppendHeader("Date", mail::FormatDate(request.date, request.offset_minutes), out);
  AppendHeader("From", StrCat("Mailer Daemon <MAILER-DAEMON@", server, ">"), out);
  AppendHeader("To", StrCat("<", AddressForPeople(request.sender, request.smtputf8), ">"), out);
  AppendHeader("Subject", DsnSubject(request, original), out);
  AppendHeader("Message-ID", PrintableLine(request.message_id), out);
  if (const std::string id = OriginalId(original); !id.empty()) {
    AppendHeader("In-Reply-To", id, out);
    AppendHeader("References", id, out);
  }
  // RFC 3834 §5.1: no program answers this.
  AppendHeader("Auto-Submitted", "auto-replied", out);
  AppendHeader("MIME-Version", "1.0", out);
  AppendHeader("Content-Type",
               StrCat("multipart/report; report-type=delivery-status; boundary=\"", boundary, "\""),
               out);
  const bool any_8bit =
      text_8bit || status_8bit || (returned_8bit && (request.return_full || global));
  // RFC 2045 §6.4: a multipart says 8bit when a part of it is.
  if (any_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  AppendHeader("Content-Type",
               text_8bit ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", out);
  if (text_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);
  StrAppend(out, "\r\n", text);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  AppendHeader("Content-Type",
               status_8bit ? "message/global-delivery-status" : "message/delivery-status", out);
  if (status_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);
  StrAppend(out, "\r\n", status);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  if (request.return_full) {
    AppendHeader("Content-Type", global ? "message/global" : "message/rfc822", out);
    if (returned_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);
    StrAppend(out, "\r\n", returned);
  } else {
    AppendHeader("Content-Type", global ? "message/global-headers" : "text/rfc822-headers", out);
    if (global) {
      AppendHeader("Content-Transfer-Encoding", "8bit", out);
      StrAppend(out, "\r\n", returned);
    } else if (returned_8bit) {
      // RFC 6522 §4: headers that are not 7-bit may be quoted-printable.
      AppendHeader("Content-Transfer-Encoding", "quoted-printable", out);
      StrAppend(out, "\r\n", mail::QuotedPrintableEncode(returned));
    } else {
      StrAppend(out, "\r\n", returned);
    }
  }
  StrAppend(out, "\r\n--", boundary, "--\r\n");
  return out;
}

}  // namespace postern::message
