#include "tests/dialog/smtp_server_harness.h"

#include <utility>

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

std::string Describe(const ServerEvent& event) {
  using Kind = ServerEvent::Kind;
  std::string out(EventKindName(event.kind));
  switch (event.kind) {
    case Kind::kHello: StrAppend(out, event.extended ? " ehlo " : " helo ", event.text); break;
    case Kind::kAuthSecret:
      StrAppend(out, " ", sasl::MechanismName(event.mechanism),
                " authcid=", event.credentials->authentication_id);
      break;
    case Kind::kAuthenticate:
      StrAppend(out, " ", sasl::MechanismName(event.mechanism),
                " authzid=", event.credentials->authorization_id,
                " authcid=", event.credentials->authentication_id,
                " password=", event.credentials->password);
      break;
    case Kind::kMailFrom: {
      const mail::ReversePath& path = *event.reverse_path;
      StrAppend(out, " <", path.address.ToString(), ">");
      if (path.declared_size_bytes.has_value()) StrAppend(out, " size=", *path.declared_size_bytes);
      if (path.body != mail::BodyType::k7Bit)
        out += path.body == mail::BodyType::k8BitMime ? " 8bit" : " binary";
      if (path.smtputf8) out += " smtputf8";
      if (path.dsn_return != mail::DsnReturn::kUnset)
        out += path.dsn_return == mail::DsnReturn::kFull ? " full" : " headers";
      if (!path.dsn_envelope_id.empty()) StrAppend(out, " envid=", path.dsn_envelope_id);
      if (!path.auth.empty()) StrAppend(out, " auth=", path.auth);
      break;
    }
    case Kind::kRcptTo: {
      const mail::ForwardPath& path = *event.forward_path;
      StrAppend(out, " <", path.address.ToString(), ">");
      if (path.dsn_notify != mail::kNotifyUnset)
        StrAppend(out, " notify=", static_cast<int>(path.dsn_notify));
      if (!path.dsn_original_recipient.empty())
        StrAppend(out, " orcpt=", path.dsn_original_recipient);
      break;
    }
    case Kind::kDataBegin: out += event.chunking ? " bdat" : " data"; break;
    case Kind::kMessageEnd:
      StrAppend(out, " ", event.size);
      if (event.defects != 0) StrAppend(out, " defects=", static_cast<int>(event.defects));
      break;
    case Kind::kTransactionReset: StrAppend(out, " ", ResetReasonName(event.reset_reason)); break;
    case Kind::kProtocolError: StrAppend(out, " ", event.code, " ", event.text); break;
    case Kind::kClosed: StrAppend(out, " ", CloseReasonName(event.close_reason)); break;
    default: break;
  }
  return out;
}

}  // namespace

ServerHarness::ServerHarness(ServerOptions options, bool tls, std::string peer_text)
    : session_(std::make_shared<const ServerOptions>(std::move(options)), std::move(peer_text), tls,
               now_) {}

void ServerHarness::Send(std::string_view octets) {
  do {
    const size_t taken = session_.Feed(octets);
    octets.remove_prefix(taken);
    Run();
    if (taken == 0 && !octets.empty() && !awaiting_tls_ && !closed_) {
      fault_ = "Feed takes nothing although the session waits for input";
      return;
    }
  } while (!octets.empty());
}

void ServerHarness::SendInPieces(std::string_view octets, size_t piece_bytes) {
  while (!octets.empty()) {
    const std::string_view piece = octets.substr(0, piece_bytes);
    Send(piece);
    octets.remove_prefix(piece.size());
  }
}

void ServerHarness::End() {
  session_.FeedEnd();
  Run();
}

void ServerHarness::Advance(Duration duration) {
  now_ = now_ + duration;
  session_.OnDeadline(now_);
  Run();
}

void ServerHarness::EstablishTls() {
  awaiting_tls_ = false;
  session_.TlsEstablished();
  Run();
}

void ServerHarness::Flush() {
  replies_.append(session_.PendingOutput());
  session_.Wrote(session_.PendingOutput().size());
}

void ServerHarness::Run() {
  using Kind = ServerEvent::Kind;
  while (true) {
    const ServerEvent event = session_.NextEvent(now_);
    switch (event.kind) {
      case Kind::kNeedOutput:
        if (session_.PendingOutput().empty()) fault_ = "kNeedOutput without output";
        Flush();
        continue;
      case Kind::kNeedInput:
      case Kind::kAwaitingTls: Flush(); return;
      case Kind::kAwaitingDecision: fault_ = "a decision is wanted again"; return;
      case Kind::kStartTls:
        log_.push_back(Describe(event));
        Flush();
        awaiting_tls_ = true;
        return;
      case Kind::kClosed:
        Flush();
        if (in_transaction_) fault_ = "closed inside a transaction";
        if (!closed_) log_.push_back(Describe(event));
        closed_ = true;
        return;
      case Kind::kBodyChunk:
        CheckTransaction(event, nullptr);
        body_.append(event.text);
        continue;
      default: break;
    }
    log_.push_back(Describe(event));
    if (!event.WantsDecision()) {
      CheckTransaction(event, nullptr);
      continue;
    }
    const Decision decision = decider_ ? decider_(event) : Decision::Accept();
    CheckTransaction(event, &decision);
    session_.Decide(decision);
  }
}

// The promise of the header: a transaction begins with an accepted MailFrom and ends with one
// MessageEnd or TransactionReset.
void ServerHarness::CheckTransaction(const ServerEvent& event, const Decision* decision) {
  using Kind = ServerEvent::Kind;
  const bool accepted = decision != nullptr && decision->kind == Decision::Kind::kAccept;
  switch (event.kind) {
    case Kind::kMailFrom:
      if (in_transaction_) fault_ = "MAIL inside a transaction";
      in_transaction_ = accepted;
      body_.clear();
      break;
    case Kind::kRcptTo:
    case Kind::kDataBegin:
    case Kind::kBodyChunk:
      if (!in_transaction_) fault_ = StrCat(EventKindName(event.kind), " outside a transaction");
      break;
    case Kind::kMessageEnd:
      if (!in_transaction_) fault_ = "message-end outside a transaction";
      if (event.size != body_.size()) fault_ = "message-end tells a wrong size";
      in_transaction_ = false;
      if (accepted) messages_.push_back(body_);
      body_.clear();
      break;
    case Kind::kTransactionReset:
      if (!in_transaction_) fault_ = "transaction-reset outside a transaction";
      in_transaction_ = false;
      body_.clear();
      break;
    default: break;
  }
}

std::vector<std::string> ServerHarness::TakeReplyLines() {
  std::vector<std::string> lines;
  std::string replies = TakeReplies();
  std::string_view rest = replies;
  while (!rest.empty()) {
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) {
      fault_ = "a reply line without CRLF";
      break;
    }
    lines.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 2);
  }
  return lines;
}

}  // namespace postern::smtp
