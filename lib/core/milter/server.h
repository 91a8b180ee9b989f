// Server is the filter's side of one milter connection, without the connection: for tests, and for
// whoever writes a milter. Octets from the mail server go in by Feed, its commands come out by
// NextEvent, and what is to be sent stands in PendingOutput. The negotiation is answered by what
// the options say. One thread at a time.
//
//   for (;;) {
//     const ServerEvent event = server.NextEvent();
//     if (event.kind == kNeedInput) … write PendingOutput, Wrote(n); read, Feed
//     if (event.kind == kCommand)   … look; at kEndOfMessage Modify as wanted; if `wants_response`
//                                     then Respond
//     if (event.kind == kFailed)    … close
//   }
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/mail/reply.h"
#include "lib/core/milter/change.h"
#include "lib/core/milter/macros.h"
#include "lib/core/milter/negotiation.h"
#include "lib/core/milter/packet.h"
#include "lib/core/milter/protocol.h"

namespace postern::milter {

struct ServerOptions {
  // What the filter wants of what it is offered: the version is the lower of the two, and what the
  // mail server does not offer is not asked for.
  uint32_t version = kMaxVersion;
  uint32_t actions = 0;
  uint32_t steps = 0;
  std::array<std::optional<std::vector<std::string>>, kStageCount> symbols;

  size_t max_packet_bytes = 2 << 20;  // from the mail server
  NegotiationLimits negotiation;
};

struct ServerEvent {
  enum class Kind : uint8_t { kNeedInput, kCommand, kFailed };
  Kind kind = Kind::kNeedInput;
  Command command = Command::kNegotiate;  // never kMacro: macros() has them
  bool wants_response = false;            // Respond must come before the next event
  std::string_view text;   // kHelo, kUnknown: the argument. kBody: the piece. kConnect: the name
  std::string_view name;   // kHeader
  std::string_view value;  // kHeader
  const std::vector<std::string_view>* args = nullptr;  // kMail, kRcpt: the path, then parameters
  Family family = Family::kUnknown;                     // kConnect
  uint16_t port = 0;                                    // kConnect
  std::string_view address;                             // kConnect
  std::string_view reason;                              // kFailed
};

// Views in an event live until the next call of a function that is not const.
class Server {
 public:
  explicit Server(std::shared_ptr<const ServerOptions> options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  size_t Feed(std::string_view octets) { return reader_.Feed(octets); }
  ServerEvent NextEvent();
  std::string_view PendingOutput() const { return output_; }
  void Wrote(size_t n) { output_.erase(0, n); }

  // Respond answers the command that wants it: one of kContinue, kAccept, kReject, kTemporary,
  // kDiscard, kShutdown, kFail, kSkip. False when none wants it.
  bool Respond(Response response);
  // RespondReply answers with words of one's own.
  bool RespondReply(const mail::Reply& reply);
  // Modify asks for a change, and Progress for time; before the answer to kEndOfMessage. False at
  // any other time, and for what was not agreed.
  bool Modify(const Change& change);
  bool Progress();

  // macros are those that were told, of the session and the message; a new session clears them.
  const MacroTable& macros() const { return macros_; }
  const Agreement& agreement() const { return agreement_; }

 private:
  ServerEvent Fail(std::string_view reason);
  bool TakeOffer(std::string_view data);
  bool Read(const Packet& packet, ServerEvent* event);

  std::shared_ptr<const ServerOptions> options_;
  PacketReader reader_;
  MacroTable macros_;
  Agreement agreement_;
  std::string output_;
  std::vector<std::string_view> args_;
  std::string reason_;
  Command asked_ = Command::kNegotiate;
  bool asking_ = false;
  bool negotiated_ = false;
};

}  // namespace postern::milter
