// The commands about a message: MAIL, RCPT, DATA, BDAT, and the text that follows the last two.
#include <algorithm>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/smtp/extensions.h"
#include "lib/core/smtp/server_session_impl.h"

namespace postern::smtp {
namespace {

constexpr uint8_t kSmugglingDefects = kDefectBareCr | kDefectBareLf | kDefectNul;

}  // namespace

ServerEvent ServerSession::Impl::OnMail(std::string_view arguments, Instant now) {
  if (options_->tls_required && !in_tls_) {
    SendError(530, {5, 5, 1}, "Must issue a STARTTLS command first");
    return Stepped();
  }
  if (options_->auth_required && !authenticated_) {
    SendError(530, {5, 5, 1}, "Must issue an AUTH command first");
    return Stepped();
  }
  if (options_->max_messages > 0 && messages_ >= options_->max_messages) {
    SendError(452, {4, 5, 3}, "Too many messages in this session");
    return Stepped();
  }
  auto transaction = std::make_unique<Transaction>();
  // RFC 5321 §2.2.1 keeps a client that said HELO from using parameters, and servers from nothing:
  // one that sends SIZE= all the same means what it says, and its mail is taken.
  // RFC 4954 §5: AUTH= may be used wherever AUTH exists, also when it is not offered any more.
  const uint32_t offered =
      OfferedNow() | (options_->auth_available ? options_->extensions & kExtensionAuth : 0);
  if (const mail::Reply refusal =
          ParseMail(arguments, offered, *options_, transaction->reverse_path);
      refusal.code != 0) {
    SendError(refusal);
    return Stepped();
  }
  transaction->deadline = now + options_->transaction_timeout;
  transaction_ = std::move(transaction);
  ServerEvent event = Ask(Kind::kMailFrom);
  event.reverse_path = &transaction_->reverse_path;
  return event;
}

void ServerSession::Impl::DecideMail(const Decision& decision) {
  if (decision.kind != Decision::Kind::kAccept) {
    // It never began: no TransactionReset is owed.
    EndTransaction();
    Send(decision.reply.code != 0 ? decision.reply : mail::Reply(550, {5, 7, 1}, "Sender refused"));
    return;
  }
  ++messages_;
  idle_commands_ = 0;
  state_ = State::kMail;
  if (decision.reply.code != 0) {
    Send(decision.reply);
  } else {
    Send(250, {2, 0, 0}, "Ok");
  }
}

ServerEvent ServerSession::Impl::OnRcpt(std::string_view arguments) {
  // RFC 5321 §4.5.3.1.10
  if (options_->max_recipients > 0 && transaction_->recipients >= options_->max_recipients) {
    Send(452, {4, 5, 3}, "Too many recipients");
    return Stepped();
  }
  transaction_->forward_path = {};
  const mail::Reply refusal =
      ParseRcpt(arguments, OfferedNow(), *options_, transaction_->reverse_path.smtputf8,
                transaction_->forward_path);
  if (refusal.code != 0) {
    SendError(refusal);
    return Stepped();
  }
  ServerEvent event = Ask(Kind::kRcptTo);
  event.forward_path = &transaction_->forward_path;
  return event;
}

void ServerSession::Impl::DecideRcpt(const Decision& decision) {
  if (decision.kind == Decision::Kind::kAccept) {
    ++transaction_->recipients;
    state_ = State::kRcpt;
    if (decision.reply.code != 0) {
      Send(decision.reply);
    } else {
      Send(250, {2, 1, 5}, "Destination address valid: Recipient ok");
    }
    return;
  }
  Send(decision.reply.code != 0 ? decision.reply
                                : mail::Reply(550, {5, 1, 1}, "Recipient refused"));
  if (++refused_recipients_ < options_->max_refused_recipients ||
      options_->max_refused_recipients == 0)
    return;
  if (decision.kind == Decision::Kind::kDisconnect) return;
  Send(421, {4, 7, 0}, "Too many refused recipients");
  Close(CloseReason::kTooManyErrors);
}

ServerEvent ServerSession::Impl::OnData(std::string_view arguments) {
  if (!arguments.empty()) {
    SendError(501, {5, 5, 4}, "Invalid command arguments: DATA has none");
    return Stepped();
  }
  if (transaction_->reverse_path.body == mail::BodyType::kBinaryMime) {
    SendError(503, {5, 5, 1}, "Invalid command: BODY=BINARYMIME wants BDAT");  // RFC 3030 §3
    return Stepped();
  }
  return Ask(Kind::kDataBegin);
}

ServerEvent ServerSession::Impl::OnBdat(std::string_view arguments, Outcome outcome) {
  const std::optional<BdatArguments> chunk = ParseBdat(arguments);
  if (!chunk.has_value() || (options_->extensions & kExtensionChunking) == 0) {
    // Nobody can tell where its octets end, or whether they come: going on would be to run them as
    // commands.
    SendError(501, {5, 5, 4}, "Invalid command arguments: BDAT wants a size");
    HangUp("Nobody can tell where the chunk ends");
    return Stepped();
  }
  if (outcome == Outcome::kSwallow) {
    const mail::Reply reply(503, {5, 5, 1}, "Invalid command: No recipient was accepted");
    TellError(reply);
    Swallow(chunk->size, reply);
    CountError();
    return Stepped();
  }
  transaction_->last_chunk = chunk->last;
  chunk_left_ = chunk->size;
  if (!transaction_->chunking) {
    transaction_->chunking = true;
    ServerEvent event = Ask(Kind::kDataBegin);
    event.chunking = true;
    return event;
  }
  mode_ = Mode::kChunk;
  return Stepped();
}

void ServerSession::Impl::DecideData(const Decision& decision) {
  const bool chunking = transaction_->chunking;
  if (decision.kind != Decision::Kind::kAccept) {
    const mail::Reply reply =
        decision.reply.code != 0 ? decision.reply : mail::Reply(451, {4, 3, 0}, "Try again later");
    // Nothing is carried over from a refused message, wherever it was refused.
    DropTransaction(ResetReason::kRefused);
    if (chunking && decision.kind != Decision::Kind::kDisconnect) {
      Swallow(chunk_left_, reply);
    } else {
      Send(reply);
    }
    return;
  }
  if (chunking) {
    state_ = State::kChunks;
    mode_ = Mode::kChunk;
    return;
  }
  mode_ = Mode::kText;
  first_text_wait_ = true;
  must_flush_ = true;
  const std::string text = decision.reply.code != 0
                               ? decision.reply.Text()
                               : "Enter mail, end with \".\" on a line by itself";
  Send(mail::Reply(354, {}, text));
}

ServerEvent ServerSession::Impl::TakeText() {
  Transaction& transaction = *transaction_;
  if (transaction.text_ended) return EndOfText();
  if (input_.empty()) return Event(Kind::kNeedInput);
  const TextFramer::Result result = transaction.framer.Next(input_.data(), input_.size());
  if (result.consumed == 0) return Event(Kind::kNeedInput);
  wait_deadline_ = Instant::Never();
  first_text_wait_ = false;
  transaction.text_ended = result.ended;
  CheckText(transaction.framer.defects(), transaction.framer.longest_line_bytes());
  // The text is lent from the buffer and leaves it with the next call.
  consume_later_ = result.consumed;
  const ServerEvent event = GiveText(std::string_view(input_.data(), result.text_bytes));
  if (event.kind != Kind::kBodyChunk) ConsumeInput(0);
  return event;
}

ServerEvent ServerSession::Impl::TakeChunk() {
  if (chunk_left_ == 0) return EndOfChunk();
  if (input_.empty()) return Event(Kind::kNeedInput);
  Transaction& transaction = *transaction_;
  const std::string_view octets =
      input_.View().substr(0, std::min<uint64_t>(chunk_left_, input_.size()));
  wait_deadline_ = Instant::Never();
  first_text_wait_ = false;
  chunk_left_ -= octets.size();
  // RFC 3030 §3: with BODY=BINARYMIME the octets are what they are.
  if (transaction.reverse_path.body != mail::BodyType::kBinaryMime) {
    transaction.checker.Scan(octets);
    CheckText(transaction.checker.defects(), transaction.checker.longest_line_bytes());
  }
  consume_later_ = octets.size();
  const ServerEvent event = GiveText(octets);
  if (event.kind != Kind::kBodyChunk) ConsumeInput(0);
  return event;
}

void ServerSession::Impl::CheckText(uint8_t defects, uint64_t longest_line) {
  if (options_->refuse_bare_line_ends && (defects & kSmugglingDefects) != 0)
    transaction_->refused = true;
  if (options_->max_text_line_bytes > 0 && longest_line > options_->max_text_line_bytes)
    transaction_->refused = true;
}

ServerEvent ServerSession::Impl::GiveText(std::string_view text) {
  Transaction& transaction = *transaction_;
  transaction.received += text.size();
  if (options_->max_message_bytes > 0 && transaction.received > options_->max_message_bytes) {
    transaction.too_big = transaction.refused = true;
  }
  if (transaction.refused) {
    transaction.discarded += text.size();
    if (transaction.discarded > options_->max_discard_bytes ||
        chunk_left_ > options_->max_discard_bytes) {
      RefuseText();
      HangUp("Too much was sent of a refused message");
    }
    return Stepped();
  }
  if (text.empty()) return Stepped();
  transaction.size += text.size();
  ServerEvent event = Event(Kind::kBodyChunk);
  event.text = text;
  return event;
}

ServerEvent ServerSession::Impl::EndOfText() {
  mode_ = Mode::kCommand;
  if (transaction_->refused) {
    RefuseText();
    return Stepped();
  }
  ServerEvent event = Ask(Kind::kMessageEnd);
  event.size = transaction_->size;
  const bool chunking = transaction_->chunking;
  event.defects = chunking ? transaction_->checker.defects() : transaction_->framer.defects();
  // Eight bits are a defect only where they were not announced (RFC 6152 §3).
  if (transaction_->reverse_path.body != mail::BodyType::k7Bit)
    event.defects &= static_cast<uint8_t>(~kDefectEightBit);
  return event;
}

ServerEvent ServerSession::Impl::EndOfChunk() {
  mode_ = Mode::kCommand;
  wait_deadline_ = Instant::Never();
  Transaction& transaction = *transaction_;
  if (transaction.last_chunk) {
    if (transaction.reverse_path.body != mail::BodyType::kBinaryMime) {
      transaction.checker.Finish();
      CheckText(transaction.checker.defects(), transaction.checker.longest_line_bytes());
    }
    return EndOfText();
  }
  if (transaction.refused) {
    // RFC 3030 §2: a chunk that fails ends the message; further chunks get 503.
    RefuseText();
    return Stepped();
  }
  Send(mail::Reply(250, {2, 0, 0}, StrCat(transaction.received, " octets received")));
  return Stepped();
}

// RefuseText answers a message that the session itself does not take. Whatever is refused here, the
// sender and the recipients are gone with it: a client that goes on with DATA gets 503.
void ServerSession::Impl::RefuseText() {
  must_flush_ = true;
  const Transaction& transaction = *transaction_;
  const uint8_t defects = transaction.framer.defects() | transaction.checker.defects();
  if (options_->refuse_bare_line_ends && (defects & kSmugglingDefects) != 0) {
    std::string text = "Message refused:";
    if ((defects & kDefectBareCr) != 0) text += " bare CR";
    if ((defects & kDefectBareLf) != 0) text += " bare LF";
    if ((defects & kDefectNul) != 0) text += " NUL";
    text += " in its text";
    DropTransaction(ResetReason::kDefective);
    SendError(550, {5, 6, 0}, text);
    if (options_->close_after_bare_line_ends) {
      HangUp((defects & (kDefectBareCr | kDefectBareLf)) != 0 ? "Line ends must be CR LF"
                                                              : "A text has no NUL");
    }
  } else if (transaction.too_big) {
    DropTransaction(ResetReason::kTooBig);
    const mail::Reply reply(552, {5, 3, 4}, "Message too big");
    Send(reply);
    TellError(reply);
  } else {
    DropTransaction(ResetReason::kDefective);
    // RFC 5321 §4.5.3.1.9; the status is the text's, not the command's (RFC 3463 §3.7).
    SendError(500, {5, 6, 0}, "Message refused: a line is too long");
  }
}

void ServerSession::Impl::Swallow(uint64_t octets, mail::Reply reply) {
  // What nobody has the patience to read over: the reply comes at once and the session ends.
  if (octets > options_->max_discard_bytes) {
    Send(reply);
    HangUp("The chunk is too large to be read over");
    return;
  }
  swallow_reply_ = std::make_unique<mail::Reply>(std::move(reply));
  chunk_left_ = octets;
  mode_ = Mode::kSwallow;
}

ServerEvent ServerSession::Impl::TakeSwallowed() {
  if (chunk_left_ == 0) {
    mode_ = Mode::kCommand;
    Send(*swallow_reply_);
    swallow_reply_.reset();
    return Stepped();
  }
  if (input_.empty()) return Event(Kind::kNeedInput);
  const size_t octets = std::min<uint64_t>(chunk_left_, input_.size());
  chunk_left_ -= octets;
  wait_deadline_ = Instant::Never();
  ConsumeInput(octets);
  return Stepped();
}

void ServerSession::Impl::DecideMessageEnd(const Decision& decision) {
  // The reply to a whole message goes out before anything else is done, although more commands may
  // wait.
  must_flush_ = true;
  EndTransaction();
  if (decision.kind == Decision::Kind::kAccept) {
    if (decision.reply.code != 0) {
      Send(decision.reply);
    } else {
      Send(250, {2, 0, 0}, "Message accepted for delivery");
    }
    return;
  }
  Send(decision.reply.code != 0 ? decision.reply : mail::Reply(451, {4, 3, 0}, "Try again later"));
}

}  // namespace postern::smtp
