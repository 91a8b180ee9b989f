// What can only be known when the whole file has been read.

#include "lib/core/base/strings.h"
#include "lib/core/policy/parser.h"
#include "lib/core/policy/table.h"

namespace postern::policy {

void Parser::CheckWhole() {
  std::vector<std::string> names;
  for (const Pki& pki : config_.pkis) names.push_back(pki.name);
  std::vector<std::string> ca_names;
  for (const CertificateAuthority& ca : config_.cas) ca_names.push_back(ca.name);
  for (const PendingName& pending : pending_) {
    const bool is_pki = pending.what == "pki";
    const int index = is_pki ? config_.FindPki(pending.name) : config_.FindCa(pending.name);
    if (index == kNoIndex) {
      Error(pending.location, StrCat(pending.what, " name not found: ", Escape(pending.name, 80),
                                     Declared(is_pki ? AsciiLower(pending.name) : pending.name,
                                              is_pki ? names : ca_names)));
      continue;
    }
    if (pending.listener != kNoIndex &&
        static_cast<size_t>(pending.listener) < config_.listeners.size()) {
      Listener& listener = config_.listeners[static_cast<size_t>(pending.listener)];
      if (is_pki) {
        listener.pkis.push_back(index);
      } else {
        listener.ca = index;
      }
    }
    if (pending.action != kNoIndex &&
        static_cast<size_t>(pending.action) < config_.actions.size()) {
      RelayOptions& relay = config_.actions[static_cast<size_t>(pending.action)].relay;
      (is_pki ? relay.pki : relay.ca) = index;
    }
  }
  for (const Pki& pki : config_.pkis) {
    if (broken_names_.count("pki " + pki.name) != 0) continue;
    const char* missing = pki.certificate_path.empty() ? "cert"
                          : pki.key_path.empty()       ? "key"
                                                       : nullptr;
    if (missing != nullptr) {
      Error(pki.location, StrCat("pki ", Escape(pki.name, 80), " has no ", missing, ": pki ",
                                 Escape(pki.name, 80), " ", missing, " \"/path\""));
    }
  }
  CheckTls();
  // Static tables are built once here, for the errors of their entries (networks, expressions,
  // relay URLs).
  for (const TableDeclaration& table : config_.tables) {
    if (table.kind != TableKind::kStatic || table.uses.empty()) continue;
    TableBuildOptions options = BuildOptionsFor(table, config_);
    options.file = table.location.file;
    TableContents::Build(table.entries, options, &diagnostics_);
  }
  CheckSrs();
  CheckEarlyUses();
  // Among other mistakes it would be one more that is none: rules come last in a file.
  if (config_.rules.empty() && !saw_match_ && !HasErrors(diagnostics_)) {
    Error({config_.file_name, 0, 0}, "no rules, nothing to do: at least one match is needed");
  }
}

const SourceLocation* Parser::FindDeclaration(const std::string& kind,
                                              const std::string& name) const {
  const auto find = [&name](const auto& items) -> const SourceLocation* {
    for (const auto& item : items) {
      if (item.name == name) return &item.location;
    }
    return nullptr;
  };
  if (kind == "action") return find(config_.actions);
  if (kind == "table") return find(config_.tables);
  if (kind == "filter") return find(config_.filters);
  if (kind == "proc") return find(config_.procs);
  return find(config_.wrappers);
}

void Parser::CheckEarlyUses() {
  for (const EarlyUse& use : early_uses_) {
    const SourceLocation* declared = FindDeclaration(use.kind, use.name);
    if (declared == nullptr) continue;
    Diagnostic& told = diagnostics_[use.diagnostic];
    const std::string place = declared->file == told.location.file
                                  ? StrCat("at line ", declared->line)
                                  : StrCat("at ", declared->ToString());
    told.message = StrCat(use.kind, " ", Escape(use.name, 80), " is declared only ", place,
                          ": move its declaration above this line");
  }
}

void Parser::CheckSrs() {
  const SrsSettings& srs = config_.srs;
  if (srs.location.line == 0) return;
  if (srs.key.empty()) {
    Warn(srs.location, "srs without a key does nothing: srs key \"a long secret\"");
    return;
  }
  for (const Action& action : config_.actions) {
    if (action.relay.srs) return;
  }
  // An action that was refused may have been the one.
  if (HasErrors(diagnostics_)) return;
  Warn(srs.location,
       "this srs key does nothing: no action has the word srs (action \"out\" relay srs)");
}

void Parser::CheckTls() {
  for (size_t i = 0; i < config_.listeners.size(); ++i) {
    const Listener& listener = config_.listeners[i];
    if (listener.tls == ListenerTls::kNone || !listener.pkis.empty()) continue;
    bool named = false;  // named, but not found: told above
    for (const PendingName& pending : pending_) {
      named = named || (pending.what == "pki" && pending.listener == static_cast<int>(i));
    }
    if (named) continue;
    std::string server = !listener.hostname.empty()  ? listener.hostname
                         : !config_.mailname.empty() ? config_.mailname
                         : options_->server_name     ? options_->server_name()
                                                     : "";
    if (config_.FindPki("*") != kNoIndex ||
        (!server.empty() && config_.FindPki(server) != kNoIndex))
      continue;
    if (server.empty() && !config_.pkis.empty()) {
      Warn(listener.location,
           "TLS without pki: the certificate will be the pki named like this server, if there is "
           "one");
      continue;
    }
    const char* word = listener.tls == ListenerTls::kOptional ? "tls"
                       : listener.tls == ListenerTls::kSmtps  ? "smtps"
                                                              : "tls-require";
    Error(listener.options.Find(word, listener.location),
          StrCat(word, " needs a certificate: name a pki on the listener, or declare pki \"*\"",
                 server.empty() ? "" : StrCat(" or pki ", Escape(server, 80))));
  }
}

}  // namespace postern::policy
