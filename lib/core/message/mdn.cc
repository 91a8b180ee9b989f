#include "lib/core/message/mdn.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/notice_text.h"
#include "lib/core/message/scan.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

std::string AddressOf(std::string_view value) {
  const std::string line = Unfold(value);
  const size_t semicolon = line.find(';');
  const std::string_view type = semicolon == std::string::npos
                                    ? std::string_view()
                                    : Trim(std::string_view(line).substr(0, semicolon));
  std::string_view address =
      semicolon == std::string::npos ? line : Trim(std::string_view(line).substr(semicolon + 1));
  if (address.size() > 1 && address.front() == '<' && address.back() == '>')
    address = address.substr(1, address.size() - 2);
  if (EqualsIgnoreCase(type, "utf-8"))
    return mail::Utf8AddressDecode(address).value_or(std::string(address));
  return std::string(address);
}

// ParseDisposition reads "manual-action/MDN-sent-manually; displayed/error" (RFC 8098 §3.2.6).
bool ParseDisposition(std::string_view value, Mdn* mdn) {
  const std::string line = AsciiLower(Unfold(value));
  const size_t semicolon = line.find(';');
  if (semicolon == std::string::npos) return false;
  const std::string_view modes = std::string_view(line).substr(0, semicolon);
  mdn->automatic_action = modes.find("automatic-action") != std::string_view::npos;
  mdn->sent_automatically = modes.find("mdn-sent-automatically") != std::string_view::npos;
  const std::string_view what = Trim(std::string_view(line).substr(semicolon + 1));
  const size_t slash = what.find('/');
  const std::string_view type = Trim(what.substr(0, slash));
  if (slash != std::string_view::npos) {
    for (const std::string_view modifier : Split(what.substr(slash + 1), ',')) {
      if (!Trim(modifier).empty() && mdn->modifiers.size() < 20)
        mdn->modifiers.emplace_back(Trim(modifier));
    }
  }
  for (const MdnDisposition each : {MdnDisposition::kDisplayed, MdnDisposition::kDeleted,
                                    MdnDisposition::kDispatched, MdnDisposition::kProcessed}) {
    if (type == MdnDispositionName(each)) {
      mdn->disposition = each;
      return true;
    }
  }
  // RFC 3798 had "denied" and "failed", and RFC 2298 more: nothing was shown to anybody.
  if (type == "denied" || type == "failed") {
    mdn->disposition = MdnDisposition::kProcessed;
    mdn->modifiers.emplace_back(type);
    return true;
  }
  return false;
}

std::string_view Sentence(MdnDisposition disposition) {
  switch (disposition) {
    case MdnDisposition::kDisplayed:
      return "was displayed. That does not mean that it was read or understood.";
    case MdnDisposition::kDeleted: return "was deleted without being displayed.";
    case MdnDisposition::kDispatched: return "was sent on without being displayed.";
    case MdnDisposition::kProcessed: return "was processed without being displayed.";
  }
  return "";
}

// Fields is message/disposition-notification.
std::string Fields(const Mdn& mdn, bool utf8) {
  std::string out;
  if (!mdn.reporting_ua.empty())
    AppendHeader("Reporting-UA", NoticeField(mdn.reporting_ua, utf8), out);
  if (!mdn.original_recipient.empty()) {
    // "type;address", as the notices of the way have it, or the address alone.
    const std::string typed = TypedOriginal(mdn.original_recipient, utf8);
    AppendHeader("Original-Recipient",
                 typed.empty() ? TypedAddress(mdn.original_recipient, utf8) : typed, out);
  }
  AppendHeader("Final-Recipient", TypedAddress(mdn.final_recipient, utf8), out);
  if (!mdn.original_message_id.empty())
    AppendHeader("Original-Message-ID", NoticeField(mdn.original_message_id, utf8), out);
  std::string disposition =
      StrCat(mdn.automatic_action ? "automatic-action/" : "manual-action/",
             mdn.sent_automatically ? "MDN-sent-automatically; " : "MDN-sent-manually; ",
             MdnDispositionName(mdn.disposition));
  for (size_t i = 0; i < mdn.modifiers.size(); ++i)
    StrAppend(disposition, i == 0 ? "/" : ",", NoticeField(mdn.modifiers[i], false));
  AppendHeader("Disposition", disposition, out);
  if (!mdn.error.empty()) AppendHeader("Error", NoticeField(mdn.error, utf8), out);
  return out;
}

void AddAddresses(const Header& header, std::vector<Mailbox>& to) {
  for (Mailbox& mailbox : ParseAddressList(header.value)) {
    if (mailbox.kind == Mailbox::Kind::kAddress && !mailbox.domain.empty())
      to.push_back(std::move(mailbox));
  }
}

// RFC 8098 §2.1: case counts before the "@".
bool IsSameMailbox(const Mailbox& a, const Mailbox& b) {
  return a.local_part == b.local_part && EqualsIgnoreCase(a.domain, b.domain);
}

// Requires tells whether an option of "name=importance,value; ..." is required (RFC 8098 §2.2).
bool Requires(std::string_view value) {
  const std::string line = Unfold(value);
  for (const std::string_view option : Split(line, ';')) {
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view right = option.substr(equals + 1);
    if (EqualsIgnoreCase(Trim(right.substr(0, right.find(','))), "required")) return true;
  }
  return false;
}

}  // namespace

std::string_view MdnDispositionName(MdnDisposition disposition) {
  switch (disposition) {
    case MdnDisposition::kDisplayed: return "displayed";
    case MdnDisposition::kDeleted: return "deleted";
    case MdnDisposition::kDispatched: return "dispatched";
    case MdnDisposition::kProcessed: return "processed";
  }
  return "processed";
}

std::string BuildMdn(const MdnRequest& request) {
  const Mdn& mdn = request.mdn;
  const std::string boundary = StrCat("=_", request.boundary_seed, "_mdn");
  const bool utf8 = request.smtputf8;
  const auto printable = [utf8](std::string_view text) { return NoticeField(text, utf8); };
  const StatusOr<mail::Address> to = mail::ParseAddress(request.to);
  std::string text = StrCat("The message that you sent to ", NoticeText(mdn.final_recipient),
                            "\r\n", Sentence(mdn.disposition), "\r\n");
  if (!mdn.error.empty()) StrAppend(text, "\r\nError: ", NoticeText(mdn.error), "\r\n");
  const std::string fields = Fields(mdn, utf8);
  const MessageView original = ParseHeader(request.original);
  const std::string_view header = request.original.substr(0, original.root().header_end_offset);
  const bool global_header = utf8 && !IsAscii(header) && mail::IsValidUtf8(header);
  const bool text_8bit = utf8 && !IsAscii(text);
  std::string out;
  AppendHeader("Date", mail::FormatDate(request.date, request.offset_minutes), out);
  AppendHeader("From", request.from, out);
  AppendHeader("To", to.ok() ? NoticeMailbox(*to, utf8) : StrCat("<", printable(request.to), ">"),
               out);
  AppendTextHeader("Subject", StrCat("Disposition notification: ", request.subject), out);
  AppendHeader("Message-ID", printable(request.message_id), out);
  if (!mdn.original_message_id.empty()) {
    AppendHeader("In-Reply-To", printable(mdn.original_message_id), out);
    AppendHeader("References", printable(mdn.original_message_id), out);
  }
  // RFC 3834 §5: no program answers this.
  AppendHeader("Auto-Submitted", "auto-replied", out);
  AppendHeader("MIME-Version", "1.0", out);
  AppendHeader(
      "Content-Type",
      StrCat("multipart/report; report-type=disposition-notification; boundary=\"", boundary, "\""),
      out);
  // RFC 2045 §6.4: a multipart says 8bit when a part of it is.
  if (text_8bit || global_header || !IsAscii(fields))
    AppendHeader("Content-Transfer-Encoding", "8bit", out);
  StrAppend(out, "\r\n--", boundary, "\r\n");
  if (IsAscii(text)) {
    StrAppend(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n", text);
  } else {
    StrAppend(out, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ",
              text_8bit ? "8bit" : "quoted-printable", "\r\n\r\n",
              text_8bit ? text : mail::QuotedPrintableEncode(text));
  }
  StrAppend(out, "\r\n--", boundary, "\r\n");
  // RFC 6533 §5: the fields with UTF-8 have a type of their own.
  StrAppend(out, IsAscii(fields) ? "Content-Type: message/disposition-notification\r\n"
                                 : "Content-Type: message/global-disposition-notification\r\n"
                                   "Content-Transfer-Encoding: 8bit\r\n");
  StrAppend(out, "\r\n", fields);
  if (!request.original.empty()) {
    StrAppend(out, "\r\n--", boundary, "\r\n");
    if (global_header) {
      StrAppend(out,
                "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
                header);
    } else if (Examine(header).eight_bit) {
      // RFC 6522 §4
      StrAppend(out,
                "Content-Type: text/rfc822-headers\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                mail::QuotedPrintableEncode(header));
    } else {
      StrAppend(out, "Content-Type: text/rfc822-headers\r\n\r\n", header);
    }
  }
  StrAppend(out, "\r\n--", boundary, "--\r\n");
  return out;
}

StatusOr<Mdn> ParseMdn(const MessageView& message) {
  for (const Part& part : message.parts()) {
    if ((!part.Is("message", "disposition-notification") &&
         !part.Is("message", "global-disposition-notification")) ||
        !IsOfMessageItself(message, part))
      continue;
    std::string body;
    DecodeBody(message, part, body);
    // An empty line in front is met.
    const std::string_view fields_of =
        std::string_view(body).substr(std::min(body.find_first_not_of("\r\n"), body.size()));
    const MessageView fields = ParseHeader(fields_of);
    Mdn mdn;
    bool disposed = false;
    for (const Header& field : fields.headers(fields.root())) {
      const auto is = [&](std::string_view name) { return EqualsIgnoreCase(field.name, name); };
      if (is("Reporting-UA")) mdn.reporting_ua = Unfold(field.value);
      if (is("Original-Recipient")) mdn.original_recipient = AddressOf(field.value);
      if (is("Final-Recipient")) mdn.final_recipient = AddressOf(field.value);
      if (is("Original-Message-ID")) mdn.original_message_id = Unfold(field.value);
      if (is("Error")) mdn.error = Unfold(field.value);
      if (is("Disposition")) disposed = ParseDisposition(field.value, &mdn) || disposed;
    }
    if (!disposed || mdn.final_recipient.empty())
      return InvalidArgument("the notification lacks Final-Recipient or Disposition");
    return mdn;
  }
  return NotFound("the message has no disposition notification");
}

MdnWanted MdnRecipient(const MessageView& message) {
  MdnWanted wanted;
  const Part& root = message.root();
  // RFC 8098 §3: a notification is not answered by another.
  if (root.Is("multipart", "report")) return wanted;
  const Header* submitted = message.Find(root, "Auto-Submitted");
  if (submitted != nullptr && !StartsWithIgnoreCase(Trim(submitted->value), "no")) return wanted;
  std::vector<Mailbox> asking, paths;
  for (const Header& header : message.headers(root)) {
    if (EqualsIgnoreCase(header.name, "Disposition-Notification-To")) AddAddresses(header, asking);
    if (header.field == Field::kReturnPath) AddAddresses(header, paths);
    // RFC 8098 §2.2: we know no options, so none that is required can be met.
    if (EqualsIgnoreCase(header.name, "Disposition-Notification-Options") && Requires(header.value))
      return wanted;
  }
  if (asking.empty()) return wanted;
  wanted.address = asking[0].Address();
  // §2.1: several fields or addresses, or a Return-Path that is another, or none: a person agrees.
  wanted.ask_first = asking.size() != 1 || paths.size() != 1 || !IsSameMailbox(asking[0], paths[0]);
  return wanted;
}

}  // namespace postern::message
