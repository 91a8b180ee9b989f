#include "lib/server/local_session.h"

#include <array>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/line_ends.h"
#include "lib/core/mail/message_id.h"
#include "lib/service/smtp/message_intake.h"
#include "lib/service/smtp/received.h"

namespace postern::server {
namespace {

// CheckOctets refuses what SMTP refuses in a text (RFC 5321 §2.3.8): a CR that no LF follows, which
// other programs may take for a line end, and NUL.
Status CheckOctets(std::string_view text) {
  for (size_t i = 0; (i = text.find_first_of(std::string_view("\r\0", 2), i)) != text.npos; ++i) {
    if (text[i] == '\0') return InvalidArgument(StrCat("content: octet ", i + 1, " is NUL"));
    if (i + 1 == text.size() || text[i + 1] != '\n') {
      return InvalidArgument(
          StrCat("content: octet ", i + 1, " is a CR without LF; lines end in LF or CR LF"));
    }
  }
  return OkStatus();
}

// ReceivedFrom is the trace line of what a user of this machine handed in: who it was, the system
// said. RFC 5321 §4.4 wants a domain behind "from"; there was none, so it stands in a comment.
std::string ReceivedFrom(const Submission& submission, const std::string& server_name,
                         const std::string& message_id, const std::string& date) {
  const std::string who = submission.login.empty() ? "localhost" : submission.login + "@localhost";
  return StrCat("Received: (from ", who, ", uid ", *submission.uid, ")\r\n\tby ", server_name,
                " (Postern) id ", message_id, ";\r\n\t", date, "\r\n");
}

// LoginOf is the name of the account that handed `submission` in, where it is true; else "".
rt::Task<std::string> LoginOf(rt::World* world, const Submission* submission) {
  bool plain = !submission->login.empty() && submission->login.size() <= 64;
  for (const char c : submission->login)
    plain = plain && (IsAsciiAlnum(c) || c == '-' || c == '_' || c == '.');
  if (!plain || !submission->uid.has_value()) co_return std::string();
  auto find = world->main_loop().RunBlocking(
      [&] { return world->processes().FindAccount(submission->login); });
  const StatusOr<rt::Account> account = co_await find;
  const bool own = account.ok() && account->uid == *submission->uid;
  co_return own ? submission->login : std::string();
}

service::MessageIntakeOptions IntakeOptions(rt::World& world,
                                            const service::SmtpSessionFacts& facts,
                                            const Submission& submission,
                                            const std::string& message_id) {
  std::array<uint8_t, 16> octets;
  world.random().Fill(octets);
  const WallTime now = world.clock().WallNow();
  service::MessageIntakeOptions options;
  options.received = submission.uid.has_value()
                         ? ReceivedFrom(submission, facts.listener->options->hostname, message_id,
                                        mail::FormatDate(now, 0))
                         : service::FormatReceived(facts, false, message_id, "", now, 0);
  options.complete = true;
  options.date = mail::FormatDate(now, 0);
  options.message_id = mail::MakeMessageId(
      std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()),
      facts.listener->options->hostname);
  options.domain = facts.listener->options->hostname;
  return options;
}

}  // namespace

service::SmtpSessionFacts LocalFacts(const Runtime& runtime, std::string session_id) {
  auto options = std::make_shared<smtp::ServerOptions>();
  options->hostname = runtime.server_name();
  options->max_message_bytes = static_cast<uint64_t>(runtime.config().smtp.max_message_bytes);
  auto listener = std::make_shared<service::SmtpListener>();
  listener->options = std::move(options);
  listener->is_local_socket = true;
  listener->complete_messages = true;
  listener->name = "local";
  service::SmtpSessionFacts facts;
  facts.id = std::move(session_id);
  facts.listener = std::move(listener);
  facts.helo = "localhost";
  facts.reverse_name = "localhost";
  facts.extended = true;
  return facts;
}

rt::Task<SubmissionResult> SubmitLocally(rt::World* world, std::shared_ptr<const Runtime> runtime,
                                         MailGate* gate, Submission submission) {
  rt::Executor& loop = world->main_loop();
  service::SmtpSessionFacts facts = LocalFacts(*runtime, Hex(world->random().Next(), 16));
  facts.peer_uid = submission.uid;
  submission.login = co_await LoginOf(world, &submission);
  SubmissionResult result;
  result.session = facts.id;
  mail::ReversePath sender;
  sender.dsn_return = submission.dsn_return;
  sender.dsn_envelope_id = submission.envelope_id;
  if (!IsAscii(submission.content)) sender.body = mail::BodyType::k8BitMime;
  if (!submission.reverse_path.empty()) {
    // A user's name alone is a sender of this machine.
    if (submission.uid.has_value() && submission.reverse_path.find('@') == std::string::npos)
      StrAppend(submission.reverse_path, "@", runtime->server_name());
    StatusOr<mail::Address> address = mail::ParseAddress(submission.reverse_path);
    if (!address.ok()) {
      result.status = Annotate(address.status(), "reverse-path");
      co_return result;
    }
    sender.address = std::move(*address);
  }
  if (submission.recipients.empty()) {
    result.status = InvalidArgument("a message needs a recipient");
    co_return result;
  }
  if (submission.content.size() > facts.listener->options->max_message_bytes) {
    result.reply = mail::Reply(552, {5, 3, 4}, "Message too big");
    co_return result;
  }
  result.status = CheckOctets(submission.content);
  if (!result.status.ok()) co_return result;
  std::vector<service::AcceptedRecipient> recipients;
  for (const std::string& text : submission.recipients) {
    mail::AddressOptions options;
    options.allow_no_domain = true;
    StatusOr<mail::Address> address = mail::ParseAddress(text, options);
    if (!address.ok()) {
      result.status = Annotate(address.status(), StrCat("recipient ", Escape(text)));
      co_return result;
    }
    service::AcceptedRecipient recipient;
    if (address->domain.empty() && submission.uid.has_value())
      address->domain = runtime->server_name();
    recipient.path.address = std::move(*address);
    recipient.path.dsn_notify = submission.dsn_notify;
    service::RecipientVerdict verdict =
        co_await gate->CheckRecipient(loop, facts, sender, recipient.path);
    if (verdict.refusal.has_value()) {
      result.reply = std::move(*verdict.refusal);
      co_return result;
    }
    recipient.ticket = std::move(verdict.ticket);
    recipients.push_back(std::move(recipient));
  }
  StatusOr<std::unique_ptr<service::IncomingMessage>> message =
      co_await gate->NewMessage(loop, facts, sender);
  if (!message.ok()) {
    result.status = message.status();
    co_return result;
  }
  service::MessageIntake intake(IntakeOptions(*world, facts, submission, (*message)->id()));
  const std::string content = mail::WithCrlf(submission.content);
  std::string stored(intake.Push(content));
  stored += intake.Finish();
  if (intake.problem() != service::MessageIntake::Problem::kNone) {
    result.reply = mail::Reply(552, {5, 3, 4}, "Message header too big, or a loop");
    co_return result;
  }
  result.status = co_await (*message)->Append(stored);
  if (!result.status.ok()) co_return result;
  result.reply = co_await (*message)->Finish(facts, sender, recipients);
  result.message_id = (*message)->id();
  co_return result;
}

rt::Task<StatusOr<std::vector<queue::Envelope>>> NoticeRoutes::Route(mail::Address recipient) {
  const std::shared_ptr<const Runtime> runtime = runtimes_->Get();
  policy::EnvelopeContext context;
  context.is_local_socket = true;
  context.authenticated = true;
  context.helo = runtime->server_name();  // as if we sent it to ourselves
  context.recipient = recipient;
  context.day = DayOf(world_->clock().WallNow());
  auto expand = world_->main_loop().RunOutside(
      [&] { return policy::Expand(runtime->ruleset(), accounts_, context); });
  const policy::Expansion expansion = co_await expand;
  if (expansion.refusal.has_value()) {
    if (expansion.refusal->IsTransient()) co_return Unavailable(expansion.refusal->ToString());
    co_return NotFound(expansion.refusal->ToString());
  }
  mail::ForwardPath path;
  path.address = std::move(recipient);
  const service::SmtpSessionFacts facts = LocalFacts(*runtime, Hex(world_->random().Next(), 16));
  co_return EnvelopesFor(*runtime, facts, mail::ReversePath(), path, expansion);
}

}  // namespace postern::server
