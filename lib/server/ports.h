// Ports: the addresses that the server listens on. A configuration's are opened before those that
// it has no more are closed, or none; what is served on the others does not notice.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/server/acceptor.h"
#include "lib/server/listener_slot.h"

namespace postern::server {

// Ports is made, started and stopped on the main loop; Open, OpenSocket, Adopt and endpoints may be
// called on any thread, one of the first three at a time.
class Ports {
  struct Port {
    Endpoint asked;
    std::shared_ptr<Acceptor> acceptor;
    std::shared_ptr<ListenerSlot> slot;
  };
  // TakenBack is what an earlier reload gave up and a plan has a use for, before it was closed.
  // What no Adopt takes from it is given up again.
  struct TakenBack {
    explicit TakenBack(Ports* owner) : ports_of(owner) {}
    ~TakenBack() { ports_of->GiveUp(std::move(ports)); }
    TakenBack(const TakenBack&) = delete;
    TakenBack& operator=(const TakenBack&) = delete;
    Ports* ports_of;
    std::vector<Port> ports;
  };

 public:
  // HandlerFor gives what becomes of the connections of a listener bound to `local`.
  using HandlerFor =
      std::function<Acceptor::Handler(std::shared_ptr<ListenerSlot> slot, const Endpoint& local)>;

  // Plan is the listeners of a configuration, each of them open, not yet served under it. Dropped,
  // it closes what was opened for it. The ports outlive it.
  class Plan {
   private:
    friend class Ports;
    struct Item {
      Endpoint asked;
      int index = policy::kNoIndex;  // into Config::listeners; kNoIndex: the socket without a line
      std::shared_ptr<Acceptor> kept;  // open already; or
      std::shared_ptr<ListenerSlot> kept_slot;
      std::unique_ptr<rt::Listener> opened;  // opened for this
    };
    std::shared_ptr<const Runtime> runtime_;
    std::vector<Item> items_;
    std::unique_ptr<TakenBack> taken_back_;
  };

  // `world` and `log` outlive the ports.
  Ports(rt::World* world, LogSink* log, HandlerFor handler_for);

  // Open opens the addresses of `runtime` that are not open. An error names the line that could not
  // be, and then nothing has changed.
  StatusOr<Plan> Open(std::shared_ptr<const Runtime> runtime);
  // OpenSocket adds the local submission socket in the folder `spool`, which always exists: a line
  // gives it options. Everybody on this machine may hand in mail there: who it was, the system
  // says. Where no line asks for it, a server that cannot have it (no spool, a path that is too
  // long for a socket) does without, and says so in the log.
  Status OpenSocket(const std::string& spool, Plan* plan);

  // Adopt serves by `plan` and closes what is not in it; sessions go on to their ends. It takes
  // effect at once on the main loop, soon on another thread.
  void Adopt(Plan plan);

  // Stop closes all and returns when nothing more is accepted.
  rt::Task<void> Stop();

  // PauseSmtp lets clients of the SMTP listeners wait, those of a later configuration too, until
  // ResumeSmtp; the socket in the spool goes on. Main loop.
  void PauseSmtp();
  void ResumeSmtp();
  bool smtp_paused() const { return smtp_paused_; }

  // endpoints are the addresses of the listen lines, in the order of the configuration.
  std::vector<Endpoint> endpoints() const;

  // SmtpListenerAt gives the tag of the listener for SMTP to which a connection from this machine
  // to `address` and `port` comes; nullopt where it comes to somebody else. Any thread.
  std::optional<std::string> SmtpListenerAt(const IpAddress& address, uint16_t port) const;

 private:
  // Change is what the main loop does of an Adopt.
  struct Change {
    std::shared_ptr<Acceptor> acceptor;
    Acceptor::Handler handler;
    bool is_new = false;
    bool pausable = false;
  };

  // Keep moves an open port for `asked` into `item`; false when there is none. It may be one that
  // was given up a moment ago: then the main loop will not close it.
  bool Keep(const Endpoint& asked, std::vector<Port>* open, Plan::Item* item, Plan* plan);
  // GiveUp has the main loop close `ports`, unless a plan takes them back first.
  void GiveUp(std::vector<Port> ports);
  std::string OwnListenerInTheWay(const Endpoint& asked) const;
  void Apply(const std::vector<Change>& changes);
  void CloseLeaving();
  static rt::Task<void> StopOne(std::shared_ptr<Acceptor> acceptor);
  void Log(LogLevel level, std::string event, std::string_view field, std::string value);

  rt::World* world_;
  LogSink* log_;
  HandlerFor handler_for_;
  mutable std::mutex mutex_;  // guards the next three
  std::vector<Port> ports_;
  std::vector<Port> leaving_;  // given up, and not closed yet
  bool stopped_ = false;
  std::atomic<bool> smtp_paused_ = false;
  rt::TaskGroup closing_;
};

}  // namespace postern::server
