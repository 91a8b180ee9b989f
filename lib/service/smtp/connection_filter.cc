// What filters do to a session: each step is shown to them before it is taken.
#include <utility>

#include "lib/core/base/strings.h"
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

}  // namespace

rt::Task<void> SmtpConnection::OnHello(std::string name, bool extended) {
  // A filter that asks for the name means the one that the client gives now.
  std::string before = std::exchange(facts_.helo, std::move(name));
  facts_.extended = extended;
  if (filter_ != nullptr) {
    std::string given = facts_.helo;
    const bool refused = co_await Filter({extended ? SmtpPhase::kEhlo : SmtpPhase::kHelo},
                                         extended ? "EHLO" : "HELO", &given, &junk_);
    if (refused) {
      facts_.helo = std::move(before);
      co_return;
    }
    facts_.helo = std::move(given);
  }
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
  mail::Address& address = transaction->sender.address;
  const std::string said = address.empty() ? std::string() : address.ToString();
  std::string given = said;
  const bool refused =
      co_await Filter({.phase = SmtpPhase::kMailFrom, .sender = &address},
                      StrCat("MAIL FROM:<", said, ">"), &given, &transaction->junk);
  if (refused) co_return true;
  if (given == said || Readdress(given, /*may_be_empty=*/true, &address)) co_return false;
  session_->Decide(Decision::Refuse(mail::Reply(553, {5, 1, 0}, "Sender address syntax error")));
  co_return true;
}

rt::Task<bool> SmtpConnection::FilterRecipient(mail::Address* recipient) {
  const std::string said = recipient->ToString();
  std::string given = said;
  const bool refused = co_await Filter({.phase = SmtpPhase::kRcptTo,
                                        .sender = &transaction_->sender.address,
                                        .recipient = recipient},
                                       StrCat("RCPT TO:<", said, ">"), &given, &transaction_->junk);
  if (refused) co_return true;
  if (given == said || Readdress(given, /*may_be_empty=*/false, recipient)) co_return false;
  session_->Decide(Decision::Refuse(mail::Reply(501, {5, 1, 3}, "Recipient address syntax error")));
  co_return true;
}

}  // namespace postern::service
