#include "lib/core/milter/server.h"

#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/milter/reply_text.h"

namespace postern::milter {
namespace {

// AnswerBit gives the bit that says that a command is not answered; nullopt for those that never
// are.
std::optional<uint32_t> AnswerBit(Command command) {
  switch (command) {
    case Command::kConnect: return kNoReplyConnect;
    case Command::kHelo: return kNoReplyHelo;
    case Command::kMail: return kNoReplyMail;
    case Command::kRcpt: return kNoReplyRcpt;
    case Command::kData: return kNoReplyData;
    case Command::kUnknown: return kNoReplyUnknown;
    case Command::kHeader: return kNoReplyHeader;
    case Command::kEndOfHeaders: return kNoReplyEoh;
    case Command::kBody: return kNoReplyBody;
    case Command::kEndOfMessage: return 0;
    default: return std::nullopt;
  }
}

}  // namespace

Server::Server(std::shared_ptr<const ServerOptions> options)
    : options_(std::move(options)), reader_(options_->max_packet_bytes) {}

ServerEvent Server::Fail(std::string_view reason) {
  if (reason_.empty()) reason_ = reason;
  ServerEvent event;
  event.kind = ServerEvent::Kind::kFailed;
  event.reason = reason_;
  return event;
}

ServerEvent Server::NextEvent() {
  if (!reason_.empty()) return Fail(reason_);
  for (;;) {
    ServerEvent event;
    if (asking_) return event;
    Packet packet;
    const PacketReader::Found found = reader_.Next(&packet);
    if (found == PacketReader::Found::kNeedInput) return event;
    if (found != PacketReader::Found::kPacket) return Fail("a packet of a wrong length");
    event.kind = ServerEvent::Kind::kCommand;
    event.command = static_cast<Command>(packet.code);
    if (event.command == Command::kNegotiate) {
      if (!TakeOffer(packet.data)) return Fail("a negotiation that is wrong");
      return event;
    }
    if (!negotiated_) return Fail("a command before the negotiation");
    if (event.command == Command::kMacro) {
      char command = 0;
      if (!ReadMacros(packet.data, &command, &macros_)) return Fail("macros that are wrong");
      continue;
    }
    if (!Read(packet, &event)) return Fail("a command that is wrong");
    if (event.command == Command::kQuitReuse) macros_.Clear();
    const std::optional<uint32_t> bit = AnswerBit(event.command);
    event.wants_response = asking_ = bit.has_value() && !agreement_.has(*bit);
    asked_ = event.command;
    return event;
  }
}

bool Server::TakeOffer(std::string_view data) {
  const StatusOr<Offer> theirs = ReadOffer(data, options_->negotiation);
  if (negotiated_ || !theirs.ok() || theirs->version < kMinVersion) return false;
  Offer answer;
  answer.version = std::min(theirs->version, options_->version);
  answer.actions = theirs->actions & options_->actions;
  answer.steps = theirs->steps & options_->steps;
  if ((theirs->actions & kMaySetSymbols) != 0) answer.symbols = options_->symbols;
  WriteOffer(answer, &output_);
  StatusOr<Agreement> agreement = Agree(*theirs, answer);
  if (!agreement.ok()) return false;
  agreement_ = *std::move(agreement);
  negotiated_ = true;
  return true;
}

bool Server::Read(const Packet& packet, ServerEvent* event) {
  FieldReader fields(packet.data);
  switch (event->command) {
    case Command::kConnect: {
      char family = 0;
      if (!fields.Text(&event->text) || !fields.Octet(&family)) return false;
      event->family = static_cast<Family>(family);
      if (event->family == Family::kUnknown) return fields.done();
      return fields.Uint16(&event->port) && fields.Text(&event->address) && fields.done();
    }
    case Command::kHelo:
    case Command::kUnknown: return fields.Text(&event->text) && fields.done();
    case Command::kHeader:
      return fields.Text(&event->name) && fields.Text(&event->value) && fields.done();
    case Command::kMail:
    case Command::kRcpt:
      args_.clear();
      while (!fields.done()) {
        std::string_view arg;
        if (!fields.Text(&arg)) return false;
        args_.push_back(arg);
      }
      event->args = &args_;
      return !args_.empty();
    // Sendmail may put the last piece of the body here; others never do.
    case Command::kEndOfMessage:
    case Command::kBody: event->text = packet.data; return true;
    case Command::kAbort:
    case Command::kData:
    case Command::kEndOfHeaders:
    case Command::kQuit:
    case Command::kQuitReuse: return fields.done();
    default: return false;
  }
}

bool Server::Respond(Response response) {
  if (!std::exchange(asking_, false)) return false;
  PacketWriter(&output_, static_cast<char>(response));
  return true;
}

bool Server::RespondReply(const mail::Reply& reply) {
  if (!std::exchange(asking_, false)) return false;
  PacketWriter(&output_, static_cast<char>(Response::kReply)).Text(WriteReplyText(reply));
  return true;
}

bool Server::Modify(const Change& change) {
  using Kind = Change::Kind;
  if (!asking_ || asked_ != Command::kEndOfMessage) return false;
  uint32_t action = 0;
  switch (change.kind) {
    case Kind::kAddHeader:
    case Kind::kInsertHeader: action = kMayAddHeaders; break;
    case Kind::kChangeHeader: action = kMayChangeHeaders; break;
    case Kind::kAddRcpt: action = change.args.empty() ? kMayAddRcpt : kMayAddRcptWith; break;
    case Kind::kDeleteRcpt: action = kMayDeleteRcpt; break;
    case Kind::kChangeFrom: action = kMayChangeFrom; break;
    case Kind::kReplaceBody: action = kMayReplaceBody; break;
    case Kind::kQuarantine: action = kMayQuarantine; break;
  }
  if (!agreement_.may(action)) return false;
  WriteChange(change, agreement_.has(kLeadingSpace), &output_);
  return true;
}

bool Server::Progress() {
  if (!asking_ || asked_ != Command::kEndOfMessage) return false;
  PacketWriter(&output_, static_cast<char>(Response::kProgress));
  return true;
}

}  // namespace postern::milter
