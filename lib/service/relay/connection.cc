#include "lib/service/relay/connection.h"

#include <algorithm>
#include <array>
#include <new>

#include "lib/rt/tls/tls_stream.h"
#include "lib/service/schedule/deliverer.h"

namespace postern::relay {
namespace {

constexpr size_t kBodyPieceBytes = 64 * 1024;

mail::Reply Made(int code, int subject, int detail, std::string text) {
  return mail::Reply(code, mail::EnhancedStatus{code / 100, subject, detail}, std::move(text));
}

}  // namespace

Connection::Connection(rt::World& world, rt::Executor& loop, LogSink& log,
                       std::shared_ptr<const RelaySettings> settings, queue::RelayTarget target,
                       std::string session_id)
    : world_(world),
      loop_(loop),
      log_(log),
      settings_(std::move(settings)),
      target_(std::move(target)),
      session_id_(std::move(session_id)),
      begun_(loop.Now()) {
  auto options = std::make_shared<smtp::ClientOptions>(settings_->session);
  options->helo_name =
      settings_->helo_name.empty() ? smtp::ClientOptions().helo_name : settings_->helo_name;
  options->lmtp = settings_->route.lmtp;
  options_ = std::move(options);
  session_ = std::make_unique<smtp::ClientSession>(options_, false, loop_.Now());
}

Connection::~Connection() { Close(); }

void Connection::Close() noexcept {
  const bool tell = !closed_ && stream_ != nullptr;
  closed_ = true;
  usable_ = false;
  if (stream_ != nullptr) stream_->Close();
  try {
    if (tell) Log("disconnected", {{"messages", StrCat(messages_)}});
  } catch (const std::bad_alloc&) {
    // It ends without a line in the log.
  }
}

void Connection::Log(std::string event, std::vector<LogField> fields) {
  LogRecord record;
  record.subsystem = "mta";
  record.session = session_id_;
  record.event = std::move(event);
  record.fields = std::move(fields);
  log_.Write(record);
}

rt::Task<Opened> Connection::Open(queue::RelayTls tls, Instant deadline) {
  Opened opened;
  Endpoint remote;
  if (target_.socket_path.empty()) {
    remote.address = target_.address;
    remote.port = settings_->route.port;
  } else {
    remote.unix_path = target_.socket_path;
  }
  // As OpenSMTPD has it: smtp://192.0.2.1:25.
  const char* const scheme = settings_->route.lmtp               ? "lmtp://"
                             : tls == queue::RelayTls::kImplicit ? "smtps://"
                                                                 : "smtp://";
  Log("connecting", {{"address", StrCat(scheme, remote.ToString())}, {"host", target_.host}});
  rt::ConnectOptions connect_options;
  connect_options.source = settings_->source;
  StatusOr<std::unique_ptr<rt::Stream>> stream =
      co_await world_.network().Connect(loop_, remote, connect_options, deadline);
  if (!stream.ok() || closed_) {
    const std::string why =
        stream.ok() ? std::string("stopping") : std::string(Message(stream.status()));
    Log("error", {{"reason", StrCat("Connection failed: ", why)}});
    opened.reason = Made(451, 4, 1, StrCat("Connection to ", target_.host, " failed: ", why));
    co_return opened;
  }
  stream_ = *std::move(stream);
  if (target_.socket_path.empty()) local_address_ = stream_->local().address.ToString();
  if (settings_->helo_by_address && target_.socket_path.empty()) {
    const IpAddress ours = stream_->local().address;
    // The table may be a program's, which takes its time.
    auto ask = loop_.RunOutside([this, ours] { return settings_->helo_by_address(ours); });
    std::string name = co_await ask;
    if (!name.empty()) {
      auto options = std::make_shared<smtp::ClientOptions>(*options_);
      options->helo_name = std::move(name);
      options_ = std::move(options);
    }
  }
  if (tls == queue::RelayTls::kImplicit) {
    StatusOr<std::unique_ptr<rt::Stream>> secured =
        co_await rt::TlsConnect(std::move(stream_), settings_->tls_config, target_.host,
                                world_.clock().WallNow(), loop_.Now() + absl::Minutes(1));
    if (!secured.ok() || closed_) {
      const std::string why =
          secured.ok() ? std::string("stopping") : std::string(Message(secured.status()));
      Log("error", {{"reason", StrCat("TLS: ", why)}});
      opened.kind = Opened::Kind::kTlsFailed;
      opened.reason = Made(454, 7, 0, StrCat("TLS with ", target_.host, ": ", why));
      co_return opened;
    }
    stream_ = *std::move(secured);
  }
  Log("connected", {});
  session_ = std::make_unique<smtp::ClientSession>(options_, tls == queue::RelayTls::kImplicit,
                                                   loop_.Now());
  opened = co_await Greet(tls);
  usable_ = opened.kind == Opened::Kind::kReady;
  if (!usable_) Log("error", {{"reason", opened.reason.ToString()}});
  co_return opened;
}

// Refused words a refusal that is no word about the message, and so never the last one.
mail::Reply Connection::Refused(std::string_view what, const smtp::ClientEvent& event) const {
  const std::string said = event.reply->ToString();
  if (event.from_server)
    return Made(454, 7, 0, StrCat(what, ":", schedule::AnswerMark(target_.host), said));
  return Made(454, 7, 0, StrCat(what, " at ", target_.host, ": ", said));
}

// Greet drives the session from the greeting to the point where a message may be sent.
rt::Task<Opened> Connection::Greet(queue::RelayTls tls) {
  Opened opened;
  const bool want_tls = tls == queue::RelayTls::kOpportunistic || tls == queue::RelayTls::kRequired;
  bool tls_asked = false;
  bool auth_asked = false;
  for (;;) {
    const smtp::ClientEvent event = co_await Next();
    switch (event.kind) {
      case smtp::ClientEvent::Kind::kReady: {
        if (want_tls && !session_->in_tls() && !tls_asked) {
          if (session_->offer().starttls) {
            tls_asked = true;
            session_->StartTls();
            continue;
          }
          if (tls == queue::RelayTls::kRequired) {
            opened.kind = Opened::Kind::kTlsFailed;
            opened.reason =
                Made(454, 7, 0, StrCat("TLS required but not supported by ", target_.host));
            co_return opened;
          }
        }
        if (!settings_->auth_user.empty() && !session_->authenticated() && !auth_asked) {
          auth_asked = true;
          sasl::Credentials credentials;
          credentials.authentication_id = settings_->auth_user;
          credentials.password = settings_->auth_password;
          std::string nonce;
          for (int word = 0; word < 3 && !without_scram_; ++word)
            nonce += Hex(world_.random().Next(), 16);
          session_->Authenticate(std::move(credentials), std::move(nonce));
          continue;
        }
        opened.kind = Opened::Kind::kReady;
        co_return opened;
      }
      case smtp::ClientEvent::Kind::kStartTls: {
        // What came in the clear behind the 220 is nobody's answer (CVE-2021-38371).
        unfed_.clear();
        StatusOr<std::unique_ptr<rt::Stream>> secured =
            co_await rt::TlsConnect(std::move(stream_), settings_->tls_config, target_.host,
                                    world_.clock().WallNow(), loop_.Now() + absl::Minutes(1));
        if (!secured.ok() || closed_) {
          opened.kind = Opened::Kind::kTlsFailed;
          opened.reason = Made(454, 7, 0,
                               StrCat("TLS with ", target_.host, ": ",
                                      secured.ok() ? std::string("stopping")
                                                   : std::string(Message(secured.status()))));
          co_return opened;
        }
        stream_ = *std::move(secured);
        const rt::TlsInfo* info = stream_->tls();
        Log("tls", {{"ciphers", StrCat(info->version, ":", info->cipher, ":", info->cipher_bits)},
                    {"verified", info->peer_verified ? "yes" : "no"}});
        session_->TlsEstablished();
        continue;
      }
      case smtp::ClientEvent::Kind::kTlsRefused:
        if (tls == queue::RelayTls::kRequired) {
          opened.kind = Opened::Kind::kTlsFailed;
          opened.reason = Refused("TLS is required and was refused", event);
          if (event.from_server) opened.server_reply = *event.reply;
          co_return opened;
        }
        continue;
      case smtp::ClientEvent::Kind::kAuthenticated: continue;
      case smtp::ClientEvent::Kind::kAuthRefused:
        // Our password is wrong, or theirs is down: nothing about the message, so it waits.
        opened.reason = Refused("AUTH failed", event);
        if (event.from_server) opened.server_reply = *event.reply;
        co_return opened;
      case smtp::ClientEvent::Kind::kClosed:
        opened.reason = *event.reply;
        if (event.from_server) opened.server_reply = *event.reply;
        if (opened.reason.code == 0) opened.reason = Made(451, 4, 2, "the connection was closed");
        co_return opened;
      default: continue;
    }
  }
}

rt::Task<std::vector<smtp::RecipientResult>> Connection::Send(smtp::OutgoingMessage message,
                                                              const store::Body& body) {
  std::vector<smtp::RecipientResult> results;
  const size_t count = message.recipients.size();
  ++messages_;
  bool done = !session_->SendMessage(std::move(message));
  while (!done) {
    const smtp::ClientEvent event = co_await Next();
    switch (event.kind) {
      case smtp::ClientEvent::Kind::kSendBody: {
        const Status sent = co_await SendBody(body);
        // A failure to write is told to the session as the end of the peer: the results then say
        // that nothing is known.
        if (!sent.ok()) session_->FeedEnd();
        break;
      }
      case smtp::ClientEvent::Kind::kMessageDone:
        results = *event.results;
        done = true;
        break;
      case smtp::ClientEvent::Kind::kClosed: done = true; break;
      default: break;
    }
  }
  last_used_ = loop_.Now();
  // What follows tells whether the connection is good for another one: kReady, or kClosed.
  if (!closed_) {
    const smtp::ClientEvent event = co_await Next();
    usable_ = event.kind == smtp::ClientEvent::Kind::kReady && !closed_;
  } else {
    usable_ = false;
  }
  smtp::RecipientResult unknown;
  unknown.reply = Made(451, 4, 2, "the connection was closed");
  results.resize(count, unknown);
  co_return results;
}

rt::Task<Status> Connection::SendBody(const store::Body& body) {
  const uint64_t size = body.size_bytes();
  const std::optional<std::string_view> memory = body.InMemory();
  std::string piece;
  for (uint64_t at = 0; at < size;) {
    std::string_view octets;
    if (memory) {
      octets = memory->substr(at, kBodyPieceBytes);
    } else {
      piece.resize(std::min<uint64_t>(kBodyPieceBytes, size - at));
      StatusOr<size_t> got = co_await loop_.RunBlocking([&body, &piece, at] {
        return body.ReadAt(at, std::span<char>(piece.data(), piece.size()));
      });
      if (!got.ok() || *got == 0) {
        session_->BodyFailed();
        co_return OkStatus();
      }
      octets = std::string_view(piece).substr(0, *got);
    }
    session_->Body(octets);
    at += octets.size();
    const Instant deadline = loop_.Now() + options_->data_block_timeout;
    const Status sent = co_await Flush(deadline);
    if (!sent.ok()) co_return sent;
  }
  session_->BodyEnd();
  co_return OkStatus();
}

rt::Task<void> Connection::Quit() {
  if (usable_ && session_->Quit()) {
    for (;;) {
      const smtp::ClientEvent event = co_await Next();
      if (event.kind == smtp::ClientEvent::Kind::kClosed) break;
    }
    const Instant patience = loop_.Now() + absl::Seconds(1);
    if (!closed_) {
      const Status ended = co_await stream_->ShutdownWrite(patience);
      (void)ended;
    }
  }
  Close();
}

rt::Task<Status> Connection::Flush(Instant deadline) {
  while (!session_->PendingOutput().empty()) {
    if (closed_ || stream_ == nullptr) co_return Cancelled("the connection was closed");
    const std::string_view output = session_->PendingOutput();
    const size_t size = output.size();
    const Status sent = co_await stream_->Write(output, deadline);
    if (!sent.ok()) co_return sent;
    session_->Wrote(size);
  }
  co_return OkStatus();
}

Status Connection::Pull() {
  std::array<char, 4096> buffer;
  StatusOr<size_t> got = stream_->TryRead(buffer);
  if (!got.ok()) return rt::IsWouldBlock(got.status()) ? OkStatus() : got.status();
  if (*got == 0) {
    session_->FeedEnd();
    return OkStatus();
  }
  const std::string_view octets(buffer.data(), *got);
  const size_t taken = session_->Feed(octets);
  unfed_.assign(octets.substr(taken));
  return OkStatus();
}

// Next pumps octets until the session has something to say to the driver. A connection that fails
// is an end to the session.
rt::Task<smtp::ClientEvent> Connection::Next() {
  bool ended = false;
  for (;;) {
    const smtp::ClientEvent event = session_->NextEvent(loop_.Now());
    const bool input = event.kind == smtp::ClientEvent::Kind::kNeedInput;
    if (!input && event.kind != smtp::ClientEvent::Kind::kNeedOutput) co_return event;
    Status status =
        closed_ || stream_ == nullptr ? Cancelled("the connection was closed") : OkStatus();
    const Instant deadline = std::min(session_->NextDeadline(), loop_.Now() + absl::Minutes(15));
    if (status.ok()) status = co_await Flush(deadline);
    if (status.ok() && input) {
      if (!unfed_.empty()) {
        unfed_.erase(0, session_->Feed(unfed_));
        continue;
      }
      status = co_await stream_->WaitReadable(deadline);
      if (status.ok()) status = Pull();
    }
    if (status.ok()) continue;
    if (status.code() == StatusCode::kDeadlineExceeded && !ended) session_->OnDeadline(loop_.Now());
    if (status.code() != StatusCode::kDeadlineExceeded || ended) {
      unfed_.clear();
      session_->FeedEnd();
      session_->Wrote(session_->PendingOutput().size());
    }
    ended = true;
  }
}

}  // namespace postern::relay
