// `listen`, and the certificates it names: `pki`, `ca`.

#include <algorithm>
#include <iterator>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/policy/parse.h"
#include "lib/core/policy/parser.h"

namespace postern::policy {
namespace {

struct PortName {
  const char* name;
  uint16_t port;
};
// The services that a mail server listens on; the core does not read /etc/services.
constexpr PortName kPorts[] = {
    {"smtp", 25},   {"mail", 25},        {"smtps", 465}, {"ssmtp", 465},  {"submissions", 465},
    {"urd", 465},   {"submission", 587}, {"lmtp", 24},   {"imap", 143},   {"imap2", 143},
    {"imaps", 993}, {"pop3", 110},       {"pop3s", 995}, {"sieve", 4190},
};

// Where a text option goes.
struct TextOption {
  const char* word;
  std::string Listener::*member;
};
constexpr TextOption kTexts[] = {
    {"tag", &Listener::tag},
    {"hostname", &Listener::hostname},
    {"protocols", &Listener::protocols},
    {"ciphers", &Listener::ciphers},
};

struct FlagOption {
  const char* word;
  bool Listener::*member;
};
constexpr FlagOption kFlags[] = {
    {"mask-src", &Listener::mask_src},
    {"received-auth", &Listener::received_auth},
    {"no-dsn", &Listener::no_dsn},
    {"proxy-v2", &Listener::proxy_v2},
};

// LooksLikeAddress: only digits and dots, or with a colon: it was meant as an address, not as an
// interface or a name.
bool LooksLikeAddress(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return true;
  return text.find('.') != std::string_view::npos &&
         text.find_first_not_of("0123456789./") == std::string_view::npos;
}

// IsServiceName tells whether `text` can be the file of a service of PAM.
bool IsServiceName(std::string_view text) {
  constexpr size_t kMaxServiceBytes = 64;
  if (text.empty() || text.size() > kMaxServiceBytes || text[0] == '.') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAsciiAlnum(c) || c == '.' || c == '-' || c == '_'; });
}

}  // namespace

// word, group (one of a group only, "" for repeatable), allowed on the socket, reader
const Parser::ListenOption Parser::kListenOptions[] = {
    {"auth", "auth", false, &Parser::ListenAuth},
    {"auth-optional", "auth", false, &Parser::ListenAuth},
    {"ca", "ca", false, &Parser::ListenCa},
    {"ciphers", "ciphers", false, &Parser::ListenText},
    {"filter", "filter", true, &Parser::ListenFilter},
    {"hostname", "hostname", false, &Parser::ListenText},
    {"hostnames", "hostnames", false, &Parser::ListenHostnames},
    {"inet4", "address family", false, &Parser::ListenFlag},
    {"inet6", "address family", false, &Parser::ListenFlag},
    {"mask-src", "mask-src", true, &Parser::ListenFlag},
    {"no-dsn", "no-dsn", true, &Parser::ListenFlag},
    {"pki", "", false, &Parser::ListenPki},
    {"port", "port", false, &Parser::ListenPort},
    {"proto", "proto", false, &Parser::ListenProto},
    {"protocols", "protocols", false, &Parser::ListenText},
    {"proxy-v2", "proxy-v2", false, &Parser::ListenFlag},
    {"received-auth", "received-auth", false, &Parser::ListenFlag},
    {"senders", "senders", false, &Parser::ListenSenders},
    {"smtps", "TLS mode", false, &Parser::ListenTlsMode},
    {"tag", "tag", true, &Parser::ListenText},
    {"tls", "TLS mode", false, &Parser::ListenTlsMode},
    {"tls-require", "TLS mode", false, &Parser::ListenTlsMode},
};

bool Parser::ParseListen(const Token& first) {
  Listener listener;
  listener.location = first.location;
  if (!ExpectBare("on")) return false;
  SourceLocation target_at = Peek().location;
  bool ok = true;
  if (TakeBare("socket")) {
    listener.is_socket = true;
    listener.options.Add("socket", target_at);
    for (const Listener& other : config_.listeners) {
      if (!other.is_socket) continue;
      Error(first.location,
            StrCat("listen on socket already specified at line ", other.location.line));
      return false;
    }
  } else {
    if (Peek().IsSymbol("*")) return Unexpected("an interface or an address; all of them are all");
    if (!ExpectString("an interface, an address, a host name or socket", &listener.target,
                      &target_at))
      return false;
    if (LooksLikeAddress(listener.target) && !IpAddress::Parse(listener.target)) {
      const size_t colon = listener.target.rfind(':');
      const bool has_port = colon != std::string::npos && listener.target.find(':') == colon &&
                            ParseUint(listener.target.substr(colon + 1), 65535).has_value();
      Error(target_at, StrCat("invalid address or interface: ", Escape(listener.target, 80),
                              has_port ? StrCat(" (the port is an option: listen on ",
                                                Escape(listener.target.substr(0, colon), 80),
                                                " port ", listener.target.substr(colon + 1), ")")
                                       : ""));
      ok = false;
    }
  }
  std::set<std::string> seen;
  std::vector<std::string> known;
  for (const ListenOption& row : kListenOptions) known.emplace_back(row.word);
  while (ok ? !AtLineEnd() : Resume(known)) {
    const ListenOption* found = nullptr;
    for (const ListenOption& row : kListenOptions) {
      if (Peek().IsBare(row.word)) found = &row;
    }
    if (found == nullptr) {
      ok = Unexpected("an option of listen", known);
      continue;
    }
    const Token word = Take();
    if (listener.is_socket && !found->for_socket) {
      Error(word.location,
            StrCat("syntax error: ", word.text, " has no meaning for listen on socket"));
      ok = false;
      continue;
    }
    if (found->group[0] != '\0' && !Once(&seen, found->group, "", word.location)) {
      ok = false;
      continue;
    }
    listener.options.Add(word.text, word.location);
    if (!(this->*found->parse)(listener, word)) ok = false;
  }
  if (!ok) return false;
  if (seen.count("port") == 0) {
    const bool smtps = listener.tls == ListenerTls::kSmtps;
    listener.port =
        listener.protocol == ListenerProtocol::kImap ? (smtps ? 993 : 143) : (smtps ? 465 : 25);
  }
  if (!CheckListener(listener)) return false;
  config_.listeners.push_back(std::move(listener));
  return true;
}

bool Parser::CheckListener(const Listener& l) {
  if (l.tls == ListenerTls::kNone) {
    if (l.auth != ListenerAuth::kNone) {
      const char* word = l.auth == ListenerAuth::kRequired ? "auth" : "auth-optional";
      Error(l.options.Find(word, l.location),
            StrCat(word,
                   " requires tls, tls-require or smtps on the same listener: passwords must "
                   "not cross the net in the clear"));
      return false;
    }
    for (const char* word : {"protocols", "ciphers"}) {
      const SourceLocation* at = l.options.Find(word);
      if (at == nullptr) continue;
      Warn(*at, StrCat(word, " has no effect without tls, tls-require or smtps"));
    }
    for (const PendingName& pending : pending_) {
      if (pending.listener != static_cast<int>(config_.listeners.size())) continue;
      Error(pending.location,
            StrCat(pending.what, " requires tls, tls-require or smtps on the same listener"));
      return false;
    }
  }
  if (l.protocol == ListenerProtocol::kImap) {
    const bool senders = l.senders != kNoIndex || l.senders_rule != SendersRule::kNotOthers;
    const char* smtp_only = senders                   ? "senders"
                            : l.hostnames != kNoIndex ? "hostnames"
                            : l.no_dsn                ? "no-dsn"
                            : l.mask_src              ? "mask-src"
                            : l.received_auth         ? "received-auth"
                            : l.filter != kNoIndex    ? "filter"
                                                      : nullptr;
    if (smtp_only != nullptr) {
      Error(l.options.Find(smtp_only, l.location),
            StrCat(smtp_only, " has no meaning for proto imap: leave it out"));
      return false;
    }
    if (l.auth == ListenerAuth::kNone) {
      Error(l.options.Find("proto", l.location),
            "proto imap needs auth (and tls or smtps): nobody could log in");
      return false;
    }
  }
  return true;
}

bool Parser::ListenTlsMode(Listener& l, const Token& word) {
  l.tls = word.text == "tls"     ? ListenerTls::kOptional
          : word.text == "smtps" ? ListenerTls::kSmtps
                                 : ListenerTls::kRequired;
  const SourceLocation at = Peek().location;
  if (l.tls != ListenerTls::kOptional) l.verify_client = TakeBare("verify");
  if (l.verify_client) l.options.Add("verify", at);
  return true;
}

bool Parser::ListenPort(Listener& l, const Token&) {
  const Token found = Peek();
  if (found.kind == TokenKind::kNumber) {
    const std::optional<uint64_t> port = ParseUint(found.text, 65535);
    if (!port) {
      Error(found.location, StrCat("invalid port: ", Escape(found.text, 64),
                                   " (1 to 65535, or 0 for any free one)"));
      return false;
    }
    Take();
    l.port = static_cast<uint16_t>(*port);
    return true;
  }
  if (!found.IsString() && !found.IsBare("smtp") && !found.IsBare("smtps"))
    return Unexpected("a port number or service");
  std::vector<std::string> known;
  for (const PortName& row : kPorts) {
    known.emplace_back(row.name);
    if (found.text != row.name) continue;
    Take();
    l.port = row.port;
    return true;
  }
  const std::optional<uint64_t> quoted = ParseUint(found.text, 65535);
  if (quoted) {
    Take();
    l.port = static_cast<uint16_t>(*quoted);
    return true;
  }
  Error(found.location, StrCat("invalid port: \"", Escape(found.text, 64),
                               "\" is neither a number nor a service: ", StrJoin(known, ", "),
                               DidYouMean(found.text, known)));
  return false;
}

bool Parser::ListenProto(Listener& l, const Token&) {
  if (TakeBare("smtp")) return true;
  if (TakeBare("imap")) {
    l.protocol = ListenerProtocol::kImap;
    return true;
  }
  return Unexpected("smtp or imap", {"smtp", "imap"});
}

bool Parser::ListenPki(Listener&, const Token&) {
  PendingName pending;
  pending.what = "pki";
  pending.listener = static_cast<int>(config_.listeners.size());
  if (!ExpectString("the name of a pki", &pending.name, &pending.location)) return false;
  size_t count = 0;
  for (const PendingName& other : pending_) {
    if (other.listener != pending.listener || other.what != "pki") continue;
    ++count;
    if (!EqualsIgnoreCase(other.name, pending.name)) continue;
    Error(pending.location, StrCat("pki ", Escape(pending.name), " already specified"));
    return false;
  }
  if (count >= kMaxListenerPki) {
    Error(pending.location, StrCat("a listener may name ", kMaxListenerPki, " pki at most"));
    return false;
  }
  pending_.push_back(std::move(pending));
  return true;
}

bool Parser::ListenCa(Listener&, const Token&) {
  PendingName pending;
  pending.what = "ca";
  pending.listener = static_cast<int>(config_.listeners.size());
  if (!ExpectString("the name of a ca", &pending.name, &pending.location)) return false;
  pending_.push_back(std::move(pending));
  return true;
}

bool Parser::ListenAuth(Listener& l, const Token& word) {
  l.auth = word.text == "auth" ? ListenerAuth::kRequired : ListenerAuth::kOptional;
  if (TakeBare("pam")) return ListenAuthPam(l);
  if (!AtTableArgument()) return true;
  TableUse use;
  use.service = Service::kCredentials;
  use.needs = TableForm::kMapping;
  use.word = word.text;
  return ParseTableArgument(std::move(use), &l.auth_table);
}

bool Parser::ListenAuthPam(Listener& l) {
  SourceLocation at;
  std::string service;
  if (!ExpectString("the name of a service of PAM, like \"smtpd\"", &service, &at)) return false;
  if (!IsServiceName(service)) {
    Error(at, StrCat("\"", Escape(service, 80),
                     "\" is no service of PAM: that is the name of a file in /etc/pam.d, or in the "
                     "folder that stands behind it"));
    return false;
  }
  // libpam takes all names in lower case.
  l.pam_service = AsciiLower(service);
  if (!TakeBare("folder")) return true;
  if (!ExpectString("the folder of the service's file", &l.pam_folder, &at)) return false;
  if (l.pam_folder.starts_with("/")) return true;
  Error(at, "the folder of a service of PAM is an absolute path, like \"/etc/postern/pam.d\"");
  return false;
}

bool Parser::ListenFilter(Listener& l, const Token&) { return ParseFilterArgument(&l.filter); }

bool Parser::ListenText(Listener& l, const Token& word) {
  std::string text;
  SourceLocation at;
  if (!ExpectString(StrCat("the value of ", word.text), &text, &at)) return false;
  if (word.text == "tag" && text.size() > kMaxTagBytes) {
    Error(at, StrCat("tag name too long: ", Escape(text, 64), " (", kMaxTagBytes,
                     " characters at most)"));
    return false;
  }
  if (word.text == "hostname" && !mail::IsValidDomainName(text)) {
    Error(at, StrCat("hostname \"", Escape(text, 80), "\" is no host name, like mx.example.org"));
    return false;
  }
  if (word.text == "protocols" && !CheckProtocols(text, at)) return false;
  for (const TextOption& row : kTexts) {
    if (word.text == row.word) l.*row.member = std::move(text);
  }
  return true;
}

bool Parser::CheckProtocols(const std::string& text, const SourceLocation& at) {
  const StatusOr<TlsProtocols> protocols = ParseTlsProtocols(text);
  if (!protocols.ok()) {
    Error(at, std::string(Message(protocols.status())));
    return false;
  }
  if (protocols->older) {
    Warn(at, StrCat("protocols \"", Escape(text, 80),
                    "\": TLS before 1.2 is not spoken (RFC 8996); the others are"));
  }
  return true;
}

bool Parser::ListenHostnames(Listener& l, const Token& word) {
  TableUse use;
  use.service = Service::kAddrname;
  use.needs = TableForm::kMapping;
  use.word = word.text;
  return ParseTableArgument(std::move(use), &l.hostnames);
}

bool Parser::ListenSenders(Listener& l, const Token& word) {
  if (TakeBare("any")) {
    l.senders_rule = SendersRule::kAny;
    return true;
  }
  if (TakeBare("own")) {
    l.senders_rule = SendersRule::kOwn;
    l.senders_masquerade = TakeBare("masquerade");
    return true;
  }
  TableUse use;
  use.service = Service::kMailaddrmap;
  use.needs = TableForm::kMapping;
  use.word = word.text;
  if (!ParseTableArgument(std::move(use), &l.senders)) return false;
  l.senders_masquerade = TakeBare("masquerade");
  return true;
}

bool Parser::ListenFlag(Listener& l, const Token& word) {
  if (word.text == "inet4") l.family = AddressFamily::kInet4;
  if (word.text == "inet6") l.family = AddressFamily::kInet6;
  for (const FlagOption& row : kFlags) {
    if (word.text == row.word) l.*row.member = true;
  }
  return true;
}

bool Parser::ParsePki(const Token& first) {
  std::string name;
  if (!ExpectString("the name of a pki", &name)) return false;
  name = AsciiLower(name);
  const std::string key = "pki " + name;
  const bool was_broken = !broken_names_.insert(key).second;  // until the line has been read
  int index = config_.FindPki(name);
  if (index == kNoIndex) {
    Pki pki;
    pki.name = name;
    pki.location = first.location;
    index = static_cast<int>(config_.pkis.size());
    config_.pkis.push_back(std::move(pki));
  }
  Pki& pki = config_.pkis[static_cast<size_t>(index)];
  if (AtLineEnd()) return Unexpected("cert, key or dhe");
  while (!AtLineEnd()) {
    const SourceLocation at = Peek().location;
    if (TakeBare("cert")) {
      pki.certificate_location = at;
      if (!ExpectString("the path of a certificate", &pki.certificate_path)) return false;
    } else if (TakeBare("key")) {
      pki.key_location = at;
      if (!ExpectString("the path of a key", &pki.key_path)) return false;
    } else if (TakeBare("dhe")) {
      std::string mode;
      SourceLocation mode_at;
      if (!ExpectString("none, auto or legacy", &mode, &mode_at)) return false;
      if (mode == "none") {
        pki.dhe = DheMode::kNone;
      } else if (mode == "auto") {
        pki.dhe = DheMode::kAuto;
      } else if (mode == "legacy") {
        pki.dhe = DheMode::kLegacy;
      } else {
        Error(mode_at,
              StrCat("invalid dhe keyword: ", Escape(mode, 64), " (none, auto or legacy)"));
        return false;
      }
    } else {
      return Unexpected("cert, key or dhe", {"cert", "key", "dhe"});
    }
  }
  if (!was_broken) broken_names_.erase(key);
  return true;
}

bool Parser::ParseCa(const Token& first) {
  CertificateAuthority ca;
  ca.location = first.location;
  if (!ExpectString("the name of a ca", &ca.name)) return false;
  ca.certificate_location = Peek().location;
  if (!ExpectBare("cert") || !ExpectString("the path of a certificate", &ca.certificate_path))
    return false;
  const int earlier = config_.FindCa(ca.name);
  if (earlier == kNoIndex) {
    config_.cas.push_back(std::move(ca));
    return true;
  }
  // As in OpenSMTPD the last one counts.
  Warn(first.location,
       StrCat("ca \"", Escape(ca.name), "\" is defined a second time, first at line ",
              config_.cas[static_cast<size_t>(earlier)].location.line, ": this one counts"));
  config_.cas[static_cast<size_t>(earlier)] = std::move(ca);
  return true;
}

}  // namespace postern::policy
