// What a configuration says of the parts of a server.
#pragma once

#include <cstdint>
#include <memory>

#include "lib/core/base/status.h"
#include "lib/core/policy/model.h"
#include "lib/rt/world.h"
#include "lib/server/runtime.h"
#include "lib/server/server.h"
#include "lib/service/deliver/program_deliverer.h"
#include "lib/service/schedule/scheduler.h"
#include "lib/store/queue/spool_seal.h"

namespace postern::server {

schedule::SchedulerOptions SchedulerOptionsOf(const Runtime& runtime);

deliver::ProgramDelivererOptions ProgramOptionsOf(const Runtime& runtime);

// ReserveOf is how many octets stay free on the spool's disk.
uint64_t ReserveOf(const policy::Config& config, const ServerOptions& options);

// SealOf is how the queue is to be written; null: as it is. An error names the line of the
// configuration.
StatusOr<std::shared_ptr<const store::SpoolSeal>> SealOf(rt::World& world,
                                                         const policy::Config& config,
                                                         const ServerOptions& options);

}  // namespace postern::server
