#include "lib/service/smtp/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/tls/tls_stream.h"
#include "lib/service/smtp/channel.h"

namespace postern::service {
namespace {

using smtp::Decision;
using smtp::ServerEvent;

// With the longest line that may wait in the session this stays below
// ServerOptions::input_buffer_bytes.
constexpr size_t kReadBytes = 16 * 1024;

// LoggedReason is the word that OpenSMTPD's log has, where it has one.
std::string LoggedReason(smtp::CloseReason reason) {
  if (reason == smtp::CloseReason::kPeerClosed) return "disconnect";
  return std::string(smtp::CloseReasonName(reason));
}

}  // namespace

SmtpConnection::SmtpConnection(SmtpService* service, std::unique_ptr<rt::Stream> stream,
                               std::shared_ptr<const SmtpListener> listener)
    : service_(service), stream_(std::move(stream)) {
  facts_.id = Hex(service_->world_->random().Next(), 16);
  facts_.listener = std::move(listener);
  facts_.local = stream_->local();
  facts_.remote = stream_->remote();
  facts_.peer_uid = stream_->peer_uid();
}

SmtpConnection::~SmtpConnection() { Leave(); }

// Leave gives back the session's place, whatever ended it.
void SmtpConnection::Leave() noexcept {
  ReportLeaving();
  if (std::exchange(greeted_, false)) service_->backend_->Left(facts_);
}

rt::Task<void> SmtpConnection::Run() {
  rt::Executor& loop = stream_->executor();
  if (stream_->accepted_on_reserve()) {
    Log(LogLevel::kWarning, "refused", {{"reason", "out of file descriptors"}});
    const std::string busy =
        StrCat("421 4.3.2 ", facts_.listener->options->hostname, " Too busy, try again later\r\n");
    if (!facts_.listener->tls_from_start)
      (void)co_await stream_->Write(busy, loop.Now() + absl::Seconds(1));
    stream_->Close();
    co_return;
  }
  if (facts_.listener->accept_proxy) {
    const bool told = co_await TakeProxyHeader();
    if (!told) co_return;
  }
  if (facts_.listener->wants_host_name) co_await FindHostName();
  if (facts_.listener->tls_from_start) {
    if (facts_.listener->wants_reverse_name) co_await FindReverseName();
    LogConnected();
    const bool secured = co_await StartTls();
    if (!secured) co_return;
  }
  const std::string peer =
      facts_.listener->is_local_socket ? "localhost" : facts_.remote.address.ToLiteral();
  session_ = std::make_unique<smtp::ServerSession>(
      facts_.listener->options, peer, facts_.tls.has_value(), loop.Now(),
      facts_.tls ? ChannelOf(*facts_.tls) : sasl::Channel());

  for (;;) {
    const ServerEvent event = session_->NextEvent(loop.Now());
    ReportOutput();
    switch (event.kind) {
      case ServerEvent::Kind::kNeedOutput: {
        const bool written = co_await Flush();
        if (!written) session_->FeedEnd();
        break;
      }
      case ServerEvent::Kind::kNeedInput: co_await FillInput(); break;
      case ServerEvent::Kind::kAwaitingDecision:
      case ServerEvent::Kind::kAwaitingTls:
        // Every event that asks is answered below before the next is asked for.
        POSTERN_CHECK(false);
        break;
      case ServerEvent::Kind::kCommandLine:
        co_await OnCommandLine(std::string(event.text), event.secret);
        break;
      case ServerEvent::Kind::kConnected: co_await OnConnected(); break;
      case ServerEvent::Kind::kHello:
        co_await OnHello(std::string(event.text), event.extended);
        break;
      case ServerEvent::Kind::kStartTls: {
        const bool secured = co_await StartTls();
        if (secured) {
          facts_.helo.clear();
          facts_.auth_user.clear();
          session_->TlsEstablished(ChannelOf(*facts_.tls));
          if (Watches(SessionEvent::kLinkTls)) Report({.event = SessionEvent::kLinkTls});
          break;
        }
        Leave();
        co_return;
      }
      case ServerEvent::Kind::kAuthenticate:
        co_await OnAuthenticate(event.credentials, event.mechanism, event.proven);
        break;
      case ServerEvent::Kind::kAuthSecret:
        co_await OnAuthSecret(event.credentials, event.mechanism);
        break;
      case ServerEvent::Kind::kMailFrom: co_await OnMailFrom(event.reverse_path); break;
      case ServerEvent::Kind::kRcptTo: co_await OnRcptTo(event.forward_path); break;
      case ServerEvent::Kind::kDataBegin: co_await OnDataBegin(event.chunking); break;
      case ServerEvent::Kind::kBodyChunk: co_await OnBodyChunk(event.text); break;
      case ServerEvent::Kind::kMessageEnd: co_await OnMessageEnd(event.size, event.defects); break;
      case ServerEvent::Kind::kTransactionReset: DropTransaction(); break;
      case ServerEvent::Kind::kProtocolError: LogProtocolError(event); break;
      case ServerEvent::Kind::kClosed: {
        DropTransaction();
        (void)co_await Flush();
        if (event.close_reason == smtp::CloseReason::kTimeout && Watches(SessionEvent::kTimeout))
          Report({.event = SessionEvent::kTimeout});
        Log(LogLevel::kInfo, "disconnected", {{"reason", LoggedReason(event.close_reason)}});
        Leave();
        (void)co_await stream_->ShutdownWrite(loop.Now() + service_->options_.farewell_timeout);
        stream_->Close();
        co_return;
      }
    }
  }
}

// Flush writes what the session has to say; false when the peer cannot be reached any more.
rt::Task<bool> SmtpConnection::Flush() {
  rt::Executor& loop = stream_->executor();
  ReportOutput();
  while (!session_->PendingOutput().empty()) {
    const std::string_view output = session_->PendingOutput();
    const Duration patience = facts_.listener->options->write_timeout;
    writing_ = true;
    const Status written = co_await stream_->Write(output, loop.Now() + patience);
    if (!written.ok()) co_return false;
    writing_ = false;
    reported_output_ -= std::min(reported_output_, output.size());
    session_->Wrote(output.size());
  }
  finishing_ = false;
  if (cut_) stream_->Close();
  co_return true;
}

// FillInput sends what is pending, then waits for octets, the end or the deadline and feeds that.
rt::Task<void> SmtpConnection::FillInput() {
  const bool written = co_await Flush();
  if (!written) {
    session_->FeedEnd();
    co_return;
  }
  if (FeedWhatIsThere()) co_return;
  // A session that waits when the service stops is told by AskToLeave. One that comes here later
  // gets its 421 now, or when its transaction is over.
  if (service_->stopping_ && !leaving_) {
    leaving_ = true;
    session_->RequestShutdown();
    co_return;
  }
  const Instant deadline = session_->NextDeadline();
  waiting_for_input_ = true;
  const Status readable = co_await stream_->WaitReadable(deadline);
  waiting_for_input_ = false;
  if (readable.code() == StatusCode::kDeadlineExceeded) {
    session_->OnDeadline(stream_->executor().Now());
    co_return;
  }
  if (!readable.ok()) {
    session_->FeedEnd();
    co_return;
  }
  FeedWhatIsThere();
}

// FeedWhatIsThere takes one read's worth without waiting; false when there was nothing yet. It is
// no coroutine, so the buffer is on the stack and an idle session has none.
bool SmtpConnection::FeedWhatIsThere() {
  std::array<char, kReadBytes> buffer;
  const StatusOr<size_t> got = stream_->TryRead(std::span<char>(buffer));
  if (!got.ok()) {
    if (rt::IsWouldBlock(got.status())) return false;
    session_->FeedEnd();
    return true;
  }
  if (*got == 0) {
    session_->FeedEnd();
    return true;
  }
  // kNeedInput means the session holds less than a line or has consumed all: its buffer has room
  // for one read.
  std::string_view octets(buffer.data(), *got);
  octets.remove_prefix(session_->Feed(octets));
  POSTERN_CHECK(octets.empty());
  return true;
}

// TakeProxyHeader learns from the proxy who the client is; from then on its addresses are the
// session's.
rt::Task<bool> SmtpConnection::TakeProxyHeader() {
  const std::string proxy = facts_.remote.ToString();
  const Instant deadline = stream_->executor().Now() + facts_.listener->proxy_timeout;
  StatusOr<std::unique_ptr<rt::Stream>> proxied =
      co_await facts_.listener->accept_proxy(std::move(stream_), deadline);
  if (!proxied.ok()) {
    Log(LogLevel::kWarning, "proxy-failed",
        {{"proxy", proxy}, {"reason", std::string(Message(proxied.status()))}});
    co_return false;
  }
  stream_ = std::move(*proxied);
  facts_.local = stream_->local();
  facts_.remote = stream_->remote();
  Log(LogLevel::kInfo, "proxied", {{"proxy", proxy}});
  co_return true;
}

// FindHostName gives this session a listener of its own where our name is another one.
rt::Task<void> SmtpConnection::FindHostName() {
  std::string name = co_await service_->backend_->HostName(stream_->executor(), facts_);
  if (name.empty()) co_return;
  auto options = std::make_shared<smtp::ServerOptions>(*facts_.listener->options);
  options->hostname = std::move(name);
  auto listener = std::make_shared<SmtpListener>(*facts_.listener);
  listener->options = std::move(options);
  facts_.listener = std::move(listener);
}

rt::Task<bool> SmtpConnection::StartTls() {
  rt::Executor& loop = stream_->executor();
  if (session_ != nullptr) {
    const bool written = co_await Flush();
    if (!written) co_return false;
  }
  std::shared_ptr<const tls::ServerConfig> config = facts_.listener->tls();
  const Instant deadline = loop.Now() + facts_.listener->handshake_timeout;
  StatusOr<std::unique_ptr<rt::Stream>> secured = co_await rt::TlsAccept(
      std::move(stream_), std::move(config), service_->world_->clock().WallNow(), deadline);
  if (!secured.ok()) {
    Log(LogLevel::kInfo, "tls-failed", {{"reason", std::string(Message(secured.status()))}});
    Log(LogLevel::kInfo, "disconnected", {{"reason", "tls"}});
    co_return false;
  }
  stream_ = std::move(*secured);
  facts_.tls = *stream_->tls();
  std::vector<LogField> fields = {{"ciphers", StrCat(facts_.tls->version, ":", facts_.tls->cipher,
                                                     ":", facts_.tls->cipher_bits)},
                                  {"verified", facts_.tls->peer_verified ? "yes" : "no"}};
  if (session_ == nullptr) fields.push_back({"mode", "smtps"});
  Log(LogLevel::kInfo, "tls", std::move(fields));
  co_return true;
}

rt::Task<void> SmtpConnection::OnConnected() {
  std::optional<mail::Reply> refusal = service_->backend_->Greet(facts_);
  greeted_ = !refusal.has_value();
  // Who is refused costs no question.
  if (greeted_ && facts_.listener->wants_reverse_name) co_await FindReverseName();
  if (!facts_.listener->tls_from_start) LogConnected();
  if (refusal.has_value()) {
    LogRefusal("connect", *refusal, "");
    session_->Decide(Decision::Disconnect(std::move(*refusal)));
    co_return;
  }
  filter_ = service_->backend_->NewFilter(stream_->executor(), facts_);
  if (filter_ != nullptr) {
    if (WatchesCommands()) session_->WatchCommands();
    linked_ = true;
    if (Watches(SessionEvent::kLinkConnect)) Report({.event = SessionEvent::kLinkConnect});
    if (facts_.tls.has_value() && Watches(SessionEvent::kLinkTls))
      Report({.event = SessionEvent::kLinkTls});
  }
  if (Asks(SmtpPhase::kConnect)) {
    // What refuses here is said in place of the greeting; the session may then only QUIT.
    const bool refused =
        co_await Filter({.phase = SmtpPhase::kConnect}, "connect", nullptr, &junk_);
    if (refused) co_return;
  }
  session_->Decide(Decision::Accept());
  ReportOutput();
  if (Watches(SessionEvent::kLinkGreeting)) {
    Report({.event = SessionEvent::kLinkGreeting, .text = facts_.listener->options->hostname});
  }
}

// LogConnected tells of a session, before its TLS where it begins with that. `host` is "<unknown>"
// where the client has no name, or nothing asked for it before the greeting.
void SmtpConnection::LogConnected() const {
  const bool local = facts_.listener->is_local_socket;
  std::vector<LogField> fields = {{"address", local ? "local" : facts_.remote.address.ToString()},
                                  {"host", local                         ? "localhost"
                                           : facts_.reverse_name.empty() ? "<unknown>"
                                                                         : facts_.reverse_name},
                                  {"listener", facts_.listener->name}};
  if (facts_.peer_uid.has_value()) fields.push_back({"uid", StrCat(*facts_.peer_uid)});
  Log(LogLevel::kInfo, "connected", std::move(fields));
}

// FindReverseName asks once a session. Where no rule needs the name before the greeting, it is
// asked for with the first MAIL: a client that only looks in costs no question.
rt::Task<void> SmtpConnection::FindReverseName() {
  if (asked_reverse_name_) co_return;
  asked_reverse_name_ = true;
  if (facts_.listener->is_local_socket) {
    facts_.reverse_name = "localhost";
    facts_.reverse_confirmed = true;
    co_return;
  }
  facts_.reverse_name =
      co_await service_->backend_->ReverseName(stream_->executor(), facts_.remote.address);
  if (!facts_.listener->wants_confirmation || facts_.reverse_name.empty()) co_return;
  facts_.reverse_confirmed = co_await service_->backend_->ReverseNameLeadsBack(
      stream_->executor(), facts_.reverse_name, facts_.remote.address);
}

rt::Task<void> SmtpConnection::AskToLeave() {
  // A session at work comes to FillInput by itself, which asks it to close once no transaction is
  // under way.
  if (stream_ == nullptr || !waiting_for_input_ || transaction_ != nullptr) co_return;
  const std::string farewell =
      StrCat("421 4.3.2 ", facts_.listener->options->hostname, " Service shutting down\r\n");
  (void)co_await stream_->Write(farewell, stream_->executor().Now() + absl::Seconds(1));
  stream_->Close();
}

rt::Task<void> SmtpConnection::Apologize() {
  // RFC 5321 §3.8: 421 may be the answer to anything. During a handshake there is no stream.
  constexpr std::string_view kFarewell = "421 4.3.0 Out of memory, try again later\r\n";
  if (stream_ == nullptr || writing_) co_return;
  (void)co_await stream_->Write(kFarewell, stream_->executor().Now() + absl::Seconds(1));
  stream_->Close();
}

void SmtpConnection::Cut() {
  cut_ = true;
  if (!finishing_ && stream_ != nullptr) stream_->Close();
}

void SmtpConnection::Log(LogLevel level, std::string event, std::vector<LogField> fields) const {
  service_->log_->Write(LogRecord{.level = level,
                                  .subsystem = "smtp",
                                  .session = facts_.id,
                                  .event = std::move(event),
                                  .fields = std::move(fields)});
}

void SmtpConnection::LogProtocolError(const ServerEvent& event) const {
  if (event.code == 0) {
    Log(LogLevel::kInfo, "failed-command", {{"reason", std::string(event.text)}});
    return;
  }
  const std::string_view command = event.command.empty() ? "message" : event.command;
  Log(LogLevel::kInfo, "failed-command",
      {{"command", std::string(command)}, {"result", std::string(event.reply)}});
}

void SmtpConnection::LogRefusal(std::string_view command, const mail::Reply& reply,
                                std::string_view reason) const {
  std::vector<LogField> fields = {{"command", std::string(command)}, {"result", reply.ToString()}};
  if (!reason.empty()) fields.push_back({"reason", std::string(reason)});
  Log(reply.IsTransient() ? LogLevel::kWarning : LogLevel::kInfo, "failed-command",
      std::move(fields));
}

}  // namespace postern::service
