// The commands that the session answers itself (capabilities, identity, TLS, the exchange of
// AUTHENTICATE), and the stages of APPEND; the rest goes to the driver.
#include <algorithm>
#include <utility>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/core/imap/capability.h"
#include "lib/core/imap/scanner.h"
#include "lib/core/imap/server_session.h"
#include "lib/core/imap/strings_out.h"

namespace postern::imap {

std::optional<Event> ServerSession::Dispatch() {
  switch (command_.kind) {
    case CommandKind::kCapability:
      writer_.Untagged(StrCat("CAPABILITY ", Capabilities()));
      Reply(Completion::Ok("CAPABILITY completed"));
      return std::nullopt;
    case CommandKind::kLogout:
      writer_.UntaggedCondition("BYE", "", "Logging out");
      Reply(Completion::Ok("LOGOUT completed"));
      Close("logout");
      return std::nullopt;
    case CommandKind::kId: return RunId();
    case CommandKind::kEnable: return RunEnable();
    case CommandKind::kStartTls: return RunStartTls();
    case CommandKind::kAuthenticate: return BeginAuthenticate();
    case CommandKind::kLogin: return RunLogin();
    case CommandKind::kNoop:
      if (state_ != State::kNotAuthenticated) break;
      Reply(Completion::Ok("NOOP completed"));
      return std::nullopt;
    case CommandKind::kIdle: {
      writer_.Continuation("idling");
      phase_ = Phase::kIdling;
      Event event;
      event.kind = Event::Kind::kCommand;
      event.command = &command_;
      return event;
    }
    default: break;
  }
  phase_ = Phase::kAwaitFinish;
  Event event;
  event.kind = Event::Kind::kCommand;
  event.command = &command_;
  return event;
}

std::optional<Event> ServerSession::RunId() {
  // RFC 2971 §3.2
  std::string line = "ID (\"name\" ";
  AppendString(line, options_.server_name);
  line.push_back(')');
  writer_.Untagged(line);
  Reply(Completion::Ok("ID completed"));
  return std::nullopt;
}

std::optional<Event> ServerSession::RunEnable() {
  std::string line = "ENABLED";
  for (const std::string& name : std::get<EnableArguments>(command_.arguments).capabilities) {
    if (!CanEnable(name) || enabled(name)) continue;
    enabled_.push_back(name);
    StrAppend(line, " ", name);
  }
  writer_.Untagged(line);
  Reply(Completion::Ok("ENABLE completed"));
  return std::nullopt;
}

std::optional<Event> ServerSession::RunStartTls() {
  if (tls_active_ || !options_.offer_starttls) {
    Bad(command_.tag, tls_active_ ? "TLS is active already" : "TLS is not available");
    return std::nullopt;
  }
  writer_.Tagged(command_.tag, "OK", "", "Begin TLS negotiation now");
  // What the client sent behind the command came in the clear: it is dropped, here and until the
  // handshake is done.
  input_.Clear();
  reader_.Clear();
  phase_ = Phase::kStartTls;
  Event event;
  event.kind = Event::Kind::kStartTls;
  event.command = &command_;
  return event;
}

std::optional<Event> ServerSession::RunLogin() {
  LoginArguments& login = std::get<LoginArguments>(command_.arguments);
  credentials_.Wipe();
  credentials_.authentication_id = std::move(login.user);
  credentials_.password = login.password;
  sasl::WipeString(login.password);
  if (!LoginAllowed()) {
    credentials_.Wipe();
    // RFC 5530 §3: PRIVACYREQUIRED
    Reply(Completion::NoCode("PRIVACYREQUIRED", "Start TLS first"));
    return std::nullopt;
  }
  return AskCredentials(sasl::Mechanism::kLogin);
}

std::optional<Event> ServerSession::BeginAuthenticate() {
  const AuthenticateArguments& auth = std::get<AuthenticateArguments>(command_.arguments);
  const std::optional<sasl::Mechanism> mechanism = sasl::FindMechanism(auth.mechanism);
  if (!mechanism || (MechanismsNow() & sasl::BitOf(*mechanism)) == 0) {
    Reply(Completion::NoCode("CANNOT", "The mechanism is not supported"));
    return std::nullopt;
  }
  if (!LoginAllowed()) {
    Reply(Completion::NoCode("PRIVACYREQUIRED", "Start TLS first"));
    return std::nullopt;
  }
  constexpr sasl::MechanismSet kBound =
      sasl::BitOf(sasl::Mechanism::kScramSha1Plus) | sasl::BitOf(sasl::Mechanism::kScramSha256Plus);
  exchange_.emplace(*mechanism, sasl::ServerExchange::Limits(), channel_,
                    (MechanismsNow() & kBound) != 0);
  std::optional<std::string_view> initial;
  if (auth.initial_response) initial = *auth.initial_response;
  return SaslStep(exchange_->Begin(initial));
}

std::optional<Event> ServerSession::SaslStep(sasl::ServerExchange::Progress progress) {
  switch (progress) {
    case sasl::ServerExchange::Progress::kChallenge:
      writer_.Continuation(exchange_->challenge());
      phase_ = Phase::kSaslResponse;
      return std::nullopt;
    case sasl::ServerExchange::Progress::kDone:
      credentials_ = std::move(exchange_->credentials());
      return AskCredentials(exchange_->mechanism());
    case sasl::ServerExchange::Progress::kNeedSecret: {
      secret_wanted_ = true;
      std::optional<Event> event = AskCredentials(exchange_->mechanism());
      event->kind = Event::Kind::kSecret;
      event->credentials = &exchange_->credentials();
      return event;
    }
    case sasl::ServerExchange::Progress::kRefused:
      Finished(AuthDecision::kReject);
      return std::nullopt;
    case sasl::ServerExchange::Progress::kCancelled:
      // RFC 3501 §6.2.2: BAD for a client that cancels.
      exchange_.reset();
      Bad(command_.tag, "AUTHENTICATE was cancelled");
      return std::nullopt;
    case sasl::ServerExchange::Progress::kMalformed: {
      const std::string error(exchange_->error());
      exchange_.reset();
      Bad(command_.tag, StrCat("AUTHENTICATE: ", error));
      return std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<Event> ServerSession::AskCredentials(sasl::Mechanism mechanism) {
  phase_ = Phase::kAwaitAuth;
  Event event;
  event.kind = Event::Kind::kCredentials;
  event.command = &command_;
  event.credentials = &credentials_;
  event.mechanism = mechanism;
  event.proven = exchange_ && exchange_->proven();
  return event;
}

// A literal belongs to APPEND's message when all that APPEND takes before it is there (RFC 3501
// §6.3.11). Else it is a string of a command like any other, APPEND's mailbox name included.
bool ServerSession::BeginAppend(const CommandReader::Literal& literal,
                                std::optional<Event>* event) {
  Scanner scanner(reader_.text());
  const std::string_view tag = scanner.While([](char c) { return IsAStringChar(c) && c != '+'; });
  bool uid = false;
  if (tag.empty() || tag.size() > options_.tag_limit_bytes || !scanner.Space()) return false;
  const CommandRow* row = ParseCommandName(scanner, &uid);
  if (row == nullptr || row->kind != CommandKind::kAppend || !AllowedIn(*row, state_)) return false;
  AppendArguments arguments;
  if (!ParseAppendPrefix(scanner, &arguments)) return false;
  command_.tag = std::string(tag);
  command_.kind = CommandKind::kAppend;
  command_.uid = false;
  command_.arguments = std::move(arguments);
  has_command_ = true;
  append_left_ = literal.size_bytes;
  append_waits_ = literal.synchronizing;
  append_nul_ = false;
  append_refused_ = false;
  reader_.Clear();
  phase_ = Phase::kAwaitAppend;
  if (literal.size_bytes > options_.append_limit_bytes) {
    if (!literal.synchronizing) {
      writer_.UntaggedCondition("BYE", "TOOBIG", "Message too large");
      Close("message too large");
      return true;
    }
    // RFC 7889 §4
    Decide(AppendDecision{false, Completion::NoCode("TOOBIG", "Message too large")});
    return true;
  }
  if (literal.size_bytes == 0) {
    Decide(AppendDecision{false, Completion::No("The message is empty")});
    return true;
  }
  event->emplace();
  (*event)->kind = Event::Kind::kAppend;
  (*event)->command = &command_;
  (*event)->append_size_bytes = literal.size_bytes;
  return true;
}

void ServerSession::Decide(const AppendDecision& decision) {
  POSTERN_CHECK(phase_ == Phase::kAwaitAppend);
  if (decision.accept) {
    phase_ = Phase::kAppendData;
    if (append_waits_) writer_.Continuation("Ready for the message");
    return;
  }
  Reply(decision.refusal);
  if (append_waits_) return;
  append_refused_ = true;
  phase_ = append_left_ > 0 ? Phase::kAppendSkip : Phase::kAppendTail;
}

std::optional<Event> ServerSession::ReadAppend() {
  const std::string_view view = input_.View();
  const std::string_view piece =
      view.substr(0, static_cast<size_t>(std::min<uint64_t>(view.size(), append_left_)));
  append_left_ -= piece.size();
  if (phase_ == Phase::kAppendSkip) {
    input_.Consume(piece.size());
    if (append_left_ == 0) phase_ = Phase::kAppendTail;
    return std::nullopt;
  }
  lent_ = piece.size();
  if (append_left_ == 0) phase_ = Phase::kAppendTail;
  Event event;
  event.command = &command_;
  // RFC 3501 §9, CHAR8: a literal holds no NUL.
  if (piece.find('\0') != std::string_view::npos) {
    append_refused_ = true;
    append_nul_ = true;
    if (append_left_ > 0) phase_ = Phase::kAppendSkip;
    event.kind = Event::Kind::kAppendAbort;
    return event;
  }
  event.kind = Event::Kind::kAppendData;
  event.data = piece;
  return event;
}

std::optional<Event> ServerSession::OnAppendTail(bool good) {
  reader_.Clear();
  Event event;
  event.command = &command_;
  if (good) {
    phase_ = Phase::kAwaitFinish;
    event.kind = Event::Kind::kAppendEnd;
    return event;
  }
  if (append_refused_) {
    // Refused before it came: answered then. Refused for a NUL: answered now, in step with what the
    // client sent.
    if (std::exchange(append_nul_, false)) {
      Reply(Completion::No("The message holds a NUL"));
    } else {
      NextCommand();
    }
    return std::nullopt;
  }
  Bad(command_.tag, "APPEND takes one message");
  event.kind = Event::Kind::kAppendAbort;
  event.command = nullptr;
  return event;
}

}  // namespace postern::imap
