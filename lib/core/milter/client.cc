#include "lib/core/milter/client.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/milter/reply_text.h"

namespace postern::milter {
namespace {

// What is known of each step: a row each.
struct StepRow {
  Step step;
  const char* name;
  Command command;
  uint32_t unwanted;    // the bit of a filter that does not want to be told
  uint32_t unanswered;  // … that will not answer
  uint32_t since;       // the version that knows the step
  bool has_stage;
  Stage stage;
};
constexpr StepRow kSteps[] = {
    {Step::kNegotiate, "negotiation", Command::kNegotiate, 0, 0, 0, false, Stage::kConnect},
    {Step::kConnect, "connect", Command::kConnect, kNoConnect, kNoReplyConnect, 0, true,
     Stage::kConnect},
    {Step::kHelo, "helo", Command::kHelo, kNoHelo, kNoReplyHelo, 0, true, Stage::kHelo},
    {Step::kMail, "mail", Command::kMail, kNoMail, kNoReplyMail, 0, true, Stage::kMail},
    {Step::kRcpt, "rcpt", Command::kRcpt, kNoRcpt, kNoReplyRcpt, 0, true, Stage::kRcpt},
    {Step::kData, "data", Command::kData, kNoData, kNoReplyData, kVersionWithData, true,
     Stage::kData},
    {Step::kUnknown, "unknown", Command::kUnknown, kNoUnknown, kNoReplyUnknown, kVersionWithUnknown,
     false, Stage::kConnect},
    {Step::kHeader, "header", Command::kHeader, kNoHeaders, kNoReplyHeader, 0, false,
     Stage::kConnect},
    {Step::kEndOfHeaders, "end-of-headers", Command::kEndOfHeaders, kNoEoh, kNoReplyEoh, 0, true,
     Stage::kEndOfHeaders},
    {Step::kBody, "body", Command::kBody, kNoBody, kNoReplyBody, 0, false, Stage::kConnect},
    {Step::kEndOfMessage, "end-of-message", Command::kEndOfMessage, 0, 0, 0, true,
     Stage::kEndOfMessage},
};

const StepRow& RowOf(Step step) { return kSteps[static_cast<size_t>(step)]; }

bool IsOfSession(Step step) { return step == Step::kConnect || step == Step::kHelo; }

// What clients hear where the filter has no words of its own.
mail::Reply Rejected() { return mail::Reply(550, {5, 7, 1}, "Command rejected"); }
mail::Reply Later() { return mail::Reply(451, {4, 7, 1}, "Service unavailable - try again later"); }
mail::Reply ShutDown() { return mail::Reply(421, {4, 7, 0}, "Service closing"); }

std::string DescribeCode(char code) {
  return IsAsciiPrintable(code) ? StrCat("'", code, "'")
                                : StrCat("0x", Hex(static_cast<unsigned char>(code), 2));
}

}  // namespace

std::string_view StepName(Step step) { return RowOf(step).name; }

Client::Client(std::shared_ptr<const ClientOptions> options, Instant now)
    : options_(std::move(options)),
      reader_(options_->max_packet_bytes),
      deadline_(now + options_->negotiation_timeout),
      progress_until_(now + options_->max_progress) {
  offer_.version = options_->version;
  offer_.actions = options_->actions & ActionsOf(offer_.version);
  offer_.steps = options_->steps & StepsOf(offer_.version);
  WriteOffer(offer_, &output_);
}

size_t Client::Feed(std::string_view octets) {
  if (state_ == State::kFailed) return octets.size();
  return reader_.Feed(octets);
}

void Client::Drop(std::string_view reason) { Fail(std::string(reason)); }

void Client::Wrote(size_t n) {
  written_ += n;
  if (written_ < output_.size()) return;
  written_ = 0;
  constexpr size_t kKeepBytes = 4096;
  if (output_.capacity() > kKeepBytes) {
    std::string().swap(output_);
  } else {
    output_.clear();
  }
}

void Client::OnDeadline(Instant now) {
  if (state_ == State::kFailed || now < deadline_) return;
  timed_out_ = true;
  Fail("it did not answer in time");
}

void Client::Fail(std::string reason) {
  if (state_ == State::kFailed) return;
  state_ = State::kFailed;
  deadline_ = Instant::Never();
  reason_ = std::move(reason);
}

ClientEvent Client::NextEvent(Instant now) {
  ClientEvent event;
  for (;;) {
    event.step = step_;
    switch (state_) {
      case State::kFailed:
        event.kind = ClientEvent::Kind::kFailed;
        event.timed_out = timed_out_;
        event.closed = closed_;
        event.reason = reason_;
        return event;
      case State::kAnswered:
        state_ = State::kReady;
        deadline_ = Instant::Never();
        event.kind = ClientEvent::Kind::kVerdict;
        event.verdict = &verdict_;
        return event;
      case State::kReady:
        // Nothing was asked: whoever speaks now lies, and who has gone is of no use.
        if (reader_.has_input()) {
          Fail("it spoke without being asked");
          continue;
        }
        if (input_ended_) {
          closed_ = true;
          Fail("it closed the connection");
          continue;
        }
        event.kind = ClientEvent::Kind::kReady;
        return event;
      case State::kNegotiating:
      case State::kWaiting: break;
    }
    Packet packet;
    switch (reader_.Next(&packet)) {
      case PacketReader::Found::kPacket:
        if (TakePacket(packet, now, &event)) return event;
        break;
      case PacketReader::Found::kTooLong: Fail("it sent a packet that is too long"); break;
      case PacketReader::Found::kEmpty: Fail("it sent an empty packet"); break;
      case PacketReader::Found::kNeedInput:
        if (!input_ended_) {
          event.kind = ClientEvent::Kind::kNeedInput;
          return event;
        }
        closed_ = true;
        Fail("it closed the connection");
        break;
    }
  }
}

// TakePacket takes one in kNegotiating and kWaiting; true when `*event` is to be told.
bool Client::TakePacket(const Packet& packet, Instant now, ClientEvent* event) {
  if (state_ == State::kNegotiating) {
    TakeOffer(packet);
    return false;
  }
  const Response response = static_cast<Response>(packet.code);
  if (response == Response::kProgress) {
    // libmilter gives it at the end of a message alone, Postfix takes it anywhere.
    if (++progress_packets_ > options_->max_progress_packets) Fail("it floods us");
    SeeLife(now);
    return false;
  }
  if (ActionOf(response) != 0) {
    SeeLife(now);
    return TakeChange(response, packet.data, event);
  }
  TakeVerdict(response, packet.data);
  return false;
}

// SeeLife gives the filter its time anew.
void Client::SeeLife(Instant now) {
  if (state_ != State::kWaiting || step_ != Step::kEndOfMessage) return;
  const Instant more = now + TimeFor(step_);
  deadline_ = more < progress_until_ ? more : progress_until_;
}

void Client::TakeOffer(const Packet& packet) {
  if (static_cast<Command>(packet.code) != Command::kNegotiate)
    return Fail(StrCat("it answered the negotiation with ", DescribeCode(packet.code)));
  StatusOr<Offer> theirs = ReadOffer(packet.data, options_->negotiation);
  if (!theirs.ok()) return Fail(std::string(Message(theirs.status())));
  StatusOr<Agreement> agreement = Agree(offer_, *theirs);
  if (!agreement.ok()) return Fail(StrCat("it wants ", Message(agreement.status())));
  agreement_ = *std::move(agreement);
  state_ = State::kReady;
  deadline_ = Instant::Never();
}

bool Client::TakeChange(Response response, std::string_view data, ClientEvent* event) {
  const std::string what = DescribeCode(static_cast<char>(response));
  if (step_ != Step::kEndOfMessage) {
    Fail(StrCat("it asked for a change (", what, ") before the end of the message"));
    return false;
  }
  if (!agreement_.may(ActionOf(response))) {
    Fail(StrCat("it asked for a change (", what, ") that was not agreed"));
    return false;
  }
  if (response == Response::kReplaceBody) {
    ++body_pieces_;
    body_bytes_ += data.size();
  } else {
    ++changes_;
    change_bytes_ += data.size();
  }
  if (changes_ > options_->max_changes || change_bytes_ > options_->max_change_bytes ||
      body_pieces_ > options_->max_body_pieces || body_bytes_ > options_->max_body_bytes) {
    Fail("it asked for too many changes");
    return false;
  }
  StatusOr<Change> change = ReadChange(response, data, agreement_.has(kLeadingSpace));
  if (!change.ok()) {
    Fail(StrCat("it asked for a change (", what, ") that is wrong: ", Message(change.status())));
    return false;
  }
  change_ = *std::move(change);
  event->kind = ClientEvent::Kind::kChange;
  event->change = &change_;
  return true;
}

void Client::TakeVerdict(Response response, std::string_view data) {
  using Kind = Verdict::Kind;
  const std::string what = DescribeCode(static_cast<char>(response));
  if (!data.empty() && response != Response::kReply)
    return Fail(StrCat("it sent data with ", what));
  Verdict verdict;
  switch (response) {
    case Response::kContinue: break;
    case Response::kAccept: verdict.kind = Kind::kAccept; break;
    case Response::kReject:
      verdict.kind = Kind::kRefuse;
      verdict.reply = Rejected();
      break;
    case Response::kTemporary:
      verdict.kind = Kind::kRefuse;
      verdict.reply = Later();
      break;
    case Response::kReply: {
      // The NUL that ends it may be missing: old filters leave it out.
      if (!data.empty() && data.back() == '\0') data.remove_suffix(1);
      StatusOr<mail::Reply> reply = ReadReplyText(data, options_->max_reply_text_bytes);
      if (!reply.ok()) return Fail(StrCat("its reply is none: ", Message(reply.status())));
      verdict.kind = reply->code == 421 ? Kind::kShutdown : Kind::kRefuse;
      verdict.reply = *std::move(reply);
      break;
    }
    case Response::kDiscard:
      if (IsOfSession(step_) || step_ == Step::kUnknown)
        return Fail(StrCat("it discarded a message at ", StepName(step_)));
      verdict.kind = Kind::kDiscard;
      break;
    case Response::kShutdown:
    case Response::kFail:
      verdict.kind = Kind::kShutdown;
      verdict.reply = ShutDown();
      break;
    case Response::kSkip:
      // Sendmail's libmilter sends it for the body alone.
      if (step_ != Step::kBody || !agreement_.has(kCanSkip))
        return Fail(StrCat("it skipped at ", StepName(step_)));
      body_skipped_ = true;
      break;
    default: return Fail(StrCat("it answered ", StepName(step_), " with ", what));
  }
  Answer(std::move(verdict));
}

bool Client::Answer(Verdict verdict) {
  Settle(verdict);
  verdict_ = std::move(verdict);
  state_ = State::kAnswered;
  return true;
}

// Settle notes which later steps a verdict decides.
void Client::Settle(const Verdict& verdict) {
  using Kind = Verdict::Kind;
  if (step_ == Step::kEndOfMessage) {
    in_message_ = false;
    message_settled_ = true;
  }
  if (verdict.kind == Kind::kContinue) return;
  if (verdict.kind == Kind::kShutdown || IsOfSession(step_)) {
    session_settled_ = true;
    session_verdict_ = verdict;
    if (verdict.kind == Kind::kAccept) session_verdict_.kind = Kind::kContinue;
    return;
  }
  // Of one recipient, or of one command that nobody knows, a refusal says no more than that.
  const bool alone = step_ == Step::kRcpt || step_ == Step::kUnknown;
  if (verdict.kind != Kind::kRefuse || !alone) message_settled_ = true;
}

Duration Client::TimeFor(Step step) const {
  switch (step) {
    case Step::kNegotiate: return options_->negotiation_timeout;
    case Step::kHeader:
    case Step::kEndOfHeaders:
    case Step::kBody:
    case Step::kEndOfMessage: return options_->content_timeout;
    default: return options_->command_timeout;
  }
}

bool Client::Wants(Step step) const {
  const StepRow& row = RowOf(step);
  if (state_ == State::kFailed || session_settled_) return false;
  if (agreement_.version < row.since || agreement_.has(row.unwanted)) return false;
  if (step == Step::kBody && body_skipped_) return false;
  return !message_settled_ || step < Step::kRcpt || step == Step::kUnknown;
}

bool Client::Begin(Step step) {
  step_ = step;
  if (session_settled_) {
    verdict_ = session_verdict_;
    state_ = State::kAnswered;
    return false;
  }
  const StepRow& row = RowOf(step);
  const bool settled = message_settled_ && step >= Step::kRcpt && step != Step::kUnknown;
  // As Postfix does, macros go also before a step that the filter does not want to be told of.
  if (row.has_stage && !settled && agreement_.version >= row.since)
    WriteMacros(row.command, agreement_.symbols[static_cast<size_t>(row.stage)], macros_, &output_);
  if (Wants(step)) return true;
  verdict_ = Verdict();
  state_ = State::kAnswered;
  return false;
}

bool Client::Await(Step step, Instant now) {
  if (agreement_.has(RowOf(step).unanswered)) return Answer(Verdict());
  state_ = State::kWaiting;
  deadline_ = now + TimeFor(step);
  progress_until_ = now + options_->max_progress;
  progress_packets_ = 0;
  return true;
}

bool Client::Connect(std::string_view name, Family family, uint16_t port, std::string_view address,
                     Instant now) {
  if (state_ != State::kReady) return false;
  if (!Begin(Step::kConnect)) return true;
  {
    PacketWriter packet(&output_, static_cast<char>(Command::kConnect));
    packet.Text(name).Octet(static_cast<char>(family));
    if (family != Family::kUnknown) packet.Uint16(port).Text(address);
  }
  return Await(Step::kConnect, now);
}

bool Client::Helo(std::string_view name, Instant now) {
  if (state_ != State::kReady) return false;
  if (!Begin(Step::kHelo)) return true;
  PacketWriter(&output_, static_cast<char>(Command::kHelo)).Text(name);
  return Await(Step::kHelo, now);
}

bool Client::Mail(std::string_view path, const std::vector<std::string>& args, Instant now) {
  if (state_ != State::kReady) return false;
  if (in_message_) Abort();
  message_settled_ = body_skipped_ = false;
  changes_ = change_bytes_ = body_pieces_ = 0;
  body_bytes_ = 0;
  in_message_ = !session_settled_;
  if (!Begin(Step::kMail)) return true;
  {
    PacketWriter packet(&output_, static_cast<char>(Command::kMail));
    packet.Text(path);
    for (const std::string& arg : args) packet.Text(arg);
  }
  return Await(Step::kMail, now);
}

bool Client::Rcpt(std::string_view path, const std::vector<std::string>& args, Instant now) {
  if (state_ != State::kReady || (!in_message_ && !session_settled_)) return false;
  if (!Begin(Step::kRcpt)) return true;
  {
    PacketWriter packet(&output_, static_cast<char>(Command::kRcpt));
    packet.Text(path);
    for (const std::string& arg : args) packet.Text(arg);
  }
  return Await(Step::kRcpt, now);
}

bool Client::Data(Instant now) {
  if (state_ != State::kReady || (!in_message_ && !session_settled_)) return false;
  if (!Begin(Step::kData)) return true;
  PacketWriter(&output_, static_cast<char>(Command::kData));
  return Await(Step::kData, now);
}

bool Client::Unknown(std::string_view line, Instant now) {
  if (state_ != State::kReady) return false;
  if (!Begin(Step::kUnknown)) return true;
  PacketWriter(&output_, static_cast<char>(Command::kUnknown)).Text(line);
  return Await(Step::kUnknown, now);
}

bool Client::Header(std::string_view name, std::string_view value, Instant now) {
  if (state_ != State::kReady || (!in_message_ && !session_settled_)) return false;
  if (!Begin(Step::kHeader)) return true;
  // libmilter drops the connection at a packet that is longer than a piece of a body may be.
  const size_t room = agreement_.max_chunk_bytes - 3;  // the code, and what ends each field
  name = name.substr(0, room);
  std::string text = OutgoingValue(value, agreement_.has(kLeadingSpace));
  if (text.size() > room - name.size()) text.resize(room - name.size());
  PacketWriter(&output_, static_cast<char>(Command::kHeader)).Text(name).Text(text);
  return Await(Step::kHeader, now);
}

bool Client::EndOfHeaders(Instant now) {
  if (state_ != State::kReady || (!in_message_ && !session_settled_)) return false;
  if (!Begin(Step::kEndOfHeaders)) return true;
  PacketWriter(&output_, static_cast<char>(Command::kEndOfHeaders));
  return Await(Step::kEndOfHeaders, now);
}

bool Client::Body(std::string_view piece, Instant now) {
  if (state_ != State::kReady || (!in_message_ && !session_settled_)) return false;
  if (piece.size() > agreement_.max_chunk_bytes) return false;
  if (!Begin(Step::kBody)) return true;
  PacketWriter(&output_, static_cast<char>(Command::kBody)).Octets(piece);
  return Await(Step::kBody, now);
}

bool Client::EndOfMessage(Instant now) {
  if (state_ != State::kReady || (!in_message_ && !session_settled_)) return false;
  if (!Begin(Step::kEndOfMessage)) return true;
  PacketWriter(&output_, static_cast<char>(Command::kEndOfMessage));
  return Await(Step::kEndOfMessage, now);
}

bool Client::Abort() {
  if (state_ != State::kReady) return false;
  if (std::exchange(in_message_, false) && !session_settled_)
    PacketWriter(&output_, static_cast<char>(Command::kAbort));
  message_settled_ = body_skipped_ = false;
  return true;
}

bool Client::Quit(bool reuse) {
  if (state_ != State::kReady || (reuse && !CanReuse())) return false;
  Abort();
  PacketWriter(&output_, static_cast<char>(reuse ? Command::kQuitReuse : Command::kQuit));
  session_settled_ = false;
  macros_.Clear();
  step_ = Step::kNegotiate;
  return true;
}

}  // namespace postern::milter
