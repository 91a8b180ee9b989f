#include "lib/core/base/proxy_header.h"

#include "lib/core/base/strings.h"

namespace postern {
namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
// The low half of octet 12 is the command, octet 13 family and transport.
constexpr uint8_t kCommandLocal = 0;
constexpr uint8_t kCommandProxy = 1;
constexpr uint8_t kTcpOverIpv4 = 0x11;
constexpr uint8_t kTcpOverIpv6 = 0x21;

uint8_t Octet(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }
uint16_t Number(std::string_view text, size_t at) {
  return static_cast<uint16_t>(Octet(text, at) << 8 | Octet(text, at + 1));
}

}  // namespace

Status CheckProxyStart(std::string_view start) {
  const std::string_view signature = start.substr(0, kSignature.size());
  if (!kSignature.starts_with(signature)) return InvalidArgument("no PROXY header of version 2");
  if (start.size() <= 12) return OkStatus();
  if (Octet(start, 12) >> 4 != 2)
    return InvalidArgument(StrCat("PROXY header of version ", Octet(start, 12) >> 4, ", not 2"));
  const uint8_t command = Octet(start, 12) & 0x0f;
  if (command != kCommandLocal && command != kCommandProxy)
    return InvalidArgument(StrCat("PROXY header with the unknown command ", command));
  if (start.size() <= 13 || command == kCommandLocal) return OkStatus();
  const uint8_t transport = Octet(start, 13);
  // A proxy that does not know the client says UNSPEC (0), and §2.2 leaves the choice to us: its
  // own address in place of a stranger's would make the stranger one of the house.
  if (transport != kTcpOverIpv4 && transport != kTcpOverIpv6)
    return InvalidArgument(StrCat("PROXY header for no TCP connection (", Hex(transport, 2), ")"));
  return OkStatus();
}

StatusOr<size_t> ProxyHeaderSize(std::string_view prefix) {
  POSTERN_RETURN_IF_ERROR(CheckProxyStart(prefix));
  if (prefix.size() < kProxyPrefixBytes) return InvalidArgument("no PROXY header of version 2");
  const size_t size = kProxyPrefixBytes + Number(prefix, 14);
  if (size > kMaxProxyHeaderBytes) {
    return InvalidArgument(
        StrCat("PROXY header of ", size, " octets, over ", kMaxProxyHeaderBytes));
  }
  return size;
}

StatusOr<ProxyHeader> ParseProxyHeader(std::string_view header) {
  const StatusOr<size_t> size = ProxyHeaderSize(header.substr(0, kProxyPrefixBytes));
  if (!size.ok()) return size.status();
  if (header.size() != *size) return InvalidArgument("PROXY header cut short");
  ProxyHeader read;
  if ((Octet(header, 12) & 0x0f) == kCommandLocal) {
    read.local = true;
    return read;
  }
  const size_t length = Octet(header, 13) == kTcpOverIpv4 ? 4 : 16;
  std::string_view rest = header.substr(kProxyPrefixBytes);
  if (rest.size() < 2 * length + 4) return InvalidArgument("PROXY header without whole addresses");
  const std::optional<IpAddress> source = IpAddress::FromBytes(rest.substr(0, length));
  const std::optional<IpAddress> destination = IpAddress::FromBytes(rest.substr(length, length));
  if (!source.has_value() || !destination.has_value())
    return InvalidArgument("PROXY header without addresses");
  read.source = Endpoint{*source, Number(rest, 2 * length), ""};
  read.destination = Endpoint{*destination, Number(rest, 2 * length + 2), ""};
  return read;
}

}  // namespace postern
