// The inside of ServerSession, shared by the files that implement it and by nobody else:
//   server_session.cc       the loop: modes, events, decisions, deadlines
//   server_lines.cc         command lines: framed, told where they are watched, and obeyed
//   server_replies.cc       replies, what the peer did wrong, and how often it may
//   server_greeting.cc      the commands about the session: EHLO, STARTTLS, AUTH, NOOP, …
//   server_transaction.cc   the commands about a message: MAIL, RCPT, DATA, BDAT, and its text
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/core/sasl/server_exchange.h"
#include "lib/core/smtp/server_commands.h"
#include "lib/core/smtp/server_framing.h"
#include "lib/core/smtp/server_session.h"
#include "lib/core/smtp/server_states.h"

namespace postern::smtp {

// Mode says what the next octets are.
enum class Mode : uint8_t {
  kCommand,  // a command line
  kAuth,     // a line of a SASL exchange
  kText,     // the text of DATA
  kChunk,    // the octets of a BDAT
  kSwallow,  // the octets of a BDAT that was refused
  kTls,      // nothing: the handshake is under way
  kClosed,   // nothing: the session is over
};

// Transaction is what lives from MAIL to the end of data.
struct Transaction {
  mail::ReversePath reverse_path;
  mail::ForwardPath forward_path;  // the one that is being decided
  Instant deadline;
  size_t recipients = 0;    // accepted
  uint64_t size = 0;        // octets given to the driver
  uint64_t received = 0;    // octets of text that came, given or not
  uint64_t discarded = 0;   // of these, read over after the message was refused
  bool chunking = false;    // BDAT was begun
  bool last_chunk = false;  // the chunk under way is the last
  bool text_ended = false;  // DATA: the final dot came
  bool refused = false;     // the text is read over and refused at its end
  bool too_big = false;
  TextFramer framer;
  TextChecker checker;
};

class ServerSession::Impl {
 public:
  Impl(std::shared_ptr<const ServerOptions> options, std::string peer_text, bool tls, Instant now,
       sasl::Channel channel);

  size_t Feed(std::string_view octets);
  void FeedEnd() { input_ended_ = true; }
  ServerEvent NextEvent(Instant now);
  void Decide(Decision decision);
  void GiveSecret(sasl::ScramSecret secret, std::string_view nonce);
  std::string_view PendingOutput() const { return std::string_view(output_).substr(written_); }
  void Wrote(size_t n);
  Instant NextDeadline() const;
  void OnDeadline(Instant now);
  void TlsEstablished(sasl::Channel channel);
  void WatchCommands() { watched_ = true; }
  void RequestShutdown() { shutdown_ = true; }

  std::string_view helo_name() const { return helo_name_; }
  bool extended() const { return extended_; }
  bool in_tls() const { return in_tls_; }
  bool authenticated() const { return authenticated_; }
  const Transaction* transaction() const { return transaction_.get(); }

 private:
  using Kind = ServerEvent::Kind;

  // --- server_session.cc
  // Advance takes one step with what has been fed. An event of kind kNeedInput from it means: more
  // input; kNeedOutput from it means: a step was taken that has no event.
  ServerEvent Advance(Instant now);
  // Event makes an event; Ask one that wants a decision.
  static ServerEvent Event(Kind kind);
  ServerEvent Ask(Kind kind);
  // Stepped is what a handler gives that has no event.
  static ServerEvent Stepped() { return Event(Kind::kNeedOutput); }
  void Close(CloseReason reason);
  void DropTransaction(ResetReason reason);
  void EndTransaction();
  void ConsumeInput(size_t n);

  // --- server_lines.cc
  ServerEvent TakeCommandLine(Instant now);
  // Told is a line as others may see it: of a login no more than its mechanism.
  std::string Told(std::string_view line, bool secret, std::string_view mask) const;
  ServerEvent AskAboutLine(std::string_view line, bool secret);
  void DecideCommandLine(const Decision& decision);
  ServerEvent RunCommand(const CommandLine& line, Instant now);
  bool RefusesBareLf(std::string_view line) const;
  void OnBareLf(std::string_view line);

  // --- server_replies.cc
  // Send appends a reply; the enhanced status is left out when it may not be used.
  void Send(int code, mail::EnhancedStatus status, std::string_view text);
  void Send(const mail::Reply& reply);
  // SendError is Send for what the peer did wrong: it is told in a kProtocolError and counted.
  void SendError(int code, mail::EnhancedStatus status, std::string_view text);
  void SendError(const mail::Reply& reply);
  void TellError(const mail::Reply& reply);
  void CountError(std::string_view farewell = "Too many errors");
  // HangUp says 421 (RFC 5321 §3.8: no server closes without it, but behind QUIT) and closes, where
  // the two sides are out of step.
  void HangUp(std::string_view why);
  void CountIdleCommand();

  // --- server_greeting.cc
  ServerEvent OnHello(std::string_view arguments, bool extended);
  ServerEvent OnStartTls(std::string_view arguments);
  ServerEvent OnAuth(std::string_view arguments);
  ServerEvent OnAuthLine(std::string_view line);
  ServerEvent OnAuthProgress(sasl::ServerExchange::Progress progress);
  ServerEvent OnForeign(std::string_view what);
  void DecideConnected(const Decision& decision);
  void DecideHello(const Decision& decision);
  void DecideAuthenticate(const Decision& decision);
  void RefuseLogin(const Decision& decision);
  sasl::MechanismSet MechanismsNow() const;
  void SendEhlo(std::string_view greeting);

  // --- server_transaction.cc
  ServerEvent OnMail(std::string_view arguments, Instant now);
  ServerEvent OnRcpt(std::string_view arguments);
  ServerEvent OnData(std::string_view arguments);
  ServerEvent OnBdat(std::string_view arguments, Outcome outcome);
  ServerEvent TakeText();
  ServerEvent TakeChunk();
  ServerEvent TakeSwallowed();
  // GiveText counts `text` and gives it to the driver, or only counts it when the message is
  // refused already.
  ServerEvent GiveText(std::string_view text);
  ServerEvent EndOfText();
  ServerEvent EndOfChunk();
  void CheckText(uint8_t defects, uint64_t longest_line);
  void RefuseText();
  void Swallow(uint64_t octets, mail::Reply reply);
  void DecideMail(const Decision& decision);
  void DecideRcpt(const Decision& decision);
  void DecideData(const Decision& decision);
  void DecideMessageEnd(const Decision& decision);
  uint32_t OfferedNow() const;

  std::shared_ptr<const ServerOptions> options_;
  std::string peer_text_;
  std::string helo_name_;
  InputBuffer input_;
  LineScanner scanner_;
  std::string output_;
  size_t written_ = 0;
  size_t consume_later_ = 0;  // input that an event still lends

  State state_ = State::kConnecting;
  Mode mode_ = Mode::kCommand;
  Kind asked_ = Kind::kConnected;  // which decision is wanted, when `asking_`
  bool asking_ = false;
  bool told_connected_ = false;
  bool watched_ = false;
  bool line_told_ = false;  // of the line that the input starts with: it may be obeyed
  bool first_line_ = true;
  bool extended_ = false;
  bool in_tls_ = false;
  bool authenticated_ = false;
  bool must_flush_ = false;
  bool output_asked_ = false;  // kNeedOutput was told, and nothing was written since
  bool input_ended_ = false;
  bool shutdown_ = false;
  bool pending_error_ = false;
  bool pending_reset_ = false;
  bool hello_extended_ = false;  // of the EHLO that is being decided
  ResetReason reset_reason_ = ResetReason::kRset;
  CloseReason close_reason_ = CloseReason::kQuit;
  int error_code_ = 0;
  std::string error_text_;
  std::string error_command_;
  std::string error_reply_;
  std::string_view line_;  // that is worked on, lent by the input
  bool line_is_secret_ = false;
  std::string watched_line_;
  std::string hello_text_;  // of the EHLO that is being decided

  sasl::Channel channel_;
  std::unique_ptr<sasl::ServerExchange> auth_;
  // of a refusal that the client is told of in the exchange first
  std::unique_ptr<Decision> auth_refusal_;
  std::unique_ptr<Transaction> transaction_;
  uint64_t chunk_left_ = 0;  // kChunk and kSwallow
  std::unique_ptr<mail::Reply> swallow_reply_;

  size_t errors_ = 0;
  size_t refused_recipients_ = 0;
  size_t auth_failures_ = 0;
  size_t idle_commands_ = 0;
  size_t messages_ = 0;

  Instant session_deadline_;
  Instant wait_deadline_ = Instant::Never();
  Instant output_deadline_ = Instant::Never();
  bool first_text_wait_ = false;  // the wait is for the first octet behind 354
};

}  // namespace postern::smtp
