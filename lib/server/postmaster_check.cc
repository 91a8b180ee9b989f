#include "lib/server/postmaster_check.h"

#include <algorithm>
#include <string>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"

namespace postern::server {
namespace {

using policy::Action;
using policy::Config;
using policy::EnvelopeContext;
using policy::RuleMatch;
using policy::TableDeclaration;

constexpr char kPostmaster[] = "postmaster";

// OwnDomains lists the server's name and the domains of rules with a local action, each once.
std::vector<std::string> OwnDomains(const Runtime& runtime, size_t max_domains) {
  const Config& config = runtime.config();
  std::vector<std::string> domains;
  const auto add = [&](std::string domain) {
    if (domain.empty() || domains.size() > max_domains ||
        std::find(domains.begin(), domains.end(), domain) != domains.end())
      return;
    domains.push_back(std::move(domain));
  };
  add(AsciiLower(runtime.server_name()));
  for (const policy::Rule& rule : config.rules) {
    if (rule.IsReject() || rule.for_kind != policy::ForKind::kDomain || rule.to.negated ||
        rule.to.regex || rule.to.table == policy::kNoIndex ||
        !config.actions[static_cast<size_t>(rule.action)].IsLocal())
      continue;
    for (const policy::TableEntry& entry :
         config.tables[static_cast<size_t>(rule.to.table)].entries) {
      // A glob is no name, and an address literal is nobody's mail domain.
      if (entry.key.find_first_of("*?[") == std::string::npos) add(AsciiLower(entry.key));
    }
  }
  return domains;
}

// TakesMailFromElsewhere tells whether strangers reach this server and a rule delivers here what
// they send.
bool TakesMailFromElsewhere(const Config& config) {
  const bool reached = std::any_of(
      config.listeners.begin(), config.listeners.end(), [](const policy::Listener& listener) {
        return listener.protocol == policy::ListenerProtocol::kSmtp && !listener.is_socket &&
               listener.auth != policy::ListenerAuth::kRequired &&
               !policy::IsLoopbackListener(listener);
      });
  return reached &&
         std::any_of(config.rules.begin(), config.rules.end(), [&](const policy::Rule& rule) {
           return rule.from_kind == policy::FromKind::kAny && !rule.auth.present &&
                  !rule.IsReject() && config.actions[static_cast<size_t>(rule.action)].IsLocal();
         });
}

// Edit says what mends it: a line in the table that the action of the rule asks, or the rule that
// is missing.
std::string Edit(const Runtime& runtime, const RuleMatch& match, const std::string& domain) {
  const Config& config = runtime.config();
  if (match.rule == nullptr) {
    const bool own = EqualsIgnoreCase(domain, runtime.server_name());
    return StrCat("a rule that takes it mends it, like match from any for ",
                  own ? std::string("local") : StrCat("domain \"", domain, "\""),
                  " action \"NAME\", and an alias postmaster: you");
  }
  const Action& action = config.actions[static_cast<size_t>(match.rule->action)];
  const bool by_address = action.virtual_users != policy::kNoIndex;
  const policy::TableId id = by_address ? action.virtual_users : action.alias;
  if (id == policy::kNoIndex) {
    return StrCat("action \"", Escape(action.name, 80),
                  "\" has no alias table; this mends it: alias { postmaster = \"you\" }");
  }
  const TableDeclaration& table = config.tables[static_cast<size_t>(id)];
  const std::string key = by_address ? StrCat(kPostmaster, "@", domain) : kPostmaster;
  const std::string place = table.kind == policy::TableKind::kFile ? Escape(table.path, 200)
                            : table.anonymous
                                ? StrCat("the table of action \"", Escape(action.name, 80), "\"")
                                : StrCat("table ", Escape(table.name, 80));
  // Actions that only send on have no user to deliver to: an address that another rule takes.
  const bool sends_on = action.kind == policy::ActionKind::kExpandOnly ||
                        action.kind == policy::ActionKind::kForwardOnly;
  policy::Table* contents = runtime.tables().Get(id);
  for (const std::string& each : {key, std::string(kPostmaster)}) {
    if (contents == nullptr) break;
    const StatusOr<std::optional<std::string>> found =
        contents->Lookup(policy::Service::kAlias, each);
    if (!found.ok() || !found->has_value()) continue;
    return StrCat("change what \"", each, "\" stands for in ", place,
                  sends_on ? StrCat(": action \"", Escape(action.name, 80),
                                    "\" delivers to no user, so that it has to be an address "
                                    "that another rule takes")
                           : std::string());
  }
  const char* who = sends_on ? "you@example.org" : "you";
  if (table.kind == policy::TableKind::kFile)
    return StrCat("the line \"", key, ": ", who, "\" in ", place, " mends it");
  return StrCat("the entry \"", key, "\" = \"", who, "\" in ", place, " mends it");
}

}  // namespace

void CheckPostmaster(const Runtime& runtime, policy::AccountSource& accounts,
                     policy::Diagnostics* diagnostics, const PostmasterCheckLimits& limits) {
  const Config& config = runtime.config();
  // A check starts no program and waits for none.
  if (runtime.tables().Blocks()) return;
  if (std::none_of(config.listeners.begin(), config.listeners.end(), [](const auto& listener) {
        return listener.protocol == policy::ListenerProtocol::kSmtp && !listener.is_socket;
      }))
    return;
  std::vector<EnvelopeContext> clients;
  EnvelopeContext& local = clients.emplace_back();
  local.is_local_socket = true;
  local.authenticated = true;
  local.helo = "localhost";
  if (TakesMailFromElsewhere(config)) {
    // One of the networks that are nobody's (RFC 5737).
    EnvelopeContext& stranger = clients.emplace_back();
    stranger.remote = IpAddress::V4(198, 51, 100, 1);
    if (runtime.IsOwnAddress(stranger.remote)) stranger.remote = IpAddress::V4(203, 0, 113, 1);
  }
  for (const std::string& domain : OwnDomains(runtime, limits.max_domains)) {
    for (EnvelopeContext& client : clients) {
      client.recipient.local_part = kPostmaster;
      client.recipient.domain = domain;
      const policy::Expansion expansion = policy::Expand(runtime.ruleset(), accounts, client);
      // What cannot be told now may be well.
      if (!expansion.refusal.has_value() || expansion.refusal->IsTransient()) continue;
      const RuleMatch match = runtime.ruleset().Match(client);
      if (match.outcome != RuleMatch::Outcome::kAccept &&
          match.outcome != RuleMatch::Outcome::kNone)
        break;
      policy::SourceLocation location{config.file_name, 0, 0};
      if (match.rule != nullptr) location = match.rule->location;
      policy::Diagnostic found = policy::MakeWarning(
          std::move(location),
          StrCat("mail ", client.is_local_socket ? "" : "from elsewhere ", "for ", kPostmaster, "@",
                 domain, " has nowhere to go (", expansion.reason, ")"));
      found.code = "postmaster";
      found.edit = Edit(runtime, match, domain);
      diagnostics->push_back(std::move(found));
      break;
    }
  }
}

}  // namespace postern::server
