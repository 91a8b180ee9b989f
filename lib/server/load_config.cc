// LoadConfig (server.h): from a file to a Runtime, or to all that is wrong with it.
#include <optional>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/server/endpoints.h"
#include "lib/server/pam_services.h"
#include "lib/server/postmaster_check.h"
#include "lib/server/privileges.h"
#include "lib/server/runtime.h"
#include "lib/server/server.h"
#include "lib/server/spool_folder.h"
#include "lib/store/table/accounts.h"
#include "lib/store/table/proc_table.h"
#include "lib/store/table/source_loader.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;

// TakenEndpoint is an address that a listen line has, for what a second one is told.
struct TakenEndpoint {
  Endpoint endpoint;
  policy::SourceLocation location;
};

// FindClash returns the one of `taken` beside which `endpoint` cannot be bound: an address is
// taken by itself and by the wildcard of its family.
const TakenEndpoint* FindClash(const std::vector<TakenEndpoint>& taken, const Endpoint& endpoint) {
  const auto is_wildcard = [](const IpAddress& address) {
    const std::string_view bytes = address.bytes();
    return bytes.find_first_not_of('\0') == std::string_view::npos;
  };
  for (const TakenEndpoint& other : taken) {
    if (endpoint.port == 0 || other.endpoint.port != endpoint.port) continue;
    const IpAddress& a = other.endpoint.address;
    const IpAddress& b = endpoint.address;
    if (a == b || (a.is_v6() == b.is_v6() && (is_wildcard(a) || is_wildcard(b)))) return &other;
  }
  return nullptr;
}

}  // namespace

LoadedConfig LoadConfig(rt::World& world, const ServerOptions& options, LogSink* log) {
  LoadedConfig loaded;
  policy::ParseOptions parse_options;
  parse_options.macros = options.macros;
  loaded.copy.macros = options.macros;
  // The host's full name may be a question to DNS, which takes its time where nobody answers: it is
  // asked once, and not for a file that names the server.
  std::optional<std::string> host_name;
  const auto name_of_host = [&world, &host_name] {
    if (!host_name.has_value()) host_name = HostName(world);
    return *host_name;
  };
  parse_options.server_name = name_of_host;
  parse_options.table_backends = store::ListTablePrograms(world.files());
  policy::ParseResult parsed;
  if (options.config_text.has_value()) {
    policy::MemoryLoader text(options.config_name, *options.config_text);
    policy::CopyingLoader loader(&text, &loaded.copy);
    loaded.copy.main = options.config_name;
    parsed = policy::Parse(options.config_name, loader, parse_options);
  } else {
    store::FileSourceLoader files(&world.files());
    policy::CopyingLoader loader(&files, &loaded.copy);
    loaded.copy.main = options.config_path;
    parsed = policy::Parse(options.config_path, loader, parse_options);
  }
  loaded.diagnostics = std::move(parsed.diagnostics);
  // After a mistake the rest is checked all the same, so that everything is told at once; nothing
  // is made of it.
  const std::shared_ptr<const Config> config = std::move(parsed.readable);
  if (config == nullptr) return loaded;
  for (policy::Diagnostic& each : policy::IneffectiveSettings(*config))
    loaded.diagnostics.push_back(std::move(each));
  std::string server_name = config->mailname.empty() ? name_of_host() : config->mailname;
  const std::vector<rt::InterfaceAddress> interfaces = world.network().Interfaces();
  CheckPamServices(world, *config, &loaded.diagnostics);
  std::vector<TakenEndpoint> taken;
  for (const Listener& listener : config->listeners) {
    if (listener.is_socket) continue;
    const StatusOr<std::vector<Endpoint>> endpoints = ResolveListener(listener, interfaces);
    if (!endpoints.ok()) {
      loaded.diagnostics.push_back(
          policy::MakeError(listener.location, std::string(Message(endpoints.status()))));
      continue;
    }
    for (const Endpoint& endpoint : *endpoints) {
      const TakenEndpoint* other = FindClash(taken, endpoint);
      if (other != nullptr) {
        loaded.diagnostics.push_back(policy::MakeError(
            listener.location,
            StrCat(endpoint.ToString(), " is taken already by the listen line at ",
                   other->location.ToString(), ": remove one of them, or give it another port")));
        break;
      }
      taken.push_back(TakenEndpoint{endpoint, listener.location});
    }
  }
  if (!config->spool.empty() && options.spool_path.empty() && !options.in_memory) {
    const Status spool = CheckSpool(world.files(), WithoutLastSlash(config->spool));
    if (!spool.ok()) {
      loaded.diagnostics.push_back(policy::MakeError(
          config->spool_location,
          StrCat("spool \"", Escape(config->spool, 200), "\": ", Message(spool))));
    }
  }
  // Programs are asked before a server gives root's rights up, or by a check of root's that never
  // does: they run as what the server becomes all the same, and what they write is its own.
  std::optional<rt::Credentials> tables_as;
  if (options.account.has_value() && !NeedsOf(*config).mailboxes)
    tables_as =
        rt::Credentials{options.account->uid, options.account->gid, options.account->groups};
  loaded.runtime = Runtime::Load(world, config, std::move(server_name), &loaded.diagnostics, log,
                                 std::move(tables_as));
  if (loaded.runtime != nullptr) {
    store::SystemAccounts accounts(&world.processes(), &world.files(), world.helper());
    CheckPostmaster(*loaded.runtime, accounts, &loaded.diagnostics);
    for (policy::Diagnostic& each : policy::FindOpenRelay(loaded.runtime->ruleset()))
      loaded.diagnostics.push_back(std::move(each));
  }
  policy::SortByPlace(&loaded.diagnostics);
  return loaded;
}

}  // namespace postern::server
