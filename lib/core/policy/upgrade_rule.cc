// Rules of before 6.4: an `action`, and a `match` that names it.
#include "lib/core/policy/upgrader.h"

namespace postern::policy {
namespace {

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

}  // namespace

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

// ReadRelay reads what stands behind `relay`.
std::string Upgrader::ReadRelay(const Words& words, size_t* at, OldRule* rule) {
  std::string body = "relay";
  std::string late;          // `auth` stands behind `host`
  bool says_tls = false;     // `tls`
  bool says_lax = false;     // `tls no-verify`, which is today's word
  bool says_verify = false;  // `verify`: without it no certificate was verified
  bool hosts_unseen = false;
  while (*at < words.size()) {
    const std::string& word = words[*at];
    const std::string_view today = Today(word, kRelayWords);
    if (word == "via") {
      const bool table = *at + 1 < words.size() && words[*at + 1] == "<";
      std::string host = TakeTable(words, &++*at);
      if (!table) host = Url(host);
      hosts_unseen = table || host.find("://") == std::string::npos;
      StrAppend(body, " host ", host);
      if (table) {
        Tell(false, StrCat("the URLs in ", Escape(host, 80), " are not converted"),
             "tls:// is smtp+tls:// today, tls+auth://l@ is smtp+tls://l@, smtp:// is "
             "smtp+notls://; today's verify unless the action says tls no-verify");
      }
    } else if (!today.empty()) {
      StrAppend(body, " ", today, " ", TakeTable(words, &++*at));
    } else if (word == "auth") {
      StrAppend(late, " auth ", TakeTable(words, &++*at));
    } else if (word == "pki" || word == "ca") {
      StrAppend(body, " ", word, " ", TakeTable(words, &++*at));
    } else if (word == "backup") {
      body += " backup";
      ++*at;
      const bool named = *at < words.size() && words[*at] != "as" && words[*at] != "source" &&
                         words[*at] != "hostname" && words[*at] != "expire" &&
                         words[*at] != "tls" && words[*at] != "pki";
      if (named) StrAppend(body, " mx ", TakeTable(words, at));
    } else if (word == "tls") {
      ++*at;
      says_tls = true;
      says_lax = *at < words.size() && words[*at] == "no-verify";
      if (says_lax) ++*at;
    } else if (word == "verify") {
      says_verify = true;
      ++*at;
    } else if (!ReadCondition(words, at, rule)) {
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
      Tell(false, hosts_unseen
                      ? "verify is what smtp+tls:// and smtps:// do today: it is written tls now, "
                        "which demands TLS, too"
                      : "a certificate is verified today where TLS is demanded: it is written tls "
                        "now, and a server without TLS gets no mail");
  } else if (says_lax || says_tls || tls_host) {
    body += " tls no-verify";
  }
  if (!rule->options.empty())
    Tell(false, StrCat("a relay has no", Escape(rule->options, 200), ": it is left out"));
  return body;
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
    method = "relay";
    ++at;
    body = ReadRelay(words, &at, &rule);
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

}  // namespace postern::policy
