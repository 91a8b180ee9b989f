// What a configuration asks of the machine it is checked on: addresses, ports, the spool's folder.
#pragma once

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model.h"
#include "lib/rt/world.h"
#include "lib/server/server.h"

namespace postern::server {

// CheckMachine adds what would keep a server from starting here (the codes: config_check.h). Ports
// are opened and closed at once. In the spool a file is made and removed, or the folder itself
// where it is missing; with a server of ours in it nothing is touched, and its ports are its own.
// Blocks.
void CheckMachine(rt::World& world, const policy::Config& config, const ServerOptions& options,
                  policy::Diagnostics* out);

// IsOfMachine tells whether a finding is one of CheckMachine's: another machine may be content.
bool IsOfMachine(const policy::Diagnostic& finding);

}  // namespace postern::server
