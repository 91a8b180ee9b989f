// Command lines of a session: where one ends, whether it may be obeyed, and which command it is.
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/server_session_impl.h"

namespace postern::smtp {

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

}  // namespace postern::smtp
