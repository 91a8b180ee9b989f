// Where the destinations of an explanation are: the mailbox, the program, the next server.
#pragma once

#include "lib/server/explain.h"
#include "lib/server/runtime.h"
#include "lib/service/smtp/backend.h"

namespace postern::server {

// FillDestinations sets ExplainedDestination::where of all destinations in `out`. It blocks for
// files and accounts. `is_marked`: a filter has marked the mail as junk.
void FillDestinations(rt::World* world, RuntimeHolder* runtimes,
                      const service::SmtpSessionFacts& facts, const ExplainQuestion& question,
                      bool is_marked, Explanation* out);

}  // namespace postern::server
