#include "lib/core/message/bounce.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/xtext.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/html_text.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

std::string_view StripBrackets(std::string_view text) {
  text = Trim(text);
  if (!text.empty() && text.front() == '<') text.remove_prefix(1);
  if (!text.empty() && text.back() == '>') text.remove_suffix(1);
  return Trim(text);
}

TypedValue Typed(std::string_view value) {
  const std::string line = Unfold(value);
  const size_t semicolon = line.find(';');
  TypedValue typed;
  if (semicolon == std::string::npos) {
    typed.value = std::string(Trim(line));
    return typed;
  }
  typed.type = AsciiLower(Trim(std::string_view(line).substr(0, semicolon)));
  typed.value = std::string(Trim(std::string_view(line).substr(semicolon + 1)));
  return typed;
}

std::string TypedAddressValue(std::string_view value) {
  const TypedValue typed = Typed(value);
  const std::string_view address = StripBrackets(typed.value);
  if (typed.type == "utf-8") {
    // RFC 6533 §3: UTF-8 as it is, or with \x{HEX} for what is not ASCII.
    const std::optional<std::string> decoded = mail::Utf8AddressDecode(address);
    if (decoded.has_value()) return *decoded;
  }
  return std::string(address);
}

std::optional<DsnAction> ActionOf(std::string_view value) {
  const std::string line = Unfold(value);
  std::string_view word = Trim(line);
  word = word.substr(0, word.find_first_of(" \t(;"));
  for (const DsnAction action : {DsnAction::kFailed, DsnAction::kDelayed, DsnAction::kDelivered,
                                 DsnAction::kRelayed, DsnAction::kExpanded}) {
    if (EqualsIgnoreCase(word, DsnActionName(action))) return action;
  }
  return std::nullopt;
}

std::optional<mail::MailDate> DateOf(std::string_view value) {
  StatusOr<mail::MailDate> date = mail::ParseDate(value);
  if (!date.ok()) return std::nullopt;
  return *date;
}

// A status stands between blanks, brackets and the like, never inside a number with more dots (an
// address, a version).
bool BoundsStatus(char c) { return !IsAsciiAlnum(c) && c != '.' && c != '-' && c != '_'; }

// StatusAt reads an enhanced status at `at`; `*end` is then behind it.
mail::EnhancedStatus StatusAt(std::string_view text, size_t at, size_t* end) {
  if (at >= text.size() || (text[at] != '2' && text[at] != '4' && text[at] != '5')) return {};
  size_t to = at;
  while (to < text.size() && to - at < 10 && (IsAsciiDigit(text[to]) || text[to] == '.')) ++to;
  std::string_view word = text.substr(at, to - at);
  if (!word.empty() && word.back() == '.') word.remove_suffix(1);  // the end of a sentence
  const mail::EnhancedStatus status = mail::EnhancedStatus::Parse(word);
  *end = at + word.size();
  if (!status.empty() && *end < text.size() && IsAsciiAlnum(text[*end])) return {};
  return status;
}

struct FoundStatus {
  mail::EnhancedStatus status;
  size_t begin = std::string_view::npos;
};

FoundStatus FindStatus(std::string_view text) {
  for (size_t at = 0; at + 5 <= text.size(); ++at) {
    if (at > 0 && !BoundsStatus(text[at - 1]) && text[at - 1] != '-') continue;
    size_t end;
    const mail::EnhancedStatus status = StatusAt(text, at, &end);
    // Class 2 in a text is a number of something else; a success is told by its Status field.
    if (!status.empty() && status.klass != 2) return {status, at};
  }
  return {};
}

bool IsReplyCode(std::string_view text, size_t at) {
  if (at + 3 > text.size() || (text[at] != '4' && text[at] != '5') || text[at + 1] > '7' ||
      !IsAsciiDigit(text[at + 1]) || !IsAsciiDigit(text[at + 2]))
    return false;
  if (at > 0) {
    const char before = text[at - 1];
    if (IsAsciiAlnum(before) || before == '.' || before == '-' || before == '_' || before == '/' ||
        before == '@' || before == '+')
      return false;
  }
  if (at + 3 == text.size()) return true;
  const char after = text[at + 3];
  if (after == '.') return at + 4 == text.size() || !IsAsciiAlnum(text[at + 4]);
  return after == ' ' || after == '-' || after == '\n' || after == '\r' || after == '\t' ||
         after == ')' || after == ',' || after == ';' || after == ':' || after == '"' ||
         after == '\'' || after == '#' || after == '<' || after == '_' || after == '(';
}

// How well a code of three digits stands for an SMTP reply.
int Standing(std::string_view text, size_t at, const FoundStatus& status) {
  size_t end;
  size_t next = at + 3;
  while (next < text.size() && (text[next] == ' ' || text[next] == '-' || text[next] == '#' ||
                                text[next] == '(' || text[next] == '['))
    ++next;
  if (next > at + 3 && !StatusAt(text, next, &end).empty()) return 4;
  const std::string_view before =
      Trim(text.substr(at > 24 ? at - 24 : 0, std::min<size_t>(at, 24)));
  for (const std::string_view word : {"said:", "says:", "smtp;", "server:", "response:", "reply:",
                                      "error:", "error was:", "response was:", "with"})
    if (EndsWithIgnoreCase(before, word)) return 3;
  if (at == 0 || text[at - 1] == '\n') return 3;
  if (status.begin != std::string_view::npos && status.begin < at && at - status.begin < 16)
    return 3;
  const bool bracketed = text[at - 1] == '(' || text[at - 1] == '"' || text[at - 1] == '\'';
  return bracketed || (at + 3 < text.size() && (text[at + 3] == ' ' || text[at + 3] == '-')) ? 2
                                                                                             : 1;
}

}  // namespace

mail::EnhancedStatus ReportedRecipient::BestStatus() const {
  const bool vague = status.empty() || (status.subject == 0 && status.detail == 0);
  const bool fits = status.empty() || reply_status.klass == status.klass;
  return vague && fits && !reply_status.empty() ? reply_status : status;
}

SmtpReplyIn FindSmtpReply(std::string_view text) {
  SmtpReplyIn found;
  const FoundStatus status = FindStatus(text);
  found.status = status.status;
  int best = 0;
  for (size_t at = 0; at + 3 <= text.size() && best < 4; ++at) {
    if (!IsReplyCode(text, at)) continue;
    const int standing = Standing(text, at, status);
    if (standing <= best) continue;
    best = standing;
    found.code = (text[at] - '0') * 100 + (text[at + 1] - '0') * 10 + (text[at + 2] - '0');
  }
  // A code alone in a sentence, of another class than the status, is a number of something else.
  if (best == 1 && !found.status.empty() && found.status.klass != found.code / 100) found.code = 0;
  return found;
}

void ParseDeliveryStatus(std::string_view body, const BounceLimits& limits, Bounce* bounce) {
  ReportedRecipient* recipient = nullptr;
  size_t at = 0;
  bool named = false;
  while (at < body.size()) {
    const MessageView group = ParseHeader(body.substr(at));
    const Part& fields = group.root();
    for (const Header& field : group.headers(fields)) {
      const auto is = [&](std::string_view name) { return EqualsIgnoreCase(field.name, name); };
      const bool final = is("Final-Recipient");
      if (final || is("Original-Recipient") || is("Action") || is("Status") ||
          is("Diagnostic-Code") || is("Remote-MTA") || is("Last-Attempt-Date") ||
          is("Will-Retry-Until")) {
        // A second Final-Recipient begins a group that no empty line divides.
        if (recipient == nullptr || (final && named)) {
          if (bounce->recipients.size() >= limits.max_recipients) return;
          bounce->recipients.emplace_back();
          recipient = &bounce->recipients.back();
          named = false;
        }
      }
      if (final) {
        named = true;
        recipient->final_recipient = TypedAddressValue(field.value);
      } else if (is("Original-Recipient")) {
        recipient->original_recipient = TypedAddressValue(field.value);
      } else if (is("Action")) {
        recipient->action = ActionOf(field.value);
      } else if (is("Status")) {
        // RFC 3464 §2.3.4: the code may be followed by a comment.
        const std::string value = Unfold(field.value);
        recipient->status = FindStatus(value).status;
        if (recipient->status.empty()) {
          const std::string_view word = Trim(value);
          recipient->status =
              mail::EnhancedStatus::Parse(word.substr(0, word.find_first_of(" (\t")));
        }
      } else if (is("Diagnostic-Code")) {
        recipient->diagnostic = Typed(field.value);
        const SmtpReplyIn reply = FindSmtpReply(recipient->diagnostic.value);
        recipient->reply_code = reply.code;
        recipient->reply_status = reply.status;
      } else if (is("Remote-MTA")) {
        recipient->remote_mta = Typed(field.value);
      } else if (is("Last-Attempt-Date")) {
        recipient->last_attempt = DateOf(field.value);
      } else if (is("Will-Retry-Until")) {
        recipient->will_retry_until = DateOf(field.value);
      } else if (is("Reporting-MTA")) {
        bounce->reporting_mta = Typed(field.value);
      } else if (is("Original-Envelope-Id")) {
        bounce->original_envelope_id = Unfold(field.value);
      } else if (is("Arrival-Date")) {
        bounce->arrival_date = DateOf(field.value);
      }
    }
    if (fields.body_offset > fields.header_end_offset || fields.body_offset == body.size() - at) {
      at += fields.body_offset;
      recipient = nullptr;
      named = false;
    } else if (fields.body_offset > 0) {
      at += fields.body_offset;
    } else {
      // A line that is no field, most often of a diagnostic that was not folded: passed over. Only
      // an empty line ends the group.
      const size_t lf = body.find('\n', at);
      at = lf == std::string_view::npos ? body.size() : lf + 1;
    }
  }
}

namespace {

// ---- bounces without a status part

// BeginsReturned tells whether a line of the text is where the message that is returned begins.
bool BeginsReturned(std::string_view line) {
  if (StartsWithIgnoreCase(line, "Return-Path:") || StartsWithIgnoreCase(line, "Received:") ||
      StartsWithIgnoreCase(line, "Received-From:"))
    return true;
  const std::string lower = AsciiLower(line.substr(0, 120));
  const auto has = [&](std::string_view word) { return lower.find(word) != std::string::npos; };
  const bool ruled = lower.compare(0, 2, "--") == 0 || lower.compare(0, 2, "==") == 0;
  if (ruled && (has("below this line") || has("copy of") || has("original message") ||
                has("returned message") || has("message header") || has("unsent message") ||
                has("undelivered message") || has("body of the message")))
    return true;
  return lower.compare(0, 20, "unsent message below") == 0 ||
         lower.compare(0, 24, "original message follows") == 0 ||
         lower.compare(0, 27, "your original message head") == 0 ||
         lower.compare(0, 36, "the original message header") == 0;
}

// AddressOfLine gives the address that a line is about: "<a@b>:", "a@b", "a@b... reason",
// "Recipient: <a@b>". Empty when there is none, or several.
std::string AddressOfLine(std::string_view line) {
  line = Trim(line);
  if (line.empty() || line.size() > 1000) return "";
  const size_t at = line.find('@');
  if (at == std::string_view::npos || line.find('@', at + 1) != std::string_view::npos) return "";
  size_t from = at;
  const auto is_part = [](char c) {
    return !IsAscii(c) || IsAsciiAlnum(c) ||
           std::string_view(".!#$%&*+-/=?^_{|}~").find(c) != std::string_view::npos;
  };
  while (from > 0 && line[from - 1] != '\0' && is_part(line[from - 1])) --from;
  size_t to = at + 1;
  while (to < line.size() && line[to] != '\0' &&
         (IsAsciiAlnum(line[to]) || !IsAscii(line[to]) || line[to] == '.' || line[to] == '-'))
    ++to;
  while (to > at + 1 && line[to - 1] == '.') --to;
  if (from == at || to == at + 1) return "";
  const std::string address(line.substr(from, to - from));
  // Before it nothing, or a bracket, or a few words that end in a colon.
  const std::string_view before = Trim(line.substr(0, from));
  const std::string_view after = Trim(line.substr(to));
  const bool opens = before.empty() || before == "<" || before == "(" || before == "\"" ||
                     (before.size() < 40 &&
                      (EndsWithIgnoreCase(before, ":") || EndsWithIgnoreCase(before, ": <") ||
                       EndsWithIgnoreCase(before, ":<")));
  const bool closes = after.empty() || after.front() == '>' || after.front() == ':' ||
                      after.front() == ')' || after.front() == '.' || after.front() == ',' ||
                      after.front() == '"' || after.front() == ';';
  return opens && closes ? address : "";
}

// OneLine joins lines of text with blanks.
std::string OneLine(std::string_view text) {
  std::string out;
  for (std::string_view line : Split(text, '\n')) {
    line = Trim(line);
    if (!line.empty()) StrAppend(out, out.empty() ? "" : " ", line);
  }
  return out;
}

std::string TextOf(const MessageView& message, const BounceLimits& limits) {
  for (const Part& part : message.parts()) {
    if (part.kind != PartKind::kLeaf) continue;
    // Only of the bounce itself, not of a message inside.
    if (!IsOfMessageItself(message, part)) continue;
    if (part.Is("text", "html")) {
      HtmlOptions options;
      options.max_output_bytes = limits.max_text_bytes;
      return HtmlToText(DecodeBodyText(message, part), options);
    }
    // A multipart whose boundary never comes is text to whoever reads it.
    if (part.Is("text", "plain") || part.Is("multipart", "") || !part.type_given) {
      std::string text = DecodeBodyText(message, part);
      if (text.size() > limits.max_text_bytes) text.resize(limits.max_text_bytes);
      if (!Trim(text).empty()) return text;
    }
  }
  return "";
}

void ReadText(const MessageView& message, const BounceLimits& limits, Bounce* bounce) {
  std::string text = TextOf(message, limits);
  // A lone CR ends lines on the way from some systems.
  if (text.find('\n') == std::string::npos) std::replace(text.begin(), text.end(), '\r', '\n');
  std::vector<std::string> failed;
  if (const Header* field = message.Find(message.root(), "X-Failed-Recipients"); field != nullptr) {
    for (const Mailbox& mailbox : ParseAddressList(field->value)) {
      if (mailbox.kind == Mailbox::Kind::kAddress && failed.size() < limits.max_recipients)
        failed.push_back(mailbox.Address());
    }
  }
  struct Found {
    std::string address;
    std::string text;
  };
  std::vector<Found> found;
  std::string all;
  std::string in_brackets;  // the first address that a sentence names
  for (std::string_view line : Split(text, '\n')) {
    const auto here = static_cast<size_t>(line.data() - text.data());
    line = Trim(line);
    if (StartsWithIgnoreCase(line, "Reporting-MTA:") ||
        StartsWithIgnoreCase(line, "Final-Recipient:")) {
      // The status part, in a report whose parts were lost on the way.
      ParseDeliveryStatus(std::string_view(text).substr(here), limits, bounce);
      if (!bounce->recipients.empty()) return;
    }
    if (BeginsReturned(line)) break;
    if (const size_t less = line.find('<'); in_brackets.empty() && less != std::string_view::npos)
      in_brackets = AddressOfLine(line.substr(less, line.find('>', less) - less + 1));
    StrAppend(all, line, "\n");
    std::string address = AddressOfLine(line);
    const bool repeated = std::any_of(found.begin(), found.end(),
                                      [&](const Found& f) { return f.address == address; });
    // Where the header names who failed, only those count.
    const bool counts =
        failed.empty() || std::any_of(failed.begin(), failed.end(),
                                      [&](const auto& f) { return EqualsIgnoreCase(f, address); });
    if (!address.empty() && counts && !repeated &&
        found.size() < std::min<size_t>(limits.max_recipients, 100))
      found.push_back({std::move(address), ""});
    if (!found.empty()) StrAppend(found.back().text, line, "\n");
  }
  // An address without a reply below it was named for another reason, when others have one.
  std::vector<ReportedRecipient> with, without;
  for (const Found& each : found) {
    ReportedRecipient recipient;
    recipient.final_recipient = each.address;
    const SmtpReplyIn reply = FindSmtpReply(each.text);
    recipient.reply_code = reply.code;
    recipient.reply_status = recipient.status = reply.status;
    recipient.diagnostic.value = OneLine(each.text);
    (reply.code != 0 || !reply.status.empty() ? with : without).push_back(std::move(recipient));
  }
  bounce->recipients = with.empty() ? std::move(without) : std::move(with);
  if (bounce->recipients.empty() && !in_brackets.empty()) {
    bounce->recipients.emplace_back();
    bounce->recipients[0].final_recipient = in_brackets;
    bounce->recipients[0].diagnostic.value = OneLine(all);
  }
  const SmtpReplyIn reply = FindSmtpReply(all);
  const bool told = std::any_of(
      bounce->recipients.begin(), bounce->recipients.end(),
      [](const ReportedRecipient& r) { return r.reply_code != 0 || !r.status.empty(); });
  if (!told && (reply.code != 0 || !reply.status.empty())) {
    // The reply stands before the address, or there is no address.
    if (bounce->recipients.empty()) bounce->recipients.emplace_back();
    bounce->recipients.resize(1);
    ReportedRecipient& recipient = bounce->recipients[0];
    if (recipient.final_recipient.empty() && !failed.empty()) recipient.final_recipient = failed[0];
    recipient.reply_code = reply.code;
    recipient.reply_status = recipient.status = reply.status;
    recipient.diagnostic.value = OneLine(all);
  }
}

// LooksLikeBounce tells whether a message without a status part says in its header that it is one.
bool LooksLikeBounce(const MessageView& message) {
  const Part& root = message.root();
  if (message.Find(root, "X-Failed-Recipients") != nullptr) return true;
  if (const Header* path = message.Find(root, Field::kReturnPath);
      path != nullptr && StripBrackets(path->value).empty())
    return true;
  const Header* from = message.Find(root, Field::kFrom);
  if (from == nullptr) return false;
  const std::string lower = AsciiLower(from->value);
  for (const std::string_view name :
       {"mailer-daemon", "postmaster", "mail delivery", "mailerdaemon"})
    if (lower.find(name) != std::string::npos) return true;
  return false;
}

}  // namespace

bool IsOfMessageItself(const MessageView& message, const Part& part) {
  for (uint32_t up = part.parent; up != kNoPart; up = message.part(up).parent) {
    if (message.part(up).kind == PartKind::kMessage) return false;
  }
  return true;
}

namespace {

// StatusPart gives the part with the status: the message's own; where a mail system sent a message
// without one, that of the bounce which it passes on inside. Null: there is none.
const Part* StatusPart(const MessageView& message) {
  const Part* inside = nullptr;
  for (const Part& part : message.parts()) {
    if (!part.Is("message", "delivery-status") && !part.Is("message", "global-delivery-status"))
      continue;
    if (IsOfMessageItself(message, part)) return &part;
    if (inside == nullptr) inside = &part;
  }
  return inside != nullptr && LooksLikeBounce(message) ? inside : nullptr;
}

}  // namespace

Bounce ReadBounce(const MessageView& message, const BounceLimits& limits) {
  Bounce bounce;
  const Part* const report = StatusPart(message);
  if (report != nullptr) {
    std::string body;
    DecodeBody(message, *report, body);
    ParseDeliveryStatus(body, limits, &bounce);
    bounce.form = Bounce::Form::kStatus;
  }
  for (size_t i = 0; i < message.parts().size(); ++i) {
    const Part& part = message.part(i);
    if (bounce.returned_part == kNoPart && i > 0 &&
        (part.Is("message", "rfc822") || part.Is("text", "rfc822-headers") ||
         part.Is("message", "global") || part.Is("message", "global-headers"))) {
      bounce.returned_part = static_cast<uint32_t>(i);
    }
  }
  if (report == nullptr && LooksLikeBounce(message)) {
    ReadText(message, limits, &bounce);
    if (!bounce.recipients.empty()) bounce.form = Bounce::Form::kText;
  }
  if (report != nullptr) {
    // The text beside the status often has the reply that the status part leaves out.
    const bool silent = std::all_of(bounce.recipients.begin(), bounce.recipients.end(),
                                    [](const ReportedRecipient& r) { return r.reply_code == 0; });
    if (silent && bounce.recipients.size() == 1) {
      Bounce text;
      ReadText(message, limits, &text);
      ReportedRecipient& recipient = bounce.recipients[0];
      if (text.recipients.size() == 1 && recipient.diagnostic.value.empty()) {
        recipient.reply_code = text.recipients[0].reply_code;
        recipient.reply_status = text.recipients[0].reply_status;
      }
    }
  }
  if (bounce.returned_part != kNoPart) {
    const Part& part = message.part(bounce.returned_part);
    std::string returned;
    DecodeBody(message, part, returned);
    const MessageView header = ParseHeader(returned);
    if (const Header* id = header.Find(header.root(), Field::kMessageId); id != nullptr)
      bounce.original_message_id = Unfold(id->value);
  }
  return bounce;
}

}  // namespace postern::message
