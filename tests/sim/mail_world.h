// A world of mail: a client, our server mx-a.test, our second server mx-b.test as its next hop, and
// a zone for their names. The client keeps book of what it was promised, and afterwards the
// mailboxes are read from outside and compared with the book.
//
// Each time the client sends a message it is another *transmission*, with a text of its own. So it
// is known of each one what it may have become:
//  - its end was answered with 250: every recipient at mx-a.test has it exactly once, every one at
//  mx-b.test at least once;
//  - its end was sent and nothing came back: the same, or nobody has it. The client sends the
//  message again;
//  - anything else: nobody has it.
// Of what is for nobody at mx-b.test, the sender gets one notice in place of the copy, and no other
// notice.
#pragma once

#include "tests/sim/world.h"
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/server/server.h"

namespace postern::sim_test {

// MailServer is lib/server with a configuration, as an init system runs it.
class MailServer : public Program {
 public:
  // `health` outlives the program: what went wrong that no fault explains.
  MailServer(rt::sim::Host& host, const std::string& config, const store::QueueOptions& queue,
             LogSink* log, std::string* health);
  ~MailServer() override;
  rt::Task<void> Stop() override;
  // serving is true from the end of a good start to the stop.
  bool serving() const { return serving_; }
  store::Queue* queue() { return server_->queue(); }

 private:
  rt::Task<void> Start();

  rt::sim::Host& host_;
  rt::World& world_;
  LogSink* log_;
  std::string* health_;
  std::unique_ptr<server::Server> server_;
  rt::TaskGroup starting_;
  bool started_ = false;
  bool serving_ = false;
  bool stopping_ = false;
};

// Transmission is one message sent once.
struct Transmission {
  enum class Fate { kNothing, kAmbiguous, kAccepted };
  uint64_t message = 0;
  uint64_t attempt = 0;
  std::vector<std::string> recipients;
  size_t body_bytes = 0;
  Fate fate = Fate::kNothing;
  // Name is "m3.t1", and stands in the subject.
  std::string Name() const { return StrCat("m", message, ".t", attempt); }
  // Text is the whole message, lines ended with `eol`.
  std::string Text(std::string_view eol) const;
};

struct MailWorldOptions {
  uint64_t sessions = 2;  // clients at the same time
  uint64_t messages_per_session = 2;
  size_t large_body_bytes = 6'000;  // of one message in `large_every`; it has a file in the queue
  uint64_t large_every = 4;
  // mailboxes is how many more there are at a.test, box0, box1, …: each message goes to one of
  // them, so that a batch of deliveries changes many folders.
  uint64_t mailboxes = 0;
  uint64_t relay_connections = 0;  // at most, from a.test to b.test; 0: as many as there are
  bool tls = false;                // mail between the servers is encrypted
  // some mail is for nobody at b.test: it comes back as a notice to its sender
  bool bounces = false;
  // Checkpoints, messages that have a file and a log that is lengthened fit into a short life.
  store::QueueOptions queue = {
      .inline_body_bytes = 4'000, .wal_autocheckpoint_pages = 40, .log_growth_bytes = 20'000};
  Duration pause_max = absl::Milliseconds(20);  // between two messages of a session
  rt::sim::NameLoss name_loss = rt::sim::NameLoss::kPrefix;
  // Called before each start of a server but the first: to arm the next crash.
  std::function<void(rt::sim::Host& host)> before_restart;

  // MakeBurst asks for many messages at once, large ones, for many mailboxes: the queue's files and
  // those of the mailboxes are then made durable by syncs of the file system, and one connection
  // relays them all.
  void MakeBurst();
};

class MailWorld {
 public:
  MailWorld(Run& run, const MailWorldOptions& options);
  ~MailWorld();

  rt::sim::Host& a() { return *a_; }
  rt::sim::Host& b() { return *b_; }
  rt::sim::Host& client() { return *client_; }
  rt::sim::Simulation& simulation() { return run_.simulation(); }

  // Boot starts both servers.
  void Boot();
  // AwaitService runs until both serve, for scenarios whose faults must not strike the start.
  void AwaitService();
  // Send starts the client's sessions.
  void Send();
  // all_sent is true when each message got its 250.
  bool all_sent() const { return sending_.running() == 0; }
  // Settle runs until all is sent and both queues are empty; a failure when that takes more than
  // `patience`.
  void Settle(Duration patience = absl::Hours(12));
  // Judge stops the servers in good order and compares mailboxes and spools with the client's book.
  // A relayed message may be there `extra_copies` times more than once; where relay_connections is
  // set, all relayed messages together may be there so many times more for each connection.
  void Judge(uint64_t extra_copies);

  // failed_attempts is how often the delivery of one envelope was put off, at most.
  uint64_t failed_attempts() const;
  // replies counts the refusals and the answers to the end of data, by code.
  const std::map<int, uint64_t>& replies() const { return replies_; }
  const std::vector<std::unique_ptr<Transmission>>& transmissions() const { return transmissions_; }
  // crashes is how often both servers went down together.
  uint64_t crashes() const { return a_->crashes() + b_->crashes(); }
  MailServer* server_a() {
    return keeper_a_ ? static_cast<MailServer*>(keeper_a_->program()) : nullptr;
  }
  MailServer* server_b() {
    return keeper_b_ ? static_cast<MailServer*>(keeper_b_->program()) : nullptr;
  }

 private:
  class Sink;
  class Caller;

  void Furnish(rt::sim::Host& host);
  std::string ConfigOf(const std::string& domain, const std::string& address) const;
  rt::Task<void> SendMany(uint64_t session);
  std::string QueueLeft(rt::sim::Host& host, MailServer* server);
  void JudgeNotices();
  void JudgeHost(rt::sim::Host& host, const std::vector<std::string>& users, uint64_t extra_copies);
  void ReadMaildir(rt::sim::Host& host, const std::string& user,
                   std::map<std::string, uint64_t>* copies);

  Run& run_;
  MailWorldOptions options_;
  rt::sim::Host* a_ = nullptr;
  rt::sim::Host* b_ = nullptr;
  rt::sim::Host* client_ = nullptr;
  std::unique_ptr<Sink> log_a_;
  std::unique_ptr<Sink> log_b_;
  std::string broken_;
  std::vector<std::unique_ptr<Transmission>> transmissions_;
  std::map<int, uint64_t> replies_;
  uint64_t last_message_ = 0;
  bool give_up_ = false;  // the scenario failed: sessions end
  std::unique_ptr<Keeper> keeper_a_;
  std::unique_ptr<Keeper> keeper_b_;
  rt::TaskGroup sending_;
};

}  // namespace postern::sim_test
