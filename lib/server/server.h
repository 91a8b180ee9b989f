// Server: a mail server made from one configuration, on a World. It assembles the parts and knows
// their order of birth and death; what they do is theirs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/policy/config_copy.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/parse.h"
#include "lib/rt/world.h"
#include "lib/server/acceptor.h"
#include "lib/server/hooks.h"
#include "lib/service/resolve/resolver.h"
#include "lib/service/schedule/queue_audit.h"
#include "lib/store/queue/queue.h"

namespace postern::server {

struct ServerOptions {
  // The configuration: `config_text` when it is set (`config_name` then names it in errors), else
  // the file `config_path`.
  std::optional<std::string> config_text;
  std::string config_name = "<text>";
  std::string config_path;
  std::vector<std::pair<std::string, std::string>> macros;  // -D
  std::string spool_path;                                   // wins over the configuration's `spool`
  bool in_memory = false;                                   // the queue is kept in memory
  Hooks hooks;
  store::QueueOptions queue;
  // queue_key is the key of `queue encryption` where the configuration does not have it.
  std::string queue_key;
  schedule::QueueAuditOptions audit;
  // how long sessions may take to leave when a start fails half-way
  Duration farewell = absl::Seconds(5);
  // become, if set, is called once in Start, when the ports are bound and `spool` is made (empty:
  // in memory) and before anything is written: there the process gives its privileges up.
  std::function<Status(const std::string& spool)> become;
  // account is what a process of root's becomes, or would if it were the server: the programs
  // behind tables run as it from the first. Unset: as the process does.
  std::optional<rt::Account> account;
  // control: the operator's socket is opened (`control socket` in the configuration, else
  // control.sock in the spool), and mail that was handed in while no server ran is taken up.
  bool control = true;
  // log_level is the least level that the log gets, until `postern ctl log` changes it.
  LogLevel log_level = LogLevel::kDebug;
  // how long a start waits for filter programs to register, as one that does not answer holds up
  // the listeners of the others, too; for one that ends it does not wait. The listeners of those
  // that have not by then refuse for now
  Duration filters_ready = absl::Seconds(5);
  // resolver answers DNS questions in place of the configuration's; it outlives the server. Null:
  // as the configuration says.
  resolve::Resolver* resolver = nullptr;
};

// Submission is a message handed in by the program itself.
struct Submission {
  std::string reverse_path;
  std::vector<std::string> recipients;
  std::string content;  // lines end in LF or CRLF
  // uid is of the user who handed it in by a program of this machine, as the system says; unset:
  // the program itself does. login is what he says his name is, which is believed where the account
  // of that name is his.
  std::optional<uint32_t> uid;
  std::string login;
  uint8_t dsn_notify = mail::kNotifyUnset;  // RFC 3461, for each recipient
  mail::DsnReturn dsn_return = mail::DsnReturn::kUnset;
  std::string envelope_id;  // ENVID
};

struct SubmissionResult {
  Status status;      // of the submission as such: kInvalidArgument, a malformed address
  mail::Reply reply;  // what an SMTP client would have been told: of the first refused recipient,
                      // or of the message
  std::string message_id;
  std::string session;  // for the log
};

class ListenerSlot;
class Runtime;

// LoadedConfig is a configuration that was read and found good, and everything it points to.
struct LoadedConfig {
  std::shared_ptr<const Runtime> runtime;
  policy::Diagnostics diagnostics;  // warnings, too
  policy::ConfigCopy copy;          // of the files that were read
};

// LoadConfig reads the configuration and everything it points to, changes nothing and opens no
// port: what `postern check` and a start have in common. `runtime` is null when something is wrong.
// `log` gets what befalls the tables of a server that runs, and outlives the runtime.
// Blocks.
LoadedConfig LoadConfig(rt::World& world, const ServerOptions& options, LogSink* log = nullptr);

// Server is used on the main loop of its World, except where said otherwise.
class Server {
 public:
  // Create takes a configuration that LoadConfig found good. `world` and `log` outlive the server.
  // Nothing is opened yet.
  static std::unique_ptr<Server> Create(rt::World* world, ServerOptions options,
                                        LoadedConfig config, LogSink* log);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Start opens the queue and every listener, or nothing: after an error all that was opened is
  // closed again. An error about a listener names the configuration's line.
  rt::Task<Status> Start();

  // Stop closes the listeners, lets sessions and deliveries in flight finish for at most `grace`,
  // and closes the queue. Await it before the server goes away, if Start succeeded or threw; and
  // the world's other loops must have ended (or be this thread's) before it does.
  rt::Task<void> Stop(Duration grace);

  // Reload reads the configuration anew from where it came and takes it for listeners,
  // certificates, tables, rules and actions. New addresses are opened before old ones are closed;
  // sessions go on to their ends, those of a line that is gone under the old configuration; queued
  // mail whose action is gone keeps it. `*diagnostics` says what is wrong with the file.
  // kInvalidArgument, and the reason why an address cannot be opened (the message names the line),
  // leave the old one in force, and so does kFailedPrecondition: a listener needs privileges that
  // were given up at the start (privileges.h). Limits, intervals, the disk's reserve and the
  // resolver's zone are those of the new one for what begins from then on. The spool stays where it
  // is, with a warning, until a restart, and is written as before (`queue compression`, `queue
  // encryption`). Any thread; blocks.
  Status Reload(policy::Diagnostics* diagnostics);

  // Submit queues a message as if it came by the local socket.
  rt::Task<SubmissionResult> Submit(Submission submission);

  // endpoints are the addresses that Start bound, in the order of the configuration.
  const std::vector<Endpoint>& endpoints() const;

  store::Queue* queue();

  // Metrics are the server's numbers as OpenMetrics text. On the main loop, after Start.
  rt::Task<std::string> Metrics();

 private:
  struct Parts;
  static Acceptor::Handler HandlerFor(Parts* parts, std::shared_ptr<ListenerSlot> slot,
                                      const Endpoint& local);
  static void Configure(Parts* parts, const Runtime& runtime);
  static rt::Task<void> ForgetUnusedActions(Parts* parts);
  static void MakeControl(Parts* parts, Server* server);
  static void StartControl(Parts* parts, Server* server);
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace postern::server
