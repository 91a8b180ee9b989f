// The PROXY protocol, version 2: what a load balancer says first on a connection that it passes on,
// so that the server behind it knows who the client is (haproxy's proxy-protocol.txt, §2.2).
//
// The header is binary: a signature of 12 octets, version and command, address family and
// transport, the length of the rest, the addresses, and then optional fields (TLVs). Version 1, a
// line of text, is not read.
#pragma once

#include <cstddef>
#include <string_view>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"

namespace postern {

// kProxyPrefixBytes is the length of what comes before the addresses; it tells how long all is.
inline constexpr size_t kProxyPrefixBytes = 16;
// kMaxProxyHeaderBytes bounds the whole header. The addresses of IPv6 have 36 octets; the rest is
// for TLVs, of which we use none. haproxy sends some hundred octets even with all of them.
inline constexpr size_t kMaxProxyHeaderBytes = 4096;

struct ProxyHeader {
  // local: the proxy speaks for itself (a health check): the connection's own addresses hold, and
  // the two below mean nothing.
  bool local = false;
  Endpoint source;       // the client
  Endpoint destination;  // where the client connected to
};

// CheckProxyStart judges the first octets of what came so far, however few: an error, a sentence
// for the log, as soon as no header that is taken begins so. Whoever speaks something else need not
// be waited for.
Status CheckProxyStart(std::string_view start);

// ProxyHeaderSize returns how long the header is that begins with `prefix`, of kProxyPrefixBytes
// octets. An error, a sentence for the log, when that is no header of version 2, or one over
// kMaxProxyHeaderBytes.
StatusOr<size_t> ProxyHeaderSize(std::string_view prefix);

// ParseProxyHeader reads a whole header, of the size that ProxyHeaderSize told. TLVs are passed
// over. Errors: whatever does not name a TCP connection over IPv4 or IPv6. An IPv4 address mapped
// into IPv6 counts as the IPv4 one, as everywhere (IpAddress).
StatusOr<ProxyHeader> ParseProxyHeader(std::string_view header);

}  // namespace postern
