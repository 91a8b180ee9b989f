// Client is the mail server's side of one milter connection, without the connection: octets from
// the filter go in by Feed, events come out by NextEvent, the driver says by a step what happens in
// its SMTP session, and what is to be sent stands in PendingOutput. No I/O, no clock, no thread;
// `now` is an argument and must not run backwards.
//
// The loop of a driver:
//
//   for (;;) {
//     const ClientEvent event = client.NextEvent(now);
//     switch (event.kind) {
//       case kNeedInput: write PendingOutput, Wrote(n); read until NextDeadline; Feed (FeedEnd,
//                        OnDeadline); break;
//       case kReady:     one step: Connect, Helo, Mail … (or wait for one to happen, calling none;
//                        what is pending may be written at the next kNeedInput) break;
//       case kVerdict:   what the filter says to the last step; break;
//       case kChange:    a change that it wants; only after EndOfMessage, before its verdict;
//       break; case kFailed:    the connection is of no use: close it. Nothing else comes any more;
//       return;
//     }
//   }
//
// Each step gets one verdict, but Abort and Quit, which get none. A step that the filter did not
// want to be told of, or will not answer, gets its kContinue at once; so do all steps of a message
// behind an accept, reject, temporary or discard, and all of the session when that came to Connect
// or Helo (there a refusal is repeated).
//
// Views and pointers in an event live until the next call of a function that is not const. One
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/time.h"
#include "lib/core/mail/reply.h"
#include "lib/core/milter/change.h"
#include "lib/core/milter/macros.h"
#include "lib/core/milter/negotiation.h"
#include "lib/core/milter/packet.h"
#include "lib/core/milter/protocol.h"

namespace postern::milter {

struct ClientOptions {
  // What is offered: masked by what `version` knows.
  uint32_t version = kMaxVersion;
  uint32_t actions = kAllActions;
  uint32_t steps = kAllSteps | kChunks256K | kChunks1M;

  // Bounds. Past one of them the connection has failed.
  size_t max_packet_bytes = 2 << 20;    // from the filter; libmilter's own is at most 1 MiB
  size_t max_changes = 10'000;          // of one message, pieces of a body not counted
  size_t max_change_bytes = 4 << 20;    // of them, in all
  uint64_t max_body_bytes = 256 << 20;  // of a new body, in all
  size_t max_body_pieces = 65'536;
  size_t max_reply_text_bytes = 16'384;
  size_t max_progress_packets = 10'000;  // of one step
  NegotiationLimits negotiation;

  // Times: Postfix's milter_*_timeout; the filter has each of them for one answer.
  Duration negotiation_timeout = absl::Seconds(30);
  Duration command_timeout = absl::Seconds(30);   // connect to data, unknown
  Duration content_timeout = absl::Seconds(300);  // a header field, the body's pieces, the end
  // A filter that says that it is still at work with a message that has ended gets its time anew,
  // but not longer than this in all: RFC 5321 §4.5.3.2.6 has clients wait ten minutes behind the
  // final dot.
  Duration max_progress = absl::Seconds(540);
};

// Step is what the driver told last.
enum class Step : uint8_t {
  kNegotiate,
  kConnect,
  kHelo,
  kMail,
  kRcpt,
  kData,
  kUnknown,
  kHeader,
  kEndOfHeaders,
  kBody,
  kEndOfMessage,
};
// StepName gives a word for logs: "connect", "end-of-headers".
std::string_view StepName(Step step);

struct Verdict {
  enum class Kind : uint8_t {
    kContinue,
    kAccept,  // no more is wanted: of the message, or of the session when it comes to Connect, Helo
    kRefuse,  // with `reply`: the command, recipient or message; at Connect and Helo all that
              // follows
    kDiscard,   // the client hears that the message was taken, and it is thrown away
    kShutdown,  // with `reply`, 421: the session ends
  };
  Kind kind = Kind::kContinue;
  mail::Reply reply;
};

struct ClientEvent {
  enum class Kind : uint8_t { kNeedInput, kReady, kVerdict, kChange, kFailed };
  Kind kind = Kind::kNeedInput;
  Step step = Step::kNegotiate;      // kVerdict, kChange; kFailed: under way, or the last
  const Verdict* verdict = nullptr;  // kVerdict
  const Change* change = nullptr;    // kChange
  bool timed_out = false;            // kFailed: the filter was too slow
  bool closed = false;               // kFailed: it closed the connection
  std::string_view reason;           // kFailed: one line for the log
};

class Client {
 public:
  // The negotiation begins at once: kReady comes when it has ended. `options` is shared and must
  // not change.
  Client(std::shared_ptr<const ClientOptions> options, Instant now);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Feed takes octets from the filter and returns how many; less than all when the input buffer is
  // full: call NextEvent until kNeedInput, then feed the rest.
  size_t Feed(std::string_view octets);
  // FeedEnd says that the filter closed the connection.
  void FeedEnd() { input_ended_ = true; }
  // Drop says that the connection broke: `reason` is what kFailed will tell.
  void Drop(std::string_view reason);

  ClientEvent NextEvent(Instant now);

  std::string_view PendingOutput() const { return std::string_view(output_).substr(written_); }
  void Wrote(size_t n);

  // NextDeadline is when the filter has been too slow; Never at kReady.
  Instant NextDeadline() const { return deadline_; }
  // OnDeadline fails the connection when NextDeadline has passed; before that it does nothing.
  void OnDeadline(Instant now);

  // macros are the facts that go with steps: the driver sets them when it knows them.
  MacroTable& macros() { return macros_; }
  // agreement is what was negotiated, from the first kReady on.
  const Agreement& agreement() const { return agreement_; }

  // The steps. Each is for kReady only and does nothing at any other time (false).
  //
  // Connect tells the client's name and address; `address` is the path of a local socket, and may
  // be empty for kUnknown.
  bool Connect(std::string_view name, Family family, uint16_t port, std::string_view address,
               Instant now);
  bool Helo(std::string_view name, Instant now);
  // Mail begins a message: `path` in <>, then ESMTP parameters, a string each. A message that is
  // under way is aborted.
  bool Mail(std::string_view path, const std::vector<std::string>& args, Instant now);
  bool Rcpt(std::string_view path, const std::vector<std::string>& args, Instant now);
  bool Data(Instant now);
  // Unknown tells a command line that the mail server does not know.
  bool Unknown(std::string_view line, Instant now);
  // Header tells a field. `value` is all between the colon and the CRLF that ends the field; what
  // a packet cannot hold of it is left out.
  bool Header(std::string_view name, std::string_view value, Instant now);
  bool EndOfHeaders(Instant now);
  // Body tells a piece of the body, lines in CRLF: at most agreement().max_chunk_bytes, which are
  // best used up, since each piece costs an answer.
  bool Body(std::string_view piece, Instant now);
  bool EndOfMessage(Instant now);
  // Abort says that the message is over without its end. There is no verdict.
  bool Abort();
  // Quit says that the session is over, also within a message. With `reuse`, where the filter's
  // version knows that, the next step is Connect of another session; false when it does not. There
  // is no verdict.
  bool Quit(bool reuse);
  bool CanReuse() const { return agreement_.version >= kVersionWithReuse; }

  // in_message tells whether the filter has been told of a message that has not ended.
  bool in_message() const { return in_message_; }
  // wants tells whether a step would be sent now: a driver may save itself the work for others.
  bool Wants(Step step) const;

 private:
  enum class State : uint8_t { kNegotiating, kReady, kWaiting, kAnswered, kFailed };

  // Begin writes macros and tells whether the step itself is to be sent.
  bool Begin(Step step);
  // Await makes the client wait for the answer of a step that was sent, if one will come.
  bool Await(Step step, Instant now);
  bool Answer(Verdict verdict);
  void Fail(std::string reason);
  bool TakePacket(const Packet& packet, Instant now, ClientEvent* event);
  void SeeLife(Instant now);
  void TakeOffer(const Packet& packet);
  bool TakeChange(Response response, std::string_view data, ClientEvent* event);
  void TakeVerdict(Response response, std::string_view data);
  void Settle(const Verdict& verdict);
  Duration TimeFor(Step step) const;

  std::shared_ptr<const ClientOptions> options_;
  Offer offer_;
  Agreement agreement_;
  MacroTable macros_;
  PacketReader reader_;
  std::string output_;
  size_t written_ = 0;
  State state_ = State::kNegotiating;
  Step step_ = Step::kNegotiate;
  Verdict verdict_;          // of the step, in kAnswered
  Verdict session_verdict_;  // what each later step of the session gets, where `session_settled_`
  Change change_;
  Instant deadline_;
  Instant progress_until_;
  bool session_settled_ = false;
  bool message_settled_ = false;
  bool in_message_ = false;
  bool body_skipped_ = false;
  bool input_ended_ = false;
  bool timed_out_ = false;
  bool closed_ = false;
  size_t changes_ = 0;
  size_t change_bytes_ = 0;
  size_t body_pieces_ = 0;
  uint64_t body_bytes_ = 0;
  size_t progress_packets_ = 0;
  std::string reason_;
};

}  // namespace postern::milter
