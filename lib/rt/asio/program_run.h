// Running a program: as a coroutine of a loop, which other work goes on beside, or on the calling
// thread.
#pragma once

#include "lib/rt/processes.h"

namespace postern::rt {

// RunProgram is Processes::Run on the real machine.
Task<StatusOr<ProcessResult>> RunProgram(Executor& loop, ProcessSpec spec);

// RunProgramAndWait is the same for a process that has nothing else to do. It blocks; `spec.stop`
// is not read.
// `hang_up` is a descriptor of whoever awaits the end: when that one closes his, the program is
// ended. -1: none. It dies with the calling thread: no other would end it.
StatusOr<ProcessResult> RunProgramAndWait(const ProcessSpec& spec, int hang_up = -1);

}  // namespace postern::rt
