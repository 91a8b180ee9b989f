// Connection is one SMTP connection to another server: the stream, core/smtp's client session, and
// the pumping between them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/smtp/client_session.h"
#include "lib/rt/world.h"
#include "lib/service/relay/route_source.h"
#include "lib/store/queue/queue.h"

namespace postern::relay {

// Opened is how opening a connection ended.
struct Opened {
  enum class Kind : uint8_t {
    kReady,        // a message may be sent
    kUnreachable,  // no connection, no good greeting, no AUTH: try another server
    kTlsFailed,    // TLS failed, or is required and refused
  };
  Kind kind = Kind::kUnreachable;
  mail::Reply reason;  // unless kReady
  // server_reply is what the server said, where it was a refusal of its own: of the connection, of
  // EHLO or HELO, of STARTTLS, of AUTH. `reason` is the same, or our words that end with
  // schedule::AnswerMark(host) and it.
  std::optional<mail::Reply> server_reply;
};

class Connection {
 public:
  // `world` and `log` outlive it. `session_id` is for logs.
  Connection(rt::World& world, rt::Executor& loop, LogSink& log,
             std::shared_ptr<const RelaySettings> settings, queue::RelayTarget target,
             std::string session_id);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Open connects, says hello, and does TLS and AUTH as `tls` and the settings ask.
  rt::Task<Opened> Open(queue::RelayTls tls, Instant deadline);

  // Send sends one message and returns the fate of each recipient, in their order. `body` outlives
  // the call.
  rt::Task<std::vector<smtp::RecipientResult>> Send(smtp::OutgoingMessage message,
                                                    const store::Body& body);

  // WithoutScram has it log in by the password alone. scram_refused tells that this is what the
  // server took where it had refused SCRAM (Open has ended).
  void WithoutScram() { without_scram_ = true; }
  bool scram_refused() const { return session_->scram_refused(); }

  // Own keeps something alive for as long as the connection lives: its shares of the limits.
  void Own(std::shared_ptr<void> place) { owned_ = std::move(place); }

  // Quit says good-bye and closes. It does not take longer than the session's quit_timeout.
  rt::Task<void> Quit();

  // Close drops the connection at once; whoever waits in it gets made-up results.
  void Close() noexcept;

  // usable tells whether another message may be sent.
  bool usable() const { return usable_; }
  size_t messages() const { return messages_; }
  // CountFailure counts a recipient that the server refused; failures is how many there were.
  void CountFailure() { ++failures_; }
  size_t failures() const { return failures_; }
  // begun is when it was made.
  Instant begun() const { return begun_; }
  // last_used is when the last message was over.
  Instant last_used() const { return last_used_; }
  const RelaySettings& settings() const { return *settings_; }
  const queue::RelayTarget& target() const { return target_; }
  const smtp::ServerOffer& offer() const { return session_->offer(); }
  // local_address is ours; empty before Open.
  const std::string& local_address() const { return local_address_; }

 private:
  rt::Task<smtp::ClientEvent> Next();
  rt::Task<Status> Flush(Instant deadline);
  rt::Task<Opened> Greet(queue::RelayTls tls);
  mail::Reply Refused(std::string_view what, const smtp::ClientEvent& event) const;
  rt::Task<Status> SendBody(const store::Body& body);
  Status Pull();
  void Log(std::string event, std::vector<LogField> fields);

  std::shared_ptr<void> owned_;
  rt::World& world_;
  rt::Executor& loop_;
  LogSink& log_;
  std::shared_ptr<const RelaySettings> settings_;
  queue::RelayTarget target_;
  std::string session_id_;
  std::shared_ptr<const smtp::ClientOptions> options_;
  std::unique_ptr<rt::Stream> stream_;
  std::unique_ptr<smtp::ClientSession> session_;
  std::string unfed_;  // read, and not yet taken by the session
  std::string local_address_;
  bool closed_ = false;
  bool usable_ = false;
  bool without_scram_ = false;
  size_t messages_ = 0;
  size_t failures_ = 0;
  const Instant begun_;
  Instant last_used_;
};

}  // namespace postern::relay
