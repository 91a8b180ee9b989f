#include "lib/core/message/dsn.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/dsn_text.h"
#include "lib/core/message/notice_text.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

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
    AppendHeader("Original-Envelope-Id", NoticeField(request.envelope_id, false), out);
  AppendHeader("Reporting-MTA", "dns; " + NoticeHost(request.reporting_mta), out);
  if (request.arrival_date.has_value()) {
    AppendHeader("Arrival-Date", mail::FormatDate(*request.arrival_date, request.offset_minutes),
                 out);
  }
  for (const DsnRecipient& recipient : request.recipients) {
    out += "\r\n";
    const std::string original = TypedOriginal(recipient.original_recipient, request.smtputf8);
    if (!original.empty()) AppendHeader("Original-Recipient", original, out);
    AppendHeader("Final-Recipient", TypedAddress(recipient.address, request.smtputf8), out);
    AppendHeader("Action", DsnActionName(recipient.action), out);
    AppendHeader("Status", StatusOf(recipient).ToString(), out);
    if (!recipient.remote_mta.empty())
      AppendHeader("Remote-MTA", "dns; " + NoticeHost(recipient.remote_mta), out);
    if (recipient.reply.has_value()) {
      AppendHeader("Diagnostic-Code",
                   "smtp; " + NoticeField(ReplyText(*recipient.reply), request.smtputf8), out);
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
  const std::string server = NoticeHost(request.reporting_mta);
  const MessageView original = ParseHeader(request.original);
  const std::string text = DsnText(request, original);
  const std::string status = StatusPart(request);
  std::string_view returned = request.original;
  // RFC 6522 §3: without the body the part is text/rfc822-headers, up to the empty line.
  if (!request.return_full) returned = returned.substr(0, original.root().header_end_offset);
  const bool returned_8bit = Examine(returned).eight_bit;
  const bool status_8bit = !IsAscii(status);
  const bool text_utf8 = !IsAscii(text);
  const bool text_8bit = text_utf8 && request.smtputf8;
  // RFC 6532 §3.7: a message with UTF-8 in its header is message/global, and that may be encoded
  // where the path is for ASCII headers alone. RFC 6533 §6: the header alone is
  // message/global-headers.
  const std::string_view header = original.HeaderBytes(original.root());
  const bool header_utf8 = !IsAscii(header) && mail::IsValidUtf8(header);
  const bool global = header_utf8 && (request.smtputf8 || request.return_full);
  const bool encoded = global && !request.smtputf8;
  const std::string boundary = StrCat("=_", request.boundary_seed, "_dsn");

  std::string out;
  AppendHeader("Date", mail::FormatDate(request.date, request.offset_minutes), out);
  AppendHeader("From", StrCat("Mailer Daemon <MAILER-DAEMON@", server, ">"), out);
  AppendHeader("To", NoticeMailbox(request.sender, request.smtputf8), out);
  AppendHeader("Subject", DsnSubject(request, original), out);
  AppendHeader("Message-ID", NoticeField(request.message_id, request.smtputf8), out);
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
      text_8bit || status_8bit || (returned_8bit && !encoded && (request.return_full || global));
  // RFC 2045 §6.4: a multipart says 8bit when a part of it is.
  if (any_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  AppendHeader("Content-Type",
               text_utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", out);
  if (text_utf8) {
    AppendHeader("Content-Transfer-Encoding", text_8bit ? "8bit" : "quoted-printable", out);
  }
  StrAppend(out, "\r\n", text_utf8 && !text_8bit ? mail::QuotedPrintableEncode(text) : text);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  AppendHeader("Content-Type",
               status_8bit ? "message/global-delivery-status" : "message/delivery-status", out);
  if (status_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);
  StrAppend(out, "\r\n", status);

  StrAppend(out, "\r\n--", boundary, "\r\n");
  if (request.return_full) {
    AppendHeader("Content-Type", global ? "message/global" : "message/rfc822", out);
    if (encoded) {
      AppendHeader("Content-Transfer-Encoding", "base64", out);
      StrAppend(out, "\r\n", mail::Base64EncodeLines(returned));
    } else {
      if (returned_8bit) AppendHeader("Content-Transfer-Encoding", "8bit", out);
      StrAppend(out, "\r\n", returned);
    }
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
