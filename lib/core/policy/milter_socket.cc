#include "lib/core/policy/milter_socket.h"

#include <string>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

constexpr size_t kMaxSocketPathBytes = 107;  // sun_path of Linux, without its NUL
constexpr const char* kForms =
    "write \"inet:127.0.0.1:8891\", \"inet6:[::1]:8891\" or \"unix:/path\"";

StatusOr<Endpoint> ParsePath(std::string_view path) {
  if (path.empty() || path.front() != '/')
    return InvalidArgument("the path of a milter's socket begins with \"/\"");
  if (path.size() > kMaxSocketPathBytes) {
    return InvalidArgument(StrCat("the path of a milter's socket is longer than ",
                                  kMaxSocketPathBytes, " octets, which no system takes"));
  }
  if (path.find('\0') != std::string_view::npos)
    return InvalidArgument("the path of a milter's socket has a NUL in it");
  Endpoint endpoint;
  endpoint.unix_path = std::string(path);
  return endpoint;
}

}  // namespace

StatusOr<Endpoint> ParseMilterSocket(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view scheme = text.substr(0, colon);
  std::string_view rest =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (colon != std::string_view::npos && (scheme == "unix" || scheme == "local"))
    return ParsePath(rest);
  if (colon == std::string_view::npos || (scheme != "inet" && scheme != "inet6"))
    return InvalidArgument(StrCat("no socket of a milter: ", kForms));
  std::string_view host;
  std::string_view port;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    port = rest.substr(0, at);
    host = rest.substr(at + 1);
  } else if (const size_t last = rest.rfind(':'); last != std::string_view::npos) {
    host = rest.substr(0, last);
    port = rest.substr(last + 1);
  } else {
    return InvalidArgument(StrCat("a host and a port are wanted: ", kForms));
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const std::optional<uint64_t> number = ParseUint(port, 65'535);
  if (!number.has_value() || *number == 0) {
    return InvalidArgument(
        StrCat("\"", Escape(port, 40), "\" is no port of a milter: a number from 1 to 65535"));
  }
  Endpoint endpoint;
  endpoint.port = static_cast<uint16_t>(*number);
  std::optional<IpAddress> address = IpAddress::Parse(host);
  if (EqualsIgnoreCase(host, "localhost"))
    address = IpAddress::Parse(scheme == "inet6" ? "::1" : "127.0.0.1");
  if (!address.has_value()) {
    return InvalidArgument(StrCat("\"", Escape(host, 80),
                                  "\" is no address: a milter is reached by an IP address or "
                                  "localhost, not by a name"));
  }
  if (scheme == "inet6" && address->is_v4())
    return InvalidArgument("inet6 wants an IPv6 address; for IPv4 write inet");
  endpoint.address = *address;
  return endpoint;
}

}  // namespace postern::policy
