// Giving a spool to the account that a server becomes.
#pragma once

#include <string>

#include "lib/core/base/status.h"
#include "lib/rt/files.h"

namespace postern::server {

// GiveSpool makes the folder `spool`, and what root has in it, the account's: a server that ran as
// root before left its queue so. Links are not followed, and a file with a second name is left
// alone. Blocks.
Status GiveSpool(rt::Files& files, const std::string& spool, uint32_t uid, uint32_t gid);

}  // namespace postern::server
