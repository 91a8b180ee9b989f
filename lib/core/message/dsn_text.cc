#include "lib/core/message/dsn_text.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/notice_text.h"

namespace postern::message {
namespace {

// A subject past this is not repeated in ours; in the text it is cut to the other.
constexpr size_t kMaxSubjectBytes = 400;
constexpr size_t kMaxQuotedSubjectBytes = 100;
constexpr size_t kTextLineBytes = 72;

// AppendWrapped writes `text` in lines of at most 72 characters, each behind `indent`.
void AppendWrapped(std::string_view text, std::string_view indent, std::string& out) {
  while (!text.empty()) {
    size_t end = std::min(text.size(), kTextLineBytes);
    if (end < text.size()) {
      const size_t blank = text.rfind(' ', end);
      if (blank != std::string_view::npos && blank > 0) end = blank;
    }
    const std::string_view line = mail::TruncateUtf8(text, end);
    StrAppend(out, indent, line.empty() ? text.substr(0, end) : line, "\r\n");
    text.remove_prefix(line.empty() ? end : line.size());
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  }
}

// OriginalSubject is the subject as it stands in the header, encoded words and all; "" when it is
// none that can be repeated.
std::string OriginalSubject(const MessageView& original) {
  const Header* header = original.Find(original.root(), Field::kSubject);
  if (header == nullptr) return "";
  const std::string value = Unfold(header->value);
  return IsAscii(value) && value.size() <= kMaxSubjectBytes ? NoticeText(value) : "";
}

// Which names the message in a sentence: `Your message "Lunch", sent on Tue, ...,`.
std::string Which(const DsnRequest& request, const MessageView& original) {
  std::string out = "Your message";
  const std::string subject = NoticeText(DecodeText(OriginalSubject(original)));
  if (!subject.empty()) {
    const std::string_view cut = mail::TruncateUtf8(subject, kMaxQuotedSubjectBytes);
    StrAppend(out, " \"", cut, cut.size() < subject.size() ? "...\"" : "\"");
  }
  if (request.arrival_date.has_value()) {
    StrAppend(out, ", sent on ", mail::FormatDate(*request.arrival_date, request.offset_minutes),
              ",");
  }
  return out;
}

// Opening is the one sentence on what happened.
std::string Opening(const DsnRequest& request, const MessageView& original) {
  const std::string which = Which(request, original);
  const std::string_view whom =
      request.recipients.size() == 1 ? "the recipient below" : "the recipients below";
  switch (request.action) {
    case DsnAction::kFailed:
      return StrCat(which, " could not be delivered to ", whom, " and will not be tried again.");
    case DsnAction::kDelayed:
      return StrCat(which, " has not been delivered to ", whom,
                    " yet; you need not do anything, the server keeps trying.");
    case DsnAction::kDelivered: return StrCat(which, " was delivered to ", whom, ".");
    case DsnAction::kRelayed:
      return StrCat(which, " was handed on for ", whom,
                    " to a server that does not tell what becomes of it.");
    case DsnAction::kExpanded:
      return StrCat(which, " was delivered to ", whom, " and sent on to the members.");
  }
  return which;
}

// Sentence is `text` as one: a capital in front, a full stop behind.
std::string Sentence(std::string_view text) {
  std::string out(Trim(text));
  if (out.empty()) return out;
  if (out.front() >= 'a' && out.front() <= 'z') out.front() = static_cast<char>(out.front() - 32);
  if (std::string_view(".!?").find(out.back()) == std::string_view::npos) out.push_back('.');
  return out;
}

// AppendWords writes what whoever decided said, once: the reason of a relay is often the reply
// itself, and one of ours may have the shape of a reply.
void AppendWords(const DsnRecipient& recipient, std::string& out) {
  std::string reason = recipient.reason;
  bool quoted = false;  // the reason says itself who answered what
  if (recipient.reply.has_value()) {
    const std::string reply = ReplyText(*recipient.reply);
    quoted = reason.ends_with(StrCat(" answered: ", reply));
    if (!quoted && reason.find(reply) != std::string::npos) reason.clear();
  }
  if (StatusOr<mail::Reply> ours = mail::Reply::FromText(reason, true); ours.ok())
    reason = ours->Text();
  if (!reason.empty()) AppendWrapped(Sentence(NoticeText(reason)), "    ", out);
  if (quoted || !recipient.reply.has_value()) return;
  const std::string who = recipient.remote_mta.empty()
                              ? "The receiving server"
                              : StrCat("The server ", NoticeHost(recipient.remote_mta));
  AppendWrapped(StrCat(who, " answered: ", NoticeText(ReplyText(*recipient.reply))), "    ", out);
}

// Advice is what the sender can do about a failure, by its status (RFC 3463 §3).
std::string Advice(const DsnRecipient& recipient) {
  const mail::EnhancedStatus& status = recipient.status;
  const std::string address = NoticeText(recipient.address.ToString());
  const size_t at = address.rfind('@');
  const std::string domain =
      at == std::string::npos ? std::string("the receiving server") : address.substr(at + 1);
  switch (status.subject) {
    case 1:
      if (status.detail == 2 || status.detail == 10) {
        return StrCat("There is no mail server for ", domain,
                      ": check what stands behind the @ for mistakes, or reach the recipient in "
                      "another way.");
      }
      if (status.detail == 7 || status.detail == 8) break;  // about the sender's address
      return "The address seems to be wrong or out of use: check it for mistakes, or ask the "
             "recipient in another way for the right one.";
    case 2:
      if (status.detail == 2)
        return "The mailbox is full: send the message again in a few days, or reach the recipient "
               "in another way.";
      if (status.detail == 3)
        return "The message is too large for that mailbox: send a smaller one, or share large "
               "files in another way.";
      // What OpenSMTPD, and we, answer for an address that leads to no account.
      if (status.detail == 4)
        return "The address leads to no mailbox: check it for mistakes, or ask the recipient in "
               "another way for the right one.";
      return "The mailbox takes no mail at present: reach the recipient in another way.";
    case 3:
      if (status.detail == 4)
        return "The message is too large for that server: send a smaller one, or share large files "
               "in another way.";
      break;
    case 4:
      return StrCat(
          "Send the message again later if it still matters; if that fails as well, tell "
          "the recipient in another way that the mail servers of ",
          domain, " have a problem.");
    case 6:
      if (status.detail == 7)
        return "That server takes no addresses with letters beyond A to Z: ask the recipient for "
               "one without them.";
      return "The message has a form that server does not take: send it again as plain text, or "
             "with its contents as an attachment.";
    case 7:
      return "The receiving side refused the message by its own rules: its answer may say what to "
             "change, and its administrator can tell more.";
    default: break;
  }
  return StrCat(
      "If the above does not tell you what to change, ask the administrator of your mail "
      "server, or of ",
      domain, ".");
}

void AppendRecipient(const DsnRequest& request, const DsnRecipient& recipient, std::string& out) {
  StrAppend(out, "\r\n<", NoticeText(recipient.address.ToString()), ">\r\n");
  if (recipient.action != request.action)
    StrAppend(out, "    ", Sentence(DsnActionName(recipient.action)), "\r\n");
  const bool failed = recipient.action == DsnAction::kFailed;
  const bool expired = recipient.status.subject == 4 && recipient.status.detail == 7;
  if (failed && expired && request.arrival_date.has_value() && recipient.last_attempt.has_value()) {
    AppendWrapped(StrCat("All attempts failed; the last one was made on ",
                         mail::FormatDate(*recipient.last_attempt, request.offset_minutes), "."),
                  "    ", out);
  }
  AppendWords(recipient, out);
  if (failed) AppendWrapped(Advice(recipient), "    ", out);
  if (recipient.will_retry_until.has_value()) {
    AppendWrapped(
        StrCat("Attempts go on until ",
               mail::FormatDate(*recipient.will_retry_until, request.offset_minutes), "."),
        "    ", out);
  }
}

}  // namespace

std::string ReplyText(const mail::Reply& reply) {
  std::string out = StrCat(reply.code);
  if (!reply.status.empty()) StrAppend(out, " ", reply.status.ToString());
  const std::string text = reply.Text();
  if (!text.empty()) StrAppend(out, " ", text);
  return out;
}

std::string DsnSubject(const DsnRequest& request, const MessageView& original) {
  struct Words {
    std::string_view with_subject;
    std::string_view without;
  };
  constexpr Words kWords[] = {
      {"Undelivered: ", "Your message could not be delivered"},
      {"Delayed: ", "Your message is delayed"},
      {"Delivered: ", "Your message was delivered"},
      {"Handed on: ", "Your message was handed on"},
      {"Sent on: ", "Your message was sent on"},
  };
  const Words& words = kWords[static_cast<size_t>(request.action)];
  const std::string subject = OriginalSubject(original);
  return std::string(Trim(subject)).empty() ? std::string(words.without)
                                            : StrCat(words.with_subject, subject);
}

std::string DsnText(const DsnRequest& request, const MessageView& original) {
  std::string out;
  AppendWrapped(Opening(request, original), "", out);
  for (const DsnRecipient& recipient : request.recipients) AppendRecipient(request, recipient, out);
  StrAppend(out, "\r\n",
            request.return_full ? "Your message is attached.\r\n"
                                : "The header of your message is attached.\r\n");
  StrAppend(out, "\r\n-- \r\nThe mail server ", NoticeHost(request.reporting_mta), "\r\n");
  return out;
}

}  // namespace postern::message
