#include "lib/core/message/mdn.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/scan.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

std::string Printable(std::string_view text) {
  std::string out(text.substr(0, 900));
  for (char& c : out) {
    if (!IsAsciiPrintable(c)) c = c == '\t' ? ' ' : '?';
  }
  return out;
}

// TypedAddress: RFC 6533 §3 gives addresses that are not ASCII a type of their own.
std::string TypedAddress(std::string_view address) {
  return IsAscii(address) ? "rfc822; " + Printable(address)
                          : "utf-8; " + mail::Utf8AddressEncode(address);
}

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
  std::string out;
  AppendHeader("Date", mail::FormatDate(request.date, request.offset_minutes), out);
  AppendHeader("From", request.from, out);
  AppendHeader("To", StrCat("<", Printable(request.to), ">"), out);
  AppendTextHeader("Subject", StrCat("Disposition notification: ", request.subject), out);
  AppendHeader("Message-ID", Printable(request.message_id), out);
  if (!mdn.original_message_id.empty()) {
    AppendHeader("In-Reply-To", Printable(mdn.original_message_id), out);
    AppendHeader("References", Printable(mdn.original_message_id), out);
  }
  // RFC 3834 §5: no program answers this.
  AppendHeader("Auto-Submitted", "auto-replied", out);
  AppendHeader("MIME-Version", "1.0", out);
  AppendHeader(
      "Content-Type",
      StrCat("multipart/report; report-type=disposition-notification; boundary=\"", boundary, "\""),
      out);
  StrAppend(out, "\r\n--", boundary, "\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
            "The message that you sent to ", Printable(mdn.final_recipient), "\r\n",
            Sentence(mdn.disposition), "\r\n");
  if (!mdn.error.empty()) StrAppend(out, "\r\nError: ", Printable(mdn.error), "\r\n");
  StrAppend(out, "\r\n--", boundary, "\r\nContent-Type: message/disposition-notification\r\n\r\n");
  if (!mdn.reporting_ua.empty()) AppendHeader("Reporting-UA", Printable(mdn.reporting_ua), out);
  if (!mdn.original_recipient.empty())
    AppendHeader("Original-Recipient", TypedAddress(mdn.original_recipient), out);
  AppendHeader("Final-Recipient", TypedAddress(mdn.final_recipient), out);
  if (!mdn.original_message_id.empty())
    AppendHeader("Original-Message-ID", Printable(mdn.original_message_id), out);
  std::string disposition =
      StrCat(mdn.automatic_action ? "automatic-action/" : "manual-action/",
             mdn.sent_automatically ? "MDN-sent-automatically; " : "MDN-sent-manually; ",
             MdnDispositionName(mdn.disposition));
  for (size_t i = 0; i < mdn.modifiers.size(); ++i)
    StrAppend(disposition, i == 0 ? "/" : ",", Printable(mdn.modifiers[i]));
  AppendHeader("Disposition", disposition, out);
  if (!mdn.error.empty()) AppendHeader("Error", Printable(mdn.error), out);
  if (!request.original.empty()) {
    const MessageView original = ParseHeader(request.original);
    const std::string_view header = request.original.substr(0, original.root().header_end_offset);
    StrAppend(out, "\r\n--", boundary, "\r\nContent-Type: text/rfc822-headers\r\n");
    if (Examine(header).eight_bit) {
      // RFC 6522 §4
      StrAppend(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                mail::QuotedPrintableEncode(header));
    } else {
      StrAppend(out, "\r\n", header);
    }
  }
  StrAppend(out, "\r\n--", boundary, "--\r\n");
  return out;
}

StatusOr<Mdn> ParseMdn(const MessageView& message) {
  for (const Part& part : message.parts()) {
    if (!part.Is("message", "disposition-notification") &&
        !part.Is("message", "global-disposition-notification"))
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
  const Header* field = message.Find(root, "Disposition-Notification-To");
  // RFC 8098 §3: a notification is not answered by another.
  if (field == nullptr || root.Is("multipart", "report")) return wanted;
  const Header* submitted = message.Find(root, "Auto-Submitted");
  if (submitted != nullptr && !StartsWithIgnoreCase(Trim(submitted->value), "no")) return wanted;
  std::vector<std::string> addresses;
  for (const Mailbox& mailbox : ParseAddressList(field->value)) {
    if (mailbox.kind == Mailbox::Kind::kAddress && !mailbox.domain.empty())
      addresses.push_back(mailbox.Address());
  }
  if (addresses.empty()) return wanted;
  wanted.address = addresses[0];
  const Header* path = message.Find(root, Field::kReturnPath);
  if (path == nullptr || addresses.size() != 1) return wanted;
  const std::vector<Mailbox> back = ParseAddressList(path->value);
  const bool same = back.size() == 1 && EqualsIgnoreCase(back[0].Address(), addresses[0]);
  const Header* asked = message.Find(root, "Disposition-Notification-Options");
  const bool required =
      asked != nullptr && AsciiLower(asked->value).find("required") != std::string::npos;
  wanted.ask_first = !same || required;
  return wanted;
}

}  // namespace postern::message
