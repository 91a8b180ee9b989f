// The inside of ClientSession, shared by the files that implement it and by nobody else:
//   client_session.cc       the loop: replies, what is told, failures, deadlines; greeting, TLS,
//   AUTH client_transaction.cc   a message: envelope, text, the fate of each recipient
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/sasl/client_exchange.h"
#include "lib/core/smtp/client_offer.h"
#include "lib/core/smtp/client_replies.h"
#include "lib/core/smtp/client_session.h"
#include "lib/core/smtp/server_framing.h"
#include "lib/core/smtp/text_writer.h"

namespace postern::smtp {

// ClientPhase says what the session is about.
enum class ClientPhase : uint8_t {
  kGreeting,  // the server's 220 is awaited
  kHello,     // EHLO, LHLO or HELO was sent
  kReady,     // the driver's turn
  kStartTls,  // STARTTLS was sent
  kTls,       // the handshake is under way
  kAuth,      // AUTH was sent
  kEnvelope,  // RSET, MAIL, RCPT, DATA are being sent and answered
  kBody,      // the driver gives the text
  kEnd,       // the end of the text was sent
  kQuit,      // QUIT was sent
  kClosed,
};

// Expected is a command that is not answered yet.
enum class Expected : uint8_t {
  kGreeting,
  kEhlo,
  kHelo,
  kStartTls,
  kAuth,
  kRset,
  kMail,
  kRcpt,
  kData,
  kChunk,
  kEnd,
  kQuit
};

// Delivery is one message under way.
struct Delivery {
  OutgoingMessage message;
  std::vector<RecipientResult> results;  // reply.code 0: not known yet
  std::vector<size_t> accepted;          // recipients whose RCPT was accepted, in order
  size_t next_rcpt = 0;                  // to be sent
  size_t answered_rcpt = 0;              // to be answered
  size_t answered_end = 0;  // LMTP: which of `accepted` the next reply behind the text is for
  bool rset_first = false;
  bool mail_sent = false;
  bool mail_failed = false;
  bool data_sent = false;
  bool chunking = false;
  // DATA was answered 354 although nobody is to get it: a lone dot ends it
  bool empty_text = false;
  TextWriter writer{true};
};

class ClientSession::Impl {
 public:
  Impl(std::shared_ptr<const ClientOptions> options, bool tls, Instant now);

  size_t Feed(std::string_view octets);
  void FeedEnd() { input_ended_ = true; }
  ClientEvent NextEvent(Instant now);
  std::string_view PendingOutput() const { return std::string_view(output_).substr(written_); }
  void Wrote(size_t n);
  Instant NextDeadline() const;
  void OnDeadline(Instant now);

  bool StartTls();
  bool Authenticate(sasl::Credentials credentials, std::string nonce);
  bool SendMessage(OutgoingMessage message);
  bool Quit();
  void TlsEstablished();
  void Body(std::string_view octets);
  void BodyEnd();
  void BodyFailed();

  const ServerOffer& offer() const { return offer_; }
  bool in_tls() const { return in_tls_; }
  bool authenticated() const { return authenticated_; }
  bool scram_refused() const { return scram_refused_ && authenticated_; }
  const mail::Reply& greeting() const { return greeting_; }

 private:
  using Kind = ClientEvent::Kind;
  using Reason = ClientCloseReason;

  // --- client_session.cc
  void SendCommand(std::string_view command, Expected expected);
  void OnReply();
  void OnUnexpectedReply();
  void OnHelloReply(bool extended);
  void OnStartTlsReply();
  void BeginAuth(sasl::Mechanism mechanism, sasl::Credentials credentials, std::string nonce);
  void OnAuthReply();
  void SayHello();
  // Tell queues an event that comes before anything else.
  void Tell(Kind kind) { told_.push_back(kind); }
  // Fail closes the session: what is under way fails with `reply_`, or with `made_up` when
  // `from_server` is false.
  void Fail(Reason reason, mail::Reply reply, bool from_server);
  ClientStage Stage() const;
  Duration Patience() const;
  ClientEvent Event(Kind kind) const;

  // --- client_transaction.cc
  void PumpEnvelope();
  void OnMailReply();
  void OnRcptReply();
  void OnDataReply();
  void OnChunkReply();
  void OnEndReply();
  // EnvelopeDone is called when every command of the envelope is answered.
  void EnvelopeDone();
  // Settle gives every recipient without a fate this one.
  void Settle(const mail::Reply& reply, ClientStage stage, bool from_server);
  void FinishMessage();
  bool BodyWanted() const;

  std::shared_ptr<const ClientOptions> options_;
  InputBuffer input_;
  ReplyReader reader_;
  std::string output_;
  size_t written_ = 0;
  std::deque<Expected> expected_;
  std::deque<Kind> told_;

  ClientPhase phase_ = ClientPhase::kGreeting;
  bool in_tls_ = false;
  bool authenticated_ = false;
  bool scram_refused_ = false;
  bool input_ended_ = false;
  bool secret_output_ = false;  // output_ has a password in it: wiped when written
  bool rset_needed_ = false;    // a transaction was left open
  ServerOffer offer_;
  mail::Reply greeting_;
  bool reply_from_server_ = false;
  mail::Reply reply_;  // the one that is being looked at; events lend it
  Reason close_reason_ = Reason::kQuit;
  ClientStage close_stage_ = ClientStage::kGreeting;
  std::unique_ptr<sasl::ClientExchange> auth_;
  std::unique_ptr<sasl::Credentials> spare_;  // for another mechanism, when SCRAM is refused
  std::unique_ptr<Delivery> delivery_;
  std::vector<RecipientResult> results_;  // of the last message, lent by kMessageDone

  Instant wait_deadline_ = Instant::Never();
  Instant output_deadline_ = Instant::Never();
};

}  // namespace postern::smtp
