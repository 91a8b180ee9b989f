#include "lib/core/smtp/server_session.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/core/smtp/server_session_impl.h"

namespace postern::smtp {

ServerSession::Impl::Impl(std::shared_ptr<const ServerOptions> options, std::string peer_text,
                          bool tls, Instant now, sasl::Channel channel)
    : options_(std::move(options)),
      peer_text_(std::move(peer_text)),
      in_tls_(tls),
      channel_(std::move(channel)),
      session_deadline_(now + options_->session_timeout) {}

size_t ServerSession::Impl::Feed(std::string_view octets) {
  ConsumeInput(0);
  // RFC 3207 §4: what came in the clear behind STARTTLS is not obeyed in TLS. Behind the end
  // nothing is obeyed at all.
  if (mode_ == Mode::kTls || mode_ == Mode::kClosed) return octets.size();
  const size_t line_limit =
      std::max(options_->max_command_line_bytes, options_->max_auth_line_bytes);
  return input_.Append(octets, std::max(options_->input_buffer_bytes, line_limit));
}

void ServerSession::Impl::ConsumeInput(size_t n) {
  const size_t octets = consume_later_ + n;
  consume_later_ = 0;
  if (octets > 0) input_.Consume(octets);
}

void ServerSession::Impl::Wrote(size_t n) {
  written_ = std::min(written_ + n, output_.size());
  if (n > 0) {
    output_deadline_ = Instant::Never();
    output_asked_ = false;
  }
  if (written_ < output_.size()) return;
  written_ = 0;
  must_flush_ = false;
  std::string().swap(output_);
}

ServerEvent ServerSession::Impl::Event(Kind kind) {
  ServerEvent event;
  event.kind = kind;
  return event;
}

ServerEvent ServerSession::Impl::Ask(Kind kind) {
  asked_ = kind;
  asking_ = true;
  return Event(kind);
}

ServerEvent ServerSession::Impl::NextEvent(Instant now) {
  ConsumeInput(0);
  while (true) {
    if (asking_) return Event(Kind::kAwaitingDecision);
    if (pending_error_) {
      pending_error_ = false;
      ServerEvent event = Event(Kind::kProtocolError);
      event.text = error_text_;
      event.code = error_code_;
      event.command = error_command_;
      event.reply = error_reply_;
      return event;
    }
    if (pending_reset_) {
      pending_reset_ = false;
      ServerEvent event = Event(Kind::kTransactionReset);
      event.reset_reason = reset_reason_;
      return event;
    }
    if (mode_ == Mode::kClosed) {
      if (!PendingOutput().empty() && output_deadline_.IsNever())
        output_deadline_ = now + options_->write_timeout;
      ServerEvent event = Event(Kind::kClosed);
      event.close_reason = close_reason_;
      return event;
    }
    if (!told_connected_) {
      told_connected_ = true;
      return Ask(Kind::kConnected);
    }
    if (mode_ == Mode::kTls) return Event(Kind::kAwaitingTls);
    if (!PendingOutput().empty() &&
        (must_flush_ || PendingOutput().size() >= options_->output_buffer_bytes)) {
      if (output_asked_ && input_ended_) {
        // It could not be written, and nothing will be read: the connection is gone.
        std::string().swap(output_);
        written_ = 0;
        Close(CloseReason::kPeerClosed);
        continue;
      }
      must_flush_ = output_asked_ = true;
      if (output_deadline_.IsNever()) output_deadline_ = now + options_->write_timeout;
      return Event(Kind::kNeedOutput);
    }
    if (shutdown_ && transaction_ == nullptr && mode_ == Mode::kCommand &&
        state_ != State::kConnecting) {
      Send(421, {4, 3, 2}, "Service shutting down");
      Close(CloseReason::kShutdown);
      continue;
    }
    const ServerEvent event = Advance(now);
    if (event.kind == Kind::kNeedOutput) continue;
    if (event.kind != Kind::kNeedInput) return event;
    if (input_ended_) {
      Close(CloseReason::kPeerClosed);
      continue;
    }
    if (wait_deadline_.IsNever()) {
      Duration patience = options_->command_timeout;
      if (mode_ == Mode::kText || mode_ == Mode::kChunk || mode_ == Mode::kSwallow) {
        patience = first_text_wait_ ? options_->data_first_timeout : options_->data_block_timeout;
      }
      wait_deadline_ = now + patience;
    }
    // Between messages an idle session keeps nothing; while a text flows the buffer stays, so that
    // no piece allocates.
    if (mode_ == Mode::kCommand) {
      input_.Release();
      for (std::string* told : {&error_text_, &error_command_, &error_reply_})
        if (told->capacity() > 64) std::string().swap(*told);
      if (watched_line_.capacity() > 64) std::string().swap(watched_line_);
    }
    return event;
  }
}

ServerEvent ServerSession::Impl::Advance(Instant now) {
  switch (mode_) {
    case Mode::kCommand:
    case Mode::kAuth: return TakeCommandLine(now);
    case Mode::kText: return TakeText();
    case Mode::kChunk: return TakeChunk();
    case Mode::kSwallow: return TakeSwallowed();
    case Mode::kTls:
    case Mode::kClosed: break;
  }
  return Event(Kind::kNeedInput);
}

ServerEvent ServerSession::Impl::TakeCommandLine(Instant now) {
  if (input_.empty()) return Event(Kind::kNeedInput);
  // Only the start of the first line: of an overlong one the middle may stand here.
  if (first_line_ && !in_tls_ && scanner_.overlong_bytes() == 0) {
    if (const std::string_view what = LooksForeign(input_.View()); !what.empty())
      return OnForeign(what);
  }
  const bool secret = mode_ == Mode::kAuth;
  // RFC 4954 §4.3: AUTH with its initial response is as long as a line of the exchange.
  const bool auth_command = !secret && EqualsIgnoreCase(input_.View().substr(0, 5), "AUTH ");
  size_t limit = secret ? options_->max_auth_line_bytes : options_->max_command_line_bytes;
  if (auth_command) limit = std::max(limit, options_->max_auth_line_bytes);
  const LineScanner::Result scan = scanner_.Next(input_.View(), limit);
  if (scan.found == LineScanner::Found::kNothing) {
    // A line that goes on and on is read over, up to a point.
    if (scan.consumed > 0)
      secret ? input_.ConsumeAndWipe(scan.consumed) : ConsumeInput(scan.consumed);
    if (scanner_.overlong_bytes() > options_->max_overlong_line_bytes) {
      line_ = "(line too long)";
      SendError(500, {5, 5, 2}, "Line too long");
      line_ = {};
      HangUp("A line without end");
      return Stepped();
    }
    return Event(Kind::kNeedInput);
  }
  wait_deadline_ = Instant::Never();
  first_line_ = false;
  if (watched_ && scan.found != LineScanner::Found::kTooLong &&
      !std::exchange(line_told_, !line_told_)) {
    return AskAboutLine(scan.line, secret);
  }
  ServerEvent event = Stepped();
  line_ = scan.found == LineScanner::Found::kTooLong ? "(line too long)" : scan.line;
  line_is_secret_ = secret;
  if (scan.found == LineScanner::Found::kTooLong) {
    // RFC 5321 §4.5.3.1.9: 500. In an exchange of AUTH the status is 5.5.6 (RFC 4954 §6), which is
    // for that alone; a command line is a syntax error (RFC 3463 §3.6).
    if (secret) {
      auth_.reset();
      mode_ = Mode::kCommand;
      SendError(500, {5, 5, 6}, "Line too long");
    } else {
      SendError(500, {5, 5, 2}, "Line too long");
    }
  } else if (scan.found == LineScanner::Found::kBareLf && RefusesBareLf(scan.line)) {
    OnBareLf(scan.line);
  } else if (secret) {
    event = OnAuthLine(scan.line);
  } else {
    const CommandLine line = ParseCommandLine(scan.line);
    // AUTH with an initial response has a password in it too; and what is kept of a line by an
    // event is a copy.
    event = RunCommand(line, now);
    line_ = {};
    if (line.command == Command::kAuth) {
      input_.ConsumeAndWipe(scan.consumed);
      return event;
    }
  }
  line_ = {};
  line_is_secret_ = false;
  if (mode_ == Mode::kTls || mode_ == Mode::kClosed) {
    input_.Clear();
    input_.Release();
  } else if (secret) {
    input_.ConsumeAndWipe(scan.consumed);
  } else {
    ConsumeInput(scan.consumed);
  }
  return event;
}

std::string ServerSession::Impl::Told(std::string_view line, bool secret,
                                      std::string_view mask) const {
  if (secret) return std::string(mask);
  const CommandLine parsed = ParseCommandLine(line);
  if (parsed.command != Command::kAuth) return std::string(line);
  // The mechanism may be told, what stands behind it not.
  const size_t blank = parsed.arguments.find(' ');
  std::string told = StrCat(parsed.verb, " ", parsed.arguments.substr(0, blank));
  if (blank != std::string_view::npos) StrAppend(told, " ", mask);
  return told;
}

// AskAboutLine leaves the line where it is: it is found again when it may be obeyed.
ServerEvent ServerSession::Impl::AskAboutLine(std::string_view line, bool secret) {
  constexpr std::string_view kMask = "********";
  ServerEvent event = Ask(Kind::kCommandLine);
  watched_line_ = Told(line, secret, kMask);
  event.text = watched_line_;
  event.secret = secret;
  return event;
}

void ServerSession::Impl::DecideCommandLine(const Decision& decision) {
  if (decision.kind == Decision::Kind::kAccept) return;
  if (ParseCommandLine(watched_line_).command == Command::kBdat) return;
  line_told_ = false;
  auth_.reset();
  mode_ = Mode::kCommand;
  const size_t length = input_.View().find('\n') + 1;
  input_.ConsumeAndWipe(length);
  Send(decision.reply.code != 0 ? decision.reply : mail::Reply(550, {5, 7, 1}, "Access denied"));
}

// RefusesBareLf tells whether `line`, which ended in a LF alone, may not. DATA and BDAT may not in
// any case: another reader may take the LF for a part of the line, and would begin the text
// elsewhere than we do (the differences that smuggling lives on).
bool ServerSession::Impl::RefusesBareLf(std::string_view line) const {
  if (!options_->accept_bare_lf_in_commands) return true;
  if (mode_ == Mode::kAuth) return false;
  const Command command = ParseCommandLine(line).command;
  return command == Command::kData || command == Command::kBdat;
}

void ServerSession::Impl::OnBareLf(std::string_view line) {
  const bool chunk = mode_ == Mode::kCommand && ParseCommandLine(line).command == Command::kBdat;
  auth_.reset();
  mode_ = Mode::kCommand;
  SendError(500, {5, 5, 2}, "A line must end in CR LF");
  // Its octets may follow, and are no commands.
  if (chunk) HangUp("Nobody can tell where the chunk begins");
}

ServerEvent ServerSession::Impl::RunCommand(const CommandLine& line, Instant now) {
  const Outcome outcome = Transition(line.command, state_);
  switch (outcome) {
    case Outcome::kRun: break;
    case Outcome::kSwallow: return OnBdat(line.arguments, outcome);
    case Outcome::kRefused:
      SendError(503, {5, 5, 1}, "Invalid command: This session was refused; only QUIT is left");
      return Stepped();
    case Outcome::kNoHello:
      SendError(503, {5, 5, 1}, "Invalid command: EHLO or HELO is wanted first");
      return Stepped();
    case Outcome::kNoMail:
      SendError(503, {5, 5, 1}, "Invalid command: MAIL is wanted first");
      return Stepped();
    case Outcome::kNoRcpt:
      SendError(503, {5, 5, 1}, "Invalid command: No recipient was accepted");
      return Stepped();
    case Outcome::kNested:
      SendError(503, {5, 5, 1}, "Invalid command: A transaction is under way");
      return Stepped();
    case Outcome::kInChunks:
      SendError(503, {5, 5, 1}, "Invalid command: BDAT LAST or RSET is wanted first");
      return Stepped();
    case Outcome::kNotNow:
      SendError(503, {5, 5, 1}, "Invalid command: Command not allowed at this point");
      return Stepped();
  }
  switch (line.command) {
    case Command::kHelo: return OnHello(line.arguments, /*extended=*/false);
    case Command::kEhlo: return OnHello(line.arguments, /*extended=*/true);
    case Command::kStartTls: return OnStartTls(line.arguments);
    case Command::kAuth: return OnAuth(line.arguments);
    case Command::kMail: return OnMail(line.arguments, now);
    case Command::kRcpt: return OnRcpt(line.arguments);
    case Command::kData: return OnData(line.arguments);
    case Command::kBdat: return OnBdat(line.arguments, outcome);
    case Command::kRset:
      if (!line.arguments.empty()) {
        SendError(501, {5, 5, 4}, "Invalid command arguments: RSET has none");
        return Stepped();
      }
      Send(250, {2, 0, 0}, "Reset state");
      DropTransaction(ResetReason::kRset);
      CountIdleCommand();
      return Stepped();
    case Command::kNoop:  // RFC 5321 §4.1.1.9: an argument is ignored
      Send(250, {2, 0, 0}, "Ok");
      CountIdleCommand();
      return Stepped();
    case Command::kVrfy:
      // RFC 3207 §4: before TLS a server that demands it has nothing to say about mail.
      if (options_->tls_required && !in_tls_) {
        SendError(530, {5, 5, 1}, "Must issue a STARTTLS command first");
        return Stepped();
      }
      // RFC 5321 §7.3: nobody is told who has a mailbox here.
      if (line.arguments.empty()) {
        SendError(501, {5, 5, 4}, "Invalid command arguments: VRFY wants an address");
        return Stepped();
      }
      Send(252, {2, 0, 0}, "Cannot verify; send RCPT to find out");
      CountIdleCommand();
      return Stepped();
    case Command::kHelp:
      Send(214, {2, 0, 0}, "HELO EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
      CountIdleCommand();
      return Stepped();
    case Command::kQuit:
      if (!line.arguments.empty()) {
        SendError(501, {5, 5, 4}, "Invalid command arguments: QUIT has none");
        return Stepped();
      }
      Send(221, {2, 0, 0}, "Bye");
      Close(CloseReason::kQuit);
      return Stepped();
    case Command::kUnimplemented:
      SendError(502, {5, 5, 1}, "Invalid command: Command not implemented");
      return Stepped();
    case Command::kForeign: return OnForeign("HTTP");
    case Command::kUnknown: break;
  }
  if (line.verb.empty()) {
    SendError(500, {5, 5, 2}, "Invalid command: Syntax error");
  } else {
    SendError(500, {5, 5, 1}, "Invalid command: Command unrecognized");
  }
  return Stepped();
}

void ServerSession::Impl::Send(int code, mail::EnhancedStatus status, std::string_view text) {
  // The common case of Reply::ToWire, without its strings.
  StrAppend(output_, code, " ");
  if (!status.empty() && (options_->extensions & kExtensionEnhancedCodes) != 0) {
    StrAppend(output_, status.klass, ".", status.subject, ".", status.detail, " ");
  }
  StrAppend(output_, text, "\r\n");
}

void ServerSession::Impl::Send(const mail::Reply& reply) {
  if ((options_->extensions & kExtensionEnhancedCodes) == 0 && !reply.status.empty()) {
    mail::Reply plain = reply;
    plain.status = {};
    output_.append(plain.ToWire());
    return;
  }
  output_.append(reply.ToWire());
}

void ServerSession::Impl::SendError(int code, mail::EnhancedStatus status, std::string_view text) {
  SendError(mail::Reply(code, status, std::string(text)));
}

void ServerSession::Impl::SendError(const mail::Reply& reply) {
  Send(reply);
  TellError(reply);
  CountError();
}

void ServerSession::Impl::TellError(const mail::Reply& reply) {
  pending_error_ = true;
  error_code_ = reply.code;
  error_text_ = reply.Text();
  error_reply_ = reply.code == 0 ? std::string() : reply.ToString();
  error_command_.clear();
  if (line_is_secret_ && auth_ != nullptr) {
    error_command_ = StrCat("AUTH ", sasl::MechanismName(auth_->mechanism()), " (...)");
  } else if (line_is_secret_) {
    error_command_ = "AUTH (...)";
  } else if (line_.data() != nullptr) {
    error_command_ = line_.empty() ? "(empty line)" : Told(line_, false, "(...)");
  }
}

void ServerSession::Impl::CountError(std::string_view farewell) {
  if (++errors_ < options_->max_errors || options_->max_errors == 0 || mode_ == Mode::kClosed)
    return;
  Send(421, {4, 7, 0}, farewell);
  Close(CloseReason::kTooManyErrors);
}

void ServerSession::Impl::HangUp(std::string_view why) {
  if (mode_ == Mode::kClosed) return;
  Send(421, {4, 7, 0}, why);
  Close(CloseReason::kProtocol);
}

void ServerSession::Impl::CountIdleCommand() {
  if (++idle_commands_ > options_->max_idle_commands && options_->max_idle_commands > 0)
    CountError("Too many commands that lead nowhere");
}

void ServerSession::Impl::Close(CloseReason reason) {
  if (mode_ == Mode::kClosed) return;
  DropTransaction(ResetReason::kClosed);
  auth_.reset();
  swallow_reply_.reset();
  mode_ = Mode::kClosed;
  close_reason_ = reason;
  asking_ = false;
}

void ServerSession::Impl::DropTransaction(ResetReason reason) {
  if (transaction_ == nullptr) return;
  pending_reset_ = true;
  reset_reason_ = reason;
  EndTransaction();
}

void ServerSession::Impl::EndTransaction() {
  transaction_.reset();
  state_ = State::kReady;
}

Instant ServerSession::Impl::NextDeadline() const {
  if (asking_ || mode_ == Mode::kTls) return Instant::Never();
  if (mode_ == Mode::kClosed) return output_deadline_;
  Instant deadline = std::min({session_deadline_, wait_deadline_, output_deadline_});
  if (transaction_ != nullptr) deadline = std::min(deadline, transaction_->deadline);
  return deadline;
}

void ServerSession::Impl::OnDeadline(Instant now) {
  ConsumeInput(0);
  const Instant deadline = NextDeadline();
  if (deadline.IsNever() || now < deadline) return;
  if (mode_ == Mode::kClosed || output_deadline_ <= now) {
    // The peer does not read: what stands there will never go out.
    Close(CloseReason::kTimeout);
    std::string().swap(output_);
    written_ = 0;
    output_deadline_ = Instant::Never();
    return;
  }
  // RFC 5321 §3.8: a server that gives up says 421, wherever the client is.
  Send(421, {4, 4, 2}, "Timeout");
  Close(CloseReason::kTimeout);
}

void ServerSession::Impl::Decide(Decision decision) {
  if (!asking_) return;
  ConsumeInput(0);
  asking_ = false;
  // RFC 5321 §3.8: after 421 the channel is closed.
  if (decision.kind == Decision::Kind::kRefuse && decision.reply.code == 421)
    decision.kind = Decision::Kind::kDisconnect;
  switch (asked_) {
    case Kind::kCommandLine: DecideCommandLine(decision); break;
    case Kind::kConnected: DecideConnected(decision); break;
    case Kind::kHello: DecideHello(decision); break;
    case Kind::kAuthenticate: DecideAuthenticate(decision); break;
    case Kind::kAuthSecret:
      // Whoever decides here cannot tell what is stored, and may not accept.
      if (decision.kind == Decision::Kind::kAccept)
        decision =
            Decision::Refuse(mail::Reply(454, {4, 7, 0}, "Temporary authentication failure"));
      DecideAuthenticate(decision);
      break;
    case Kind::kMailFrom: DecideMail(decision); break;
    case Kind::kRcptTo: DecideRcpt(decision); break;
    case Kind::kDataBegin: DecideData(decision); break;
    case Kind::kMessageEnd: DecideMessageEnd(decision); break;
    default: POSTERN_CHECK(false);
  }
  if (decision.kind == Decision::Kind::kDisconnect) Close(CloseReason::kRefused);
}

// --- the public face
// ----------------------------------------------------------------------------------------------------

ServerSession::ServerSession(std::shared_ptr<const ServerOptions> options, std::string peer_text,
                             bool tls, Instant now, sasl::Channel channel)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(peer_text), tls, now,
                                   std::move(channel))) {}
ServerSession::~ServerSession() = default;

size_t ServerSession::Feed(std::string_view octets) { return impl_->Feed(octets); }
void ServerSession::FeedEnd() { impl_->FeedEnd(); }
ServerEvent ServerSession::NextEvent(Instant now) { return impl_->NextEvent(now); }
void ServerSession::Decide(Decision decision) { impl_->Decide(std::move(decision)); }
std::string_view ServerSession::PendingOutput() const { return impl_->PendingOutput(); }
void ServerSession::Wrote(size_t n) { impl_->Wrote(n); }
Instant ServerSession::NextDeadline() const { return impl_->NextDeadline(); }
void ServerSession::OnDeadline(Instant now) { impl_->OnDeadline(now); }
void ServerSession::GiveSecret(sasl::ScramSecret secret, std::string_view nonce) {
  impl_->GiveSecret(std::move(secret), nonce);
}
void ServerSession::TlsEstablished(sasl::Channel channel) {
  impl_->TlsEstablished(std::move(channel));
}
void ServerSession::WatchCommands() { impl_->WatchCommands(); }
void ServerSession::RequestShutdown() { impl_->RequestShutdown(); }
std::string_view ServerSession::helo_name() const { return impl_->helo_name(); }
bool ServerSession::extended() const { return impl_->extended(); }
bool ServerSession::in_tls() const { return impl_->in_tls(); }
bool ServerSession::authenticated() const { return impl_->authenticated(); }
bool ServerSession::smtputf8() const {
  return impl_->transaction() != nullptr && impl_->transaction()->reverse_path.smtputf8;
}
size_t ServerSession::accepted_recipients() const {
  return impl_->transaction() == nullptr ? 0 : impl_->transaction()->recipients;
}

}  // namespace postern::smtp
