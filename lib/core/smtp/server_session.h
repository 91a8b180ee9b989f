// ServerSession is the server's side of one SMTP connection (RFC 5321), without the connection:
// octets go in by Feed, events come out by NextEvent, the driver answers those that ask by Decide,
// and what is to be sent stands in PendingOutput. It does no I/O, knows no clock and starts no
// thread; `now` is an argument and must not run backwards.
//
// The loop of a driver:
//
//   for (;;) {
//     const ServerEvent event = session.NextEvent(now);
//     switch (event.kind) {
//       case kNeedOutput: write PendingOutput, Wrote(n); break;
//       case kNeedInput:  write PendingOutput, Wrote(n); then read until NextDeadline, Feed;
//                         FeedEnd when the peer closed, OnDeadline when the time came first; break;
//       case kStartTls:   write PendingOutput; do the handshake; TlsEstablished(), or drop the
//                         connection; break;
//       case kClosed:     write PendingOutput; close; return;
//       ...               the events below; those marked (decide) want Decide before anything else
//                         happens
//     }
//   }
//
// Replies to pipelined commands gather in PendingOutput; the session stops only where a decision is
// wanted, where output must go out before it goes on (kNeedOutput: the bound is reached, or the
// reply to a whole message stands there), or for input.
//
// A transaction begins with an accepted MailFrom and ends with exactly one of: the decision of a
// MessageEnd, or a TransactionReset. Whatever was refused at the end of data, nothing of the
// transaction is carried over.
//
// Views in an event live until the next call of a function that is not const. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/core/base/time.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/core/sasl/credentials.h"
#include "lib/core/sasl/server_exchange.h"
#include "lib/core/smtp/server_options.h"

namespace postern::smtp {

// CloseReason says why a session is over.
enum class CloseReason : uint8_t {
  kQuit,           // the client said QUIT
  kPeerClosed,     // FeedEnd
  kTimeout,        // a deadline passed
  kRefused,        // a decision disconnected it
  kTooManyErrors,  // max_errors, max_refused_recipients, max_auth_failures
  kNotSmtp,        // HTTP, TLS or binary junk on a plain port
  kProtocol,  // framing that cannot be followed: a bad BDAT size, a line without end, bare line
              // ends in DATA
  kShutdown,  // RequestShutdown
};
// CloseReasonName gives a word for logs: "quit", "timeout", ...
std::string_view CloseReasonName(CloseReason reason);

// ResetReason says why a transaction was dropped.
enum class ResetReason : uint8_t {
  kRset,       // RSET
  kHello,      // EHLO or HELO in the middle (RFC 5321 §4.1.4)
  kTls,        // STARTTLS
  kRefused,    // DATA or BDAT was refused by a decision
  kDefective,  // bare CR, LF or NUL, or a line too long: the session refused the message
  kTooBig,     // max_message_bytes was passed: the session refused the message
  kClosed,     // the session ended first
};
std::string_view ResetReasonName(ResetReason reason);

// MessageDefect is what was noticed in the text of a message, as bits.
enum MessageDefect : uint8_t {
  kDefectBareCr = 1,
  kDefectBareLf = 2,
  kDefectNul = 4,
  kDefectLongLine = 8,      // a line over 1000 octets (RFC 5321 §4.5.3.1.6)
  kDefectEightBit = 16,     // octets above 127 although BODY was 7BIT
  kDefectNoFinalCrlf = 32,  // BDAT only: the last line has no CRLF
};

struct ServerEvent {
  enum class Kind : uint8_t {
    kNeedInput,         // nothing to do before more input
    kNeedOutput,        // PendingOutput must be written before the session goes on
    kAwaitingDecision,  // the last event still wants its Decide
    kAwaitingTls,       // TlsEstablished is wanted
    kCommandLine,   // (decide) only after WatchCommands: `text` is a line that has come, before it
                    // is looked at. Accept: it is obeyed. Refuse: it is answered with the reply
                    // instead, unless it is BDAT, whose octets follow all the same
    kConnected,     // (decide) greet the client? Accept: 220. Refuse(554 …): it may only QUIT.
                    // Disconnect: reply and close
    kHello,         // (decide) EHLO or HELO with `text`; `extended` for EHLO
    kStartTls,      // 220 stands in PendingOutput: write it, do the handshake, call TlsEstablished
    kAuthenticate,  // (decide) `credentials` by `mechanism`; for SCRAM, `proven` tells whether the
                    // password is right. Accept: 235. Refuse: 535 by default, or what is given
    kAuthSecret,    // (GiveSecret) SCRAM: what is stored for `credentials->authentication_id`?
                    // Decide, with a refusal, when that cannot be told
    kMailFrom,      // (decide) `reverse_path`
    kRcptTo,        // (decide) `forward_path`
    kDataBegin,     // (decide) DATA or the first BDAT: is there room? Accept: 354 (or on with the
                    // chunk)
    kBodyChunk,     // `text` is the next piece of the message: dots unstuffed, lines in CRLF. Not
                    // asking for the next event is back-pressure: Feed takes less and less
    kMessageEnd,    // (decide) all of it has come: `size`, `defects`. Accept: the reply of the
                    // decision, 250 by default
    kTransactionReset,  // drop what was gathered: `reset_reason`
    kProtocolError,     // for the log: `text` says what the peer did wrong, `code` is what it was
                     // answered (0: nothing), `reply` all of that; `command` is its line, without
                     // a login's secrets (empty: it was about a text)
    kClosed,  // write PendingOutput and close: `close_reason`. NextEvent gives nothing else from
              // here on
  };

  Kind kind = Kind::kNeedInput;
  bool extended = false;                                // kHello: EHLO
  bool chunking = false;                                // kDataBegin: BDAT
  bool secret = false;                                  // kCommandLine: a response of AUTH
  bool proven = false;                                  // kAuthenticate
  uint8_t defects = 0;                                  // kMessageEnd: MessageDefect bits
  CloseReason close_reason = CloseReason::kQuit;        // kClosed
  ResetReason reset_reason = ResetReason::kRset;        // kTransactionReset
  sasl::Mechanism mechanism = sasl::Mechanism::kPlain;  // kAuthenticate
  int code = 0;                                         // kProtocolError
  uint64_t size = 0;      // kMessageEnd: octets given in kBodyChunk events
  std::string_view text;  // kHello, kBodyChunk, kProtocolError
  std::string_view command;
  std::string_view reply;
  const mail::ReversePath* reverse_path = nullptr;  // kMailFrom
  const mail::ForwardPath* forward_path = nullptr;  // kRcptTo
  // kAuthenticate, kAuthSecret; wiped at Decide
  const sasl::Credentials* credentials = nullptr;

  bool WantsDecision() const {
    return kind == Kind::kCommandLine || kind == Kind::kConnected || kind == Kind::kHello ||
           kind == Kind::kAuthenticate || kind == Kind::kAuthSecret || kind == Kind::kMailFrom ||
           kind == Kind::kRcptTo || kind == Kind::kDataBegin || kind == Kind::kMessageEnd;
  }
};

// EventKindName gives a word for logs and tests: "need-input", "mail-from", ...
std::string_view EventKindName(ServerEvent::Kind kind);

// Decision is the driver's answer to an event that wants one.
struct Decision {
  enum class Kind : uint8_t { kAccept, kRefuse, kDisconnect };

  Kind kind = Kind::kAccept;
  mail::Reply reply;  // code 0: the default reply of the event

  // Accept says yes. With a reply, that one is sent instead of the default (kConnected, kHello,
  // kDataBegin by DATA: only the text counts, the code stays); its code must be 2xx.
  static Decision Accept() { return {}; }
  static Decision Accept(mail::Reply reply) { return {Kind::kAccept, std::move(reply)}; }
  // Refuse says no with a 4xx or 5xx and the session goes on. A reply of 421 disconnects (RFC 5321
  // §3.8).
  static Decision Refuse(mail::Reply reply) { return {Kind::kRefuse, std::move(reply)}; }
  // Disconnect says no and closes once the reply is written.
  static Decision Disconnect(mail::Reply reply) { return {Kind::kDisconnect, std::move(reply)}; }
};

class ServerSession {
 public:
  // `options` is shared by the sessions of a listener and must not change. `peer_text` is how the
  // EHLO reply calls the client,
  // "[192.0.2.1]" (RFC 5321 §4.1.1.1). `tls` when TLS was there from the start (port 465), with
  // what it can vouch for in `channel`.
  ServerSession(std::shared_ptr<const ServerOptions> options, std::string peer_text, bool tls,
                Instant now, sasl::Channel channel = {});
  ~ServerSession();
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  // Feed takes octets from the peer and returns how many; less than all when the input buffer is
  // full: call NextEvent until kNeedInput, then feed the rest. While TLS is awaited and after the
  // session closed, everything is taken and dropped.
  size_t Feed(std::string_view octets);
  // FeedEnd says that the peer will send no more: what it said so far is still obeyed, then what
  // was begun is dropped and the session closes. Call it as well when a write failed: output that
  // is asked for again and still not written is given up.
  void FeedEnd();

  // NextEvent advances the session and says what is next. kNeedInput is returned again and again
  // until there is some.
  ServerEvent NextEvent(Instant now);

  // Decide answers the last event, which must be one that WantsDecision. Calling it at any other
  // time does nothing.
  void Decide(Decision decision);
  // GiveSecret answers kAuthSecret; at any other time it does nothing. `nonce` is printable ASCII
  // without comma, new each time, of 18 random octets at least.
  void GiveSecret(sasl::ScramSecret secret, std::string_view nonce);

  // PendingOutput lends what is to be written; Wrote drops the first `n` octets of it.
  std::string_view PendingOutput() const;
  void Wrote(size_t n);

  // NextDeadline is when the session loses patience with the peer; Never while it is the driver's
  // turn (a decision, TLS).
  Instant NextDeadline() const;
  // OnDeadline closes the session with 421 4.4.2 when NextDeadline has passed; before that it does
  // nothing.
  void OnDeadline(Instant now);

  // TlsEstablished says that the handshake after kStartTls succeeded. Everything the client said
  // before is forgotten (RFC 3207 §4.2): it must say EHLO again.
  void TlsEstablished(sasl::Channel channel = {});

  // WatchCommands has each command line told as a kCommandLine before it is obeyed. What is secret
  // in it is told as "********".
  void WatchCommands();

  // RequestShutdown closes the session with 421 4.3.2 as soon as no transaction is under way (its
  // message is finished first).
  void RequestShutdown();

  // What was agreed, for Received fields and policy. The views live until the next call.
  std::string_view helo_name() const;  // as given; empty before HELO or EHLO
  bool extended() const;               // EHLO
  bool in_tls() const;
  bool authenticated() const;
  bool smtputf8() const;               // the transaction under way was begun with SMTPUTF8
  size_t accepted_recipients() const;  // of the transaction under way

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern::smtp
