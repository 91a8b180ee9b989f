#include "lib/core/policy/explain_text.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

std::string Quoted(std::string_view text) { return StrCat("\"", Escape(text, 200), "\""); }

// TableText names a table as it is written where it is used.
std::string TableText(const Config& config, TableId id) {
  constexpr size_t kMaxShown = 3;
  if (id == kNoIndex) return "";
  const TableDeclaration& table = config.tables[static_cast<size_t>(id)];
  if (!table.anonymous) return StrCat("<", Escape(table.name, 80), ">");
  const auto entry = [&table](size_t i) {
    return table.form == TableForm::kMapping
               ? StrCat(Quoted(table.entries[i].key), " = ", Quoted(table.entries[i].value))
               : Quoted(table.entries[i].key);
  };
  if (table.entries.size() == 1 && table.form == TableForm::kList) return entry(0);
  std::string out = "{ ";
  for (size_t i = 0; i < table.entries.size() && i < kMaxShown; ++i)
    StrAppend(out, i == 0 ? "" : ", ", entry(i));
  return StrCat(out, table.entries.size() > kMaxShown ? ", … }" : " }");
}

// OptionText gives " word [regex] T" with its "!".
std::string OptionText(const Config& config, std::string_view word, const Criterion& criterion) {
  if (!criterion.present) return "";
  return StrCat(criterion.negated ? " !" : " ", word, criterion.regex ? " regex" : "",
                criterion.table == kNoIndex ? "" : StrCat(" ", TableText(config, criterion.table)));
}

std::string AddressText(const mail::Address& address) {
  if (address.empty()) return "<>";
  return Escape(
      address.domain.empty() ? address.local_part : StrCat(address.local_part, "@", address.domain),
      200);
}

std::string ClientText(const EnvelopeContext& context) {
  if (context.is_local_socket) return "the local socket";
  return context.remote.ToString();
}

// Membership says that `what` is or is not in the table of `criterion`.
std::string Membership(const Ruleset& ruleset, const Criterion& criterion, std::string what) {
  const bool is_in = criterion.negated;  // the condition failed, so it is what must not be
  return StrCat(what,
                criterion.regex ? (is_in ? " matches " : " does not match ")
                                : (is_in ? " is in " : " is not in "),
                TableText(ruleset.config(), criterion.table));
}

std::string WhyNotFrom(const Ruleset& ruleset, const Rule& rule, const EnvelopeContext& context) {
  const Criterion& from = rule.from;
  switch (rule.from_kind) {
    case FromKind::kAny: return "\"!from any\" is nobody";
    case FromKind::kLocal:
      return StrCat(ClientText(context), from.negated ? " is this machine" : " is not this machine",
                    from.present ? "" : " (a rule without from is for local clients)");
    case FromKind::kSocket:
      if (context.is_internal) return "what an alias or .forward made came in by no socket";
      return StrCat(ClientText(context), from.negated ? "" : " is not the local socket");
    case FromKind::kSource:
      return Membership(
          ruleset, from,
          context.is_internal ? "what an alias or .forward made (\"local\")" : ClientText(context));
    case FromKind::kRdns:
      if (context.is_internal && from.table == kNoIndex)
        return "what an alias or .forward made has no client";
      if (context.reverse_name.empty())
        return StrCat(ClientText(context),
                      from.negated ? " has no name, as asked" : " has no name");
      if (from.table == kNoIndex)
        return StrCat(ClientText(context), " has a name, ", Escape(context.reverse_name, 120));
      return Membership(ruleset, from,
                        context.is_internal ? "\"local\"" : Escape(context.reverse_name, 120));
  }
  return "";
}

}  // namespace

std::string RuleText(const Config& config, const Rule& rule) {
  std::string out = "match";
  const auto from = [&](std::string_view word) {
    StrAppend(out, rule.from.negated ? " !from " : " from ", word, rule.from.regex ? " regex" : "",
              rule.from.table == kNoIndex ? "" : StrCat(" ", TableText(config, rule.from.table)));
  };
  if (rule.from.present) {
    switch (rule.from_kind) {
      case FromKind::kAny: from("any"); break;
      case FromKind::kLocal: from("local"); break;
      case FromKind::kSource: from("src"); break;
      case FromKind::kSocket: from("socket"); break;
      case FromKind::kRdns: from("rdns"); break;
    }
  }
  if (rule.to.present) {
    StrAppend(out, rule.to.negated ? " !for " : " for ",
              rule.for_kind == ForKind::kAny     ? "any"
              : rule.for_kind == ForKind::kLocal ? "local"
                                                 : "domain",
              rule.to.regex ? " regex" : "",
              rule.to.table == kNoIndex ? "" : StrCat(" ", TableText(config, rule.to.table)));
  }
  out += OptionText(config, "auth", rule.auth);
  out += OptionText(config, "tag", rule.tag);
  out += OptionText(config, "helo", rule.helo);
  out += OptionText(config, "tls", rule.tls);
  out += OptionText(config, "mail-from", rule.mail_from);
  out += OptionText(config, "rcpt-to", rule.rcpt_to);
  if (rule.IsReject()) return out + " reject";
  return StrCat(out, " action ", Quoted(config.actions[static_cast<size_t>(rule.action)].name));
}

std::string ActionText(const Config& config, const Action& action) {
  std::string out = StrCat("action ", Quoted(action.name), " ");
  const auto table = [&](std::string_view word, TableId id) {
    if (id != kNoIndex) StrAppend(out, " ", word, " ", TableText(config, id));
  };
  switch (action.kind) {
    case ActionKind::kMaildir:
      StrAppend(out, "maildir ", Quoted(action.maildir_path), action.junk ? " junk" : "");
      break;
    case ActionKind::kMbox: out += "mbox"; break;
    case ActionKind::kLmtp:
      StrAppend(out, "lmtp ", Quoted(action.lmtp_destination),
                action.lmtp_rcpt_to ? " rcpt-to" : "");
      break;
    case ActionKind::kMda: StrAppend(out, "mda ", Quoted(action.mda_command)); break;
    case ActionKind::kForwardOnly: out += "forward-only"; break;
    case ActionKind::kExpandOnly: out += "expand-only"; break;
    case ActionKind::kRelay: {
      const RelayOptions& relay = action.relay;
      out += "relay";
      table("host", relay.host);
      table("domain", relay.domain);
      table("auth", relay.auth);
      table("src", relay.source);
      if (relay.backup) out += " backup";
      if (!relay.backup_mx.empty()) StrAppend(out, " mx ", Quoted(relay.backup_mx));
      if (!relay.helo.empty()) StrAppend(out, " helo ", Quoted(relay.helo));
      if (!relay.mail_from.empty()) StrAppend(out, " mail-from ", Quoted(relay.mail_from));
      if (relay.tls != RelayTls::kDefault)
        out += relay.tls == RelayTls::kRequired ? " tls" : " tls no-verify";
      if (relay.srs) out += " srs";
      break;
    }
  }
  table("alias", action.alias);
  table("virtual", action.virtual_users);
  table("userbase", action.userbase);
  if (!action.user.empty()) StrAppend(out, " user ", Quoted(action.user));
  return out;
}

std::string WhyNot(const Ruleset& ruleset, const Rule& rule, std::string_view failed,
                   const EnvelopeContext& context) {
  if (failed == "from") return WhyNotFrom(ruleset, rule, context);
  if (failed == "for") {
    const std::string domain = Escape(context.recipient.domain, 120);
    if (rule.for_kind == ForKind::kAny) return "\"!for any\" is nowhere";
    if (rule.for_kind == ForKind::kDomain) return Membership(ruleset, rule.to, domain);
    return StrCat(domain, rule.to.negated ? " is this machine's" : " is not this machine's name",
                  rule.to.present ? "" : " (a rule without for is for local)");
  }
  if (failed == "auth") {
    const bool logged_in = context.authenticated || context.is_local_socket;
    if (!logged_in) return "the client has not logged in";
    if (rule.auth.table == kNoIndex)
      return context.is_local_socket ? "the local socket counts as logged in"
                                     : "the client has logged in";
    return Membership(ruleset, rule.auth, StrCat("login ", Quoted(context.auth_user)));
  }
  if (failed == "helo") return Membership(ruleset, rule.helo, Quoted(context.helo));
  if (failed == "mail-from")
    return Membership(ruleset, rule.mail_from, AddressText(context.sender));
  if (failed == "rcpt-to") return Membership(ruleset, rule.rcpt_to, AddressText(context.recipient));
  if (failed == "tag") {
    return Membership(
        ruleset, rule.tag,
        context.tag.empty() ? std::string("no tag") : StrCat("tag ", Quoted(context.tag)));
  }
  if (failed == "tls") return context.tls ? "the session has TLS" : "the session has no TLS";
  return "";
}

}  // namespace postern::policy
