// The end of a program in a process that does not leave it to us: a host that ignores SIGCHLD lets
// the system forget how its children ended, and one that waits for any child (waitpid(-1)) takes
// the end of ours. There a process of our own stands between: it starts the program, waits for it
// where nobody else can, and tells its end through a socket.
//
// It is not used where it need not be: until the program ends it holds the pages that this process
// has changed meanwhile a second time.
#pragma once

#include <optional>
#include <sys/types.h>

#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/program_child.h"
#include "lib/rt/processes.h"

namespace postern::rt {

// EndsAreTaken tells whether the ends of our children get lost in this process: SIGCHLD is ignored
// at this moment, or NoteTakenEnd was called since the process began. Any thread.
bool EndsAreTaken();
void NoteTakenEnd();

struct KeptProgram {
  pid_t program = -1;
  pid_t keeper = -1;
  Descriptor report;  // readable when the program has ended, or the keeper
};

// StartKept forks the keeper, and that one the program (see BecomeProgram). The number of the
// program stays its own until `report` is closed; BuryKeeper is due then. Blocks for as long as the
// start takes.
StatusOr<KeptProgram> StartKept(const ProcessSpec& spec, const ProgramDescriptors& its);

// ReadEnd reads from a readable report; nullopt when the keeper ended before the program.
std::optional<ProgramEnd> ReadEnd(int report);

// BuryKeeper waits for a keeper whose report was closed. Blocks shortly.
void BuryKeeper(pid_t keeper);

}  // namespace postern::rt
