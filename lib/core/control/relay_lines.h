// What `show hosts`, `show relays`, `show routes` and `show mta paused` print, to the column.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/base/time.h"

namespace postern::control {

// HostLine is a server that mail was brought to:
//   192.0.2.9 mx.example.org refcount=1 nconn=1 lastconn=3s
struct HostLine {
  std::string address;
  std::string name;
  size_t references = 1;  // from the destination that named it, and from each route
  size_t connections = 0;
  std::optional<Duration> last;  // since the last connection was begun
};
std::string HostText(const HostLine& host);

// RouteLine is a way from one of our addresses to one of theirs:
//   1. [] <-> 192.0.2.9 (mx.example.org) ND-- nconn=0 nerror=0 penalty=1 timeout=12s
struct RouteLine {
  uint64_t id = 0;
  std::string source;  // "[]": any
  std::string address;
  std::string host;
  bool is_new = false;     // N: no session was established by it yet
  bool disabled = false;   // D: left alone for `timeout`
  bool lowering = false;   // Q: it waits for its penalty to be lowered
  bool keepalive = false;  // K: a connection is kept for more mail
  size_t connections = 0;
  int penalty = 0;
  Duration timeout;  // zero: none
};
std::string RouteText(const RouteLine& route);

// RelayLine is a destination, and from where it is reached:
//   [relay:mx.example.org,port=587,smtp+tls,mx] refcount=1 ntask=1 nconn=1 lastconn=3s timeout=-
//   wait=-
//     connector [] refcount=1 nconn=1 lastconn=3s timeout=- flags=-
struct RelayLine {
  struct Connector {
    std::string source;
    size_t connections = 0;
    std::optional<Duration> last;
  };
  std::string name;  // RelayName
  size_t tasks = 0;
  size_t connections = 0;
  std::optional<Duration> last;
  std::vector<Connector> connectors;
};
std::string RelayText(const RelayLine& relay);

// RelayName names a destination. `port` is 0 for the usual one; `is_host` tells a server that was
// named from a domain whose MXs are asked for: upstream's word for the first is "mx".
std::string RelayName(std::string_view destination, uint16_t port, std::string_view protocol,
                      bool is_host);

// SinceText is a duration as these lines have it: "3s", "1h2m3s", "-" for none.
std::string SinceText(std::optional<Duration> since);

}  // namespace postern::control
