// Running a program: as a coroutine of a loop, which other work goes on beside, or on the calling
// thread.
#pragma once

#include <sys/types.h>

#include "lib/rt/processes.h"

namespace postern::rt {

// RunProgram is Processes::Run on the real machine.
Task<StatusOr<ProcessResult>> RunProgram(Executor& loop, ProcessSpec spec);

// RunProgramAndWait is the same for a process that has nothing else to do. It blocks; `spec.stop`
// is not read.
// `hang_up` is a descriptor of whoever awaits the end: when that one closes his, the program is
// ended. -1: none. It dies with the calling thread: no other would end it.
StatusOr<ProcessResult> RunProgramAndWait(const ProcessSpec& spec, int hang_up = -1);

// BecomeProgram is the child's side of a fork: it takes `in`, `out` and `error` for its standard
// descriptors, a session of its own, no signal ignored or blocked, the identity and folder of
// `spec`, and runs `argv`. It ends with 75, 71 or 69 (sysexits: EX_TEMPFAIL, EX_OSERR,
// EX_UNAVAILABLE) when it cannot. `die_with` is the process that forked it, if the program shall be
// killed when that thread ends; 0: it shall not. `back` becomes kHandBackDescriptor; -1: there is
// none.
[[noreturn]] void BecomeProgram(const ProcessSpec& spec, char* const* argv, char* const* envp,
                                int in, int out, int error, pid_t die_with = 0, int back = -1);

}  // namespace postern::rt
