#include "lib/core/smtp/client_session.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/client_session_impl.h"

namespace postern::smtp {
namespace {

using mail::Reply;

constexpr size_t kInputBytes = 32'768;

Reply MadeUp(std::string_view text) { return Reply(451, {4, 4, 2}, std::string(text)); }

}  // namespace

ClientSession::Impl::Impl(std::shared_ptr<const ClientOptions> options, bool tls, Instant now)
    : options_(std::move(options)),
      reader_({options_->max_reply_line_bytes, options_->max_reply_lines,
               options_->max_reply_text_bytes}),
      in_tls_(tls),
      wait_deadline_(now + options_->greeting_timeout) {
  expected_.push_back(Expected::kGreeting);
}

size_t ClientSession::Impl::Feed(std::string_view octets) {
  // What stands in the clear behind the 220 to STARTTLS is not a reply to anything (the response
  // injection of CVE-2021-38371).
  if (phase_ == ClientPhase::kTls || phase_ == ClientPhase::kClosed) return octets.size();
  return input_.Append(octets, std::max(kInputBytes, options_->max_reply_line_bytes));
}

void ClientSession::Impl::Wrote(size_t n) {
  written_ = std::min(written_ + n, output_.size());
  if (n > 0) output_deadline_ = Instant::Never();
  if (written_ < output_.size()) return;
  written_ = 0;
  if (secret_output_) sasl::WipeString(output_);
  secret_output_ = false;
  // While a text flows the buffer is kept; an idle connection keeps none.
  if (phase_ == ClientPhase::kBody) {
    output_.clear();
  } else {
    std::string().swap(output_);
  }
}

ClientEvent ClientSession::Impl::Event(Kind kind) const {
  ClientEvent event;
  event.kind = kind;
  event.stage = Stage();
  event.close_reason = close_reason_;
  event.reply = &reply_;
  event.from_server = reply_from_server_;
  event.results = &results_;
  return event;
}

ClientStage ClientSession::Impl::Stage() const {
  switch (phase_) {
    case ClientPhase::kGreeting: return ClientStage::kGreeting;
    case ClientPhase::kHello: return ClientStage::kHello;
    case ClientPhase::kReady: return ClientStage::kReady;
    case ClientPhase::kStartTls: return ClientStage::kStartTls;
    case ClientPhase::kTls: return ClientStage::kStartTls;
    case ClientPhase::kAuth: return ClientStage::kAuth;
    case ClientPhase::kBody: return ClientStage::kBody;
    case ClientPhase::kEnd: return ClientStage::kEndOfData;
    case ClientPhase::kQuit: return ClientStage::kQuit;
    case ClientPhase::kClosed: return close_stage_;
    case ClientPhase::kEnvelope: break;
  }
  if (expected_.empty()) return ClientStage::kMail;
  if (expected_.front() == Expected::kRcpt) return ClientStage::kRcpt;
  if (expected_.front() == Expected::kData) return ClientStage::kData;
  return ClientStage::kMail;
}

Duration ClientSession::Impl::Patience() const {
  if (expected_.empty()) return options_->data_block_timeout;
  switch (expected_.front()) {
    case Expected::kGreeting: return options_->greeting_timeout;
    case Expected::kEhlo:
    case Expected::kHelo: return options_->hello_timeout;
    case Expected::kStartTls: return options_->starttls_timeout;
    case Expected::kAuth: return options_->auth_timeout;
    case Expected::kRset: return options_->rset_timeout;
    case Expected::kMail: return options_->mail_timeout;
    case Expected::kRcpt: return options_->rcpt_timeout;
    case Expected::kData: return options_->data_timeout;
    case Expected::kChunk: return options_->data_block_timeout;
    case Expected::kEnd: return options_->data_end_timeout;
    case Expected::kQuit: return options_->quit_timeout;
  }
  return options_->data_block_timeout;
}

ClientEvent ClientSession::Impl::NextEvent(Instant now) {
  while (true) {
    if (!told_.empty()) {
      const Kind kind = told_.front();
      told_.pop_front();
      return Event(kind);
    }
    if (phase_ == ClientPhase::kClosed) return Event(Kind::kClosed);
    if (phase_ == ClientPhase::kTls) return Event(Kind::kStartTls);
    if (!input_.empty()) {
      const ReplyReader::Result result = reader_.Next(input_.View());
      if (result.consumed > 0) input_.Consume(result.consumed);
      if (result.found == ReplyReader::Found::kMalformed) {
        Fail(Reason::kProtocol, Reply(451, {4, 5, 0}, StrCat("The server sent ", reader_.error())),
             false);
        continue;
      }
      if (result.found == ReplyReader::Found::kReply) {
        wait_deadline_ = Instant::Never();
        reply_ = reader_.TakeReply();
        reply_from_server_ = true;
        OnReply();
        continue;
      }
    }
    if (input_ended_) {
      if (phase_ == ClientPhase::kQuit) {
        Fail(Reason::kQuit, MadeUp("The server closed the connection"), false);
      } else {
        Fail(Reason::kPeerClosed, MadeUp("The server closed the connection"), false);
      }
      continue;
    }
    if (phase_ == ClientPhase::kEnvelope) {
      PumpEnvelope();
      if (phase_ != ClientPhase::kEnvelope) continue;
    }
    if (PendingOutput().size() >= options_->output_buffer_bytes) {
      if (output_deadline_.IsNever()) output_deadline_ = now + options_->data_block_timeout;
      return Event(Kind::kNeedOutput);
    }
    if (phase_ == ClientPhase::kReady) {
      input_.Release();
      return Event(Kind::kReady);
    }
    if (phase_ == ClientPhase::kBody && BodyWanted()) return Event(Kind::kSendBody);
    if (wait_deadline_.IsNever()) wait_deadline_ = now + Patience();
    return Event(Kind::kNeedInput);
  }
}

Instant ClientSession::Impl::NextDeadline() const {
  if (phase_ == ClientPhase::kReady || phase_ == ClientPhase::kTls ||
      phase_ == ClientPhase::kClosed)
    return Instant::Never();
  return std::min(wait_deadline_, output_deadline_);
}

void ClientSession::Impl::OnDeadline(Instant now) {
  const Instant deadline = NextDeadline();
  if (deadline.IsNever() || now < deadline) return;
  if (phase_ == ClientPhase::kQuit) {
    Fail(Reason::kQuit, MadeUp("No answer to QUIT"), false);
    return;
  }
  Fail(Reason::kTimeout, MadeUp(StrCat("Timeout at ", ClientStageName(Stage()))), false);
}

void ClientSession::Impl::SendCommand(std::string_view command, Expected expected) {
  StrAppend(output_, command, "\r\n");
  expected_.push_back(expected);
}

void ClientSession::Impl::OnReply() {
  if (expected_.empty()) {
    OnUnexpectedReply();
    return;
  }
  // RFC 5321 §3.8: 421 may answer anything, and means that the channel is closing.
  if (expected_.front() == Expected::kGreeting) greeting_ = reply_;
  if (reply_.code == 421 && expected_.front() != Expected::kQuit) {
    Fail(expected_.front() == Expected::kGreeting ? Reason::kGreeting : Reason::kServerClosing,
         reply_, true);
    return;
  }
  const Expected expected = expected_.front();
  expected_.pop_front();
  switch (expected) {
    case Expected::kGreeting:
      if (reply_.code / 100 != 2) {
        // RFC 5321 §3.1: the server waits for a QUIT.
        output_.append("QUIT\r\n");
        Fail(Reason::kGreeting, reply_, true);
        return;
      }
      SayHello();
      return;
    case Expected::kEhlo: OnHelloReply(true); return;
    case Expected::kHelo: OnHelloReply(false); return;
    case Expected::kStartTls: OnStartTlsReply(); return;
    case Expected::kAuth: OnAuthReply(); return;
    case Expected::kRset:  // whatever it says, MAIL will show
      return;
    case Expected::kMail: OnMailReply(); return;
    case Expected::kRcpt: OnRcptReply(); return;
    case Expected::kData: OnDataReply(); return;
    case Expected::kChunk: OnChunkReply(); return;
    case Expected::kEnd: OnEndReply(); return;
    case Expected::kQuit: Fail(Reason::kQuit, reply_, true); return;
  }
}

// OnUnexpectedReply: nothing was asked. 421 is a server that goes away; a refusal in the middle of
// the text is one that will not wait for its end; anything else means that the two sides are out of
// step, or somebody sits in between.
void ClientSession::Impl::OnUnexpectedReply() {
  if (reply_.code == 421 || (phase_ == ClientPhase::kBody && reply_.code >= 400)) {
    Fail(Reason::kServerClosing, reply_, true);
    return;
  }
  Fail(Reason::kProtocol,
       Reply(451, {4, 5, 0}, StrCat("The server sent an unexpected reply: ", reply_.ToString())),
       false);
}

void ClientSession::Impl::SayHello() {
  phase_ = ClientPhase::kHello;
  offer_ = {};
  // RFC 2033 §4.1: LHLO in LMTP, and no HELO.
  SendCommand(StrCat(options_->lmtp ? "LHLO " : "EHLO ", options_->helo_name), Expected::kEhlo);
}

void ClientSession::Impl::OnHelloReply(bool extended) {
  if (reply_.IsPositive() && reply_.code < 300) {
    offer_ = extended ? ParseOffer(reply_) : ServerOffer();
    phase_ = ClientPhase::kReady;
    return;
  }
  // RFC 5321 §3.2: a server that does not know EHLO is spoken to with HELO.
  if (extended && !options_->lmtp && reply_.IsPermanent()) {
    SendCommand(StrCat("HELO ", options_->helo_name), Expected::kHelo);
    return;
  }
  output_.append("QUIT\r\n");
  Fail(Reason::kHello, reply_, true);
}

bool ClientSession::Impl::StartTls() {
  if (phase_ != ClientPhase::kReady || !told_.empty()) return false;
  if (in_tls_ || !offer_.starttls) {
    reply_ = Reply(502, {5, 5, 1},
                   in_tls_ ? "TLS is there already" : "The server does not offer STARTTLS");
    reply_from_server_ = false;
    Tell(Kind::kTlsRefused);
    return true;
  }
  phase_ = ClientPhase::kStartTls;
  SendCommand("STARTTLS", Expected::kStartTls);
  return true;
}

void ClientSession::Impl::OnStartTlsReply() {
  if (reply_.code != 220) {
    phase_ = ClientPhase::kReady;
    Tell(Kind::kTlsRefused);
    return;
  }
  // Whatever else was said in the clear is forgotten with what the server offered there (RFC 3207
  // §4.2).
  input_.Clear();
  input_.Release();
  offer_ = {};
  phase_ = ClientPhase::kTls;
}

void ClientSession::Impl::TlsEstablished() {
  if (phase_ != ClientPhase::kTls) return;
  in_tls_ = true;
  authenticated_ = false;
  rset_needed_ = false;
  wait_deadline_ = Instant::Never();
  SayHello();
}

bool ClientSession::Impl::Authenticate(sasl::Credentials credentials, std::string nonce) {
  if (phase_ != ClientPhase::kReady || !told_.empty()) return false;
  if (!in_tls_ && !options_->auth_without_tls) {
    reply_ = Reply(454, {4, 7, 0}, "The password is not sent in the clear");
    reply_from_server_ = false;
    Tell(Kind::kAuthRefused);
    return true;
  }
  const bool by_password = offer_.auth_plain || offer_.auth_login;
  const bool by_scram = !nonce.empty() && (offer_.auth_scram_sha256 || offer_.auth_scram_sha1);
  if (!by_password && !by_scram) {
    reply_ = Reply(454, {4, 7, 0}, "The server offers no way to authenticate that we know");
    reply_from_server_ = false;
    Tell(Kind::kAuthRefused);
    return true;
  }
  phase_ = ClientPhase::kAuth;
  if (!by_scram) {
    BeginAuth(offer_.auth_plain ? sasl::Mechanism::kPlain : sasl::Mechanism::kLogin,
              std::move(credentials), "");
    return true;
  }
  if (by_password) {
    spare_ = std::make_unique<sasl::Credentials>();
    spare_->authorization_id = credentials.authorization_id;
    spare_->authentication_id = credentials.authentication_id;
    spare_->password = credentials.password;
  }
  BeginAuth(offer_.auth_scram_sha256 ? sasl::Mechanism::kScramSha256 : sasl::Mechanism::kScramSha1,
            std::move(credentials), std::move(nonce));
  return true;
}

void ClientSession::Impl::BeginAuth(sasl::Mechanism mechanism, sasl::Credentials credentials,
                                    std::string nonce) {
  auth_ =
      std::make_unique<sasl::ClientExchange>(mechanism, std::move(credentials), std::move(nonce));
  std::string line = StrCat("AUTH ", sasl::MechanismName(mechanism));
  if (std::optional<std::string> initial = auth_->Initial(); initial.has_value()) {
    StrAppend(line, " ", *initial);
    sasl::WipeString(*initial);
  }
  SendCommand(line, Expected::kAuth);
  sasl::WipeString(line);
  secret_output_ = true;
}

void ClientSession::Impl::OnAuthReply() {
  if (reply_.code == 334) {
    std::optional<std::string> answer = auth_->Respond(reply_.Text());
    SendCommand(answer.has_value() ? *answer : "*", Expected::kAuth);
    if (answer.has_value()) sasl::WipeString(*answer);
    secret_output_ = true;
    return;
  }
  const bool accepted = reply_.code / 100 == 2;
  const bool proven = auth_->is_proven();
  const bool impostor = auth_->is_impostor() || (accepted && !proven);
  auth_.reset();
  const std::unique_ptr<sasl::Credentials> spare = std::move(spare_);
  if (impostor) {
    reply_ = Reply(454, {4, 7, 0}, "The server did not prove that it knows the password");
    reply_from_server_ = false;
  } else if (!accepted && spare != nullptr) {
    scram_refused_ = true;
    BeginAuth(offer_.auth_plain ? sasl::Mechanism::kPlain : sasl::Mechanism::kLogin,
              std::move(*spare), "");
    return;
  }
  phase_ = ClientPhase::kReady;
  authenticated_ = accepted && !impostor;
  Tell(authenticated_ ? Kind::kAuthenticated : Kind::kAuthRefused);
}

bool ClientSession::Impl::Quit() {
  if (phase_ != ClientPhase::kReady || !told_.empty()) return false;
  phase_ = ClientPhase::kQuit;
  SendCommand("QUIT", Expected::kQuit);
  return true;
}

void ClientSession::Impl::Fail(Reason reason, Reply reply, bool from_server) {
  if (phase_ == ClientPhase::kClosed) return;
  close_stage_ = Stage();
  close_reason_ = reason;
  reply_ = std::move(reply);
  reply_from_server_ = from_server;
  if (delivery_ != nullptr) {
    Settle(reply_, close_stage_, from_server);
    results_ = std::move(delivery_->results);
    delivery_.reset();
    Tell(Kind::kMessageDone);
  }
  auth_.reset();
  spare_.reset();
  expected_.clear();
  input_.Clear();
  input_.Release();
  phase_ = ClientPhase::kClosed;
  wait_deadline_ = output_deadline_ = Instant::Never();
  // Half a text must not be followed by its end: what was not written is dropped.
  if (close_stage_ == ClientStage::kBody || close_stage_ == ClientStage::kEndOfData) {
    output_.clear();
    written_ = 0;
  }
}

// --- the public face
// ----------------------------------------------------------------------------------------------------

ClientSession::ClientSession(std::shared_ptr<const ClientOptions> options, bool tls, Instant now)
    : impl_(std::make_unique<Impl>(std::move(options), tls, now)) {}
ClientSession::~ClientSession() = default;

size_t ClientSession::Feed(std::string_view octets) { return impl_->Feed(octets); }
void ClientSession::FeedEnd() { impl_->FeedEnd(); }
ClientEvent ClientSession::NextEvent(Instant now) { return impl_->NextEvent(now); }
std::string_view ClientSession::PendingOutput() const { return impl_->PendingOutput(); }
void ClientSession::Wrote(size_t n) { impl_->Wrote(n); }
Instant ClientSession::NextDeadline() const { return impl_->NextDeadline(); }
void ClientSession::OnDeadline(Instant now) { impl_->OnDeadline(now); }
bool ClientSession::StartTls() { return impl_->StartTls(); }
bool ClientSession::Authenticate(sasl::Credentials credentials, std::string nonce) {
  return impl_->Authenticate(std::move(credentials), std::move(nonce));
}
bool ClientSession::SendMessage(OutgoingMessage message) {
  return impl_->SendMessage(std::move(message));
}
bool ClientSession::Quit() { return impl_->Quit(); }
void ClientSession::TlsEstablished() { impl_->TlsEstablished(); }
void ClientSession::Body(std::string_view octets) { impl_->Body(octets); }
void ClientSession::BodyEnd() { impl_->BodyEnd(); }
void ClientSession::BodyFailed() { impl_->BodyFailed(); }
const ServerOffer& ClientSession::offer() const { return impl_->offer(); }
bool ClientSession::in_tls() const { return impl_->in_tls(); }
bool ClientSession::authenticated() const { return impl_->authenticated(); }
bool ClientSession::scram_refused() const { return impl_->scram_refused(); }
const mail::Reply& ClientSession::greeting() const { return impl_->greeting(); }

}  // namespace postern::smtp
