#include "tests/dialog/smtp_client_harness.h"

#include "lib/core/base/strings.h"

namespace postern::smtp {

ClientHarness::ClientHarness(ClientOptions options, bool tls)
    : session_(std::make_shared<const ClientOptions>(std::move(options)), tls, now_) {
  Run();
}

void ClientHarness::Server(std::string_view octets) {
  do {
    const size_t taken = session_.Feed(octets);
    octets.remove_prefix(taken);
    Run();
    if (taken == 0 && !octets.empty()) {
      if (!closed_ && !awaiting_tls_)
        fault_ = "Feed takes nothing although the session waits for input";
      return;
    }
  } while (!octets.empty());
}

void ClientHarness::End() {
  session_.FeedEnd();
  Run();
}

void ClientHarness::Advance(Duration duration) {
  now_ = now_ + duration;
  session_.OnDeadline(now_);
  Run();
}

void ClientHarness::EstablishTls() {
  awaiting_tls_ = false;
  session_.TlsEstablished();
  Run();
}

bool ClientHarness::Message(const std::vector<std::string>& recipients) {
  OutgoingMessage message;
  message.reverse_path.address = {"a", "example.net"};
  message.reverse_path.declared_size_bytes = body_.size();
  for (const std::string& recipient : recipients)
    message.recipients.emplace_back().address = {recipient, "example.org"};
  body_at_ = 0;
  const bool begun = session_.SendMessage(std::move(message));
  in_message_ = begun;
  recipients_ = recipients.size();
  if (begun) results_.clear();
  Run();
  return begun;
}

void ClientHarness::Flush() {
  sent_.append(session_.PendingOutput());
  session_.Wrote(session_.PendingOutput().size());
}

void ClientHarness::Run() {
  using Kind = ClientEvent::Kind;
  ready_ = false;
  while (true) {
    const ClientEvent event = session_.NextEvent(now_);
    switch (event.kind) {
      case Kind::kNeedOutput:
        if (session_.PendingOutput().empty()) fault_ = "kNeedOutput without output";
        Flush();
        break;
      case Kind::kNeedInput: Flush(); return;
      case Kind::kReady:
        Flush();
        if (in_message_) fault_ = "ready inside a message";
        ready_ = true;
        return;
      case Kind::kStartTls:
        Flush();
        if (!awaiting_tls_) log_.push_back("starttls");
        awaiting_tls_ = true;
        return;
      case Kind::kSendBody: {
        const std::string_view piece = std::string_view(body_).substr(body_at_, body_piece_);
        body_at_ += piece.size();
        if (piece.empty()) {
          session_.BodyEnd();
        } else {
          session_.Body(piece);
        }
        break;
      }
      case Kind::kMessageDone:
        if (!in_message_) fault_ = "message-done without a message";
        in_message_ = false;
        results_ = *event.results;
        if (results_.size() != recipients_) fault_ = "a wrong number of results";
        for (const RecipientResult& result : results_) {
          if (result.reply.code < 200 || result.reply.code > 599 || result.reply.code / 100 == 3)
            fault_ = "a recipient without a fate";
        }
        log_.push_back("message-done");
        break;
      case Kind::kTlsRefused:
        log_.push_back(StrCat("tls-refused ", event.reply->ToString()));
        break;
      case Kind::kAuthenticated:
        log_.push_back(StrCat("authenticated ", event.reply->ToString()));
        break;
      case Kind::kAuthRefused:
        log_.push_back(StrCat("auth-refused ", event.reply->ToString()));
        break;
      case Kind::kClosed:
        Flush();
        if (in_message_) fault_ = "closed inside a message";
        if (!closed_) {
          log_.push_back(StrCat("closed ", ClientCloseReasonName(event.close_reason), " at ",
                                ClientStageName(event.stage), ": ", event.reply->ToString()));
        }
        closed_ = true;
        return;
    }
  }
}

}  // namespace postern::smtp
