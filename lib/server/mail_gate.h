// MailGate answers the SMTP service from the configuration in force: who may connect and log in,
// which recipients are taken and where they go, and how a message is made safe.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "lib/core/base/log.h"
#include "lib/core/policy/expansion.h"
#include "lib/rt/world.h"
#include "lib/server/hooks.h"
#include "lib/server/local_targets.h"
#include "lib/server/login_gate.h"
#include "lib/server/runtime.h"
#include "lib/service/filter/milter_rest.h"
#include "lib/service/resolve/resolver.h"
#include "lib/service/smtp/backend.h"
#include "lib/store/queue/queue.h"
#include "lib/store/table/accounts.h"

namespace postern::server {

class FilterPrograms;

struct MailGateLimits {
  // Sessions at a time: more are told 421 before the greeting.
  size_t max_sessions = 20'000;
  // … of one IPv4 address or one IPv6 network (/64); this machine's own addresses are exempt. A net
  // of bots may fill its share, not the server.
  size_t max_sessions_per_address = 100;
  // How long the client's name is looked for.
  Duration reverse_name_timeout = absl::Seconds(3);
  // How far a recipient is expanded.
  policy::ExpansionOptions expansion;
  // The folder for what filters hold of large messages; empty: they hold what fits in memory.
  std::string filter_spool;
};

class MailGate final : public service::SmtpBackend {
 public:
  // Everything given outlives the gate. `runtimes` gives the configuration in force. One gate
  // serves all loops.
  MailGate(rt::World* world, RuntimeHolder* runtimes, store::Queue* queue,
           resolve::Resolver* resolver, const Hooks* hooks, LoginGate* logins, LogSink* log,
           MailGateLimits limits);

  // UsePrograms names the filter programs, which outlive it. Before the first session.
  void UsePrograms(const FilterPrograms* programs) { programs_ = programs; }

  std::optional<mail::Reply> Greet(const service::SmtpSessionFacts& facts) override;
  void Left(const service::SmtpSessionFacts& facts) override;
  rt::Task<std::string> ReverseName(rt::Executor& loop, IpAddress address) override;
  rt::Task<bool> ReverseNameLeadsBack(rt::Executor& loop, std::string name,
                                      IpAddress address) override;
  std::unique_ptr<service::SessionFilter> NewFilter(
      rt::Executor& loop, const service::SmtpSessionFacts& facts) override;
  rt::Task<StatusOr<std::optional<std::string>>> Authenticate(
      rt::Executor& loop, const service::SmtpSessionFacts& facts, std::string user,
      std::string password) override;
  rt::Task<StatusOr<std::optional<std::string>>> AuthenticateBy(
      rt::Executor& loop, const service::SmtpSessionFacts& facts, sasl::Mechanism mechanism,
      sasl::Credentials credentials, bool proven) override;
  rt::Task<StatusOr<sasl::ScramSecret>> ScramSecretOf(rt::Executor& loop,
                                                      const service::SmtpSessionFacts& facts,
                                                      sasl::Mechanism mechanism,
                                                      std::string user) override;
  rt::Task<std::string> HostName(rt::Executor& loop,
                                 const service::SmtpSessionFacts& facts) override;
  rt::Task<std::optional<mail::Reply>> CheckSender(rt::Executor& loop,
                                                   const service::SmtpSessionFacts& facts,
                                                   const mail::ReversePath& sender) override;
  rt::Task<service::RecipientVerdict> CheckRecipient(rt::Executor& loop,
                                                     const service::SmtpSessionFacts& facts,
                                                     const mail::ReversePath& sender,
                                                     const mail::ForwardPath& recipient) override;
  rt::Task<StatusOr<std::unique_ptr<service::IncomingMessage>>> NewMessage(
      rt::Executor& loop, const service::SmtpSessionFacts& facts,
      const mail::ReversePath& sender) override;

  // ExpansionOf lends where the recipient of a RecipientVerdict's ticket goes.
  static const policy::Expansion& ExpansionOf(const std::shared_ptr<const void>& ticket);

 private:
  // CheckOwnSender is CheckSender where no table says what a login may send as.
  rt::Task<std::optional<mail::Reply>> CheckOwnSender(rt::Executor& loop,
                                                      std::shared_ptr<const Runtime> runtime,
                                                      policy::SendersRule rule,
                                                      const service::SmtpSessionFacts& facts,
                                                      const mail::Address& sender);

  rt::World* world_;
  rt::Clock* clock_;
  RuntimeHolder* runtimes_;
  store::Queue* queue_;
  resolve::Resolver* resolver_;
  const Hooks* hooks_;
  LoginGate* logins_;
  LogSink* log_;
  const FilterPrograms* programs_ = nullptr;
  MailGateLimits limits_;
  LocalTargets targets_;
  store::SystemAccounts accounts_;
  store::RecentAccounts recent_accounts_;
  service::MilterRests milter_rests_;

  std::mutex mutex_;
  size_t sessions_ = 0;
  std::map<std::string, size_t, std::less<>> sessions_by_share_;
};

// EnvelopesFor makes the queue's envelopes of what expansion found for one recipient.
std::vector<queue::Envelope> EnvelopesFor(const Runtime& runtime,
                                          const service::SmtpSessionFacts& facts,
                                          const mail::ReversePath& sender,
                                          const mail::ForwardPath& recipient,
                                          const policy::Expansion& expansion);

}  // namespace postern::server
