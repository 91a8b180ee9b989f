// Programs that one talks with on a loop.
#pragma once

#include <memory>

#include "lib/rt/processes.h"

namespace postern::rt {

// StartCompanion is Processes::Accompany: the program has one Unix socket as its standard input and
// output (as OpenSMTPD gives to its filters) and another as its standard error. `loop` is one of
// the real machine.
StatusOr<std::unique_ptr<Companion>> StartCompanion(Executor& loop, const ProcessSpec& spec);

}  // namespace postern::rt
