// Drives a smtp::ServerSession the way a driver would, without a network: for dialogues,
// conformance and fuzzing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/smtp/server_session.h"

namespace postern::smtp {

class ServerHarness {
 public:
  // Decider answers an event that wants a decision; the default accepts all.
  using Decider = std::function<Decision(const ServerEvent&)>;

  explicit ServerHarness(ServerOptions options, bool tls = false,
                         std::string peer_text = "[192.0.2.1]");

  void set_decider(Decider decider) { decider_ = std::move(decider); }

  // Send feeds `octets` and runs the session until it wants more.
  void Send(std::string_view octets);
  // SendInPieces feeds pieces of `piece_bytes` one by one, running the session behind each.
  void SendInPieces(std::string_view octets, size_t piece_bytes);
  void End();
  // Advance lets time pass and tells the session when its deadline did.
  void Advance(Duration duration);
  // Run runs the session until it wants input, TLS, or is closed.
  void Run();

  // TakeReplies returns what the server said since the last call.
  std::string TakeReplies() { return std::exchange(replies_, {}); }
  // TakeReplyLines is the same, cut into lines without CRLF.
  std::vector<std::string> TakeReplyLines();

  // log has one line for each event but the quiet ones: "mail-from <a@b>", "message-end 12",
  // "closed quit", …
  const std::vector<std::string>& log() const { return log_; }
  // messages has the text of each accepted message.
  const std::vector<std::string>& messages() const { return messages_; }
  bool closed() const { return closed_; }
  bool awaiting_tls() const { return awaiting_tls_; }
  void EstablishTls();
  ServerSession& session() { return session_; }
  Instant now() const { return now_; }
  // fault tells of a broken promise of the session ("" when none): checked in every run.
  const std::string& fault() const { return fault_; }

 private:
  void Flush();
  void CheckTransaction(const ServerEvent& event, const Decision* decision);

  Instant now_{1'000'000'000};
  ServerSession session_;
  Decider decider_;
  std::string replies_;
  std::vector<std::string> log_;
  std::vector<std::string> messages_;
  std::string body_;
  std::string fault_;
  bool closed_ = false;
  bool awaiting_tls_ = false;
  bool in_transaction_ = false;
};

}  // namespace postern::smtp
