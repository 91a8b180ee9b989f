// `action`: the methods and their options.

#include <iterator>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/policy/format.h"
#include "lib/core/policy/parser.h"
#include "lib/core/policy/shell_command.h"

namespace postern::policy {
namespace {

struct TableOption {
  const char* word;
  Service service;
  TableForm needs;
  TableId Action::*member;
};
constexpr TableOption kLocalTables[] = {
    {"alias", Service::kAlias, TableForm::kMapping, &Action::alias},
    {"virtual", Service::kAlias, TableForm::kMapping, &Action::virtual_users},
    {"userbase", Service::kUserinfo, TableForm::kMapping, &Action::userbase},
};

struct RelayTableOption {
  const char* word;
  Service service;
  TableForm needs;
  TableId RelayOptions::*member;
};
constexpr RelayTableOption kRelayTables[] = {
    {"helo-src", Service::kAddrname, TableForm::kMapping, &RelayOptions::helo_source},
    {"host", Service::kRelayhost, TableForm::kList, &RelayOptions::host},
    {"domain", Service::kRelayhost, TableForm::kMapping, &RelayOptions::domain},
    {"src", Service::kSource, TableForm::kUnknown, &RelayOptions::source},
};

struct RelayTextOption {
  const char* word;
  std::string RelayOptions::*member;
};
constexpr RelayTextOption kRelayTexts[] = {
    {"helo", &RelayOptions::helo},
    {"protocols", &RelayOptions::protocols},
    {"ciphers", &RelayOptions::ciphers},
};

// IsHeloName tells whether EHLO may say it: a domain or an address literal (RFC 5321 §4.1.1.1).
bool IsHeloName(std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']')
    return mail::IsValidDomainName(text);
  std::string_view literal = text.substr(1, text.size() - 2);
  constexpr std::string_view kTag = "IPv6:";
  if (literal.substr(0, kTag.size()) == kTag) literal.remove_prefix(kTag.size());
  return IpAddress::Parse(literal).has_value();
}

const char* KindWord(ActionKind kind) {
  switch (kind) {
    case ActionKind::kMaildir: return "maildir";
    case ActionKind::kMbox: return "mbox";
    case ActionKind::kLmtp: return "lmtp";
    case ActionKind::kMda: return "mda";
    case ActionKind::kForwardOnly: return "forward-only";
    case ActionKind::kExpandOnly: return "expand-only";
    case ActionKind::kRelay: return "relay";
  }
  return "";
}

}  // namespace

const Parser::ActionOption Parser::kLocalOptions[] = {
    {"alias", "alias mapping", &Parser::ActionTable},
    {"virtual", "alias mapping", &Parser::ActionTable},
    {"userbase", "userbase", &Parser::ActionTable},
    {"user", "user", &Parser::ActionUser},
    {"wrapper", "wrapper", &Parser::ActionWrapper},
};

const Parser::ActionOption Parser::kRelayOptions[] = {
    {"auth", "auth", &Parser::RelayAuth},
    {"backup", "backup", &Parser::RelayBackup},
    {"ca", "ca", &Parser::RelayPki},
    {"ciphers", "ciphers", &Parser::RelayText},
    {"domain", "host or domain", &Parser::RelayTable},
    {"filter", "filter", &Parser::RelayFilter},
    {"helo", "helo", &Parser::RelayText},
    {"helo-src", "helo-src", &Parser::RelayTable},
    {"host", "host or domain", &Parser::RelayTable},
    {"mail-from", "mail-from", &Parser::RelayMailFrom},
    {"pki", "pki", &Parser::RelayPki},
    {"protocols", "protocols", &Parser::RelayText},
    {"src", "src", &Parser::RelayTable},
    {"srs", "srs", &Parser::RelaySrs},
    {"tls", "tls", &Parser::RelayTlsOption},
};

bool Parser::ParseAction(const Token& first) {
  Action action;
  action.location = first.location;
  if (!ExpectString("the action's name", &action.name)) return false;
  if (const int other = config_.FindAction(action.name); other != kNoIndex) {
    Error(first.location,
          StrCat("action \"", Escape(action.name), "\" already declared (first at line ",
                 config_.actions[static_cast<size_t>(other)].location.line, ")"));
    return false;
  }
  const std::string key = "action " + action.name;
  const Token method = Peek();
  action.options.Add(method.text, method.location);
  const bool ok =
      ParseActionMethod(action) &&
      (action.IsLocal() ? ParseActionOptions(action, kLocalOptions, std::size(kLocalOptions))
                        : ParseActionOptions(action, kRelayOptions, std::size(kRelayOptions)) &&
                              CheckRelay(action));
  if (!ok) {
    broken_names_.insert(key);
    return false;
  }
  config_.actions.push_back(std::move(action));
  return true;
}

bool Parser::ParseActionMethod(Action& action) {
  const auto check_format = [&](const std::string& format, const SourceLocation& at) {
    const Status status = CheckFormat(format, /*allow_mda=*/false);
    if (status.ok()) return true;
    Error(at, Escape(Message(status), 300));
    return false;
  };
  SourceLocation at;
  if (TakeBare("mbox")) {
    action.kind = ActionKind::kMbox;
    return true;
  }
  if (TakeBare("maildir")) {
    action.kind = ActionKind::kMaildir;
    action.maildir_path = "~/Maildir";
    const bool unquoted = Peek().IsSymbol("/") || Peek().IsSymbol("~") || Peek().IsSymbol("%");
    if (Peek().IsString() || unquoted) {
      if (!ExpectString("a path", &action.maildir_path, &at) ||
          !check_format(action.maildir_path, at))
        return false;
      action.options.Add("maildir path", at);
      std::string& path = action.maildir_path;
      if (path.empty()) {
        Error(at, "an empty maildir path: /path, ~/path or a variable is wanted");
        return false;
      }
      // OpenSMTPD delivers with the home as its working directory.
      if (path[0] != '/' && path[0] != '%' && path.rfind("~/", 0) != 0) path.insert(0, "~/");
    }
    action.junk = TakeBare("junk");
    return true;
  }
  if (TakeBare("lmtp")) {
    action.kind = ActionKind::kLmtp;
    if (!ExpectString("host:port or the path of a socket", &action.lmtp_destination, &at))
      return false;
    const Status destination = ParseLmtpDestination(action.lmtp_destination).status();
    if (!destination.ok()) {
      Error(at, StrCat("lmtp \"", Escape(action.lmtp_destination, 200),
                       "\": ", Escape(Message(destination), 300)));
      return false;
    }
    action.lmtp_rcpt_to = TakeBare("rcpt-to");
    return true;
  }
  if (TakeBare("mda")) {
    action.kind = ActionKind::kMda;
    if (!ExpectString("a command", &action.mda_command, &at)) return false;
    const Status status = CheckShellCommand(action.mda_command, /*is_wrapper=*/false);
    if (!status.ok()) Error(at, Escape(Message(status), 300));
    return status.ok();
  }
  if (TakeBare("forward-only")) {
    action.kind = ActionKind::kForwardOnly;
    return true;
  }
  if (TakeBare("expand-only")) {
    action.kind = ActionKind::kExpandOnly;
    return true;
  }
  if (TakeBare("relay")) {
    action.kind = ActionKind::kRelay;
    return true;
  }
  return Unexpected("maildir, mbox, lmtp, mda, forward-only, expand-only or relay",
                    {"maildir", "mbox", "lmtp", "mda", "forward-only", "expand-only", "relay"});
}

bool Parser::ParseActionOptions(Action& action, const ActionOption* rows, size_t count) {
  std::set<std::string> seen;
  std::vector<std::string> known{"ttl"};
  for (size_t i = 0; i < count; ++i) known.emplace_back(rows[i].word);
  bool ok = true;
  while (ok ? !AtLineEnd() : Resume(known)) {
    if (TakeBare("ttl")) {
      Duration ttl;
      if (!ExpectDuration("ttl delay", &ttl)) return false;
      action.ttl = ttl;
      if (AtLineEnd()) return ok;
      Error(Peek().location, StrCat("syntax error: found ", Peek().Describe(),
                                    ": ttl must be the last option of an action"));
      return false;
    }
    const ActionOption* found = nullptr;
    for (size_t i = 0; i < count; ++i) {
      if (Peek().IsBare(rows[i].word)) found = &rows[i];
    }
    if (found == nullptr) {
      ok = Unexpected(StrCat("an option of ", KindWord(action.kind)), known);
      continue;
    }
    const Token word = Take();
    if (!seen.insert(found->group).second) {
      const std::string_view group = found->group;
      Error(word.location,
            StrCat(group, " already specified for this action",
                   group == "alias mapping" ? "; alias and virtual are exclusive" : ""));
      ok = false;
      continue;
    }
    action.options.Add(word.text, word.location);
    if (!(this->*found->parse)(action, word)) ok = false;
  }
  return ok;
}

bool Parser::ActionTable(Action& a, const Token& word) {
  for (const TableOption& row : kLocalTables) {
    if (word.text != row.word) continue;
    TableUse use;
    use.service = row.service;
    use.needs = row.needs;
    use.word = row.word;
    return ParseTableArgument(std::move(use), &(a.*row.member));
  }
  return false;
}

bool Parser::ActionUser(Action& a, const Token& word) {
  if (a.kind == ActionKind::kMbox || a.kind == ActionKind::kForwardOnly ||
      a.kind == ActionKind::kExpandOnly) {
    Error(word.location, StrCat("user may not be used with ", KindWord(a.kind)));
    return false;
  }
  return ExpectString("the name of an account", &a.user);
}

bool Parser::ActionWrapper(Action& a, const Token&) {
  std::string name;
  SourceLocation at;
  if (!ExpectString("the name of an mda wrapper", &name, &at)) return false;
  std::vector<std::string> known;
  for (size_t i = 0; i < config_.wrappers.size(); ++i) {
    known.push_back(config_.wrappers[i].name);
    if (config_.wrappers[i].name == name) a.wrapper = static_cast<int>(i);
  }
  if (a.wrapper != kNoIndex) return true;
  return NotDeclared(
      "mda wrapper", name, at,
      StrCat("no mda wrapper with that name: ", Escape(name, 80), Declared(name, known)));
}

bool Parser::RelayText(Action& a, const Token& word) {
  for (const RelayTextOption& row : kRelayTexts) {
    if (word.text != row.word) continue;
    std::string& text = a.relay.*row.member;
    SourceLocation at;
    if (!ExpectString(StrCat("the value of ", row.word), &text, &at)) return false;
    if (row.member == &RelayOptions::protocols) return CheckProtocols(text, at);
    if (row.member != &RelayOptions::helo || IsHeloName(text)) return true;
    Error(at, StrCat("helo \"", Escape(text, 80),
                     "\" is neither a host name, like mx.example.org, nor an address in brackets"));
    return false;
  }
  return false;
}

bool Parser::RelayTable(Action& a, const Token& word) {
  if ((word.text == "host" || word.text == "domain") && a.relay.backup) {
    Error(word.location, StrCat("backup and ", word.text, " are mutually exclusive"));
    return false;
  }
  for (const RelayTableOption& row : kRelayTables) {
    if (word.text != row.word) continue;
    TableUse use;
    use.service = row.service;
    use.needs = row.needs;
    use.word = row.service == Service::kRelayhost ? StrCat("relay ", row.word) : row.word;
    return ParseTableArgument(std::move(use), &(a.relay.*row.member));
  }
  return false;
}

bool Parser::RelayBackup(Action& a, const Token& word) {
  if (a.relay.host != kNoIndex || a.relay.domain != kNoIndex) {
    Error(word.location, StrCat("backup and ", a.relay.host != kNoIndex ? "host" : "domain",
                                " are mutually exclusive"));
    return false;
  }
  a.relay.backup = true;
  if (!TakeBare("mx")) return true;
  return ExpectString("the name of this exchanger", &a.relay.backup_mx);
}

bool Parser::RelayAuth(Action& a, const Token& word) {
  if (a.relay.host == kNoIndex && a.relay.domain == kNoIndex) {
    Error(
        word.location,
        "auth may not be specified without host or domain before it: whose password would it be?");
    return false;
  }
  TableUse use;
  use.service = Service::kCredentials;
  use.needs = TableForm::kMapping;
  use.word = "relay auth";
  return ParseTableArgument(std::move(use), &a.relay.auth);
}

bool Parser::RelayMailFrom(Action& a, const Token&) {
  SourceLocation at;
  if (!ExpectString("an address, or @domain", &a.relay.mail_from, &at)) return false;
  const size_t mark = a.relay.mail_from.find('@');
  if (mark != std::string::npos && mark + 1 < a.relay.mail_from.size()) return true;
  Error(at,
        StrCat("mail-from \"", Escape(a.relay.mail_from), "\": user@domain or @domain is wanted"));
  return false;
}

bool Parser::RelayTlsOption(Action& a, const Token&) {
  a.relay.tls = TakeBare("no-verify") ? RelayTls::kRequiredUnverified : RelayTls::kRequired;
  return true;
}

bool Parser::RelayPki(Action&, const Token& word) {
  PendingName pending;
  pending.what = word.text;
  pending.action = static_cast<int>(config_.actions.size());
  if (!ExpectString(StrCat("the name of a ", word.text), &pending.name, &pending.location))
    return false;
  pending_.push_back(std::move(pending));
  return true;
}

bool Parser::RelaySrs(Action& a, const Token& word) {
  if (config_.srs.key.empty()) {
    Error(word.location,
          "an srs key is required before srs may be used in an action: srs key \"...\"");
    return false;
  }
  a.relay.srs = true;
  return true;
}

bool Parser::RelayFilter(Action& a, const Token&) { return ParseFilterArgument(&a.relay.filter); }

bool Parser::CheckRelay(const Action& action) {
  for (const TableId id : {action.relay.host, action.relay.domain}) {
    if (id == kNoIndex) continue;
    const TableDeclaration& table = config_.tables[static_cast<size_t>(id)];
    if (table.kind != TableKind::kStatic) continue;  // checked when it is loaded
    for (const TableEntry& entry : table.entries) {
      const std::string& text = table.form == TableForm::kMapping ? entry.value : entry.key;
      const SourceLocation at = table.anonymous
                                    ? SourceLocation{table.location.file, entry.line, entry.column}
                                    : action.options.Find("host", action.location);
      const StatusOr<RelayUrl> url = ParseRelayUrl(text);
      if (!url.ok()) continue;  // told when the table is built
      if (!url->label.empty() && action.relay.auth == kNoIndex) {
        Error(at, StrCat("relay host \"", Escape(text, 200), "\": the label ",
                         Escape(url->label, 64), " needs auth <table> to find its password in"));
        return false;
      }
    }
  }
  return true;
}

}  // namespace postern::policy
