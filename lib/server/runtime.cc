#include "lib/server/runtime.h"

#include <map>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/password.h"
#include "lib/core/tls/certificate.h"
#include "lib/server/authorities.h"
#include "lib/store/table/accounts.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Diagnostics;
using policy::Listener;
using policy::ListenerTls;
using policy::Pki;

constexpr uint64_t kMaxPemFileBytes = tls::kMaxPemBytes;
constexpr char kMailnamePath[] = "/etc/mail/mailname";

// LoadedPki is a pki whose files were read and fit together.
struct LoadedPki {
  tls::KeyPair pair;
  bool usable = false;
};

// ReadPem reads the file of `what` ("key of pki "p""). Empty, with an error at `at` unless the path
// itself is missing, which the parser tells.
std::string ReadPem(rt::World& world, const std::string& path, const std::string& what,
                    const policy::SourceLocation& at, Diagnostics* diagnostics) {
  if (path.empty()) return "";
  StatusOr<std::string> text = store::ReadTextFile(world.files(), path, kMaxPemFileBytes);
  if (text.ok() && text->empty()) text = InvalidArgument(StrCat(path, " is empty"));
  if (text.ok()) return *std::move(text);
  diagnostics->push_back(policy::MakeError(at, StrCat(what, ": ", Message(text.status()))));
  return "";
}

// WarnOfOpenKey warns of a private key that others may read or change, beyond 0740.
void WarnOfOpenKey(rt::World& world, const Pki& pki, Diagnostics* diagnostics) {
  rt::OpenOptions options;
  options.follow_symlink = true;
  const StatusOr<std::unique_ptr<rt::File>> file = world.files().Open(pki.key_path, options);
  if (!file.ok()) return;
  const StatusOr<rt::FileInfo> info = (*file)->Stat();
  constexpr uint32_t kOthers = 0007;
  constexpr uint32_t kGroupWrites = 0020;
  if (!info.ok() || (info->mode & (kOthers | kGroupWrites)) == 0) return;
  if ((info->mode & kOthers) == 0) {
    diagnostics->push_back(policy::MakeWarning(
        pki.key_location, StrCat("key of pki \"", pki.name, "\": its group may change ",
                                 pki.key_path, ": chmod g-w keeps it as it is")));
    return;
  }
  diagnostics->push_back(policy::MakeWarning(
      pki.key_location, StrCat("key of pki \"", pki.name, "\": everybody on this machine may read ",
                               pki.key_path, ": chmod 0600 keeps it secret")));
}

// LoadAuthority reads the certificates of a ca, used or not: a wrong path is a mistake. Empty after
// one.
std::string LoadAuthority(rt::World& world, const policy::CertificateAuthority& ca,
                          Diagnostics* diagnostics) {
  const std::string pem =
      ReadPem(world, ca.certificate_path, StrCat("certificate of ca \"", ca.name, "\""),
              ca.certificate_location, diagnostics);
  if (pem.empty()) return pem;
  const StatusOr<std::vector<tls::CertificateInfo>> read = tls::ReadCertificates(pem);
  if (read.ok()) return pem;
  diagnostics->push_back(policy::MakeError(
      ca.certificate_location, StrCat(ca.certificate_path, ": ", Message(read.status()))));
  return "";
}

// CheckUsers looks for the accounts that actions deliver as. A directory that does not answer now
// may do so when mail comes.
void CheckUsers(rt::World& world, const Config& config, Diagnostics* diagnostics) {
  for (const policy::Action& action : config.actions) {
    if (action.user.empty()) continue;
    const StatusOr<rt::Account> account = world.processes().FindAccount(action.user);
    if (account.ok() || account.status().code() != StatusCode::kNotFound) continue;
    diagnostics->push_back(
        policy::MakeError(action.options.Find("user", action.location),
                          StrCat("user \"", Escape(action.user, 80),
                                 "\": no account of this machine has that name")));
  }
}

LoadedPki LoadPki(rt::World& world, const Pki& pki, Diagnostics* diagnostics) {
  LoadedPki loaded;
  loaded.pair.name = pki.name;
  const std::string certificate =
      ReadPem(world, pki.certificate_path, StrCat("certificate of pki \"", pki.name, "\""),
              pki.certificate_location, diagnostics);
  const std::string key = ReadPem(world, pki.key_path, StrCat("key of pki \"", pki.name, "\""),
                                  pki.key_location, diagnostics);
  if (!key.empty()) WarnOfOpenKey(world, pki, diagnostics);
  if (certificate.empty() || key.empty()) return loaded;
  const StatusOr<std::vector<tls::CertificateInfo>> chain = tls::ReadCertificates(certificate);
  if (!chain.ok()) {
    diagnostics->push_back(policy::MakeError(
        pki.certificate_location, StrCat(pki.certificate_path, ": ", Message(chain.status()))));
    return loaded;
  }
  const Status fits = tls::CheckKeyPair(certificate, key);
  if (!fits.ok()) {
    diagnostics->push_back(
        policy::MakeError(pki.key_location, StrCat("pki \"", pki.name, "\" (", pki.certificate_path,
                                                   ", ", pki.key_path, "): ", Message(fits))));
    return loaded;
  }
  const Status valid = tls::CheckValidity(chain->front(), world.clock().WallNow());
  if (!valid.ok()) {
    diagnostics->push_back(policy::MakeWarning(pki.certificate_location,
                                               StrCat(pki.certificate_path, ": ", Message(valid))));
  }
  loaded.pair.certificate_pem = certificate;
  loaded.pair.key_pem = key;
  loaded.usable = true;
  return loaded;
}

// NotFromMemory stands for a table that would have to wait.
class NotFromMemory final : public policy::Table {
 public:
  explicit NotFromMemory(std::atomic<uint64_t>* misses) : misses_(misses) {}
  StatusOr<std::optional<std::string>> Lookup(policy::Service, std::string_view) override {
    return Miss();
  }
  StatusOr<std::optional<std::string>> Fetch(policy::Service) override { return Miss(); }
  bool Blocks() const override { return false; }

 private:
  Status Miss() {
    misses_->fetch_add(1, std::memory_order_relaxed);
    return Unavailable("not known from memory");
  }
  std::atomic<uint64_t>* misses_;
};

// PkisOf lists the certificates of a listener, the default first: those it names; else all that
// there are, beginning with the one named like the server, else with "*".
std::vector<int> PkisOf(const Config& config, const Listener& listener,
                        const std::string& server_name) {
  if (!listener.pkis.empty()) return listener.pkis;
  std::vector<int> order;
  const std::string& name = listener.hostname.empty() ? server_name : listener.hostname;
  for (const int first : {config.FindPki(name), config.FindPki("*")}) {
    if (first != policy::kNoIndex && std::find(order.begin(), order.end(), first) == order.end())
      order.push_back(first);
  }
  for (int i = 0; i < static_cast<int>(config.pkis.size()); ++i) {
    if (std::find(order.begin(), order.end(), i) == order.end()) order.push_back(i);
  }
  return order;
}

// CheckCiphers tells of a cipher string that is wrong. `whose` is put before it.
bool CheckCiphers(const char* whose, const std::string& ciphers, const policy::SourceLocation& at,
                  Diagnostics* diagnostics) {
  const Status status = tls::CheckCiphers(ciphers);
  if (!status.ok()) {
    diagnostics->push_back(policy::MakeError(
        at, StrCat(whose, Message(status),
                   " (OpenSSL's names with : between them, like \"ECDHE+AESGCM\")")));
  }
  return status.ok();
}

// UseClientCertificates asks clients for certificates where the listener wants them: `verify`
// demands one, `ca` alone takes a good one or none. What is wrong with the file of a ca was told
// where it is declared.
bool UseClientCertificates(rt::World& world, const std::vector<std::string>& authorities,
                           const Listener& listener, tls::ServerOptions* options,
                           Diagnostics* diagnostics) {
  if (!listener.verify_client && listener.ca == policy::kNoIndex) return true;
  options->client_certificates = listener.verify_client ? tls::ClientCertificates::kRequire
                                                        : tls::ClientCertificates::kRequest;
  if (listener.ca != policy::kNoIndex) {
    options->ca_pem = authorities[static_cast<size_t>(listener.ca)];
    return !options->ca_pem.empty();
  }
  StatusOr<std::string> pem = ReadSystemAuthorities(world);
  if (!pem.ok()) {
    diagnostics->push_back(policy::MakeError(listener.options.Find("verify", listener.location),
                                             StrCat("verify: ", Message(pem.status()))));
    return false;
  }
  options->ca_pem = *std::move(pem);
  return true;
}

}  // namespace

void SetVersions(const std::string& protocols, tls::Version* least, tls::Version* most) {
  if (protocols.empty()) return;
  const StatusOr<policy::TlsProtocols> read = policy::ParseTlsProtocols(protocols);
  if (!read.ok()) return;  // told when it was parsed
  *least = read->tls12 ? tls::Version::kTls12 : tls::Version::kTls13;
  *most = read->tls13 ? tls::Version::kTls13 : tls::Version::kTls12;
}

std::shared_ptr<const Runtime> Runtime::Load(rt::World& world, std::shared_ptr<const Config> config,
                                             std::string server_name, Diagnostics* diagnostics,
                                             LogSink* log,
                                             std::optional<rt::Credentials> tables_as) {
  std::shared_ptr<Runtime> runtime(new Runtime);
  runtime->config_ = std::move(config);
  runtime->server_name_ = std::move(server_name);
  const Config& parsed = *runtime->config_;

  store::TableSources sources(&world.files(), &world.processes(), &world.clock(), log);
  sources.run_as = std::move(tables_as);
  runtime->tables_ =
      store::ConfigTables::Load(runtime->config_, sources, store::TableLoadOptions(), diagnostics);
  runtime->system_logins_ = std::make_unique<store::SystemLogins>(&world.processes());

  const bool smtp_ciphers =
      CheckCiphers("smtp ", parsed.smtp.ciphers, parsed.smtp.ciphers_location, diagnostics);
  for (const policy::CertificateAuthority& ca : parsed.cas)
    runtime->authorities_.push_back(LoadAuthority(world, ca, diagnostics));
  CheckUsers(world, parsed, diagnostics);
  std::vector<LoadedPki> pkis;
  for (const Pki& pki : parsed.pkis) {
    pkis.push_back(LoadPki(world, pki, diagnostics));
    runtime->key_pairs_.push_back(pkis.back().pair);
  }
  for (const policy::Action& action : parsed.actions) {
    CheckCiphers("", action.relay.ciphers, action.options.Find("ciphers", action.location),
                 diagnostics);
  }
  for (const Listener& listener : parsed.listeners) {
    runtime->listener_tls_.push_back(nullptr);
    if (listener.tls == ListenerTls::kNone) continue;
    tls::ServerOptions options;
    bool usable = true;
    for (const int index : PkisOf(parsed, listener, runtime->server_name_)) {
      const LoadedPki& pki = pkis[static_cast<size_t>(index)];
      usable = usable && pki.usable;
      options.key_pairs.push_back(pki.pair);
    }
    usable = usable &&
             (listener.ciphers.empty()
                  ? smtp_ciphers
                  : CheckCiphers("", listener.ciphers,
                                 listener.options.Find("ciphers", listener.location), diagnostics));
    usable = UseClientCertificates(world, runtime->authorities_, listener, &options, diagnostics) &&
             usable;
    // What is wrong with the files was told above, at their lines.
    if (!usable || options.key_pairs.empty()) continue;
    options.ciphers = listener.ciphers.empty() ? parsed.smtp.ciphers : listener.ciphers;
    SetVersions(listener.protocols, &options.min_version, &options.max_version);
    // A client that asks for another protocol (a browser made to talk to us, ALPACA) is refused in
    // the handshake.
    options.alpn = {listener.protocol == policy::ListenerProtocol::kImap ? "imap" : "smtp"};
    StatusOr<std::shared_ptr<const tls::ServerConfig>> made = tls::ServerConfig::Make(options);
    if (!made.ok()) {
      diagnostics->push_back(
          policy::MakeError(listener.location, std::string(Message(made.status()))));
      continue;
    }
    runtime->listener_tls_.back() = std::move(*made);
  }

  for (const rt::InterfaceAddress& each : world.network().Interfaces())
    runtime->local_.addresses.push_back(each.address);
  runtime->local_.server_name = runtime->server_name_;
  if (runtime->tables_ == nullptr || policy::HasErrors(*diagnostics)) return nullptr;
  for (const Listener& listener : parsed.listeners) {
    runtime->scram_samples_.emplace_back();
    policy::Table* const logins = runtime->tables_->set().Get(listener.auth_table);
    if (listener.auth == policy::ListenerAuth::kNone || logins == nullptr) continue;
    runtime->scram_samples_.back() = {
        .sha1 = policy::SampleScramSecret(*logins, sasl::ScramHash::kSha1),
        .sha256 = policy::SampleScramSecret(*logins, sasl::ScramHash::kSha256)};
  }
  runtime->ruleset_ = std::make_unique<const policy::Ruleset>(
      runtime->config_.get(), &runtime->tables_->set(), runtime->local_);
  if (runtime->tables_->set().Blocks()) {
    runtime->memory_tables_ = runtime->tables_->set();
    for (std::shared_ptr<policy::Table>& table : runtime->memory_tables_.tables) {
      if (table != nullptr && table->Blocks())
        table = std::make_shared<NotFromMemory>(&runtime->table_misses_);
    }
    runtime->memory_ruleset_ = std::make_unique<const policy::Ruleset>(
        runtime->config_.get(), &runtime->memory_tables_, runtime->local_);
  }
  return runtime;
}

std::shared_ptr<const tls::ServerConfig> Runtime::ListenerTls(int index) const {
  if (index < 0 || static_cast<size_t>(index) >= listener_tls_.size()) return nullptr;
  return listener_tls_[static_cast<size_t>(index)];
}

const Runtime::ScramSamples& Runtime::ScramSamplesOf(int index) const {
  static const ScramSamples* const none = new ScramSamples;
  if (index < 0 || static_cast<size_t>(index) >= scram_samples_.size()) return *none;
  return scram_samples_[static_cast<size_t>(index)];
}

policy::TableId Runtime::AuthTable(int index) const {
  if (index < 0 || static_cast<size_t>(index) >= config_->listeners.size()) return policy::kNoIndex;
  return config_->listeners[static_cast<size_t>(index)].auth_table;
}

bool Runtime::IsOwnAddress(const IpAddress& address) const {
  return address.IsLoopback() || std::find(local_.addresses.begin(), local_.addresses.end(),
                                           address) != local_.addresses.end();
}

void RuntimeHolder::Set(std::shared_ptr<const Runtime> runtime) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (runtime_ != nullptr) {
    for (const policy::Action& action : runtime_->config().actions) {
      if (kept_.size() < kMaxKeptActions) kept_[{action.name, action.IsLocal()}] = runtime_;
    }
  }
  for (const policy::Action& action : runtime->config().actions)
    kept_.erase({action.name, action.IsLocal()});
  runtime_ = std::move(runtime);
}

void RuntimeHolder::Keep(const ActionKey& key, std::shared_ptr<const Runtime> runtime) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (kept_.size() < kMaxKeptActions) kept_.emplace(key, std::move(runtime));
}

void RuntimeHolder::Forget(const ActionKey& key, const std::shared_ptr<const Runtime>& runtime) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto kept = kept_.find(key);
  if (kept != kept_.end() && kept->second == runtime) kept_.erase(kept);
}

RuntimeHolder::FoundAction RuntimeHolder::FindAction(const std::string& name, bool is_local) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto in = [&](const std::shared_ptr<const Runtime>& runtime) -> const policy::Action* {
    const int index = runtime->config().FindAction(name);
    if (index == policy::kNoIndex) return nullptr;
    const policy::Action& action = runtime->config().actions[static_cast<size_t>(index)];
    return action.IsLocal() == is_local ? &action : nullptr;
  };
  if (const policy::Action* action = in(runtime_)) return {runtime_, action};
  const auto kept = kept_.find({name, is_local});
  if (kept == kept_.end()) return {};
  return {kept->second, in(kept->second)};
}

int64_t DayOf(WallTime now) { return absl::ToUnixSeconds(now) / (24 * 60 * 60); }

std::string HostName(rt::World& world) {
  const StatusOr<std::string> text = store::ReadTextFile(world.files(), kMailnamePath, 4096);
  if (text.ok()) {
    const std::string_view first = Trim(std::string_view(*text).substr(0, text->find('\n')));
    if (mail::IsValidDomainName(first)) return AsciiLower(first);
  }
  return AsciiLower(world.network().HostName());
}

}  // namespace postern::server
