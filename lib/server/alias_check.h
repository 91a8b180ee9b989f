// AliasCheck: what is wrong with the lists of aliases that the rules use, before mail comes.
#pragma once

#include "lib/core/policy/diagnostic.h"
#include "lib/rt/world.h"
#include "lib/server/runtime.h"

namespace postern::server {

struct AliasCheckLimits {
  size_t max_file_bytes = 256 << 20;  // of a table's file; a larger one is not looked through
};

// CheckAliasTables adds to `*diagnostics` what policy::CheckAliases finds in each table that a
// local action names by `alias` or `virtual`, at its line and column: tables of the configuration,
// `file:` and `db:` tables with the files that they include. What is behind a program or a database
// is not asked. Blocks for files.
void CheckAliasTables(rt::World& world, const Runtime& runtime, policy::Diagnostics* diagnostics,
                      const AliasCheckLimits& limits = {});

}  // namespace postern::server
