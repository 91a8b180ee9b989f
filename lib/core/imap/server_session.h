// ServerSession: the server's side of one IMAP connection (RFC 3501 and the extensions in
// capability.h), without I/O.
//
// Theory of operation. Octets go in by Feed. NextEvent goes through them and says what came of it:
// a command to carry out, credentials to judge, a message being appended piece by piece. At an
// event that wants an answer the session stops, and goes on with the next command (which may have
// been pipelined) once it has it. What it has to say gathers in PendingOutput; the driver sends it
// and calls Wrote. The driver adds untagged responses through responses() while a command is under
// way.
//
//     session.Feed(octets);
//     for (Event event = session.NextEvent(now); event.kind != kNeedInput; event =
//     session.NextEvent(now)) {
//       switch (event.kind) {
//         case kCommand:  … session.responses().Untagged("3 EXISTS");
//         session.Finish(Completion::Ok("NOOP completed")); …
//       }
//       … send session.PendingOutput(), session.Wrote(n) …
//     }
//
// The states (RFC 3501 §3) and the commands of each stand in command_table.h, the framing in
// command_reader.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/buffer.h"
#include "lib/core/base/time.h"
#include "lib/core/imap/command.h"
#include "lib/core/imap/command_reader.h"
#include "lib/core/imap/command_table.h"
#include "lib/core/imap/response_writer.h"
#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/server_exchange.h"

namespace postern::imap {

// ServerOptions are the bounds and offers of a session. Defaults suit a public server.
struct ServerOptions {
  std::string host_name = "localhost";  // in the greeting
  std::string server_name = "Postern";  // in ID
  bool offer_starttls = true;           // STARTTLS is offered while the connection is plain
  // false: LOGINDISABLED and no AUTH= before TLS (RFC 3501 §11.1)
  bool allow_plaintext_login = false;
  // what AUTHENTICATE offers, as far as the channel allows it; LOGIN is the command of that name
  sasl::MechanismSet mechanisms = sasl::BitOf(sasl::Mechanism::kPlain);
  size_t input_limit_bytes = 32 * 1024;  // what Feed keeps at most
  size_t command_limit_before_login_bytes = 8 * 1024;
  // RFC 7162 §4 asks for 8,192 at least; literals count, APPEND's message not
  size_t command_limit_bytes = 64 * 1024;
  // What is read over of a line that is over its bound: beyond this the connection is cut. A client
  // that has not logged in has no reason for any of it.
  size_t discard_limit_before_login_bytes = 4 * 1024;
  size_t discard_limit_bytes = 64 * 1024;
  size_t tag_limit_bytes = 128;
  size_t append_limit_bytes = 64 * 1024 * 1024;  // APPENDLIMIT (RFC 7889)
  size_t fetch_items_limit = 256;
  int search_depth_limit = 32;  // parentheses, NOT and OR
  size_t search_keys_limit = 1000;
  int failed_login_limit = 3;  // then BYE
  int bad_command_limit = 20;  // in a row, then BYE
  // from the greeting (and again from STARTTLS) to a login
  Duration login_timeout = absl::Seconds(60);
  // RFC 3501 §5.4: 30 minutes at least; IDLE too (RFC 2177 §3)
  Duration autologout = absl::Minutes(30);
};

// Event is what NextEvent found. Its views and pointers live until the next call of a non-const
// member of the session.
struct Event {
  enum class Kind : uint8_t {
    kNeedInput,         // nothing more until Feed
    kAwaitingDecision,  // the last event still wants its answer
    kCredentials,       // judge `credentials`; Decide(AuthDecision). SCRAM: `proven` tells whether
                        // the password is right
    kSecret,   // SCRAM: what is stored for `credentials`? GiveSecret, or Decide when it cannot be
               // told
    kCommand,  // carry out `command`; Finish. IDLE: the client has been told to wait; see kIdleDone
    kIdleDone,  // the client ended IDLE; Finish
    kStartTls,  // send PendingOutput, do the handshake, then TlsStarted; when it fails, close
    kAppend,    // a message of `append_size_bytes` is coming for `command`; Decide(AppendDecision)
    kAppendData,   // `data` is the next piece of it; no answer
    kAppendEnd,    // it was the last piece, and the command ended well; Finish
    kAppendAbort,  // forget what came of the message (the client broke the rules); no answer
    kClosed,       // send PendingOutput and close; `reason` says why, for the log
  };
  Kind kind = Kind::kNeedInput;
  const Command* command = nullptr;
  sasl::Credentials* credentials = nullptr;             // may be moved from
  sasl::Mechanism mechanism = sasl::Mechanism::kPlain;  // kLogin for the command
  bool proven = false;
  uint64_t append_size_bytes = 0;
  std::string_view data;
  std::string_view reason;
};

enum class Condition : uint8_t { kOk, kNo, kBad };

// Completion ends a command: condition, response code without brackets (may be empty: "TRYCREATE",
// "APPENDUID 1 2"), text.
struct Completion {
  Condition condition = Condition::kOk;
  std::string code;
  std::string text;

  static Completion Ok(std::string text) { return {Condition::kOk, "", std::move(text)}; }
  static Completion OkCode(std::string code, std::string text) {
    return {Condition::kOk, std::move(code), std::move(text)};
  }
  static Completion No(std::string text) { return {Condition::kNo, "", std::move(text)}; }
  static Completion NoCode(std::string code, std::string text) {
    return {Condition::kNo, std::move(code), std::move(text)};
  }
  static Completion Bad(std::string text) { return {Condition::kBad, "", std::move(text)}; }
};

enum class AuthDecision : uint8_t {
  kAccept,
  kReject,       // wrong: NO [AUTHENTICATIONFAILED] (RFC 5530 §3), counted
  kUnavailable,  // cannot tell now: NO [UNAVAILABLE]
};

// AppendDecision answers kAppend. With accept the pieces follow; without, `refusal` (its condition
// is not kOk) ends the command and a message that is on its way all the same is passed over.
struct AppendDecision {
  bool accept = true;
  Completion refusal;
};

// ServerSession is one connection. One thread at a time.
class ServerSession {
 public:
  // The greeting is pending at once (RFC 3501 §7.1.1). `tls_active`: the connection came over TLS
  // (imaps, RFC 8314), which can vouch for what `channel` says. `options` is copied.
  ServerSession(const ServerOptions& options, bool tls_active, Instant now,
                sasl::Channel channel = {});
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  // Feed takes octets from the client and returns how many; fewer than given when the bound of
  // input is reached (feed the rest after the next events), all of them (and drops them) once the
  // session is closed or between STARTTLS and TlsStarted.
  size_t Feed(std::string_view octets, Instant now);

  // NextEvent goes on to the next event.
  Event NextEvent(Instant now);

  // Decide answers kCredentials or kAppend, Finish answers kCommand, kIdleDone and kAppendEnd. A
  // call that answers nothing is a mistake of the driver (POSTERN_CHECK). Finish of SELECT,
  // EXAMINE, CLOSE and UNSELECT moves the state by its condition.
  void Decide(AuthDecision decision, Instant now);
  // GiveSecret answers kSecret. `nonce` is printable ASCII without comma, new each time, of 18
  // random octets at least.
  void GiveSecret(sasl::ScramSecret secret, std::string_view nonce, Instant now);
  void Decide(const AppendDecision& decision);
  void Finish(const Completion& completion);

  // TlsStarted tells that the handshake after kStartTls is done. Nothing of the plain time is left
  // but the count of failures.
  void TlsStarted(Instant now, sasl::Channel channel = {});

  // Bye says goodbye for a reason of ours (a stop, a mailbox that is gone): "* BYE [code] text".
  // The next event is kClosed.
  void Bye(std::string_view code, std::string_view text);

  // MailboxClosed tells, during a command, that the selected mailbox is gone by the client's own
  // doing: the state goes back to kAuthenticated, and the client is told (RFC 7162 §3.2.11,
  // CLOSED).
  void MailboxClosed();

  // EndOfInput tells that the client has closed its side. The next event, after those that are due,
  // is kClosed.
  void EndOfInput();

  // responses is where untagged responses go while a command is under way or IDLE runs.
  ResponseWriter& responses() { return writer_; }

  std::string_view PendingOutput() const { return writer_.pending(); }
  void Wrote(size_t n) { writer_.Wrote(n); }

  // NextDeadline is when OnDeadline wants to be called; Never while the session waits for the
  // driver. OnDeadline says BYE when the client has been silent for too long, and else does
  // nothing.
  Instant NextDeadline() const;
  void OnDeadline(Instant now);

  State state() const { return state_; }
  bool tls_active() const { return tls_active_; }
  bool idling() const { return phase_ == Phase::kIdling; }
  bool closed() const { return phase_ == Phase::kClosed; }
  // command is the one under way, or null.
  const Command* command() const { return has_command_ ? &command_ : nullptr; }
  // enabled tells whether the client has enabled an extension (RFC 5161), in upper case.
  bool enabled(std::string_view extension) const;

 private:
  enum class Phase : uint8_t {
    kReading,       // between commands, or in one that has not ended
    kAwaitAuth,     // kCredentials is out
    kAwaitFinish,   // kCommand, kIdleDone or kAppendEnd is out
    kAwaitAppend,   // kAppend is out
    kAppendData,    // octets of a message
    kAppendSkip,    // octets of a message that was refused
    kAppendTail,    // the line end after them
    kSaslResponse,  // a line of AUTHENTICATE
    kIdling,        // waiting for DONE
    kStartTls,      // waiting for TlsStarted
    kClosed,
  };

  // Each of these returns the event it came to, or nullopt to go on reading.
  std::optional<Event> Read(Instant now);
  std::optional<Event> OnCommandText(std::string_view text, Instant now);
  std::optional<Event> OnLiteral(const CommandReader::Literal& literal);
  std::optional<Event> OnBrokenLine(CommandReader::Progress progress);
  std::optional<Event> OnEndlessLine();
  std::optional<Event> OnSaslLine();
  std::optional<Event> OnIdleLine();
  // BeginAppend returns false, with nothing changed, when the literal is not APPEND's message.
  bool BeginAppend(const CommandReader::Literal& literal, std::optional<Event>* event);
  std::optional<Event> ReadAppend();
  std::optional<Event> OnAppendTail(bool good);
  std::optional<Event> Dispatch();
  std::optional<Event> RunId();
  std::optional<Event> RunEnable();
  std::optional<Event> RunStartTls();
  std::optional<Event> RunLogin();
  std::optional<Event> BeginAuthenticate();
  std::optional<Event> SaslStep(sasl::ServerExchange::Progress progress);
  std::optional<Event> AskCredentials(sasl::Mechanism mechanism);
  void Finished(AuthDecision decision);
  sasl::MechanismSet MechanismsNow() const { return sasl::Offered(options_.mechanisms, channel_); }

  void Bad(std::string_view tag, std::string_view text);
  void Reply(const Completion& completion);
  void NextCommand();
  void Close(std::string_view reason);
  size_t CommandLimit() const;
  size_t DiscardLimit() const;
  std::string Capabilities() const;
  bool LoginAllowed() const { return tls_active_ || options_.allow_plaintext_login; }
  bool LooksLikeTls();

  ServerOptions options_;
  bool tls_active_;
  State state_ = State::kNotAuthenticated;
  Phase phase_ = Phase::kReading;
  ByteQueue input_;
  CommandReader reader_;
  ResponseWriter writer_;
  Command command_;
  bool has_command_ = false;
  bool first_octets_ = true;
  bool end_of_input_ = false;
  size_t lent_ = 0;  // octets at the front of input_ that the last event's view shows
  std::string_view close_reason_;
  sasl::Credentials credentials_;
  sasl::Channel channel_;
  std::optional<sasl::ServerExchange> exchange_;
  bool secret_wanted_ = false;  // kSecret is out
  uint64_t append_left_ = 0;
  bool append_nul_ = false;
  bool append_waits_ = false;  // the client waits for "+"
  bool append_refused_ = false;
  bool idle_broken_ = false;  // IDLE was ended by something else than DONE
  int failed_logins_ = 0;
  int bad_commands_ = 0;
  Instant login_deadline_;
  Instant last_input_;
  std::vector<std::string> enabled_;
};

}  // namespace postern::imap
