// When one rule takes all that another takes: for what is said of rules that can never match.
#pragma once

#include <cstddef>

#include "lib/core/policy/ruleset.h"

namespace postern::policy {

// Covers tells whether `a` takes every envelope that `b` takes, whatever the session, the sender
// and the recipient are. It never errs when it says yes: both rules' conditions are compared one
// by one, tables by what is in them when both are written in the file, else by their name. It may
// say no where the answer is yes (expressions and tables in files are not compared with others).
// Tables of more than `max_entries` are compared by name alone. Any thread.
bool Covers(const Ruleset& ruleset, const Rule& a, const Rule& b, size_t max_entries);

}  // namespace postern::policy
