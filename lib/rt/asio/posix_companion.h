// Programs that one talks with on a loop.
#pragma once

#include <memory>

#include "lib/rt/asio/asio_stream.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/processes.h"

namespace postern::rt {

// StartCompanion is Processes::Accompany: the program has one Unix socket as its standard input and
// output (as OpenSMTPD gives to its filters) and another as its standard error. `loop` is one of
// the real machine.
StatusOr<std::unique_ptr<Companion>> StartCompanion(Executor& loop, const ProcessSpec& spec);

// CompanionSockets are both ends of what a companion talks by.
struct CompanionSockets {
  std::unique_ptr<Stream> stream;  // ours
  std::unique_ptr<Stream> errors;
  Descriptor its;   // the program's standard input and output
  Descriptor said;  // its standard error
};
Status OpenCompanionSockets(Executor& loop, CompanionSockets* sockets);

}  // namespace postern::rt
