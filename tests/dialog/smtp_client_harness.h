// Drives a smtp::ClientSession the way a relay would, without a network: for tests and fuzzing.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/smtp/client_session.h"

namespace postern::smtp {

class ClientHarness {
 public:
  explicit ClientHarness(ClientOptions options = {}, bool tls = false);

  // Server feeds `octets` from the server and runs the session until it wants more or is ready.
  void Server(std::string_view octets);
  void End();
  void Advance(Duration duration);
  void Run();

  // Sent returns what the client said since the last call.
  std::string Sent() { return std::exchange(sent_, {}); }

  void set_body(std::string body) { body_ = std::move(body); }
  void set_body_piece(size_t bytes) { body_piece_ = bytes; }
  // Message begins a message from a@example.net to `recipients` (local parts at example.org).
  bool Message(const std::vector<std::string>& recipients);

  const std::vector<std::string>& log() const { return log_; }
  const std::vector<RecipientResult>& results() const { return results_; }
  bool ready() const { return ready_; }
  bool closed() const { return closed_; }
  bool awaiting_tls() const { return awaiting_tls_; }
  void EstablishTls();
  ClientSession& session() { return session_; }
  const std::string& fault() const { return fault_; }

 private:
  void Flush();

  Instant now_{1'000'000'000};
  ClientSession session_;
  std::string sent_;
  std::string body_ = "Subject: x\r\n\r\nhello\r\n";
  size_t body_at_ = 0;
  size_t body_piece_ = 1 << 20;
  std::vector<std::string> log_;
  std::vector<RecipientResult> results_;
  std::string fault_;
  size_t recipients_ = 0;
  bool in_message_ = false;
  bool ready_ = false;
  bool closed_ = false;
  bool awaiting_tls_ = false;
};

}  // namespace postern::smtp
