// ClientSession is the client's side of one SMTP or LMTP connection (RFC 5321, RFC 2033), without
// the connection: octets from the server go in by Feed, events come out by NextEvent, the driver
// says what to do next by an action, and what is to be sent stands in PendingOutput. No I/O, no
// clock, no thread; `now` is an argument and must not run backwards.
//
// The loop of a driver:
//
//   for (;;) {
//     const ClientEvent event = session.NextEvent(now);
//     switch (event.kind) {
//       case kNeedOutput:   write PendingOutput, Wrote(n); break;
//       case kNeedInput:    write PendingOutput, Wrote(n); then read until NextDeadline, Feed
//       (FeedEnd, OnDeadline); break; case kReady:        one action: StartTls, Authenticate,
//       SendMessage, Quit; (or wait for work, calling none) break; case kStartTls:     do the
//       handshake; TlsEstablished(), or drop the connection; break; case kSendBody:     Body(next
//       piece), or BodyEnd() behind the last; break; case kMessageDone:  take event.results: one
//       for each recipient; break;           (kReady or kClosed follows) case kTlsRefused,
//       kAuthenticated, kAuthRefused: for the driver to note; break;   (kReady or kClosed follows)
//       case kClosed:       write PendingOutput; close; return;
//     }
//   }
//
// A message that was begun always gets its kMessageDone, also when the connection dies: its
// recipients then have a reply of code 4xx that the session made up (`from_server` is false). Only
// what the server offered is used: extensions, parameters, pipelining.
//
// Views and pointers in an event live until the next call of a function that is not const. One
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/core/sasl/credentials.h"

namespace postern::smtp {

struct ClientOptions {
  std::string helo_name = "localhost";  // what EHLO, HELO or LHLO says
  bool lmtp = false;  // LHLO, and one reply for each recipient behind the text (RFC 2033 §4.2)
  bool pipelining = true;  // when the server offers it (RFC 2920)
  bool chunking = false;   // BDAT in place of DATA when offered (RFC 3030); always for BINARYMIME
  bool auth_without_tls = false;  // whether Authenticate works in the clear

  // Bounds.
  // RFC 5321 §4.5.3.1.5 says 512; the world writes more. Longer: the connection fails
  size_t max_reply_line_bytes = 4096;
  size_t max_reply_lines = 100;          // of one reply; more: the connection fails
  size_t max_reply_text_bytes = 16'384;  // of one reply; the rest is read and forgotten
  // sent and not answered yet, so that neither side blocks on the other's writing
  size_t max_pipelined_commands = 100;
  size_t output_buffer_bytes = 65'536;  // pending output beyond this stops at kNeedOutput

  // Times of RFC 5321 §4.5.3.2.
  Duration greeting_timeout = absl::Minutes(5);  // §4.5.3.2.1
  Duration hello_timeout = absl::Minutes(5);     // as MAIL
  Duration starttls_timeout = absl::Minutes(2);
  Duration auth_timeout = absl::Minutes(2);
  Duration mail_timeout = absl::Minutes(5);        // §4.5.3.2.2
  Duration rcpt_timeout = absl::Minutes(5);        // §4.5.3.2.3
  Duration data_timeout = absl::Minutes(2);        // §4.5.3.2.4: to the 354
  Duration data_block_timeout = absl::Minutes(3);  // §4.5.3.2.5: for output to move
  Duration data_end_timeout = absl::Minutes(10);   // §4.5.3.2.6: to the reply behind the final dot
  Duration rset_timeout = absl::Minutes(1);
  Duration quit_timeout = absl::Seconds(10);  // nobody waits long for a good-bye
};

// ServerOffer is what the last EHLO told.
struct ServerOffer {
  std::string name;       // the server's, as its reply to EHLO or LHLO gives it
  bool extended = false;  // EHLO or LHLO worked, not just HELO
  bool starttls = false;
  bool pipelining = false;
  bool eight_bit_mime = false;
  bool smtputf8 = false;
  bool dsn = false;
  bool chunking = false;
  bool binary_mime = false;
  bool enhanced_codes = false;
  bool size = false;
  uint64_t max_size = 0;  // 0: not told
  bool auth_plain = false;
  bool auth_login = false;
  bool auth_scram_sha256 = false;
  bool auth_scram_sha1 = false;
  uint64_t limit_recipients = 0;  // RFC 9422 RCPTMAX; 0: not told
  uint64_t limit_messages = 0;    // RFC 9422 MAILMAX; 0: not told
};

// ClientStage is where in the dialogue something happened.
enum class ClientStage : uint8_t {
  kGreeting,
  kHello,
  kStartTls,
  kAuth,
  kReady,
  kMail,
  kRcpt,
  kData,
  kBody,
  kEndOfData,
  kQuit
};
// ClientStageName gives a word for logs: "greeting", "rcpt", ...
std::string_view ClientStageName(ClientStage stage);

// RecipientResult is the fate of one recipient of a message.
struct RecipientResult {
  mail::Reply reply;                       // 2xx: it was taken. 4xx: try again. 5xx: never
  ClientStage stage = ClientStage::kMail;  // where that reply was given
  bool from_server = false;  // false: the session made it up (no answer, or not sent at all)

  bool accepted() const { return reply.code >= 200 && reply.code < 300; }
};

// OutgoingMessage is what SendMessage wants to know.
struct OutgoingMessage {
  mail::ReversePath
      reverse_path;  // declared_size_bytes is told by SIZE= when it is set and SIZE is offered
  std::vector<mail::ForwardPath> recipients;  // at least one
};

enum class ClientCloseReason : uint8_t {
  kQuit,           // the driver's Quit
  kGreeting,       // the server did not greet with 220: `reply`
  kHello,          // neither EHLO nor HELO worked: `reply`
  kServerClosing,  // 421: `reply`
  kPeerClosed,     // FeedEnd
  kTimeout,        // a deadline passed
  kProtocol,       // the server said what no server says: `reply` is made up and says what
};
std::string_view ClientCloseReasonName(ClientCloseReason reason);

struct ClientEvent {
  enum class Kind : uint8_t {
    kNeedInput,
    kNeedOutput,
    kReady,     // nothing is under way: the driver may act. Returned again and again until it does
    kStartTls,  // the server said 220 to STARTTLS, and all it said behind it was dropped
    kTlsRefused,     // it did not: `reply`. The connection is still good, in the clear
    kAuthenticated,  // `reply`
    kAuthRefused,    // `reply`; made up when no mechanism fits
    kSendBody,       // the server wants the text: Body or BodyEnd
    kMessageDone,    // `results`, in the order of OutgoingMessage::recipients
    kClosed,         // `close_reason`, `stage`, `reply`. NextEvent gives nothing else from here on
  };

  Kind kind = Kind::kNeedInput;
  ClientStage stage = ClientStage::kGreeting;
  ClientCloseReason close_reason = ClientCloseReason::kQuit;
  const mail::Reply* reply = nullptr;  // never null where the kind says `reply`
  bool from_server = false;  // `reply` is what the server said; false: the session made it up
  const std::vector<RecipientResult>* results = nullptr;  // kMessageDone
};

class ClientSession {
 public:
  // `options` is shared and must not change. `tls` when TLS was there from the start.
  ClientSession(std::shared_ptr<const ClientOptions> options, bool tls, Instant now);
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  // Feed takes octets from the server and returns how many; less than all when the input buffer is
  // full: call NextEvent until kNeedInput, then feed the rest. While TLS is awaited and after the
  // session closed, everything is taken and dropped.
  size_t Feed(std::string_view octets);
  // FeedEnd says that the server will send no more.
  void FeedEnd();

  ClientEvent NextEvent(Instant now);

  std::string_view PendingOutput() const;
  void Wrote(size_t n);

  // NextDeadline is when the session loses patience with the server; Never at kReady, kStartTls and
  // kSendBody.
  Instant NextDeadline() const;
  // OnDeadline fails what is under way when NextDeadline has passed; before that it does nothing.
  void OnDeadline(Instant now);

  // The actions. Each is for kReady only and does nothing at any other time (false).
  // StartTls asks for TLS: kStartTls or kTlsRefused follows. Whether it was offered is in offer().
  bool StartTls();
  // Authenticate tries AUTH by what is offered: kAuthenticated or kAuthRefused follows. SCRAM is
  // first, where there is a `nonce` for it (18 random octets at least, printable): the server does
  // not get the password, and must prove that it knows it. A server that refuses SCRAM, as it has
  // something else of this user, is asked by PLAIN or LOGIN; not one whose proof was wrong.
  bool Authenticate(sasl::Credentials credentials, std::string nonce = "");
  // SendMessage begins a message: kSendBody, then kMessageDone, or kMessageDone at once.
  bool SendMessage(OutgoingMessage message);
  // Quit says QUIT; kClosed follows when the server answered or lost interest.
  bool Quit();

  // TlsEstablished says that the handshake after kStartTls succeeded: EHLO is said again (RFC 3207
  // §4.2), then kReady.
  void TlsEstablished();

  // Body gives the next piece of the text, of any length (a few tens of KiB are good); it is copied
  // with its dots stuffed and its line ends made CRLF, whatever they were (BINARYMIME: unchanged).
  // Only at kSendBody.
  void Body(std::string_view octets);
  // BodyEnd says that all of it was given.
  void BodyEnd();
  // BodyFailed says that the rest cannot be had (the disk failed): the connection is dropped
  // without ending the text, and the recipients get a made-up 451.
  void BodyFailed();

  // What was agreed. The references live until the next call.
  const ServerOffer& offer() const;
  bool in_tls() const;
  bool authenticated() const;
  // scram_refused tells that the server took another mechanism where it had refused SCRAM: to try
  // that again is a wrong guess in its books each time.
  bool scram_refused() const;
  // greeting is the reply that the server opened with, for logs.
  const mail::Reply& greeting() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace postern::smtp
