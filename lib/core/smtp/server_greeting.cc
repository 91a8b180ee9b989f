// The commands about the session itself: greeting, EHLO, STARTTLS, AUTH, and what is not SMTP at
// all.
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/extensions.h"
#include "lib/core/smtp/server_session_impl.h"

namespace postern::smtp {

uint32_t ServerSession::Impl::OfferedNow() const {
  return OfferedExtensions(*options_, {.in_tls = in_tls_, .authenticated = authenticated_});
}

sasl::MechanismSet ServerSession::Impl::MechanismsNow() const {
  return sasl::Offered(options_->mechanisms, channel_);
}

void ServerSession::Impl::DecideConnected(const Decision& decision) {
  must_flush_ = true;
  if (decision.kind == Decision::Kind::kAccept) {
    const std::string text = decision.reply.code != 0 ? decision.reply.Text() : options_->banner;
    Send(mail::Reply(220, {}, StrCat(options_->hostname, " ", text)));
    state_ = State::kGreeted;
    return;
  }
  state_ = State::kRefused;
  Send(decision.reply.code != 0 ? decision.reply
                                : mail::Reply(554, {5, 7, 1}, "No service for you here"));
}

ServerEvent ServerSession::Impl::OnHello(std::string_view arguments, bool extended) {
  CountIdleCommand();
  if (mode_ == Mode::kClosed) return Stepped();
  const std::optional<std::string_view> name = HelloName(arguments);
  if (!name.has_value()) {
    SendError(501, {5, 5, 4},
              arguments.empty() ? StrCat("Invalid command arguments: ", extended ? "EHLO" : "HELO",
                                         " requires domain name")
                                : "Invalid command arguments: invalid domain name");
    return Stepped();
  }
  hello_text_.assign(*name);
  hello_extended_ = extended;
  ServerEvent event = Ask(Kind::kHello);
  event.text = hello_text_;
  event.extended = extended;
  return event;
}

void ServerSession::Impl::DecideHello(const Decision& decision) {
  const std::string name = std::exchange(hello_text_, std::string());
  if (decision.kind != Decision::Kind::kAccept) {
    Send(decision.reply.code != 0 ? decision.reply : mail::Reply(550, {5, 7, 1}, "Access denied"));
    return;
  }
  // RFC 5321 §4.1.4: a new EHLO is a RSET too.
  DropTransaction(ResetReason::kHello);
  state_ = State::kReady;
  extended_ = hello_extended_;
  helo_name_ = name;
  const std::string greeting =
      decision.reply.code != 0 ? decision.reply.Text()
                               : StrCat("Hello ", name, " ", peer_text_, ", pleased to meet you");
  SendEhlo(greeting);
}

void ServerSession::Impl::SendEhlo(std::string_view greeting) {
  mail::Reply reply(250, {}, StrCat(options_->hostname, " ", greeting));
  // RFC 5321 §4.1.1.1: a reply to HELO has one line.
  if (extended_) AppendEhloLines(*options_, OfferedNow(), MechanismsNow(), reply.lines);
  Send(reply);
}

ServerEvent ServerSession::Impl::OnStartTls(std::string_view arguments) {
  if (!options_->tls_available || (options_->extensions & kExtensionStartTls) == 0) {
    SendError(502, {5, 5, 1}, "Invalid command: Command not implemented");
    return Stepped();
  }
  if (in_tls_) {
    SendError(503, {5, 5, 1}, "Invalid command: TLS is there already");
    return Stepped();
  }
  if (!arguments.empty()) {
    SendError(501, {5, 5, 4}, "Invalid command arguments: STARTTLS has none");  // RFC 3207 §4
    return Stepped();
  }
  Send(220, {2, 0, 0}, "Ready to start TLS");
  // The line itself is still in the buffer; what stands behind it was said in the clear, by whoever
  // sits in between, and is dropped unread (RFC 3207 §6; the command injection of CVE-2011-0411).
  if (const size_t line = input_.View().find('\n') + 1; line < input_.size()) {
    TellError(mail::Reply(
        0, {}, StrCat(input_.size() - line, " octets in the clear behind STARTTLS were dropped")));
  }
  mode_ = Mode::kTls;
  return Event(Kind::kStartTls);
}

void ServerSession::Impl::TlsEstablished(sasl::Channel channel) {
  if (mode_ != Mode::kTls) return;
  // RFC 3207 §4.2: nothing that was learnt in the clear is known any more.
  mode_ = Mode::kCommand;
  in_tls_ = true;
  channel_ = std::move(channel);
  state_ = State::kGreeted;
  extended_ = false;
  authenticated_ = false;
  helo_name_.clear();
  input_.Clear();
  scanner_.Reset();
  idle_commands_ = 0;
  wait_deadline_ = Instant::Never();
}

ServerEvent ServerSession::Impl::OnAuth(std::string_view arguments) {
  if (!options_->auth_available || (options_->extensions & kExtensionAuth) == 0) {
    SendError(502, {5, 5, 1}, "Invalid command: Command not implemented");
    return Stepped();
  }
  if (authenticated_) {
    SendError(503, {5, 5, 1}, "Invalid command: Already authenticated");  // RFC 4954 §4
    return Stepped();
  }
  if (!in_tls_ && !options_->auth_without_tls) {
    SendError(538, {5, 7, 11}, "Must issue a STARTTLS command first");  // RFC 4954 §6
    return Stepped();
  }
  const std::optional<AuthArguments> parsed = ParseAuth(arguments);
  if (!parsed.has_value()) {
    SendError(501, {5, 5, 4},
              "Invalid command arguments: AUTH wants a mechanism and at most one response");
    return Stepped();
  }
  const std::optional<sasl::Mechanism> mechanism = sasl::FindMechanism(parsed->mechanism);
  if (!mechanism.has_value() || (MechanismsNow() & sasl::BitOf(*mechanism)) == 0) {
    SendError(504, {5, 5, 4}, "Mechanism not supported");  // RFC 4954 §4
    return Stepped();
  }
  constexpr sasl::MechanismSet kBound =
      sasl::BitOf(sasl::Mechanism::kScramSha1Plus) | sasl::BitOf(sasl::Mechanism::kScramSha256Plus);
  auth_ = std::make_unique<sasl::ServerExchange>(*mechanism, sasl::ServerExchange::Limits(),
                                                 channel_, (MechanismsNow() & kBound) != 0);
  return OnAuthProgress(auth_->Begin(parsed->initial_response));
}

ServerEvent ServerSession::Impl::OnAuthLine(std::string_view line) {
  return OnAuthProgress(auth_->Respond(line));
}

ServerEvent ServerSession::Impl::OnAuthProgress(sasl::ServerExchange::Progress progress) {
  switch (progress) {
    case sasl::ServerExchange::Progress::kChallenge:
      mode_ = Mode::kAuth;
      Send(334, {}, auth_->challenge());
      return Stepped();
    case sasl::ServerExchange::Progress::kCancelled:
      SendError(501, {5, 7, 0}, "Authentication cancelled");
      break;
    case sasl::ServerExchange::Progress::kMalformed:
      SendError(501, {5, 5, 2}, StrCat("Malformed authentication response: ", auth_->error()));
      break;
    case sasl::ServerExchange::Progress::kDone: {
      mode_ = Mode::kCommand;
      ServerEvent event = Ask(Kind::kAuthenticate);
      event.mechanism = auth_->mechanism();
      event.credentials = &auth_->credentials();
      event.proven = auth_->proven();
      return event;
    }
    case sasl::ServerExchange::Progress::kNeedSecret: {
      mode_ = Mode::kCommand;
      ServerEvent event = Ask(Kind::kAuthSecret);
      event.mechanism = auth_->mechanism();
      event.credentials = &auth_->credentials();
      return event;
    }
    case sasl::ServerExchange::Progress::kRefused: {
      mode_ = Mode::kCommand;
      const std::unique_ptr<Decision> refusal = std::move(auth_refusal_);
      auth_.reset();
      RefuseLogin(*refusal);
      return Stepped();
    }
  }
  auth_.reset();
  if (mode_ == Mode::kAuth) mode_ = Mode::kCommand;
  return Stepped();
}

void ServerSession::Impl::GiveSecret(sasl::ScramSecret secret, std::string_view nonce) {
  if (!asking_ || asked_ != Kind::kAuthSecret) return;
  ConsumeInput(0);
  asking_ = false;
  // The exchange asks its client next, in whatever state it is.
  (void)OnAuthProgress(auth_->GiveSecret(std::move(secret), nonce));
}

void ServerSession::Impl::DecideAuthenticate(const Decision& decision) {
  // A passing trouble of ours says nothing of the token.
  if (decision.kind == Decision::Kind::kRefuse && asked_ == Kind::kAuthenticate &&
      !decision.reply.IsTransient() &&
      auth_->Refuse() == sasl::ServerExchange::Progress::kChallenge) {
    // RFC 7628 §3.2.2: first the mechanism's own word.
    auth_refusal_ = std::make_unique<Decision>(decision);
    (void)OnAuthProgress(sasl::ServerExchange::Progress::kChallenge);
    return;
  }
  auth_.reset();
  if (decision.kind == Decision::Kind::kAccept) {
    authenticated_ = true;
    auth_failures_ = 0;
    Send(decision.reply.code != 0 ? decision.reply
                                  : mail::Reply(235, {2, 7, 0}, "Authentication succeeded"));
    return;
  }
  RefuseLogin(decision);
}

void ServerSession::Impl::RefuseLogin(const Decision& decision) {
  const mail::Reply reply = decision.reply.code != 0
                                ? decision.reply
                                : mail::Reply(535, {5, 7, 8}, "Authentication failed");
  Send(reply);
  // RFC 4954 §6: 454 says that the server could not tell; that is not the client's failure.
  if (reply.code == 454 || decision.kind == Decision::Kind::kDisconnect) return;
  if (++auth_failures_ < options_->max_auth_failures || options_->max_auth_failures == 0) return;
  Send(421, {4, 7, 0}, "Too many failed authentications");
  Close(CloseReason::kTooManyErrors);
}

ServerEvent ServerSession::Impl::OnForeign(std::string_view what) {
  const std::string text = StrCat("This port speaks SMTP, not ", what);
  const mail::Reply reply(554, {5, 5, 1}, text);
  Send(reply);
  line_ = "(not SMTP)";
  TellError(reply);
  line_ = {};
  Close(CloseReason::kNotSmtp);
  return Stepped();
}

}  // namespace postern::smtp
