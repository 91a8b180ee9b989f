// ImapServerHarness: an IMAP service over memory stores in a simulated world, and clients that talk
// to it as they like.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/service/imap/service.h"
#include "lib/store/mailbox/memory_store.h"

namespace postern::service {

class ImapServerHarness final : public ImapBackend {
 public:
  struct Options {
    uint64_t seed = 1;
    imap::ServerOptions session;
    ImapServiceOptions service;
    bool tls = true;  // the connection counts as TLS from the start; false: STARTTLS is offered
                      // (and the handshake is nothing)
  };
  explicit ImapServerHarness(Options options);
  ~ImapServerHarness() override;

  // AddUser makes an account with an empty INBOX.
  mailbox::MailStore& AddUser(const std::string& user, const std::string& password,
                              const mailbox::MemoryStoreOptions& store = {});
  mailbox::MailStore& store(const std::string& user) { return *accounts_.at(user).store; }

  // Connect opens a connection and returns its number.
  size_t Connect();
  // Send writes octets and lets the world run until the server is quiet.
  void Send(size_t client, std::string_view octets);
  // Take returns what the client has received since the last call.
  std::string Take(size_t client);
  bool closed(size_t client) const { return clients_[client]->closed; }
  void Disconnect(size_t client);

  void RunFor(Duration duration) { simulation_.RunFor(duration); }
  void Stop();
  rt::sim::Simulation& simulation() { return simulation_; }
  const std::vector<std::string>& log() const { return log_.lines; }

 private:
  struct Account {
    std::string password;
    std::shared_ptr<mailbox::MailStore> store;
  };
  struct Client {
    std::unique_ptr<rt::Stream> stream;
    std::string received;
    bool closed = false;
  };
  struct Lines final : LogSink {
    void Write(const LogRecord& record) override { lines.push_back(FormatLogRecord(record)); }
    std::vector<std::string> lines;
  };

  rt::Task<StatusOr<ImapLogin>> Login(const ImapSessionFacts& facts, std::string user,
                                      std::string password) override;
  static rt::Task<void> ReadAll(Client* client);
  static rt::Task<void> WriteAll(Client* client, std::string octets);

  rt::sim::Simulation simulation_;
  rt::sim::Host* server_;
  rt::sim::Host* client_host_;
  Lines log_;
  std::map<std::string, Account> accounts_;
  std::shared_ptr<ImapListener> listener_;
  std::unique_ptr<ImapService> service_;
  std::unique_ptr<rt::Listener> port_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<rt::TaskGroup> tasks_;
  bool stopped_ = false;
};

}  // namespace postern::service
