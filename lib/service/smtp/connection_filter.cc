// What filters do to a session: each step is shown to them before it is taken.
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/smtp/server_commands.h"
#include "lib/service/smtp/connection.h"

namespace postern::service {
namespace {

using smtp::Decision;

// Readdress puts the address that a filter wrote, with or without <>, into `*address`.
bool Readdress(std::string_view text, bool may_be_empty, mail::Address* address) {
  text = Trim(text);
  if (text.size() >= 2 && text.front() == '<' && text.back() == '>')
    text = text.substr(1, text.size() - 2);
  if (text.empty()) {
    *address = mail::Address();
    return may_be_empty;
  }
  StatusOr<mail::Address> parsed = mail::ParseAddress(text);
  if (!parsed.ok()) return false;
  *address = *std::move(parsed);
  return true;
}

// PhaseOfCommand is where filters are asked about a whole line, or kCommit: about it they are asked
// later, or never.
SmtpPhase PhaseOfCommand(smtp::Command command) {
  switch (command) {
    case smtp::Command::kStartTls: return SmtpPhase::kStartTls;
    case smtp::Command::kRset: return SmtpPhase::kRset;
    case smtp::Command::kNoop: return SmtpPhase::kNoop;
    case smtp::Command::kQuit: return SmtpPhase::kQuit;
    case smtp::Command::kVrfy:
    case smtp::Command::kHelp:
    case smtp::Command::kUnimplemented:
    case smtp::Command::kUnknown: return SmtpPhase::kOther;
    default: return SmtpPhase::kCommit;
  }
}

}  // namespace

rt::Task<void> SmtpConnection::OnCommandLine(std::string line, bool secret) {
  if (Watches(SessionEvent::kProtocolClient))
    Report({.event = SessionEvent::kProtocolClient, .text = line});
  if (!secret) {
    const smtp::CommandLine command = smtp::ParseCommandLine(line);
    const SmtpPhase phase = PhaseOfCommand(command.command);
    if (phase != SmtpPhase::kCommit && Asks(phase)) {
      bool junk = junk_;
      FilterQuestion question{.phase = phase};
      question.argument = phase == SmtpPhase::kOther ? std::string_view(line) : command.arguments;
      const bool refused = co_await Filter(question, Escape(line, 80), nullptr, &junk);
      if (refused) co_return;
    }
  }
  session_->Decide(Decision::Accept());
}

std::string SmtpConnection::AuthArgument(const sasl::Credentials& credentials,
                                         sasl::Mechanism mechanism) {
  const std::string_view name = sasl::MechanismName(mechanism);
  if (mechanism == sasl::Mechanism::kPlain) {
    std::string message =
        StrCat(credentials.authorization_id, std::string_view("\0", 1),
               credentials.authentication_id, std::string_view("\0", 1), credentials.password);
    return StrCat(name, " ", mail::Base64Encode(message));
  }
  const std::string& who = credentials.authentication_id.empty() ? credentials.authorization_id
                                                                 : credentials.authentication_id;
  // RFC 4954 §4: "=" is a response of no octets.
  return StrCat(name, " ", who.empty() ? "=" : mail::Base64Encode(who));
}

rt::Task<void> SmtpConnection::OnHello(std::string name, bool extended) {
  // A filter that asks for the name means the one that the client gives now.
  std::string before = std::exchange(facts_.helo, std::move(name));
  facts_.extended = extended;
  const SmtpPhase phase = extended ? SmtpPhase::kEhlo : SmtpPhase::kHelo;
  if (Asks(phase)) {
    std::string given = facts_.helo;
    const bool refused = co_await Filter({.phase = phase, .argument = facts_.helo},
                                         extended ? "EHLO" : "HELO", &given, &junk_);
    if (refused) {
      facts_.helo = std::move(before);
      co_return;
    }
    facts_.helo = std::move(given);
  }
  if (Watches(SessionEvent::kLinkIdentify))
    Report({.event = SessionEvent::kLinkIdentify, .text = facts_.helo});
  session_->Decide(Decision::Accept());
}

rt::Task<bool> SmtpConnection::Filter(FilterQuestion question, std::string command,
                                      std::string* argument, bool* junk) {
  question.facts = &facts_;
  FilterVerdict verdict = co_await filter_->Ask(question);
  using Kind = FilterVerdict::Kind;
  if (verdict.junk && !*junk) {
    *junk = true;
    Log(LogLevel::kInfo, "filtered", {{"filter", verdict.filter}, {"result", "junk"}});
  }
  if (verdict.kind == Kind::kRewrite && argument != nullptr) {
    Log(LogLevel::kInfo, "filtered",
        {{"filter", verdict.filter},
         {"result", "rewrite"},
         {"from", *argument},
         {"to", verdict.argument}});
    *argument = std::move(verdict.argument);
  }
  if (verdict.kind != Kind::kReject && verdict.kind != Kind::kDisconnect) co_return false;
  LogRefusal(command, verdict.reply, StrCat("filter ", verdict.filter));
  session_->Decide(verdict.kind == Kind::kReject ? Decision::Refuse(std::move(verdict.reply))
                                                 : Decision::Disconnect(std::move(verdict.reply)));
  co_return true;
}

rt::Task<bool> SmtpConnection::FilterSender(Transaction* transaction) {
  if (!Asks(SmtpPhase::kMailFrom)) co_return false;
  mail::Address& address = transaction->sender.address;
  const std::string said = address.empty() ? std::string() : address.ToString();
  std::string given = said;
  const FilterQuestion question{.phase = SmtpPhase::kMailFrom,
                                .sender = &address,
                                .reverse_path = &transaction->sender,
                                .message_id = IdOf(*transaction)};
  const bool refused =
      co_await Filter(question, StrCat("MAIL FROM:<", said, ">"), &given, &transaction->junk);
  if (refused) co_return true;
  if (given == said || Readdress(given, /*may_be_empty=*/true, &address)) co_return false;
  mail::Reply reply(553, {5, 1, 0}, "Sender address syntax error");
  LogRefusal(StrCat("MAIL FROM:<", given, ">"), reply, "a filter wrote it");
  session_->Decide(Decision::Refuse(std::move(reply)));
  co_return true;
}

rt::Task<bool> SmtpConnection::FilterRecipient(mail::ForwardPath* path) {
  if (!Asks(SmtpPhase::kRcptTo)) co_return false;
  mail::Address& recipient = path->address;
  const std::string said = recipient.ToString();
  std::string given = said;
  const FilterQuestion question{.phase = SmtpPhase::kRcptTo,
                                .sender = &transaction_->sender.address,
                                .recipient = &recipient,
                                .reverse_path = &transaction_->sender,
                                .forward_path = path,
                                .message_id = IdOf(*transaction_)};
  const bool refused =
      co_await Filter(question, StrCat("RCPT TO:<", said, ">"), &given, &transaction_->junk);
  if (refused) co_return true;
  if (given == said || Readdress(given, /*may_be_empty=*/false, &recipient)) co_return false;
  mail::Reply reply(501, {5, 1, 3}, "Recipient address syntax error");
  LogRefusal(StrCat("RCPT TO:<", given, ">"), reply, "a filter wrote it");
  session_->Decide(Decision::Refuse(std::move(reply)));
  co_return true;
}

}  // namespace postern::service
