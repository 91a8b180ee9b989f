// A message on its way out: envelope, text, and the fate of each recipient.
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/client_session_impl.h"

namespace postern::smtp {

using mail::Reply;

namespace {

// Refusal is the fate that a reply other than the one hoped for gives: itself when it is a 4xx or
// 5xx. Anything else (a 3xx to MAIL, a 250 to DATA) is no answer to what was asked, and nobody got
// the message by it.
Reply Refusal(const Reply& reply, std::string_view command) {
  if (reply.IsTransient() || reply.IsPermanent()) return reply;
  return Reply(451, {4, 5, 0}, StrCat("The server answered ", command, " with ", reply.ToString()));
}

}  // namespace

bool ClientSession::Impl::SendMessage(OutgoingMessage message) {
  if (phase_ != ClientPhase::kReady || !told_.empty() || message.recipients.empty()) return false;
  delivery_ = std::make_unique<Delivery>();
  delivery_->message = std::move(message);
  delivery_->results.resize(delivery_->message.recipients.size());
  if (const std::optional<Reply> why = CannotCarry(offer_, delivery_->message.reverse_path);
      why.has_value()) {
    Settle(*why, ClientStage::kMail, false);
    FinishMessage();
    return true;
  }
  delivery_->chunking =
      offer_.chunking &&
      (options_->chunking || delivery_->message.reverse_path.body == mail::BodyType::kBinaryMime);
  delivery_->writer = TextWriter(/*stuff_dots=*/!delivery_->chunking);
  delivery_->rset_first = std::exchange(rset_needed_, false);
  phase_ = ClientPhase::kEnvelope;
  return true;
}

// PumpEnvelope sends as much of RSET, MAIL, RCPT … DATA as may be sent now: one command at a time,
// or with pipelining all of it within the bounds (RFC 2920 §3.1; DATA may only come last in its
// group).
void ClientSession::Impl::PumpEnvelope() {
  Delivery& delivery = *delivery_;
  const bool pipelining = options_->pipelining && offer_.pipelining;
  const size_t window = pipelining ? std::max<size_t>(options_->max_pipelined_commands, 1) : 1;
  while (phase_ == ClientPhase::kEnvelope && expected_.size() < window &&
         PendingOutput().size() < options_->output_buffer_bytes) {
    if (delivery.rset_first) {
      delivery.rset_first = false;
      SendCommand("RSET", Expected::kRset);
    } else if (!delivery.mail_sent) {
      delivery.mail_sent = true;
      AppendMail(offer_, delivery.message.reverse_path, output_);
      expected_.push_back(Expected::kMail);
    } else if (!delivery.mail_failed && delivery.next_rcpt < delivery.message.recipients.size()) {
      AppendRcpt(offer_, delivery.message.recipients[delivery.next_rcpt], output_);
      ++delivery.next_rcpt;
      expected_.push_back(Expected::kRcpt);
    } else if (!delivery.mail_failed && !delivery.chunking && !delivery.data_sent &&
               (!delivery.accepted.empty() || (pipelining && !expected_.empty()))) {
      // With pipelining DATA goes out before it is known whether anybody was accepted.
      delivery.data_sent = true;
      SendCommand("DATA", Expected::kData);
    } else {
      if (expected_.empty()) EnvelopeDone();
      return;
    }
  }
}

void ClientSession::Impl::OnMailReply() {
  if (reply_.code / 100 == 2) return;
  delivery_->mail_failed = true;
  Settle(Refusal(reply_, "MAIL"), ClientStage::kMail, true);
}

void ClientSession::Impl::OnRcptReply() {
  const size_t recipient = delivery_->answered_rcpt++;
  if (delivery_->mail_failed) return;  // a 503 that says what we know
  if (reply_.code / 100 == 2) {
    delivery_->accepted.push_back(recipient);
    return;
  }
  // RFC 5321 §4.5.3.1.10: 552 for too many recipients is an old spelling of 452; with an enhanced
  // status it means what it says.
  if (reply_.code == 552 && reply_.status.empty()) reply_.code = 452;
  RecipientResult& result = delivery_->results[recipient];
  result.reply = Refusal(reply_, "RCPT");
  result.stage = ClientStage::kRcpt;
  result.from_server = true;
}

void ClientSession::Impl::OnDataReply() {
  if (reply_.code / 100 == 3) {
    if (!delivery_->accepted.empty()) {
      phase_ = ClientPhase::kBody;
      return;
    }
    // RFC 2920 §3.1: a server that wants a text for nobody is given an empty one.
    delivery_->empty_text = true;
    phase_ = ClientPhase::kEnd;
    SendCommand(".", Expected::kEnd);
    return;
  }
  rset_needed_ = true;
  Settle(Refusal(reply_, "DATA"), ClientStage::kData, true);
  FinishMessage();
}

void ClientSession::Impl::EnvelopeDone() {
  if (delivery_->mail_failed || delivery_->accepted.empty()) {
    rset_needed_ = !delivery_->mail_failed;
    FinishMessage();
    return;
  }
  // Without BDAT the text begins with the reply to DATA.
  if (delivery_->chunking) phase_ = ClientPhase::kBody;
}

bool ClientSession::Impl::BodyWanted() const {
  if (!delivery_->chunking) return true;
  const bool pipelining = options_->pipelining && offer_.pipelining;
  return expected_.size() <
         (pipelining ? std::max<size_t>(options_->max_pipelined_commands, 1) : 1);
}

void ClientSession::Impl::Body(std::string_view octets) {
  if (phase_ != ClientPhase::kBody || !told_.empty() || octets.empty()) return;
  Delivery& delivery = *delivery_;
  if (!delivery.chunking) {
    delivery.writer.Write(octets, output_);
    return;
  }
  std::string fixed;
  if (delivery.message.reverse_path.body != mail::BodyType::kBinaryMime) {
    delivery.writer.Write(octets, fixed);
    octets = fixed;
  }
  if (octets.empty()) return;
  StrAppend(output_, "BDAT ", octets.size(), "\r\n", octets);
  expected_.push_back(Expected::kChunk);
}

void ClientSession::Impl::BodyEnd() {
  if (phase_ != ClientPhase::kBody || !told_.empty()) return;
  Delivery& delivery = *delivery_;
  phase_ = ClientPhase::kEnd;
  wait_deadline_ = Instant::Never();
  if (!delivery.chunking) {
    delivery.writer.Finish(output_);
    output_.append(".\r\n");
  } else {
    std::string last;
    if (delivery.message.reverse_path.body != mail::BodyType::kBinaryMime)
      delivery.writer.Finish(last);
    StrAppend(output_, "BDAT ", last.size(), " LAST\r\n", last);
  }
  // RFC 2033 §4.2: LMTP answers for each recipient that was accepted.
  const size_t replies = options_->lmtp ? delivery.accepted.size() : 1;
  for (size_t i = 0; i < replies; ++i) expected_.push_back(Expected::kEnd);
}

void ClientSession::Impl::BodyFailed() {
  if (phase_ != ClientPhase::kBody) return;
  Fail(ClientCloseReason::kPeerClosed,
       Reply(451, {4, 3, 0}, "The text of the message could not be read"), false);
}

void ClientSession::Impl::OnChunkReply() {
  if (reply_.code / 100 == 2) return;
  // The chunks that are under way will be refused too; their replies are of no interest, but they
  // must be read.
  Settle(Refusal(reply_, "BDAT"), ClientStage::kBody, true);
  if (phase_ == ClientPhase::kBody) {
    rset_needed_ = true;
    phase_ = ClientPhase::kEnd;
  }
  delivery_->empty_text = true;
  if (expected_.empty()) FinishMessage();
}

void ClientSession::Impl::OnEndReply() {
  Delivery& delivery = *delivery_;
  if (delivery.empty_text) {
    if (expected_.empty()) FinishMessage();
    return;
  }
  if (reply_.code / 100 != 2) reply_ = Refusal(reply_, "the end of the message");
  if (!options_->lmtp) {
    Settle(reply_, ClientStage::kEndOfData, true);
    FinishMessage();
    return;
  }
  RecipientResult& result = delivery.results[delivery.accepted[delivery.answered_end++]];
  result.reply = reply_;
  result.stage = ClientStage::kEndOfData;
  result.from_server = true;
  if (expected_.empty()) FinishMessage();
}

void ClientSession::Impl::Settle(const Reply& reply, ClientStage stage, bool from_server) {
  for (RecipientResult& result : delivery_->results) {
    if (result.reply.code != 0) continue;
    result.reply = reply;
    result.stage = stage;
    result.from_server = from_server;
  }
}

void ClientSession::Impl::FinishMessage() {
  results_ = std::move(delivery_->results);
  delivery_.reset();
  phase_ = ClientPhase::kReady;
  Tell(Kind::kMessageDone);
}

}  // namespace postern::smtp
