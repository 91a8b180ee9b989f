#include "lib/core/policy/upgrade.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/line_diff.h"
#include "lib/core/policy/statement.h"

namespace postern::policy {
namespace {

struct OldWord {
  std::string_view old;
  std::string_view word;
};
// Directives whose words alone changed.
constexpr OldWord kDirectives[] = {
    {"max-message-size", "smtp max-message-size"},
    {"subaddressing-delimiter", "smtp sub-addr-delim"},
    {"bounce-warn", "bounce warn-interval"},
    {"expire", "queue ttl"},
    {"ciphers", "smtp ciphers"},
};
constexpr OldWord kLimits[] = {{"session", "smtp limit"},
                               {"mta", "mta limit"},
                               {"mda", "mda limit"},
                               {"scheduler", "scheduler limit"}};
constexpr OldWord kListenWords[] = {
    {"mask-source", "mask-src"}, {"certificate", "pki"}, {"ssl", "smtps"}};
constexpr OldWord kRelayWords[] = {
    {"as", "mail-from"}, {"source", "src"}, {"hostname", "helo"}, {"hostnames", "helo-src"}};

// The protocols of `relay via`.
struct OldScheme {
  std::string_view old;
  std::string_view scheme;
  bool two_ways;  // it tried two protocols
};
constexpr OldScheme kSchemes[] = {
    {"smtp", "smtp+notls", false},   {"smtp+tls", "smtp", false},
    {"tls", "smtp+tls", false},      {"tls+auth", "smtp+tls", false},
    {"smtps", "smtps", false},       {"smtps+auth", "smtps", false},
    {"ssl", "smtps", false},         {"ssl+auth", "smtps", false},
    {"secure", "smtps", true},       {"secure+auth", "smtps", true},
    {"starttls", "smtp+tls", false}, {"lmtp", "lmtp", false},
};

std::string_view Today(std::string_view word, const OldWord* rows, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (rows[i].old == word) return rows[i].word;
  }
  return "";
}

class Upgrader {
 public:
  Upgrader(const std::string& file_name, std::string_view text, const UpgradeLimits& limits)
      : file_(file_name), limits_(limits) {
    ends_in_newline_ = text.empty() || text.back() == '\n';
    if (!text.empty()) lines_ = Split(text, '\n');
    if (ends_in_newline_ && !lines_.empty()) lines_.pop_back();
  }

  Upgrade Run();

 private:
  // Converters give the new lines, or nullopt when the statement stays.
  std::optional<Words> Convert(const SourceStatement& statement);
  std::optional<Words> ConvertRule(const SourceStatement& statement);
  std::optional<Words> ConvertListen(const SourceStatement& statement);
  std::optional<Words> ConvertPki(const SourceStatement& statement);
  std::optional<Words> ConvertFilter(const SourceStatement& statement);
  std::optional<Words> Limit(const SourceStatement& statement);

  bool ReadCondition(const Words& words, size_t* at, struct OldRule* rule);
  std::string Url(std::string_view word);
  std::string NameOf(const std::string& method, const std::string& body);
  void Forget(const std::string& body);
  void TellIfUnknown(const std::string& first);
  bool Holds(const Words& lines) const;
  void CheckListenWords(const Words& words);
  // TakeTable reads <t>, { ... } or a word at `*at`.
  static std::string TakeTable(const Words& words, size_t* at);

  void Tell(bool is_error, std::string message, std::string edit = "") {
    const SourceLocation at{file_, static_cast<int>(line_) + 1, 0};
    Diagnostic told =
        is_error ? MakeError(at, std::move(message)) : MakeWarning(at, std::move(message));
    told.code = "upgrade";
    told.edit = std::move(edit);
    result_.diagnostics.push_back(std::move(told));
  }
  Words Unsayable(const SourceStatement& statement, std::string message) {
    Tell(true, std::move(message));
    Words out;
    for (size_t i = 0; i < statement.count; ++i)
      out.push_back(StrCat("# ", lines_[statement.first + i]));
    return out;
  }

  std::string file_;
  UpgradeLimits limits_;
  std::vector<std::string_view> lines_;
  bool ends_in_newline_ = true;
  bool has_auth_ = false;
  bool nested_ = false;  // it reads what another one wrote
  size_t line_ = 0;
  std::string newest_;                        // what the statement at hand named first
  std::map<std::string, std::string> names_;  // of actions, by what they do
  std::set<std::string> taken_;
  std::vector<std::string> new_actions_;
  Upgrade result_;
};

// OldRule is what an `accept` or `reject` said, in today's options.
struct OldRule {
  std::string from;  // "from any"; empty: local
  std::string to;    // "for any"
  std::string conditions;
  std::string options;  // of the action: " alias <a>"
  std::string ttl;
  bool from_local = true;
  bool says_auth = false;  // `authenticated`, negated or not
  bool logged_in = false;  // it is for who has logged in
  bool forward_only = false;
};

std::string Upgrader::TakeTable(const Words& words, size_t* at) {
  if (*at >= words.size()) return "";
  Words taken;
  const std::string open = words[*at];
  if (open != "<" && open != "{") return Quoted(words[(*at)++]);
  const std::string_view close = open == "<" ? ">" : "}";
  while (*at < words.size()) {
    taken.push_back(words[(*at)++]);
    if (taken.back() == close) break;
  }
  return JoinWords(taken);
}

std::string Upgrader::NameOf(const std::string& method, const std::string& body) {
  const auto known = names_.find(body);
  if (known != names_.end()) return known->second;
  std::string name = method == "forward-only" ? "forward" : method;
  for (int n = 2; !taken_.insert(name).second; ++n) name = StrCat(method, "_", n);
  names_[body] = name;
  new_actions_.push_back(StrCat("action \"", name, "\" ", body));
  newest_ = body;
  return name;
}

// Forget takes back the name of an action that did not come to be.
void Upgrader::Forget(const std::string& body) {
  const auto known = names_.find(body);
  if (known == names_.end()) return;
  taken_.erase(known->second);
  names_.erase(known);
}

std::string Upgrader::Url(std::string_view word) {
  const std::string_view bare = Unquoted(word);
  const size_t mark = bare.find("://");
  if (bare.empty() || bare[0] == '$' || bare[0] == '<') {
    Tell(false, StrCat("relay via ", Escape(word, 120),
                       ": its protocol could not be seen; smtp:// was without TLS (today "
                       "smtp+notls://), tls:// is today smtp+tls://"));
    return std::string(word);
  }
  if (mark == std::string_view::npos) return StrCat("\"smtp://", bare, "\"");
  const std::string_view scheme = bare.substr(0, mark);
  for (const OldScheme& row : kSchemes) {
    if (row.old != scheme) continue;
    if (row.two_ways) {
      Tell(false, StrCat(scheme, ":// tried smtps and then STARTTLS; it is written smtps:// now"),
           "write smtp+tls:// if the host has STARTTLS alone");
    }
    return StrCat("\"", row.scheme, bare.substr(mark), "\"");
  }
  Tell(true,
       StrCat("relay via ", Escape(word, 120), ": there is no protocol ", Escape(scheme, 40)));
  return std::string(word);
}

bool Upgrader::ReadCondition(const Words& words, size_t* at, OldRule* rule) {
  const auto negated = [&] {
    if (*at >= words.size() || words[*at] != "!") return false;
    ++*at;
    return true;
  };
  const bool before = negated();
  if (*at >= words.size()) return false;
  const std::string word = words[(*at)++];
  const bool is_not = negated() || before;
  const std::string mark = is_not ? "!" : "";
  const std::string next = *at < words.size() ? words[*at] : "";
  if (word == "tagged" || word == "tag") {
    StrAppend(rule->conditions, " ", mark, "tag ", TakeTable(words, at));
  } else if (word == "sender") {
    StrAppend(rule->conditions, " ", mark, "mail-from ", TakeTable(words, at));
  } else if (word == "recipient") {
    StrAppend(rule->conditions, " ", mark, "rcpt-to ", TakeTable(words, at));
  } else if (word == "authenticated" || word == "auth") {
    StrAppend(rule->conditions, " ", mark, "auth");
    rule->says_auth = true;
    rule->logged_in = !is_not;
  } else if (word == "from") {
    rule->from_local = false;
    if (next == "any" || next == "local") {
      ++*at;
      rule->from = StrCat(mark, "from ", next);
      rule->from_local = next == "local" && !is_not;
    } else {
      if (next == "source") ++*at;
      rule->from = StrCat(mark, "from src ", TakeTable(words, at));
    }
  } else if (word == "for") {
    if (next == "any" || next == "local") {
      ++*at;
      rule->to = StrCat(mark, "for ", next);
    } else {
      if (next == "domain") ++*at;
      rule->to = StrCat(mark, "for domain ", TakeTable(words, at));
    }
  } else if (word == "alias" || word == "virtual" || word == "userbase") {
    StrAppend(rule->options, " ", word, " ", TakeTable(words, at));
  } else if (word == "forward-only") {
    rule->forward_only = true;
  } else if (word == "expire") {
    rule->ttl = TakeTable(words, at);
  } else {
    *at -= 1;
    return false;
  }
  return true;
}

std::optional<Words> Upgrader::ConvertRule(const SourceStatement& statement) {
  const Words& words = statement.words;
  const bool is_reject = words[0] == "reject";
  OldRule rule;
  size_t at = 1;
  while (at < words.size() && ReadCondition(words, &at, &rule)) {
  }
  std::string body;
  std::string method;
  if (!is_reject && at + 2 < words.size() && words[at] == "deliver" && words[at + 1] == "to") {
    method = words[at + 2];
    at += 3;
    body = method;
    if (method == "lmtp" || method == "mda") {
      StrAppend(body, " ", TakeTable(words, &at));
    } else if (method == "maildir") {
      const bool path = at < words.size() && words[at] != "as" && words[at] != "expire" &&
                        words[at] != "userbase";
      if (path) StrAppend(body, " ", TakeTable(words, &at));
    } else if (method != "mbox") {
      return Unsayable(statement, StrCat("there is no `deliver to ", Escape(method, 40), "`"));
    }
    while (at < words.size()) {
      if (words[at] == "rcpt-to") {
        body += " rcpt-to";
        ++at;
      } else if (words[at] == "as") {
        StrAppend(rule.options, " user ", TakeTable(words, &++at));
      } else if (!ReadCondition(words, &at, &rule)) {
        break;
      }
    }
    body += rule.options;
  } else if (!is_reject && at < words.size() && words[at] == "relay") {
    body = method = "relay";
    ++at;
    std::string late;          // `auth` stands behind `host`
    bool says_tls = false;     // `tls`
    bool says_lax = false;     // `tls no-verify`, which is today's word
    bool says_verify = false;  // `verify`: without it no certificate was verified
    bool hosts_unseen = false;
    while (at < words.size()) {
      const std::string& word = words[at];
      const std::string_view today =
          Today(word, kRelayWords, sizeof kRelayWords / sizeof kRelayWords[0]);
      if (word == "via") {
        const bool table = at + 1 < words.size() && words[at + 1] == "<";
        std::string host = TakeTable(words, &++at);
        if (!table) host = Url(host);
        hosts_unseen = table || host.find("://") == std::string::npos;
        StrAppend(body, " host ", host);
        if (table) {
          Tell(false, StrCat("the URLs in ", Escape(host, 80), " are not converted"),
               "tls:// is smtp+tls:// today, tls+auth://l@ is smtp+tls://l@, smtp:// is "
               "smtp+notls://; today's verify unless the action says tls no-verify");
        }
      } else if (!today.empty()) {
        StrAppend(body, " ", today, " ", TakeTable(words, &++at));
      } else if (word == "auth") {
        StrAppend(late, " auth ", TakeTable(words, &++at));
      } else if (word == "pki" || word == "ca") {
        StrAppend(body, " ", word, " ", TakeTable(words, &++at));
      } else if (word == "backup") {
        body += " backup";
        ++at;
        const bool named = at < words.size() && words[at] != "as" && words[at] != "source" &&
                           words[at] != "hostname" && words[at] != "expire" && words[at] != "tls" &&
                           words[at] != "pki";
        if (named) StrAppend(body, " mx ", TakeTable(words, &at));
      } else if (word == "tls") {
        ++at;
        says_tls = true;
        says_lax = at < words.size() && words[at] == "no-verify";
        if (says_lax) ++at;
      } else if (word == "verify") {
        says_verify = true;
        ++at;
      } else if (!ReadCondition(words, &at, &rule)) {
        break;
      }
    }
    body += late;
    // Without TLS, and with it: who wrote `tls` meant it.
    constexpr std::string_view kPlain = " host \"smtp+notls://";
    if (const size_t host = body.find(kPlain); says_tls && host != std::string::npos) {
      body.replace(host, kPlain.size(), " host \"smtp+tls://");
      Tell(false, "smtp:// was without TLS, and the rule says tls: it is written smtp+tls:// now");
    }
    // TLS was demanded without a look at the certificate unless the rule said verify; today's TLS
    // verifies unless it says no-verify, and mail for a host with a certificate of its own would
    // wait.
    const bool tls_host = body.find(" host \"smtp+tls://") != std::string::npos ||
                          body.find(" host \"smtps://") != std::string::npos;
    if (says_verify) {
      if (!tls_host) body += " tls";
      if (!tls_host && !says_tls)
        Tell(false,
             hosts_unseen
                 ? "verify is what smtp+tls:// and smtps:// do today: it is written tls now, "
                   "which demands TLS, too"
                 : "a certificate is verified today where TLS is demanded: it is written tls "
                   "now, and a server without TLS gets no mail");
    } else if (says_lax || says_tls || tls_host) {
      body += " tls no-verify";
    }
    if (!rule.options.empty())
      Tell(false, StrCat("a relay has no", Escape(rule.options, 200), ": it is left out"));
  } else if (!is_reject && at >= words.size() && rule.forward_only) {
    body = method = "forward-only";
    body += rule.options;
  }
  if (at < words.size() || (!is_reject && body.empty())) {
    return Unsayable(
        statement, StrCat("this rule could not be read",
                          at < words.size() ? StrCat(" from \"", Escape(words[at], 60), "\" on")
                                            : std::string(": it says neither deliver nor relay")));
  }
  if (rule.forward_only && method != "forward-only")
    Tell(false, "forward-only beside a delivery: the delivery alone is kept");
  if (!rule.ttl.empty()) StrAppend(body, " ttl ", rule.ttl);

  Words out;
  std::string end = "reject";
  if (!is_reject) {
    const std::string name = NameOf(method, body);
    end = StrCat("action \"", name, "\"");
    for (std::string& action : new_actions_) out.push_back(std::move(action));
    new_actions_.clear();
  }
  const auto match = [&](const std::string& from) {
    return StrCat("match", from.empty() ? "" : " ", from, rule.to.empty() ? "" : " ", rule.to,
                  rule.conditions, " ", end);
  };
  // A client that had logged in counted as local.
  out.push_back(match(rule.from_local && rule.logged_in ? "from any" : rule.from));
  if (rule.from_local && has_auth_ && !rule.says_auth) out.push_back(match("auth from any"));
  return out;
}

std::optional<Words> Upgrader::ConvertListen(const SourceStatement& statement) {
  Words words = statement.words;
  bool changed = false;
  bool secure = false;
  bool port = false;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string_view today =
        Today(words[i], kListenWords, sizeof kListenWords / sizeof kListenWords[0]);
    // What follows these is a name, whatever it is.
    const bool name = words[i - 1] == "tag" || words[i - 1] == "pki" ||
                      words[i - 1] == "hostname" || words[i - 1] == "on";
    if (name) continue;
    if (!today.empty()) {
      words[i] = today;
      changed = true;
    }
    port |= words[i] == "port";
    if (words[i] == "secure") {
      secure = true;
      words[i] = "smtps";
    }
  }
  CheckListenWords(words);
  if (!secure) return changed ? std::optional<Words>(Words{JoinWords(words)}) : std::nullopt;
  // `secure` listened twice: on the port of smtps, and with STARTTLS.
  Words tls = words;
  std::replace(tls.begin(), tls.end(), std::string("smtps"), std::string("tls"));
  if (port) {
    Tell(false, "secure on one port offered TLS from the start or by STARTTLS; it is tls now",
         "write smtps for a port that begins with TLS");
    return Words{JoinWords(tls)};
  }
  return Words{JoinWords(tls), JoinWords(words)};
}

// CheckListenWords tells of the first word that today's grammar has no place for, which stays in
// the line.
void Upgrader::CheckListenWords(const Words& words) {
  static const std::set<std::string_view> kFlags = {
      "inet4", "inet6", "mask-src", "no-dsn", "proxy-v2", "received-auth", "tls", "masquerade"};
  static const std::set<std::string_view> kVerified = {"smtps", "tls-require"};
  static const std::set<std::string_view> kWithValue = {
      "ca",   "ciphers", "filter",    "hostname", "hostnames", "pki",
      "port", "proto",   "protocols", "senders",  "tag"};
  for (size_t at = 3; at < words.size();) {
    const std::string word = words[at];
    if (word.empty() || word[0] == '$') return;  // whatever that stands for
    ++at;
    if (kFlags.count(word) != 0) continue;
    if (kVerified.count(word) != 0) {
      if (at < words.size() && words[at] == "verify") ++at;
    } else if (word == "auth" || word == "auth-optional") {
      const bool named = at < words.size() && (words[at] == "<" || words[at] == "{");
      if (named) (void)TakeTable(words, &at);
    } else if (kWithValue.count(word) != 0) {
      (void)TakeTable(words, &at);
    } else {
      Tell(true, StrCat("a listener has no \"", Escape(word, 60), "\" today in that place",
                        word == "verify" ? ", which is behind tls-require and smtps alone" : "",
                        "; the word stays, and the line cannot be read until it is gone"));
      return;
    }
  }
}

std::optional<Words> Upgrader::ConvertPki(const SourceStatement& statement) {
  Words words = statement.words;
  bool changed = false;
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "certificate") {
      words[i] = "cert";
      changed = true;
    } else if (words[i] == "dhparams" || words[i] == "dhparam") {
      Tell(false, "a file of parameters for Diffie-Hellman is not read any more: dhe auto");
      words[i] = "dhe";
      if (i + 1 < words.size()) words[i + 1] = "auto";
      changed = true;
    }
  }
  return changed ? std::optional<Words>(Words{JoinWords(words)}) : std::nullopt;
}

std::optional<Words> Upgrader::ConvertFilter(const SourceStatement& statement) {
  const Words& words = statement.words;
  if (words.size() < 3) return std::nullopt;
  for (const char* today : {"phase", "proc", "proc-exec", "chain"}) {
    if (words[2] == today) return std::nullopt;
  }
  return Unsayable(statement,
                   "filters of before 6.4 spoke another protocol and cannot run today: look for "
                   "one of today's (filter NAME proc-exec \"…\")");
}

std::optional<Words> Upgrader::Limit(const SourceStatement& statement) {
  Words words = statement.words;
  if (words.size() < 3) return std::nullopt;
  const std::string_view today = Today(words[1], kLimits, sizeof kLimits / sizeof kLimits[0]);
  if (today.empty()) {
    if (words[1] == "smtp" || words[1] == "queue")
      return Unsayable(statement, StrCat("there is no limit ", Escape(words[1], 40), " today"));
    return std::nullopt;
  }
  words.erase(words.begin());
  words[0] = today;
  return Words{JoinWords(words)};
}

std::optional<Words> Upgrader::Convert(const SourceStatement& statement) {
  const Words& words = statement.words;
  if (words.empty()) return std::nullopt;
  if (words.size() > 1 && words[1] == "=") return std::nullopt;  // a macro
  const std::string& first = words[0];
  if (first == "accept" || first == "reject") return ConvertRule(statement);
  if (first == "listen") return ConvertListen(statement);
  if (first == "pki" || first == "ca") return ConvertPki(statement);
  if (first == "filter") return ConvertFilter(statement);
  if (first == "limit") return Limit(statement);
  const std::string_view today =
      Today(first, kDirectives, sizeof kDirectives / sizeof kDirectives[0]);
  if (today.empty()) {
    TellIfUnknown(first);
    return std::nullopt;
  }
  Words out = words;
  out[0] = today;
  // Today's lexer takes neither + nor - as the start of a word.
  for (size_t i = 1; i < out.size(); ++i) {
    if (out[i] != "," && out[i].find_first_not_of("0123456789") != std::string::npos)
      out[i] = Quoted(out[i]);
  }
  return Words{JoinWords(out)};
}

// TellIfUnknown: a statement that begins with no word of then or now stays as it is, not in
// silence.
void Upgrader::TellIfUnknown(const std::string& first) {
  static const std::vector<std::string> kKnown = {
      "accept",      "action",   "admd",     "bounce",
      "bounce-warn", "ca",       "ciphers",  "expire",
      "filter",      "include",  "libexec",  "limit",
      "listen",      "mailname", "match",    "max-message-size",
      "mda",         "mta",      "pki",      "proc",
      "queue",       "reject",   "resolver", "scheduler",
      "smtp",        "spool",    "srs",      "subaddressing-delimiter",
      "table"};
  if (std::find(kKnown.begin(), kKnown.end(), first) != kKnown.end() || first[0] == '$') return;
  Tell(true, StrCat("no statement begins with \"", Escape(first, 60), "\"",
                    DidYouMean(first, kKnown), "; the line stays as it is"));
}

// Holds tells whether `lines` are read again as they were meant: nothing in them is left to change,
// and they end where they end, whatever follows. What a string over the ends of lines or a stray
// quote makes of a statement does not.
bool Upgrader::Holds(const Words& lines) const {
  std::string text;
  for (const std::string& line : lines) {
    StrAppend(text, line, "\n");
    if (line.starts_with("# ")) continue;
    const std::vector<std::string_view> alone = {line, "#"};
    StatementReader reader(alone, limits_.max_words);
    size_t begins = 0;
    for (SourceStatement each; reader.Next(&each);) begins = each.first;
    if (begins != 1) return false;
  }
  Upgrader again(file_, text, limits_);
  again.nested_ = true;
  return again.Run().text == text;
}

Upgrade Upgrader::Run() {
  std::vector<SourceStatement> statements;
  StatementReader reader(lines_, limits_.max_words);
  for (SourceStatement each; reader.Next(&each);) statements.push_back(std::move(each));
  for (const SourceStatement& each : statements) {
    const Words& words = each.words;
    if (words.empty()) continue;
    if (words[0] == "listen") {
      for (const char* word : {"auth", "auth-optional"})
        has_auth_ |= std::find(words.begin(), words.end(), word) != words.end();
    }
    if (words[0] == "action" && words.size() > 1) taken_.insert(std::string(Unquoted(words[1])));
  }
  LineDiff diff(file_, &lines_, ends_in_newline_);
  for (const SourceStatement& each : statements) {
    line_ = each.first;
    const size_t told = result_.diagnostics.size();
    newest_.clear();
    std::optional<Words> lines = Convert(each);
    const bool as_comment = lines && lines->front().rfind("# ", 0) == 0;  // its own is in it
    if (lines && !each.comment.empty() && !as_comment) StrAppend(lines->back(), "  ", each.comment);
    if (lines && !nested_ && !Holds(*lines)) {
      lines.reset();
      Forget(newest_);
      result_.diagnostics.resize(told, MakeError({file_, 0, 0}, ""));
      Tell(true,
           "this statement could not be read: a quote is missing, or a word is where none "
           "can be; it stays as it is");
    }
    const bool at_end = each.first + each.count == lines_.size();
    if (lines) {
      diff.Replace(each.first, each.count, *lines);
      for (const std::string& line : *lines) StrAppend(result_.text, line, "\n");
    } else {
      for (size_t i = 0; i < each.count; ++i) {
        StrAppend(result_.text, lines_[each.first + i],
                  at_end && i + 1 == each.count && !ends_in_newline_ ? "" : "\n");
      }
    }
  }
  result_.diff = diff.Take();
  SortByPlace(&result_.diagnostics);
  return std::move(result_);
}

}  // namespace

Upgrade UpgradeConfig(const std::string& file_name, std::string_view text,
                      const UpgradeLimits& limits) {
  if (text.size() > limits.max_bytes) {
    Upgrade refused;
    refused.text = std::string(text);
    refused.diagnostics.push_back(
        MakeError({file_name, 0, 0}, StrCat("larger than ", limits.max_bytes, " octets")));
    return refused;
  }
  Upgrade made = Upgrader(file_name, text, limits).Run();
  if (made.diff.empty() || Upgrader(file_name, made.text, limits).Run().text == made.text)
    return made;
  Upgrade left;
  left.text = std::string(text);
  left.diagnostics = std::move(made.diagnostics);
  left.diagnostics.push_back(
      MakeError({file_name, 1, 0}, "this file could not be read as a whole; it stays as it is"));
  return left;
}

}  // namespace postern::policy
