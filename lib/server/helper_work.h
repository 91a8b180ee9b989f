// What the helper process does for a server without privileges (rt/helper.h): the whole list.
#pragma once

#include "lib/rt/helper.h"

namespace postern::server {

// HelperWork is the list: deliveries (service/deliver/helper_jobs.h), and reading .forward files
// and what they include (store/table/accounts.h). `files` and `processes` are the machine's, with
// the helper's rights: they tell who owns the mail spool and whose a uid is.
rt::HelperOptions HelperWork(rt::Files* files, rt::Processes* processes);

}  // namespace postern::server
