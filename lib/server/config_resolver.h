// The resolver that a configuration asks for.
#pragma once

#include <memory>

#include "lib/core/policy/model.h"
#include "lib/rt/world.h"
#include "lib/service/resolve/resolver.h"

namespace postern::server {

// MakeResolver reads the zone of `resolver zone`, or asks the network where the configuration has
// none. kInvalidArgument names the configuration's line when the zone is wrong. Blocks for the
// file; call it on the main loop, or before that runs.
StatusOr<std::unique_ptr<resolve::Resolver>> MakeResolver(rt::World& world,
                                                          const policy::Config& config);

}  // namespace postern::server
