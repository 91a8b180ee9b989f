// Which folder the queue is in, and whether it can be there.
#pragma once

#include <string>

#include "lib/core/policy/model.h"
#include "lib/rt/world.h"
#include "lib/server/server.h"

namespace postern::server {

// SpoolOf gives the folder that the file asks for, or the default, /var/spool/postern.
std::string SpoolOf(const policy::Config& config);

// WithoutLastSlash is `path` as the messages have it.
std::string WithoutLastSlash(std::string path);

// CheckSpool tells what keeps `path` from being the folder of a queue, as far as that can be seen
// without making it: something else of that name, or no folder to make it in. Blocks.
Status CheckSpool(rt::Files& files, const std::string& path);

// MakeSpool makes the folder of the queue when it is missing, and nothing above it: a path that
// begins with a slip of the fingers must not become a tree. Blocks.
Status MakeSpool(rt::Files& files, std::string path);

// SpoolError says what is wrong with the spool, and where its path came from. kFailedPrecondition:
// another server has it; kUnavailable: there cannot be a queue.
Status SpoolError(const Status& failed, const std::string& spool, const ServerOptions& options,
                  const policy::Config& config);

}  // namespace postern::server
