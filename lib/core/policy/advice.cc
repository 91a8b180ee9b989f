#include "lib/core/policy/advice.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

Diagnostic Unused(const SourceLocation& at, std::string_view kind, std::string_view name,
                  std::string edit) {
  Diagnostic found = MakeWarning(at, StrCat("nothing uses ", kind, " \"", Escape(name, 80), "\""));
  found.code = "unused";
  found.edit = std::move(edit);
  return found;
}

// Marks remembers which of a list of things were named.
class Marks {
 public:
  explicit Marks(size_t size) : marks_(size, false) {}
  void Add(int index) {
    if (index >= 0 && static_cast<size_t>(index) < marks_.size())
      marks_[static_cast<size_t>(index)] = true;
  }
  bool Has(size_t index) const { return marks_[index]; }

 private:
  std::vector<bool> marks_;
};

bool IsInPlace(const std::string& name) { return name.rfind('<', 0) == 0; }

// What a login sends from outside to somebody else's domain, under a name of somebody else's.
EnvelopeContext UserMail(const Listener& listener) {
  EnvelopeContext context;
  context.remote = IpAddress::V4(198, 51, 100, 7);
  context.reverse_name = "home.stranger-q7x.net";
  context.helo = "laptop";
  context.authenticated = true;
  context.auth_user = "somebody";
  context.tag = listener.tag;
  context.tls = listener.tls != ListenerTls::kNone;
  context.sender = {"boss", "stranger-q7x.net"};
  context.recipient = {"friend", "not-yours-q7x.com"};
  return context;
}

// IsOnThisMachine tells whether all hosts of a relay action are loopback addresses: a signing
// program between two listeners.
bool IsOnThisMachine(const Config& config, const Action& action) {
  if (action.relay.host == kNoIndex) return false;
  const TableDeclaration& hosts = config.tables[static_cast<size_t>(action.relay.host)];
  return hosts.kind == TableKind::kStatic &&
         std::all_of(hosts.entries.begin(), hosts.entries.end(), [](const TableEntry& entry) {
           const StatusOr<RelayUrl> url = ParseRelayUrl(entry.key);
           if (!url.ok()) return false;
           const std::optional<IpAddress> address = IpAddress::Parse(url->host);
           return url->host == "localhost" || (address && address->IsLoopback());
         });
}

}  // namespace

bool IsLoopbackListener(const Listener& listener) {
  if (listener.proxy_v2) return false;
  if (listener.is_socket || listener.target == "lo" || listener.target == "lo0" ||
      listener.target == "localhost")
    return true;
  const std::optional<IpAddress> address = IpAddress::Parse(listener.target);
  return address && address->IsLoopback();
}

Diagnostics FindUnused(const Config& config) {
  Marks actions(config.actions.size());
  Marks filters(config.filters.size());
  Marks procs(config.procs.size());
  Marks wrappers(config.wrappers.size());
  Marks pkis(config.pkis.size());
  Marks cas(config.cas.size());
  bool any_certificate = false;  // a listener that takes whichever fits
  for (const Rule& rule : config.rules) actions.Add(rule.action);
  for (const Listener& listener : config.listeners) {
    filters.Add(listener.filter);
    cas.Add(listener.ca);
    for (const int pki : listener.pkis) pkis.Add(pki);
    any_certificate |= listener.tls != ListenerTls::kNone && listener.pkis.empty();
  }
  for (const Action& action : config.actions) {
    filters.Add(action.relay.filter);
    pkis.Add(action.relay.pki);
    cas.Add(action.relay.ca);
    wrappers.Add(action.wrapper);
  }
  for (size_t i = config.filters.size(); i-- > 0;) {  // a chain names filters above it
    if (!filters.Has(i)) continue;
    for (const int member : config.filters[i].chain) filters.Add(member);
    procs.Add(config.filters[i].proc);
  }
  Diagnostics out;
  for (size_t i = 0; i < config.actions.size(); ++i) {
    const Action& action = config.actions[i];
    if (actions.Has(i)) continue;
    out.push_back(Unused(action.location, "action", action.name,
                         StrCat("name it in a rule (match … action \"", Escape(action.name, 80),
                                "\"), or remove it")));
  }
  for (const TableDeclaration& table : config.tables) {
    if (table.anonymous || !table.uses.empty()) continue;
    out.push_back(
        Unused(table.location, "table", table.name,
               StrCat("write <", Escape(table.name, 80), "> where it is wanted, or remove it")));
  }
  for (size_t i = 0; i < config.filters.size(); ++i) {
    const Filter& filter = config.filters[i];
    if (filters.Has(i) || IsInPlace(filter.name)) continue;
    out.push_back(Unused(
        filter.location, "filter", filter.name,
        StrCat("put filter \"", Escape(filter.name, 80), "\" on a listen line, or remove it")));
  }
  for (size_t i = 0; i < config.procs.size(); ++i) {
    const Proc& proc = config.procs[i];
    const bool told = std::any_of(config.filters.begin(), config.filters.end(),
                                  [&](const Filter& f) { return f.proc == static_cast<int>(i); });
    if (procs.Has(i) || told || IsInPlace(proc.name)) continue;
    out.push_back(Unused(proc.location, "proc", proc.name,
                         StrCat("make a filter of it (filter \"NAME\" proc \"",
                                Escape(proc.name, 80), "\"), or remove it")));
  }
  for (size_t i = 0; i < config.wrappers.size(); ++i) {
    if (!wrappers.Has(i))
      out.push_back(Unused(config.wrappers[i].location, "mda wrapper", config.wrappers[i].name,
                           "name it in an action (wrapper), or remove it"));
  }
  for (size_t i = 0; i < config.pkis.size(); ++i) {
    const Pki& pki = config.pkis[i];
    if (any_certificate || pkis.Has(i)) continue;
    out.push_back(Unused(
        pki.location, "pki", pki.name,
        StrCat("put pki \"", Escape(pki.name, 80), "\" on a listen line with tls, or remove it")));
  }
  for (size_t i = 0; i < config.cas.size(); ++i) {
    const CertificateAuthority& ca = config.cas[i];
    if (cas.Has(i)) continue;
    out.push_back(Unused(ca.location, "ca", ca.name,
                         "name it on a listener or a relay action, or remove it"));
  }
  return out;
}

Diagnostics FindSubmissionGaps(const Ruleset& ruleset) {
  const Config& config = ruleset.config();
  Diagnostics out;
  bool told_senders = false;
  bool told_dkim = false;
  for (const Listener& listener : config.listeners) {
    if (listener.protocol != ListenerProtocol::kSmtp || listener.auth == ListenerAuth::kNone)
      continue;
    const RuleMatch match = ruleset.Match(UserMail(listener));
    if (match.outcome != RuleMatch::Outcome::kAccept) continue;
    const Action& action = config.actions[static_cast<size_t>(match.rule->action)];
    if (action.IsLocal()) continue;
    if (!told_senders && listener.senders_rule == SendersRule::kAny) {
      told_senders = true;
      Diagnostic found =
          MakeNote(listener.options.Find("senders", listener.location),
                   "whoever logs in here may send under any address, also under another user's");
      found.code = "senders";
      found.edit =
          "leave `senders any` out, or say whose which are: table owners { \"alice\" = "
          "\"alice@example.org\" } and senders <owners> on "
          "the listen line";
      out.push_back(std::move(found));
    }
    // A smarthost that knows its client signs, as a rule.
    const bool signs = listener.filter != kNoIndex || action.relay.filter != kNoIndex ||
                       action.relay.auth != kNoIndex || IsOnThisMachine(config, action);
    if (told_dkim || signs) continue;
    told_dkim = true;
    Diagnostic found =
        MakeNote(action.location,
                 StrCat("what users send leaves by action \"", Escape(action.name, 80),
                        "\" without a DKIM signature: neither it nor the listener at line ",
                        listener.location.line,
                        " has a filter that signs, and large receivers refuse or junk such mail"));
    found.code = "dkim";
    found.edit =
        StrCat("sign it: filter \"sign\" proc-exec \"filter-dkimsign …\", and filter \"sign\" on ",
               "the listen line");
    out.push_back(std::move(found));
  }
  return out;
}

Diagnostics FindRefusedRelays(const Config& config) {
  Diagnostics out;
  for (const Action& action : config.actions) {
    if (action.IsLocal() || action.relay.tls == RelayTls::kDefault || action.relay.host == kNoIndex)
      continue;
    const TableDeclaration& hosts = config.tables[static_cast<size_t>(action.relay.host)];
    for (const TableEntry& entry : hosts.entries) {
      const StatusOr<RelayUrl> url = ParseRelayUrl(entry.key);
      if (!url.ok() ||
          (url->scheme != RelayScheme::kSmtpNoTls && url->scheme != RelayScheme::kLmtp))
        continue;
      Diagnostic found = MakeWarning(
          action.options.Find("tls", action.location),
          StrCat("action \"", Escape(action.name, 80), "\" asks for TLS, and its host \"",
                 Escape(entry.key, 120), "\" turns it off: nothing would ever be sent"));
      found.code = "tls-required";
      found.edit = "take tls away, or write smtp+tls:// or smtps:// in the URL";
      out.push_back(std::move(found));
      break;
    }
  }
  return out;
}

Diagnostics FindExposedProxies(const Config& config) {
  Diagnostics out;
  for (const Listener& listener : config.listeners) {
    if (!listener.proxy_v2) continue;
    Listener direct = listener;
    direct.proxy_v2 = false;
    if (IsLoopbackListener(direct)) continue;
    Diagnostic found = MakeNote(listener.options.Find("proxy-v2", listener.location),
                                "whoever reaches this port may say which address he comes from: "
                                "rules for from src, and limits for each address, believe him");
    found.code = "proxy";
    found.edit =
        "let a packet filter admit the proxy alone, or listen on a loopback address beside it";
    out.push_back(std::move(found));
  }
  return out;
}

Diagnostics Advise(const Ruleset& ruleset, const AdviceLimits& limits) {
  Diagnostics out;
  const auto add = [&out](Diagnostics more) {
    out.insert(out.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  };
  add(FindOpenRelay(ruleset, limits));
  add(FindDeadRules(ruleset, limits));
  add(FindReturnedMail(ruleset, limits));
  add(FindUnused(ruleset.config()));
  add(FindVainPatterns(ruleset.config(), limits));
  add(FindHeldMail(ruleset, limits));
  add(FindRefusedRelays(ruleset.config()));
  add(FindSubmissionGaps(ruleset));
  add(FindExposedProxies(ruleset.config()));
  SortByPlace(&out);
  return out;
}

}  // namespace postern::policy
