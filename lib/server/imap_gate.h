// ImapGate answers the IMAP service of one loop from the configuration in force: who may log in,
// and which Maildir is theirs.
#pragma once

#include <map>
#include <mutex>

#include "lib/rt/durable_names.h"
#include "lib/rt/world.h"
#include "lib/server/local_targets.h"
#include "lib/server/login_gate.h"
#include "lib/server/runtime.h"
#include "lib/service/imap/backend.h"
#include "lib/store/mailbox/change_hub.h"
#include "lib/store/table/accounts.h"

namespace postern::server {

// MailStores keeps one opened store for each Maildir in use, so that all sessions of an account
// share it. Any thread.
class MailStores {
 public:
  MailStores(rt::World* world, mailbox::ChangeHub* hub) : world_(world), hub_(hub) {}
  // Open gives the store of the Maildir at `root`, used with the rights of `run_as` (unset: our
  // own). Blocks.
  StatusOr<std::shared_ptr<mailbox::MailStore>> Open(const std::string& root,
                                                     const std::optional<rt::Credentials>& run_as);

 private:
  rt::World* world_;
  mailbox::ChangeHub* hub_;
  rt::DurableNames names_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<mailbox::MailStore>> stores_;
};

class ImapGate final : public service::ImapBackend {
 public:
  // Everything given outlives the gate.
  ImapGate(rt::World* world, rt::Executor* loop, RuntimeHolder* runtimes, LocalTargets* targets,
           MailStores* stores, LoginGate* logins);

  rt::Task<StatusOr<service::ImapLogin>> Login(const service::ImapSessionFacts& facts,
                                               std::string user, std::string password) override;
  rt::Task<StatusOr<service::ImapLogin>> LoginBy(const service::ImapSessionFacts& facts,
                                                 sasl::Mechanism mechanism,
                                                 sasl::Credentials credentials,
                                                 bool proven) override;
  rt::Task<StatusOr<sasl::ScramSecret>> ScramSecretOf(const service::ImapSessionFacts& facts,
                                                      sasl::Mechanism mechanism,
                                                      std::string user) override;

 private:
  LoginPlace PlaceOf(const service::ImapSessionFacts& facts) const;

  rt::World* world_;
  rt::Executor* loop_;
  RuntimeHolder* runtimes_;
  LocalTargets* targets_;
  MailStores* stores_;
  LoginGate* logins_;
  store::SystemAccounts accounts_;
};

// FindMailbox tells which Maildir holds the mail of `user`: where the rules would deliver mail for
// that address (a login without a domain is a user of this server). kNotFound when they deliver it
// nowhere here, kUnimplemented when not into a Maildir. Blocks.
StatusOr<deliver::LocalTarget> FindMailbox(const Runtime& runtime, policy::AccountSource& accounts,
                                           LocalTargets& targets, const std::string& user);

}  // namespace postern::server
