// Runtime: a configuration with everything it points to loaded: tables, certificates, names. It
// never changes; a reload makes a new one, and what was begun under the old one ends under it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/core/policy/ruleset.h"
#include "lib/core/policy/table.h"
#include "lib/core/sasl/scram.h"
#include "lib/core/tls/config.h"
#include "lib/rt/world.h"
#include "lib/store/table/tables.h"

namespace postern::server {

class Runtime {
 public:
  // Load reads the tables and certificates of `config` and checks them; what is wrong is added to
  // `*diagnostics`, and the result is null when any of it is an error. `log` gets what befalls the
  // tables later; it outlives the result. `tables_as` is whom the programs behind tables run as
  // where we are root; unset: as we do. Blocks.
  static std::shared_ptr<const Runtime> Load(rt::World& world,
                                             std::shared_ptr<const policy::Config> config,
                                             std::string server_name,
                                             policy::Diagnostics* diagnostics,
                                             LogSink* log = nullptr,
                                             std::optional<rt::Credentials> tables_as = {});

  const policy::Config& config() const { return *config_; }
  const policy::TableSet& tables() const { return tables_->set(); }
  const policy::Ruleset& ruleset() const { return *ruleset_; }
  // memory_ruleset is the ruleset with tables that answer at once or not at all: a question to one
  // that would block is a temporary failure, and counted in table_misses. What it decides without a
  // new miss is what ruleset() decides. (Another thread's miss in between is taken for one's own:
  // then the question is asked once more, where it may block.)
  const policy::Ruleset& memory_ruleset() const {
    return memory_ruleset_ ? *memory_ruleset_ : *ruleset_;
  }
  uint64_t table_misses() const { return table_misses_.load(std::memory_order_relaxed); }
  const std::string& server_name() const { return server_name_; }

  // system_logins is the table of the system's password hashes.
  policy::Table& system_logins() const { return *system_logins_; }

  // ListenerTls gives the certificates of listener `index`; null without TLS.
  std::shared_ptr<const tls::ServerConfig> ListenerTls(int index) const;
  // KeyPairOf gives a certificate and key by index into Config::pkis, AuthoritiesOf the
  // certificates of a ca by index into Config::cas.
  const tls::KeyPair& KeyPairOf(int pki) const { return key_pairs_.at(static_cast<size_t>(pki)); }
  const std::string& AuthoritiesOf(int ca) const {
    return authorities_.at(static_cast<size_t>(ca));
  }
  // AuthTable gives the table that listener `index` checks logins in; kNoIndex: the system's
  // accounts.
  policy::TableId AuthTable(int index) const;
  // ScramSamples are a SCRAM secret for each hash of the table that listener `index` checks logins
  // in, as it was loaded. Without one, nobody there can log in by SCRAM with that hash.
  struct ScramSamples {
    std::optional<sasl::ScramSecret> sha1;
    std::optional<sasl::ScramSecret> sha256;
  };
  const ScramSamples& ScramSamplesOf(int index) const;
  // UpdateTable reloads one table by name; false, with the old contents in force, when something is
  // wrong. Blocks: on the pool only; one caller at a time.
  bool UpdateTable(std::string_view name, policy::Diagnostics* diagnostics) const {
    return tables_->Update(name, diagnostics);
  }
  // IsOwnAddress tells whether `address` is one of this machine's.
  bool IsOwnAddress(const IpAddress& address) const;

 private:
  Runtime() = default;

  std::shared_ptr<const policy::Config> config_;
  std::shared_ptr<store::ConfigTables> tables_;
  std::unique_ptr<policy::Table> system_logins_;
  policy::LocalNames local_;
  std::unique_ptr<const policy::Ruleset> ruleset_;
  policy::TableSet memory_tables_;
  std::unique_ptr<const policy::Ruleset> memory_ruleset_;  // null when no table blocks
  std::atomic<uint64_t> table_misses_{0};
  std::string server_name_;
  std::vector<tls::KeyPair> key_pairs_;
  std::vector<std::string> authorities_;
  std::vector<std::shared_ptr<const tls::ServerConfig>> listener_tls_;
  std::vector<ScramSamples> scram_samples_;  // of each listener
};

// RuntimeHolder gives the Runtime in force. Any thread.
class RuntimeHolder {
 public:
  explicit RuntimeHolder(std::shared_ptr<const Runtime> runtime) : runtime_(std::move(runtime)) {}
  std::shared_ptr<const Runtime> Get() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return runtime_;
  }
  // Set puts `runtime` into force. The actions of the old one that it does not have are kept for
  // the mail that waits for them, until there is one of that name again; kMaxKeptActions of them.
  void Set(std::shared_ptr<const Runtime> runtime);

  // FindAction gives the action called `name`, a local one or a relay, and the configuration that
  // it stands in: the one in force, or the last one that had it, before the start too
  // (action_archive.h). Null where none is known.
  struct FoundAction {
    std::shared_ptr<const Runtime> runtime;
    const policy::Action* action = nullptr;
  };
  FoundAction FindAction(const std::string& name, bool is_local) const;

  // An action by its name, and whether it is a local one.
  using ActionKey = std::pair<std::string, bool>;
  // Keep takes an action of before the start, unless it is known. Forget drops it, where it is
  // still `runtime`'s.
  void Keep(const ActionKey& key, std::shared_ptr<const Runtime> runtime);
  void Forget(const ActionKey& key, const std::shared_ptr<const Runtime>& runtime);

  static constexpr size_t kMaxKeptActions = 1000;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Runtime> runtime_;
  // by name and whether it is local: what a reload took away
  std::map<ActionKey, std::shared_ptr<const Runtime>> kept_;
};

// SetVersions puts what `protocols` of the language means into the bounds of a TLS configuration;
// empty: they stay.
void SetVersions(const std::string& protocols, tls::Version* least, tls::Version* most);

// DayOf counts the days since 1970-01-01, for SRS addresses.
int64_t DayOf(WallTime now);

// HostName is what a server is called whose configuration has no `mailname`: the first line of
// /etc/mail/mailname, or the host's full name. Blocks.
std::string HostName(rt::World& world);

}  // namespace postern::server
