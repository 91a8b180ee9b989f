// Programs that one talks with.
#pragma once

#include <memory>

#include "lib/rt/processes.h"

namespace postern::rt {

// StartConversation is Processes::Converse: the program has one Unix socket as its standard input
// and output (as OpenSMTPD gives to its helpers) and a pipe as its standard error.
StatusOr<std::unique_ptr<Conversation>> StartConversation(const ProcessSpec& spec);

}  // namespace postern::rt
