// A transaction: MAIL, RCPT, DATA, the message's content on its way through the filters to where it
// is kept, and its end.
#include <algorithm>
#include <array>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/message_id.h"
#include "lib/service/smtp/connection.h"
#include "lib/service/smtp/received.h"

namespace postern::service {
namespace {

using smtp::Decision;

constexpr size_t kMessageIdOctets = 16;

// ReplyForFailure is what a client is told when the world fails us: a full disk is 452 4.3.1, all
// else 451.
mail::Reply ReplyForFailure(const Status& failure) {
  if (failure.code() == StatusCode::kResourceExhausted) {
    return mail::Reply(452, {4, 3, 1}, "Insufficient system storage, try again later");
  }
  return mail::Reply(451, {4, 3, 0}, "Temporary failure, try again later");
}

bool SameAddress(const mail::Address& a, const mail::Address& b) {
  return a.local_part == b.local_part && EqualsIgnoreCase(a.domain, b.domain);
}

std::string MailCommand(const mail::ReversePath& sender) {
  return StrCat("MAIL FROM:<", sender.address.empty() ? "" : sender.address.ToString(), ">");
}

// KeptContent is where the last filter writes: the intake, and behind it the message.
class KeptContent final : public ContentSink {
 public:
  // `failure` is told of what goes wrong: a filter need not tell. `eight_bit` is set by octets
  // above 127: filters add them and take them away.
  KeptContent(MessageIntake* intake, IncomingMessage* message, Status* failure, bool* eight_bit)
      : intake_(intake), message_(message), failure_(failure), eight_bit_(eight_bit) {}
  rt::Task<Status> Write(std::string_view octets) override {
    const std::string_view stored = intake_->Push(octets);
    if (stored.empty() || !failure_->ok()) co_return *failure_;
    *eight_bit_ = *eight_bit_ || !IsAscii(stored);
    *failure_ = co_await message_->Append(stored);
    co_return *failure_;
  }

 private:
  MessageIntake* intake_;
  IncomingMessage* message_;
  Status* failure_;
  bool* eight_bit_;
};

}  // namespace

rt::Task<Status> SmtpConnection::BeginMessage(Transaction* transaction) {
  if (transaction->message != nullptr) co_return OkStatus();
  StatusOr<std::unique_ptr<IncomingMessage>> message =
      co_await service_->backend_->NewMessage(stream_->executor(), facts_, transaction->sender);
  if (!message.ok()) co_return message.status();
  transaction->message = std::move(*message);
  co_return OkStatus();
}

rt::Task<void> SmtpConnection::OnMailFrom(const mail::ReversePath* reverse_path) {
  auto transaction = std::make_unique<Transaction>();
  transaction->sender = *reverse_path;
  co_await FindReverseName();
  transaction->junk = junk_;
  if (filter_ != nullptr && (filter_->events() != 0 || filter_->wants_content())) {
    // A message that is watched has its id from the start.
    const Status room = co_await BeginMessage(transaction.get());
    if (!room.ok()) {
      mail::Reply reply = ReplyForFailure(room);
      LogRefusal(MailCommand(transaction->sender), reply, Message(room));
      session_->Decide(Decision::Refuse(std::move(reply)));
      co_return;
    }
  }
  const bool refused = co_await FilterSender(transaction.get());
  if (refused) co_return;
  std::optional<mail::Reply> refusal =
      co_await service_->backend_->CheckSender(stream_->executor(), facts_, transaction->sender);
  if (refusal.has_value()) {
    LogRefusal(MailCommand(transaction->sender), *refusal, "");
    session_->Decide(Decision::Refuse(std::move(*refusal)));
    co_return;
  }
  transaction_ = std::move(transaction);
  session_->Decide(Decision::Accept());
  if (transaction_->message == nullptr) co_return;
  ReportOutput();
  transaction_->begun = true;
  if (Watches(SessionEvent::kTxBegin))
    Report({.event = SessionEvent::kTxBegin, .message_id = transaction_->message->id()});
  ReportAddress(SessionEvent::kTxMail, mail::Reply(), &transaction_->sender.address);
}

rt::Task<void> SmtpConnection::OnRcptTo(const mail::ForwardPath* forward_path) {
  AcceptedRecipient recipient;
  recipient.path = *forward_path;
  const bool refused = co_await FilterRecipient(&recipient.path);
  if (refused) co_return;
  RecipientVerdict verdict = co_await service_->backend_->CheckRecipient(
      stream_->executor(), facts_, transaction_->sender, recipient.path);
  if (verdict.refusal.has_value()) {
    const mail::Reply reply = *verdict.refusal;
    LogRefusal(StrCat("RCPT TO:<", recipient.path.address.ToString(), ">"), reply, verdict.reason);
    session_->Decide(Decision::Refuse(std::move(*verdict.refusal)));
    ReportOutput();
    ReportAddress(SessionEvent::kTxRcpt, reply, &recipient.path.address);
    co_return;
  }
  recipient.ticket = std::move(verdict.ticket);
  // The queue would give the ids at the end; who is told of one now must find it there.
  const bool watched = transaction_->begun && Watches(SessionEvent::kTxEnvelope);
  while (watched && recipient.envelopes.size() < verdict.envelopes) {
    const auto id = static_cast<uint32_t>(service_->world_->random().Next());
    if (id != 0) recipient.envelopes.push_back(id);
  }
  transaction_->recipients.push_back(std::move(recipient));
  session_->Decide(Decision::Accept());
  if (!transaction_->begun) co_return;
  for (const uint32_t id : transaction_->recipients.back().envelopes) {
    Report({.event = SessionEvent::kTxEnvelope,
            .number = id,
            .message_id = transaction_->message->id()});
  }
  ReportOutput();
  ReportAddress(SessionEvent::kTxRcpt, mail::Reply(),
                &transaction_->recipients.back().path.address);
}

rt::Task<void> SmtpConnection::OnDataBegin(bool chunking) {
  chunking_ = chunking;
  Transaction& transaction = *transaction_;
  FilterQuestion& about = transaction.about;
  about = {.phase = SmtpPhase::kData,
           .facts = &facts_,
           .sender = &transaction.sender.address,
           .reverse_path = &transaction.sender};
  about.message_id = IdOf(transaction);
  if (Asks(SmtpPhase::kData)) {
    const bool refused = co_await Filter(about, "DATA", nullptr, &transaction.junk);
    if (refused) co_return;
  }
  const Status room = co_await BeginMessage(&transaction);
  if (!room.ok()) {
    mail::Reply reply = ReplyForFailure(room);
    LogRefusal("DATA", reply, Message(room));
    session_->Decide(Decision::Refuse(std::move(reply)));
    co_return;
  }
  about.message_id = IdOf(transaction);
  std::string head = HeadFields(transaction);
  if (filter_ != nullptr && filter_->wants_content()) {
    co_await BeginContent(std::move(head));
  } else {
    transaction.intake = MakeIntake(transaction, std::move(head));
  }
  session_->Decide(Decision::Accept());
  ReportOutput();
  ReportAddress(SessionEvent::kTxData, mail::Reply(), nullptr);
}

rt::Task<void> SmtpConnection::BeginContent(std::string head) {
  Transaction& transaction = *transaction_;
  // Filters see what we write above the message, and may change that too: what they give is the
  // message, of which the intake completes the header.
  transaction.intake = MakeIntake(transaction, "");
  transaction.kept =
      std::make_unique<KeptContent>(transaction.intake.get(), transaction.message.get(),
                                    &transaction.failure, &transaction.eight_bit);
  filter_->BeginContent(transaction.about, transaction.kept.get());
  // What goes wrong stands in the transaction.
  (void)co_await filter_->Content(head);
}

std::string SmtpConnection::HeadFields(const Transaction& transaction) const {
  const std::string single = transaction.recipients.size() == 1
                                 ? transaction.recipients[0].path.address.ToString()
                                 : std::string();
  std::string head = transaction.junk ? "X-Spam: Yes\r\n" : "";
  head += FormatReceived(facts_, transaction.sender.smtputf8, transaction.message->id(), single,
                         service_->world_->clock().WallNow(),
                         service_->options_.time_zone_offset_minutes);
  return head;
}

std::unique_ptr<MessageIntake> SmtpConnection::MakeIntake(const Transaction& transaction,
                                                          std::string head) const {
  const SmtpListener& listener = *facts_.listener;
  const WallTime now = service_->world_->clock().WallNow();
  const int zone = service_->options_.time_zone_offset_minutes;
  MessageIntakeOptions options;
  options.max_received_fields = listener.max_received_fields;
  if (head.empty()) ++options.max_received_fields;  // ours comes with the text
  options.received = std::move(head);
  options.complete = listener.complete_messages;
  if (options.complete) {
    std::array<uint8_t, kMessageIdOctets> octets;
    service_->world_->random().Fill(octets);
    const std::string_view random(reinterpret_cast<const char*>(octets.data()), octets.size());
    options.date = mail::FormatDate(now, zone);
    options.message_id = mail::MakeMessageId(random, listener.options->hostname);
    options.domain = listener.options->hostname;
  }
  if (listener.masquerade && !facts_.auth_user.empty() && !transaction.sender.address.empty())
    options.masquerade = transaction.sender.address.ToString();
  options.max_header_bytes = listener.max_header_bytes;
  return std::make_unique<MessageIntake>(std::move(options));
}

rt::Task<void> SmtpConnection::OnBodyChunk(std::string_view chunk) {
  Transaction& transaction = *transaction_;
  // After a failure the rest is swallowed, so that the reply comes where the client expects it.
  if (!transaction.failure.ok()) co_return;
  if (transaction.kept != nullptr) {
    const Status taken = co_await filter_->Content(chunk);
    if (transaction.failure.ok()) transaction.failure = taken;
    co_return;
  }
  const std::string_view stored = transaction.intake->Push(chunk);
  if (stored.empty()) co_return;
  transaction.failure = co_await transaction.message->Append(stored);
}

rt::Task<Status> SmtpConnection::ApplyChanges(Transaction* transaction, FilterChanges changes) {
  std::vector<AcceptedRecipient>& recipients = transaction->recipients;
  for (const mail::Address& gone : changes.remove_recipients) {
    recipients.erase(std::remove_if(recipients.begin(), recipients.end(),
                                    [&gone](const AcceptedRecipient& each) {
                                      return SameAddress(each.path.address, gone);
                                    }),
                     recipients.end());
  }
  if (changes.change_sender) transaction->sender = std::move(changes.sender);
  for (mail::ForwardPath& path : changes.add_recipients) {
    RecipientVerdict verdict = co_await service_->backend_->CheckRecipient(
        stream_->executor(), facts_, transaction->sender, path);
    if (verdict.refusal.has_value()) {
      // To leave it out would be to lose what the filter was promised.
      co_return Unavailable(
          StrCat("the recipient <", path.address.ToString(),
                 "> that a filter added is not taken: ", verdict.refusal->ToString()));
    }
    recipients.push_back({std::move(path), std::move(verdict.ticket)});
  }
  if (changes.quarantine) {
    Log(LogLevel::kInfo, "filtered",
        {{"result", "quarantine"}, {"reason", changes.quarantine_reason}});
    transaction->message->Quarantine(std::move(changes.quarantine_reason));
  }
  co_return OkStatus();
}

// FinishMessage gives the reply to a whole message.
rt::Task<mail::Reply> SmtpConnection::FinishMessage(Transaction* transaction, std::string* reason) {
  using Kind = FilterVerdict::Kind;
  FilterVerdict verdict;
  Status& failure = transaction->failure;
  if (transaction->kept != nullptr && failure.ok()) verdict = co_await filter_->EndContent();
  const bool refused = verdict.kind == Kind::kReject || verdict.kind == Kind::kDisconnect;
  if (failure.ok() && !refused) {
    const std::string_view rest = transaction->intake->Finish();
    if (!rest.empty()) failure = co_await transaction->message->Append(rest);
  }
  // What a filter's verdict is comes first: one that floods is not the client's too large header.
  const MessageIntake::Problem problem =
      refused ? MessageIntake::Problem::kNone : transaction->intake->problem();
  if (problem == MessageIntake::Problem::kHeaderTooBig)
    co_return mail::Reply(552, {5, 3, 4}, "Message header too big");
  if (problem == MessageIntake::Problem::kLoop) {
    // RFC 5321 §4.3.2: 554 behind DATA; 500 is for commands that nobody knows.
    co_return mail::Reply(554, {5, 4, 6}, "Routing loop detected: too many Received fields");
  }
  if (failure.ok() && !refused && !verdict.changes.empty())
    failure = co_await ApplyChanges(transaction, std::move(verdict.changes));
  if (!failure.ok()) {
    *reason = std::string(Message(failure));
    co_return ReplyForFailure(failure);
  }
  if (!refused && verdict.kind != Kind::kDiscard && Asks(SmtpPhase::kCommit)) {
    FilterQuestion question = transaction->about;
    question.phase = SmtpPhase::kCommit;
    verdict = co_await filter_->Ask(question);
  }
  if (verdict.kind == Kind::kReject || verdict.kind == Kind::kDisconnect) {
    *reason = StrCat("filter ", verdict.filter);
    transaction->hang_up = verdict.kind == Kind::kDisconnect;
    co_return std::move(verdict.reply);
  }
  if (verdict.kind == Kind::kDiscard || transaction->recipients.empty()) {
    Log(LogLevel::kInfo, "filtered",
        {{"filter", verdict.filter},
         {"msgid", transaction->message->id()},
         {"result", verdict.kind == Kind::kDiscard ? "discard" : "no recipient is left"}});
    co_return mail::Reply(250, {2, 0, 0},
                          StrCat(transaction->message->id(), " Message accepted for delivery"));
  }
  // RFC 6152 §3: eight bits that nobody announced are eight bits, and the next server is told so or
  // given seven.
  if (transaction->eight_bit && transaction->sender.body == mail::BodyType::k7Bit)
    transaction->sender.body = mail::BodyType::k8BitMime;
  mail::Reply reply =
      co_await transaction->message->Finish(facts_, transaction->sender, transaction->recipients);
  co_return reply;
}

rt::Task<void> SmtpConnection::OnMessageEnd(uint64_t size, uint8_t defects) {
  // The transaction is over whatever comes of it: nothing of it is carried over (reliability:
  // desync after refusal).
  if (Watches(SessionEvent::kProtocolClient) && !chunking_)
    Report({.event = SessionEvent::kProtocolClient, .text = "."});
  const std::unique_ptr<Transaction> transaction = std::move(transaction_);
  finishing_ = true;
  if (transaction->kept == nullptr) transaction->eight_bit = (defects & smtp::kDefectEightBit) != 0;
  std::string reason;
  mail::Reply reply = co_await FinishMessage(transaction.get(), &reason);
  if (transaction->kept != nullptr) filter_->AbortContent();
  const bool kept = reply.IsPositive();
  if (kept) {
    Log(LogLevel::kInfo, "message",
        {{"msgid", transaction->message->id()},
         {"size", StrCat(size)},
         {"nrcpt", StrCat(transaction->recipients.size())},
         {"proto", facts_.extended ? "ESMTP" : "SMTP"}});
    session_->Decide(Decision::Accept(std::move(reply)));
  } else {
    LogRefusal("message", reply, reason);
    session_->Decide(transaction->hang_up ? Decision::Disconnect(std::move(reply))
                                          : Decision::Refuse(std::move(reply)));
  }
  if (!transaction->begun) co_return;
  ReportOutput();
  const std::string_view id = transaction->message->id();
  if (kept && Watches(SessionEvent::kTxCommit)) {
    Report({.event = SessionEvent::kTxCommit, .number = size, .message_id = id});
  } else if (!kept && Watches(SessionEvent::kTxRollback)) {
    Report({.event = SessionEvent::kTxRollback, .message_id = id});
  }
  if (Watches(SessionEvent::kTxReset)) Report({.event = SessionEvent::kTxReset, .message_id = id});
}

}  // namespace postern::service
