// Listeners of before 6.4.
#include <algorithm>

#include "lib/core/policy/upgrader.h"

namespace postern::policy {
namespace {

constexpr OldWord kListenWords[] = {
    {"mask-source", "mask-src"}, {"certificate", "pki"}, {"ssl", "smtps"}};

}  // namespace

std::optional<Words> Upgrader::ConvertListen(const SourceStatement& statement) {
  Words words = statement.words;
  bool changed = false;
  bool secure = false;
  bool port = false;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string_view today = Today(words[i], kListenWords);
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

}  // namespace postern::policy
