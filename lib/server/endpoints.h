// From `listen on …` to the addresses to bind.
#pragma once

#include <string>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/rt/network.h"

namespace postern::server {

struct ListenTarget {
  Endpoint endpoint;
  int listener = -1;  // index into Config::listeners
};

// ResolveListener finds the endpoints of one listener among `interfaces`: an interface by name; the
// groups `all` (every address), `egress` (interfaces with a default route) and `lo0` (the loopback
// interface, whatever it is called here); an address literal; or "localhost". An error says what
// was found and what would be right.
StatusOr<std::vector<Endpoint>> ResolveListener(
    const policy::Listener& listener, const std::vector<rt::InterfaceAddress>& interfaces);

}  // namespace postern::server
