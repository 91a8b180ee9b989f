// Giving a spool to the account that a server becomes.
#pragma once

#include <string>

#include "lib/core/base/status.h"
#include "lib/rt/files.h"

namespace postern::server {

// GiveSpool makes the folder `spool`, and what root has of a queue in it, the account's: a server
// that ran as root before left its queue so, beside what was the account's already. It takes the
// spool's lock for as long as that lasts (kUnavailable: another server uses it).
//
// kFailedPrecondition, and nothing is touched, for a folder of root's that is not a queue's alone:
// one with anything in it that no queue makes, or in which others may write. Somebody slipped there
// ("-s /var/lib"), and a change of owners is not undone. Blocks.
//
// In a folder that is the account's already nothing is looked for: a million bodies would be a
// million reads of the disk at every start. So whoever runs with root's rights calls TakeSpool.
Status GiveSpool(rt::Files& files, const std::string& spool, uint32_t uid, uint32_t gid);

// TakeSpool makes the folders in `spool` root's, when a server goes on with root's rights in the
// queue of an account: what it makes there is root's, and GiveSpool will look for it. It does
// nothing while another server uses the spool. Blocks.
Status TakeSpool(rt::Files& files, const std::string& spool);

}  // namespace postern::server
