#include "lib/core/smtp/server_session.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/check.h"
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
