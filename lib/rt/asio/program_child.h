// A program as a child of this process: how it is started, and what is done to it by its number.
//
// The process may be a host's, which ignores SIGCHLD or waits for any child: our child's end is
// taken then, and its number may be somebody else's a moment later. So no signal is sent to a
// number that is known not to be our child's any more. What such a program has left running in its
// session stays: nobody can tell that session from another's.
#pragma once

#include <optional>
#include <sys/types.h>
#include <vector>

#include "lib/rt/asio/descriptor.h"
#include "lib/rt/processes.h"

namespace postern::rt {

struct ProgramEnd {
  int exit_code = 0;  // when signal is 0
  int signal = 0;
};

// ProgramWords are the arguments and the environment of a spec, which outlives them, as execve
// takes them. They are made before a fork: a child of a process with threads may not allocate.
struct ProgramWords {
  explicit ProgramWords(const ProcessSpec& spec);
  std::vector<char*> argv;
  std::vector<char*> envp;
};

// ProgramDescriptors are descriptors of ours that a program gets; they stay the caller's.
struct ProgramDescriptors {
  int in = -1;
  int out = -1;
  int error = -1;
  int back = -1;  // becomes kHandBackDescriptor; -1: there is none
};

// CheckProgram: kInvalidArgument unless the program is named by its absolute path.
Status CheckProgram(const ProcessSpec& spec);

// BecomeProgram is the child's side of a fork: it takes `its` for its standard descriptors, a
// session of its own, no signal ignored or blocked, the identity and folder of `spec`, and runs
// `words`. It ends with 75, 71 or 69 (sysexits: EX_TEMPFAIL, EX_OSERR, EX_UNAVAILABLE) when it
// cannot. `die_with` is the process that forked it, if the program shall be killed when that thread
// ends; 0: it shall not.
[[noreturn]] void BecomeProgram(const ProcessSpec& spec, const ProgramWords& words,
                                const ProgramDescriptors& its, pid_t die_with);

// ForkProgram starts the program, which dies with the calling thread if it is to, and returns its
// number; for those who have the children of this process to themselves.
StatusOr<pid_t> ForkProgram(const ProcessSpec& spec, const ProgramDescriptors& its,
                            bool dies_with_us);

// ProgramChild is a program that was started. Not thread-safe but for Kill.
class ProgramChild {
 public:
  ProgramChild() = default;  // none
  ProgramChild(ProgramChild&& other) noexcept;
  ProgramChild& operator=(ProgramChild&& other) noexcept;
  // One that runs is killed, and waited for: nobody would do it later.
  ~ProgramChild();

  // Start is ForkProgram for everybody else.
  static StatusOr<ProgramChild> Start(const ProcessSpec& spec, const ProgramDescriptors& its,
                                      bool dies_with_us = false);

  // ours tells whether its end is still to be taken, as far as we know; false when there is none.
  bool ours() const { return pid_ > 0; }

  // descriptor is readable when the program has ended. -1 when the system gave none, for the reason
  // descriptor_errno: all else works without, but between a look whether the child is ours still
  // and a signal to it is a moment in which a host may bury it.
  int descriptor() const { return descriptor_.get(); }
  int descriptor_errno() const { return descriptor_errno_; }

  // Kill ends the program and what it started that did not leave its session, even when the program
  // itself has ended, as long as nobody took that end. Any thread, but not beside what follows.
  void Kill() const noexcept;

  // Ended tells whether the program has ended, and buries it then. True when there is none.
  bool Ended() noexcept;

  // TakeEnd waits for the end of the program and buries it; nullopt when somebody else did, or
  // there is none.
  std::optional<ProgramEnd> TakeEnd() noexcept;

  // Forget leaves it to the system; a child that has not been buried keeps its number until this
  // process ends.
  void Forget() noexcept;

 private:
  explicit ProgramChild(pid_t pid) noexcept;

  pid_t pid_ = -1;  // until its end was taken
  int descriptor_errno_ = 0;
  Descriptor descriptor_;
};

}  // namespace postern::rt
