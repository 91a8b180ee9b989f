// [scheme://][label@]host[:port], as `relay host` has it, and what `lmtp` takes.

#include "lib/core/base/ip_address.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

struct Scheme {
  std::string_view prefix;
  RelayScheme scheme;
  uint16_t port;       // 0: must be given
  bool label_allowed;  // a password needs a verified peer
};
constexpr Scheme kSchemes[] = {
    {"smtp", RelayScheme::kSmtp, 25, false},
    {"smtp+tls", RelayScheme::kSmtpTls, 25, true},
    {"smtp+notls", RelayScheme::kSmtpNoTls, 25, false},
    {"smtps", RelayScheme::kSmtps, 465, true},
    {"lmtp", RelayScheme::kLmtp, 0, false},
};

}  // namespace

StatusOr<RelayUrl> ParseRelayUrl(std::string_view text) {
  RelayUrl url;
  Scheme scheme = kSchemes[0];
  if (const size_t mark = text.find("://"); mark != std::string_view::npos) {
    const std::string_view word = text.substr(0, mark);
    bool known = false;
    std::vector<std::string> words;
    for (const Scheme& row : kSchemes) {
      words.emplace_back(row.prefix);
      if (row.prefix != word) continue;
      scheme = row;
      known = true;
    }
    if (!known) {
      return InvalidArgument(StrCat("unknown scheme \"", Escape(word, 40),
                                    "\": smtp, smtp+tls, smtp+notls, smtps or lmtp",
                                    DidYouMean(word, words)));
    }
    text.remove_prefix(mark + 3);
  }
  url.scheme = scheme.scheme;
  url.port = scheme.port;
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    url.label = std::string(text.substr(0, at));
    if (url.label.empty()) return InvalidArgument("an empty label before @");
    if (!scheme.label_allowed)
      return InvalidArgument("a label is for smtp+tls:// and smtps:// only");
    text.remove_prefix(at + 1);
  }
  std::string_view port;
  bool has_port = false;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return InvalidArgument("[ without ]");
    std::string_view literal = text.substr(1, close - 1);
    if (StartsWithIgnoreCase(literal, "ipv6:")) literal.remove_prefix(5);
    const std::optional<IpAddress> address = IpAddress::Parse(literal);
    if (!address) return InvalidArgument(StrCat("[", Escape(literal, 80), "] is no address"));
    url.host = address->ToString();
    url.host_is_address = true;
    std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return InvalidArgument("only :port may follow ]");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else {
    const size_t colon = text.find(':');
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon + 1);
    const std::string_view host = text.substr(0, colon);
    if (const std::optional<IpAddress> address = IpAddress::Parse(host)) {
      url.host_is_address = true;
    } else if (!mail::IsValidDomainName(host)) {
      return InvalidArgument(StrCat("\"", Escape(host, 80), "\" is no host name"));
    }
    url.host = AsciiLower(host);
  }
  if (has_port) {
    const std::optional<uint64_t> number = ParseUint(port, 65535);
    if (!number || *number == 0)
      return InvalidArgument(StrCat("\"", Escape(port, 40), "\" is no port"));
    url.port = static_cast<uint16_t>(*number);
  }
  if (url.port == 0) return InvalidArgument("lmtp needs a port");
  return url;
}

StatusOr<LmtpDestination> ParseLmtpDestination(std::string_view text) {
  LmtpDestination destination;
  if (!text.empty() && text.front() == '/') {
    if (text.size() > kMaxSocketPathBytes) {
      return InvalidArgument(
          StrCat("a socket's path has at most ", kMaxSocketPathBytes, " octets"));
    }
    if (text.find('\0') != std::string_view::npos) return InvalidArgument("a NUL in a path");
    destination.socket_path = std::string(text);
    return destination;
  }
  const StatusOr<RelayUrl> url = text.find("://") == std::string_view::npos
                                     ? ParseRelayUrl(StrCat("lmtp://", text))
                                     : InvalidArgument("no scheme is wanted here");
  if (!url.ok()) {
    return InvalidArgument(StrCat(Message(url.status()),
                                  "; host:port or the path of a socket is wanted, like "
                                  "\"127.0.0.1:24\" or \"/run/dovecot/lmtp\""));
  }
  destination.host = url->host;
  destination.host_is_address = url->host_is_address;
  destination.port = url->port;
  return destination;
}

}  // namespace postern::policy
