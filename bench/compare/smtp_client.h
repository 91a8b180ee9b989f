// A lean SMTP client for measurements: many sessions on one thread over epoll, no allocation in the
// steady state, no pipelining (each command waits for its reply, as the generators of other mail
// servers do), TLS by lib/core/tls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/tls/engine.h"

namespace postern::bench {

// NowNs is the monotonic clock in nanoseconds.
int64_t NowNs();

struct ClientOptions {
  uint16_t port = 2525;
  bool starttls = false;
  size_t message_bytes = 4096;  // of the whole message, header and body
  size_t messages_per_connection = 1;
  size_t users = 1;  // recipients are <prefix>0@domain, <prefix>1@domain, … in turn
  std::string recipient_prefix = "bench";
  std::string recipient_domain = "example.test";
  size_t source_addresses = 1;           // 127.0.0.1 onwards are connected from, in turn
  int64_t patience_ns = 30'000'000'000;  // without any progress of a session: it failed
  bool only_greet = false;  // say EHLO (and do the handshake) and then nothing: an idle session
};

// Session is one connection at a time; its owner, Driver, moves it on.
struct Session {
  enum class State : uint8_t {
    kIdle,  // no connection
    kConnect,
    kGreeting,
    kHello,
    kStartTls,
    kHandshake,
    kTlsHello,
    kMail,
    kRcpt,
    kData,
    kText,
    kQuit,
    kHeld,  // only_greet: open and quiet
  };
  State state = State::kIdle;
  int fd = -1;
  uint32_t interest = 0;
  size_t left_on_connection = 0;
  int64_t message_start_ns = 0;
  int64_t progress_ns = 0;
  std::string in;   // an unfinished reply line
  std::string out;  // what the socket did not take
  std::unique_ptr<tls::Engine> engine;
};

struct Outcome {
  uint64_t accepted = 0;
  uint64_t failed = 0;
  int64_t start_ns = 0;
  int64_t last_accept_ns = 0;
  std::vector<uint32_t> latencies_us;   // of accepted messages: from connect (or MAIL on an open
                                        // connection) to the 250
  std::vector<std::string> complaints;  // the first few unexpected replies
};

class Driver {
 public:
  explicit Driver(ClientOptions options);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Send sends `messages` by `sessions` at a time and returns once each was accepted or failed.
  // `also_fd`, when not -1, is watched as well and `on_also` called when it is readable.
  Outcome Send(size_t sessions, size_t messages, int also_fd = -1,
               const std::function<void()>& on_also = nullptr);

  // Hold opens `sessions` idle ones, at most `at_once` being opened at a time, and returns how many
  // are held. They stay open until the Driver is destroyed.
  size_t Hold(size_t sessions, size_t at_once, Outcome* outcome);
  // StillHeld counts the held sessions that the server has not closed.
  size_t StillHeld();

 private:
  void Open(Session& session);
  void Close(Session& session);
  void Fail(Session& session, std::string_view why);
  void OnReady(Session& session, uint32_t events);
  void Pull(Session& session);
  void OnOctets(Session& session, std::string_view octets);
  void OnReply(Session& session, int code, std::string_view line);
  void StepHandshake(Session& session);
  void Say(Session& session, std::string_view text);
  void SayRaw(Session& session, std::string_view octets);
  void StartMessage(Session& session);
  void Watch(Session& session, bool write);
  void Turn(int timeout_ms);
  void DropImpatient();

  ClientOptions options_;
  int epoll_ = -1;
  std::string text_;  // the message with its dot
  std::shared_ptr<const tls::ClientConfig> tls_;
  std::vector<std::unique_ptr<Session>> sessions_;
  size_t to_start_ = 0;  // messages that no session has taken yet
  size_t opening_ = 0;
  size_t held_ = 0;
  size_t next_user_ = 0;
  size_t next_source_ = 0;
  int also_fd_ = -1;
  std::function<void()> on_also_;
  Outcome outcome_;
};

// Percentile gives the value at `fraction` of the sorted `values`; 0 without any.
uint32_t Percentile(const std::vector<uint32_t>& values, double fraction);

}  // namespace postern::bench
