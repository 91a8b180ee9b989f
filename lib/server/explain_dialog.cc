#include "lib/server/explain_dialog.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/line_ends.h"
#include "lib/service/filter/passage.h"

namespace postern::server {

using smtp::Decision;
using smtp::ServerEvent;

namespace {

constexpr std::string_view kMessageId = "00000000";  // there is none

std::string OneText(std::string_view octets) {
  std::string out;
  for (const std::string_view line : Split(octets, '\n')) {
    const std::string_view text = Trim(line);
    if (!text.empty()) StrAppend(out, out.empty() ? "" : "\n", text);
  }
  return out;
}

// DotStuffed gives `text` as DATA carries it.
std::string DotStuffed(std::string_view text) {
  std::string out;
  for (std::string_view line : Split(text, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    StrAppend(out, !line.empty() && line[0] == '.' ? "." : "", line, "\r\n");
  }
  if (!text.empty() && text.back() == '\n') out.resize(out.size() - 2);  // Split's last piece
  return out + ".\r\n";
}

}  // namespace

rt::Task<bool> ExplainDialog::Filter(service::FilterQuestion question, std::string* argument) {
  using Kind = service::FilterVerdict::Kind;
  service::FilterVerdict verdict = co_await filters_->Ask(question);
  junk_ = junk_ || verdict.junk;
  if (verdict.kind == Kind::kRewrite && argument != nullptr)
    *argument = std::move(verdict.argument);
  if (verdict.kind != Kind::kReject && verdict.kind != Kind::kDisconnect) co_return false;
  session_.Decide(verdict.kind == Kind::kReject ? Decision::Refuse(std::move(verdict.reply))
                                                : Decision::Disconnect(std::move(verdict.reply)));
  co_return true;
}

rt::Task<void> ExplainDialog::OnConnected() {
  if (facts_.listener->wants_reverse_name) co_await AskReverseName();
  co_await filters_->Begin(&facts_);
  filters_->Tell({.event = service::SessionEvent::kLinkConnect});
  const bool refused = co_await Filter({.phase = service::SmtpPhase::kConnect}, nullptr);
  if (refused) co_return;
  session_.Decide(Decision::Accept());
  filters_->Tell(
      {.event = service::SessionEvent::kLinkGreeting, .text = facts_.listener->options->hostname});
}

rt::Task<void> ExplainDialog::OnHello(std::string name, bool extended) {
  facts_.helo = std::move(name);
  facts_.extended = extended;
  std::string given = facts_.helo;
  const service::SmtpPhase phase = extended ? service::SmtpPhase::kEhlo : service::SmtpPhase::kHelo;
  const bool refused = co_await Filter({.phase = phase, .argument = facts_.helo}, &given);
  if (refused) co_return;
  facts_.helo = std::move(given);
  filters_->Tell({.event = service::SessionEvent::kLinkIdentify, .text = facts_.helo});
  session_.Decide(Decision::Accept());
}

rt::Task<void> ExplainDialog::OnLogin() {
  const std::string argument =
      StrCat("PLAIN ", mail::Base64Encode(StrCat(std::string_view("\0", 1), question_->login,
                                                 std::string_view("\0", 1))));
  const bool refused =
      co_await Filter({.phase = service::SmtpPhase::kAuth, .argument = argument}, nullptr);
  if (refused) co_return;
  facts_.auth_user = question_->login;
  filters_->Tell({.event = service::SessionEvent::kLinkAuth, .text = facts_.auth_user});
  session_.Decide(Decision::Accept());
}

rt::Task<void> ExplainDialog::OnDataBegin() {
  const bool refused = co_await Filter({.phase = service::SmtpPhase::kData,
                                        .sender = &sender_.address,
                                        .reverse_path = &sender_,
                                        .message_id = kMessageId},
                                       nullptr);
  if (refused) co_return;
  filters_->Tell({.event = service::SessionEvent::kTxData, .message_id = kMessageId});
  service::MessageIntakeOptions options;
  options.received = "Received: by explain\r\n";
  options.max_header_bytes = facts_.listener->max_header_bytes;
  options.max_received_fields = facts_.listener->max_received_fields;
  intake_ = std::make_unique<service::MessageIntake>(std::move(options));
  session_.Decide(Decision::Accept());
}

rt::Task<void> ExplainDialog::AskReverseName() {
  if (asked_name_) co_return;
  asked_name_ = true;
  if (facts_.listener->is_local_socket) {
    facts_.reverse_name = "localhost";
    facts_.reverse_confirmed = true;
  } else if (question_->reverse_name) {
    // A name that is given is one that leads back.
    facts_.reverse_name = *question_->reverse_name;
    facts_.reverse_confirmed = !facts_.reverse_name.empty();
  } else if (facts_.listener->wants_reverse_name) {
    std::string name = co_await gate_->ReverseName(world_->main_loop(), facts_.remote.address);
    facts_.reverse_name = std::move(name);
    if (facts_.listener->wants_confirmation && !facts_.reverse_name.empty()) {
      facts_.reverse_confirmed = co_await gate_->ReverseNameLeadsBack(
          world_->main_loop(), facts_.reverse_name, facts_.remote.address);
    }
  }
  out_->reverse_name = facts_.reverse_name;
}

rt::Task<void> ExplainDialog::OnMailFrom(mail::ReversePath sender) {
  sender_ = std::move(sender);
  co_await AskReverseName();
  std::string said = sender_.address.empty() ? "" : sender_.address.ToString();
  const std::string before = said;
  const bool refused = co_await Filter({.phase = service::SmtpPhase::kMailFrom,
                                        .sender = &sender_.address,
                                        .reverse_path = &sender_,
                                        .message_id = kMessageId},
                                       &said);
  if (refused) co_return;
  if (said != before) {
    std::optional<mail::Address> given = service::ReadAddressOfFilter(said, true);
    if (!given.has_value()) {
      session_.Decide(Decision::Refuse(mail::Reply(553, {5, 1, 0}, "Sender address syntax error")));
      co_return;
    }
    sender_.address = *std::move(given);
  }
  std::optional<mail::Reply> refusal =
      co_await gate_->CheckSender(world_->main_loop(), facts_, sender_);
  if (!refusal) {
    filters_->Tell({.event = service::SessionEvent::kTxBegin, .message_id = kMessageId});
    filters_->Tell({.event = service::SessionEvent::kTxMail,
                    .message_id = kMessageId,
                    .address = &sender_.address});
  }
  session_.Decide(refusal ? Decision::Refuse(*std::move(refusal)) : Decision::Accept());
}

rt::Task<void> ExplainDialog::OnRcptTo(mail::ForwardPath recipient) {
  std::string said = recipient.address.ToString();
  const std::string before = said;
  const bool refused = co_await Filter({.phase = service::SmtpPhase::kRcptTo,
                                        .sender = &sender_.address,
                                        .recipient = &recipient.address,
                                        .reverse_path = &sender_,
                                        .forward_path = &recipient,
                                        .message_id = kMessageId},
                                       &said);
  if (refused) {
    recipient_->reason = "by a filter";
    co_return;
  }
  if (said != before) {
    std::optional<mail::Address> given = service::ReadAddressOfFilter(said, false);
    if (!given.has_value()) {
      session_.Decide(
          Decision::Refuse(mail::Reply(501, {5, 1, 3}, "Recipient address syntax error")));
      co_return;
    }
    recipient.address = *std::move(given);
  }
  service::RecipientVerdict verdict =
      co_await gate_->CheckRecipient(world_->main_loop(), facts_, sender_, recipient);
  recipient_->trace = *trace_;
  recipient_->reason = std::move(verdict.reason);
  recipient_->notes = MailGate::ExpansionOf(verdict.ticket).notes;
  for (const policy::Destination& each : MailGate::ExpansionOf(verdict.ticket).destinations)
    recipient_->destinations.push_back({each, ""});
  session_.Decide(verdict.refusal ? Decision::Refuse(*std::move(verdict.refusal))
                                  : Decision::Accept());
}

rt::Task<void> ExplainDialog::OnMessageEnd() {
  using Kind = service::FilterVerdict::Kind;
  (void)intake_->Finish();
  switch (intake_->problem()) {
    case service::MessageIntake::Problem::kHeaderTooBig:
      session_.Decide(Decision::Refuse(mail::Reply(552, {5, 3, 4}, "Message header too big")));
      co_return;
    case service::MessageIntake::Problem::kLoop:
      session_.Decide(Decision::Refuse(
          mail::Reply(554, {5, 4, 6}, "Routing loop detected: too many Received fields")));
      co_return;
    case service::MessageIntake::Problem::kNone: break;
  }
  service::FilterQuestion about{.phase = service::SmtpPhase::kData,
                                .sender = &sender_.address,
                                .reverse_path = &sender_,
                                .message_id = kMessageId};
  std::string text = mail::WithCrlf(question_->message.value_or(""));
  service::FilterVerdict passed = co_await filters_->PassMessage(about, std::move(text));
  if (passed.kind == Kind::kReject || passed.kind == Kind::kDisconnect) {
    session_.Decide(Decision::Refuse(std::move(passed.reply)));
    co_return;
  }
  about.phase = service::SmtpPhase::kCommit;
  const bool refused = co_await Filter(about, nullptr);
  if (refused) co_return;
  session_.Decide(
      Decision::Accept(mail::Reply(250, {2, 0, 0}, "Message would be accepted for delivery")));
}

rt::Task<void> ExplainDialog::Settle() {
  for (;;) {
    const ServerEvent event = session_.NextEvent(world_->main_loop().Now());
    // What the event lends lives until the session moves on, so this is dropped below.
    const size_t said = session_.PendingOutput().size();
    output_ += session_.PendingOutput();
    if (event.kind == ServerEvent::Kind::kBodyChunk) (void)intake_->Push(event.text);
    switch (event.kind) {
      case ServerEvent::Kind::kNeedInput: session_.Wrote(said); co_return;
      case ServerEvent::Kind::kNeedOutput:
      case ServerEvent::Kind::kCommandLine: break;
      case ServerEvent::Kind::kConnected: co_await OnConnected(); break;
      case ServerEvent::Kind::kHello: {
        std::string name(event.text);
        co_await OnHello(std::move(name), event.extended);
        break;
      }
      case ServerEvent::Kind::kStartTls:
        session_.Wrote(said);
        facts_.tls.emplace();
        facts_.helo.clear();
        session_.TlsEstablished();
        co_return;
      case ServerEvent::Kind::kAuthenticate: co_await OnLogin(); break;
      case ServerEvent::Kind::kAuthSecret:
        // A question is asked with PLAIN.
        session_.Decide(Decision::Refuse(mail::Reply()));
        break;
      case ServerEvent::Kind::kMailFrom: {
        mail::ReversePath sender = *event.reverse_path;
        co_await OnMailFrom(std::move(sender));
        break;
      }
      case ServerEvent::Kind::kRcptTo: {
        mail::ForwardPath recipient = *event.forward_path;
        co_await OnRcptTo(std::move(recipient));
        break;
      }
      case ServerEvent::Kind::kDataBegin: co_await OnDataBegin(); break;
      case ServerEvent::Kind::kMessageEnd: co_await OnMessageEnd(); break;
      case ServerEvent::Kind::kClosed:
        over_ = true;
        session_.Wrote(said);
        co_return;
      case ServerEvent::Kind::kAwaitingDecision:
      case ServerEvent::Kind::kAwaitingTls:
      case ServerEvent::Kind::kBodyChunk:
      case ServerEvent::Kind::kTransactionReset:
      case ServerEvent::Kind::kProtocolError: break;
    }
    session_.Wrote(said);
  }
}

rt::Task<std::string> ExplainDialog::Say(std::string command) {
  if (over_) co_return std::string();
  std::string octets = StrCat(command, "\r\n");
  output_.clear();
  std::string_view rest = octets;
  while (!rest.empty() && !over_) {
    const size_t taken = session_.Feed(rest);
    rest.remove_prefix(taken);
    co_await Settle();
  }
  out_->dialog.push_back({command, OneText(output_)});
  co_return out_->dialog.back().reply;
}

bool ExplainDialog::Offers(std::string_view keyword) const {
  for (const std::string_view line : Split(out_->dialog.back().reply, '\n')) {
    if (line.size() > 4 && StartsWithIgnoreCase(line.substr(4), keyword)) return true;
  }
  return false;
}

rt::Task<void> ExplainDialog::Run() {
  co_await Talk();
  // What was said stays.
  filters_->Tell({.event = service::SessionEvent::kTxRollback, .message_id = kMessageId});
  filters_->Tell({.event = service::SessionEvent::kTxReset, .message_id = kMessageId});
  co_await filters_->End();
  out_->filter_steps = filters_->steps();
}

rt::Task<void> ExplainDialog::Talk() {
  const std::string hello = StrCat("EHLO ", question_->helo);
  co_await Settle();
  out_->dialog.push_back({"", OneText(output_)});
  (void)co_await Say(hello);
  const bool wants_login = !question_->login.empty() && !facts_.listener->is_local_socket;
  if ((question_->tls || wants_login) && Offers("STARTTLS")) {
    const std::string start = "STARTTLS";
    (void)co_await Say(start);
    (void)co_await Say(hello);
  }
  if (wants_login && Offers("AUTH")) {
    // Who it is stands in the question; what is said here is nobody's password.
    const std::string log_in = "AUTH PLAIN AHUAcA==";
    (void)co_await Say(log_in);
    out_->dialog.back().command = "AUTH PLAIN ...";
  }
  if (wants_login && facts_.auth_user.empty()) {
    // What would be said without the login is no answer to what was asked.
    for (const std::string& address : question_->recipients)
      out_->recipients.emplace_back().address = address;
    out_->no_login = true;
    co_return;
  }
  const std::string mail = StrCat("MAIL FROM:<", question_->sender, ">");
  const std::string reply = co_await Say(mail);
  bool all = true;
  for (const std::string& address : question_->recipients) {
    recipient_ = &out_->recipients.emplace_back();
    recipient_->address = address;
    if (reply.rfind('2', 0) != 0) {
      all = false;
      continue;
    }
    const std::string rcpt = StrCat("RCPT TO:<", address, ">");
    std::string answer = co_await Say(rcpt);
    recipient_->reply = std::move(answer);
    all = all && recipient_->reply.rfind('2', 0) == 0;
  }
  out_->accepted = all;
  if (!question_->message || !all) co_return;
  out_->has_message = true;
  const std::string data = "DATA";
  const std::string go_on = co_await Say(data);
  if (go_on.rfind('3', 0) != 0) {
    out_->accepted = false;
    co_return;
  }
  std::string text = DotStuffed(*question_->message);
  text.resize(text.size() - 2);  // Say adds the last CRLF
  const std::string end = co_await Say(text);
  out_->dialog.back().command = StrCat("(", question_->message->size(), " octets)");
  out_->accepted = end.rfind('2', 0) == 0;
}

}  // namespace postern::server
