// The certificates of authorities that peers are verified against.
#pragma once

#include <string>

#include "lib/core/policy/model.h"
#include "lib/rt/world.h"

namespace postern::server {

// ReadAuthorities reads the certificates of `ca`, an index into Config::cas, or of the system when
// it is kNoIndex, as PEM text. The error says which file, and why. Blocks.
StatusOr<std::string> ReadAuthorities(rt::World& world, const policy::Config& config, int ca);

}  // namespace postern::server
