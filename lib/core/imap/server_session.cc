#include "lib/core/imap/server_session.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"
#include "lib/core/imap/capability.h"
#include "lib/core/imap/scanner.h"

namespace postern::imap {
namespace {

std::string_view ConditionName(Condition condition) {
  switch (condition) {
    case Condition::kOk: return "OK";
    case Condition::kNo: return "NO";
    case Condition::kBad: return "BAD";
  }
  return "BAD";
}

// RFC 3501 §9: tag = 1*<any ASTRING-CHAR except "+">
bool IsTagChar(char c) { return IsAStringChar(c) && c != '+'; }

std::string_view TagOf(std::string_view text, size_t limit_bytes) {
  Scanner scanner(text);
  const std::string_view tag = scanner.While(IsTagChar);
  return tag.size() <= limit_bytes ? tag : std::string_view();
}

// A browser that was talked into posting to this port puts commands into the body of its request;
// the session ends at the request line, before them. No IMAP command has a name that begins with
// '/', '*' or "http:".
bool IsHttpRequest(std::string_view text) {
  constexpr std::string_view kMethods[] = {"GET",     "POST",  "PUT",   "HEAD",  "OPTIONS",
                                           "CONNECT", "TRACE", "PATCH", "DELETE"};
  for (std::string_view method : kMethods) {
    if (!StartsWithIgnoreCase(text, method) || text.size() <= method.size() ||
        text[method.size()] != ' ')
      continue;
    const std::string_view target = text.substr(method.size() + 1);
    if (StartsWithIgnoreCase(target, "/") || StartsWithIgnoreCase(target, "*") ||
        StartsWithIgnoreCase(target, "http") || target.find(" HTTP/") != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

ServerSession::ServerSession(const ServerOptions& options, bool tls_active, Instant now,
                             sasl::Channel channel)
    : options_(options),
      tls_active_(tls_active),
      input_(options.input_limit_bytes),
      channel_(std::move(channel)),
      login_deadline_(now + options.login_timeout),
      last_input_(now) {
  writer_.UntaggedCondition("OK", StrCat("CAPABILITY ", Capabilities()),
                            StrCat(options_.host_name, " ", options_.server_name, " ready"));
}

size_t ServerSession::Feed(std::string_view octets, Instant now) {
  // RFC 3501 §6.2.1 and CVE-2011-0411: what came behind STARTTLS in the clear is never obeyed.
  if (phase_ == Phase::kClosed || phase_ == Phase::kStartTls) return octets.size();
  if (!octets.empty()) last_input_ = now;
  return input_.Append(octets);
}

Event ServerSession::NextEvent(Instant now) {
  input_.Consume(std::exchange(lent_, 0));
  while (true) {
    switch (phase_) {
      case Phase::kClosed: {
        Event event;
        event.kind = Event::Kind::kClosed;
        event.reason = close_reason_;
        return event;
      }
      case Phase::kAwaitAuth:
      case Phase::kAwaitFinish:
      case Phase::kAwaitAppend:
      case Phase::kStartTls: {
        Event event;
        event.kind = Event::Kind::kAwaitingDecision;
        return event;
      }
      case Phase::kReading:
      case Phase::kSaslResponse:
      case Phase::kIdling:
      case Phase::kAppendTail:
      case Phase::kAppendData:
      case Phase::kAppendSkip: break;
    }
    if (input_.empty() && !(append_left_ == 0 && phase_ == Phase::kAppendData)) {
      if (end_of_input_) {
        Close("the client closed the connection");
        continue;
      }
      return Event();
    }
    const std::optional<Event> event = Read(now);
    if (event) return *event;
  }
}

std::optional<Event> ServerSession::Read(Instant now) {
  if (phase_ == Phase::kAppendData || phase_ == Phase::kAppendSkip) return ReadAppend();
  if (std::exchange(first_octets_, false) && LooksLikeTls()) {
    writer_.UntaggedCondition("BYE", "", "This port does not speak TLS from the start");
    Close("TLS on a plain port");
    return std::nullopt;
  }
  const CommandReader::Progress progress = reader_.Read(input_, CommandLimit(), DiscardLimit());
  if (progress == CommandReader::Progress::kNeedInput) return std::nullopt;
  if (progress == CommandReader::Progress::kCommand) {
    switch (phase_) {
      case Phase::kSaslResponse: return OnSaslLine();
      case Phase::kIdling: return OnIdleLine();
      case Phase::kAppendTail: return OnAppendTail(reader_.text().empty() && !append_refused_);
      default: return OnCommandText(reader_.text(), now);
    }
  }
  if (progress == CommandReader::Progress::kLiteral) return OnLiteral(reader_.literal());
  if (progress == CommandReader::Progress::kEndless) return OnEndlessLine();
  return OnBrokenLine(progress);
}

bool ServerSession::LooksLikeTls() {
  // A handshake record of TLS begins with 22, the hello of SSL 2 with the top bit (RFC 8446 §5.1,
  // RFC 5246 appendix E.2); a tag begins with neither.
  const char first = input_.View()[0];
  return first == 0x16 || !IsAscii(first);
}

std::optional<Event> ServerSession::OnBrokenLine(CommandReader::Progress progress) {
  const std::string tag(has_command_ ? std::string_view(command_.tag)
                                     : TagOf(reader_.text(), options_.tag_limit_bytes));
  const bool bad_octet = progress == CommandReader::Progress::kBadOctet;
  // Octets that the client has sent without waiting cannot be told from commands; before login
  // nobody gets a second chance.
  const bool fatal = progress == CommandReader::Progress::kTooLongLiteral ||
                     (!bad_octet && state_ == State::kNotAuthenticated);
  if (fatal) {
    writer_.UntaggedCondition("BYE", "", "Command too long");
    Close("command too long");
    return std::nullopt;
  }
  const std::string_view why = bad_octet ? "NUL or CR inside a command" : "Command too long";
  if (phase_ == Phase::kIdling) return OnIdleLine();
  if (phase_ == Phase::kAppendTail) return OnAppendTail(false);
  Bad(tag, why);
  return std::nullopt;
}

std::optional<Event> ServerSession::OnEndlessLine() {
  std::string tag = command_.tag;
  if (!has_command_) {
    // Only a whole tag is one: octets without a blank behind them are anything.
    tag = TagOf(reader_.text(), options_.tag_limit_bytes);
    if (reader_.text().substr(tag.size(), 1) != " ") tag.clear();
  }
  if (!tag.empty()) writer_.Tagged(tag, "BAD", "", "Command too long");
  writer_.UntaggedCondition("BYE", "", "A command line does not end");
  Close("a line without end");
  return std::nullopt;
}

std::optional<Event> ServerSession::OnCommandText(std::string_view text, Instant) {
  if (state_ == State::kNotAuthenticated && IsHttpRequest(text)) {
    writer_.UntaggedCondition("BYE", "", "This is not a web server");
    Close("HTTP request");
    return std::nullopt;
  }
  Scanner scanner(text);
  const std::string tag(scanner.While(IsTagChar));
  if (tag.empty() || tag.size() > options_.tag_limit_bytes ||
      !(scanner.AtEnd() || scanner.Peek() == ' ')) {
    Bad("", "The tag is not well formed");
    return std::nullopt;
  }
  if (!scanner.Space() || scanner.AtEnd()) {
    Bad(tag, "The command is missing");
    return std::nullopt;
  }
  bool uid = false;
  const CommandRow* row = ParseCommandName(scanner, &uid);
  if (row == nullptr) {
    Bad(tag, "The command is unknown");
    return std::nullopt;
  }
  if (!AllowedIn(*row, state_)) {
    Bad(tag, StrCat(row->name, " is not possible in this state"));
    return std::nullopt;
  }
  command_.tag = tag;
  command_.kind = row->kind;
  command_.uid = uid;
  command_.arguments = NoArguments{};
  const ParseLimits limits{options_.fetch_items_limit, options_.search_depth_limit,
                           options_.search_keys_limit};
  if (!row->parse(scanner, limits, &command_.arguments)) {
    Bad(tag, StrCat(row->name, ": ", scanner.error()));
    return std::nullopt;
  }
  has_command_ = true;
  reader_.Clear();
  return Dispatch();
}

std::optional<Event> ServerSession::OnLiteral(const CommandReader::Literal& literal) {
  if (phase_ == Phase::kIdling) {
    if (literal.synchronizing) return OnIdleLine();
    return OnBrokenLine(CommandReader::Progress::kTooLongLiteral);
  }
  if (phase_ == Phase::kSaslResponse || phase_ == Phase::kAppendTail) {
    if (!literal.synchronizing) return OnBrokenLine(CommandReader::Progress::kTooLongLiteral);
    if (phase_ == Phase::kAppendTail) return OnAppendTail(false);
    exchange_.reset();
    Bad(command_.tag, "A literal has no place here");
    return std::nullopt;
  }
  std::optional<Event> append;
  if (BeginAppend(literal, &append)) return append;
  // 32 octets are what the announcement itself takes at most.
  const size_t room = CommandLimit() - std::min(CommandLimit(), reader_.text().size() + 32);
  if (literal.size_bytes > room) {
    if (state_ == State::kNotAuthenticated || !literal.synchronizing) {
      writer_.UntaggedCondition("BYE", "TOOBIG", "Literal too large");
      Close("literal too large");
    } else {
      Bad(std::string(TagOf(reader_.text(), options_.tag_limit_bytes)), "Literal too large");
    }
    return std::nullopt;
  }
  const bool wait = literal.synchronizing;
  reader_.TakeLiteral();
  if (wait) writer_.Continuation("Ready for the literal");
  return std::nullopt;
}

std::optional<Event> ServerSession::OnSaslLine() {
  const std::string line(reader_.text());
  reader_.Clear();
  return SaslStep(exchange_->Respond(line));
}

std::optional<Event> ServerSession::OnIdleLine() {
  // RFC 2177 §3: DONE, and nothing else.
  idle_broken_ = !EqualsIgnoreCase(reader_.text(), "DONE");
  reader_.Clear();
  phase_ = Phase::kAwaitFinish;
  Event event;
  event.kind = Event::Kind::kIdleDone;
  event.command = &command_;
  return event;
}

void ServerSession::Decide(AuthDecision decision, Instant now) {
  POSTERN_CHECK(phase_ == Phase::kAwaitAuth);
  POSTERN_CHECK(!secret_wanted_ || decision != AuthDecision::kAccept);
  last_input_ = now;
  credentials_.Wipe();
  if (decision == AuthDecision::kReject && exchange_ && !secret_wanted_ &&
      exchange_->Refuse() == sasl::ServerExchange::Progress::kChallenge) {
    // RFC 7628 §3.2.2: first the mechanism's own word.
    (void)SaslStep(sasl::ServerExchange::Progress::kChallenge);
    return;
  }
  Finished(decision);
}

void ServerSession::GiveSecret(sasl::ScramSecret secret, std::string_view nonce, Instant now) {
  POSTERN_CHECK(phase_ == Phase::kAwaitAuth && secret_wanted_);
  secret_wanted_ = false;
  last_input_ = now;
  (void)SaslStep(exchange_->GiveSecret(std::move(secret), nonce));
}

void ServerSession::Finished(AuthDecision decision) {
  secret_wanted_ = false;
  exchange_.reset();
  switch (decision) {
    case AuthDecision::kAccept:
      state_ = State::kAuthenticated;
      failed_logins_ = 0;
      Reply(Completion::OkCode(StrCat("CAPABILITY ", Capabilities()), "Logged in"));
      return;
    case AuthDecision::kUnavailable:
      Reply(Completion::NoCode("UNAVAILABLE", "Logging in is not possible just now"));
      return;
    case AuthDecision::kReject:
      Reply(Completion::NoCode("AUTHENTICATIONFAILED", "Wrong user name or password"));
      if (++failed_logins_ < options_.failed_login_limit) return;
      writer_.UntaggedCondition("BYE", "", "Too many failed logins");
      Close("too many failed logins");
      return;
  }
}

void ServerSession::Finish(const Completion& completion) {
  POSTERN_CHECK(phase_ == Phase::kAwaitFinish);
  const bool ok = completion.condition == Condition::kOk;
  switch (command_.kind) {
    case CommandKind::kSelect:
    case CommandKind::kExamine:
      // RFC 3501 §6.3.1: a SELECT that fails leaves no mailbox selected.
      state_ = ok ? State::kSelected : State::kAuthenticated;
      break;
    case CommandKind::kClose:
    case CommandKind::kUnselect:
      if (ok) state_ = State::kAuthenticated;
      break;
    default: break;
  }
  if (std::exchange(idle_broken_, false)) {
    Reply(Completion::Bad("DONE was expected"));
  } else {
    Reply(completion);
  }
}

void ServerSession::TlsStarted(Instant now, sasl::Channel channel) {
  POSTERN_CHECK(phase_ == Phase::kStartTls);
  tls_active_ = true;
  channel_ = std::move(channel);
  input_.Clear();
  reader_.Clear();
  first_octets_ = true;
  has_command_ = false;
  phase_ = Phase::kReading;
  last_input_ = now;
  login_deadline_ = now + options_.login_timeout;
}

void ServerSession::Bye(std::string_view code, std::string_view text) {
  if (phase_ == Phase::kClosed) return;
  writer_.UntaggedCondition("BYE", code, text);
  Close("closed by us");
}

void ServerSession::MailboxClosed() {
  if (state_ != State::kSelected) return;
  state_ = State::kAuthenticated;
  writer_.UntaggedCondition("OK", "CLOSED", "The mailbox is closed");
}

void ServerSession::EndOfInput() { end_of_input_ = true; }

Instant ServerSession::NextDeadline() const {
  switch (phase_) {
    case Phase::kClosed:
    case Phase::kAwaitAuth:
    case Phase::kAwaitFinish:
    case Phase::kAwaitAppend: return Instant::Never();
    default: break;
  }
  return state_ == State::kNotAuthenticated ? login_deadline_ : last_input_ + options_.autologout;
}

void ServerSession::OnDeadline(Instant now) {
  if (now < NextDeadline()) return;
  writer_.UntaggedCondition("BYE", "", "Autologout; idle for too long");
  Close(state_ == State::kNotAuthenticated ? "no login in time" : "idle for too long");
}

bool ServerSession::enabled(std::string_view extension) const {
  return std::find(enabled_.begin(), enabled_.end(), extension) != enabled_.end();
}

void ServerSession::Reply(const Completion& completion) {
  writer_.Tagged(command_.tag, ConditionName(completion.condition), completion.code,
                 completion.text);
  if (completion.condition == Condition::kOk) bad_commands_ = 0;
  NextCommand();
}

void ServerSession::Bad(std::string_view tag, std::string_view text) {
  writer_.Tagged(tag.empty() ? "*" : tag, "BAD", "", text);
  NextCommand();
  if (++bad_commands_ < options_.bad_command_limit) return;
  writer_.UntaggedCondition("BYE", "", "Too many bad commands");
  Close("too many bad commands");
}

void ServerSession::NextCommand() {
  reader_.Clear();
  has_command_ = false;
  command_.arguments = NoArguments{};
  if (phase_ != Phase::kClosed) phase_ = Phase::kReading;
}

void ServerSession::Close(std::string_view reason) {
  phase_ = Phase::kClosed;
  state_ = State::kLogout;
  close_reason_ = reason;
  input_.Clear();
  reader_.Clear();
  exchange_.reset();
  credentials_.Wipe();
}

size_t ServerSession::CommandLimit() const {
  return state_ == State::kNotAuthenticated ? options_.command_limit_before_login_bytes
                                            : options_.command_limit_bytes;
}

size_t ServerSession::DiscardLimit() const {
  return state_ == State::kNotAuthenticated ? options_.discard_limit_before_login_bytes
                                            : options_.discard_limit_bytes;
}

std::string ServerSession::Capabilities() const {
  CapabilityContext context;
  context.state = state_;
  context.starttls = !tls_active_ && options_.offer_starttls;
  context.login_allowed = LoginAllowed();
  context.mechanisms = MechanismsNow();
  context.append_limit_bytes = options_.append_limit_bytes;
  return FormatCapabilities(context);
}

}  // namespace postern::imap
