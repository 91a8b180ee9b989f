// The certificates of the authorities of the world.
#pragma once

#include <string>

#include "lib/rt/world.h"

namespace postern::server {

// ReadSystemAuthorities reads the certificates that this machine trusts, as PEM text; a `ca` of the
// configuration takes their place. The error says which file, and why. Blocks.
StatusOr<std::string> ReadSystemAuthorities(rt::World& world);

}  // namespace postern::server
