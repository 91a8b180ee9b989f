// Whom a local delivery runs as.
#pragma once

#include "lib/core/policy/expansion.h"
#include "lib/rt/world.h"

namespace postern::server {

// CredentialsOf is whom a delivery for `account` runs as, with the account's groups where the
// machine knows it by name. Blocks: on the pool only.
rt::Credentials CredentialsOf(rt::World& world, const policy::LocalAccount& account);

}  // namespace postern::server
