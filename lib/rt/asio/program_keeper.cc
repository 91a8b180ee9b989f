#include "lib/rt/asio/program_keeper.h"

#include <atomic>
#include <cerrno>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace postern::rt {
namespace {

std::atomic<bool> taken{false};

struct Begun {
  int program;
  int error;  // errno, when program is below 0
};

// CloseFrom closes `first` and all above it: sockets and locks of this process must not live on in
// the keeper.
void CloseFrom(unsigned first) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, first, ~0u, 0) == 0) return;
#endif
  const long open_max = ::sysconf(_SC_OPEN_MAX);
  for (long fd = first; fd < open_max; ++fd) ::close(static_cast<int>(fd));
}

template <typename T>
bool Get(int from, T* value) {
  size_t got = 0;
  while (got < sizeof *value) {
    const ssize_t n = ::read(from, reinterpret_cast<char*>(value) + got, sizeof *value - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    got += static_cast<size_t>(n);
  }
  return true;
}

// Only calls that are safe after fork in a process with threads.
[[noreturn]] void Keep(const ProcessSpec& spec, const ProgramWords& words,
                       const ProgramDescriptors& its, int report) {
  // Not what the host's terminal or the program (`kill 0`) sends to others.
  ::setsid();
  for (int number = 1; number < NSIG; ++number) {
    ::signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const pid_t program = ::fork();
  if (program == 0) BecomeProgram(spec, words, its, /*die_with=*/0);
  const Begun begun{program, program < 0 ? errno : 0};
  ::dup2(report, 0);
  CloseFrom(1);
  if (::write(0, &begun, sizeof begun) != sizeof begun || program < 0) ::_exit(0);
  siginfo_t info{};
  int found = 0;
  // Not buried yet, so that the number the other side may kill is nobody else's.
  while ((found = ::waitid(P_PID, static_cast<id_t>(program), &info, WEXITED | WNOWAIT)) != 0 &&
         errno == EINTR) {
  }
  if (found != 0) ::_exit(0);
  ProgramEnd end;
  (info.si_code == CLD_EXITED ? end.exit_code : end.signal) = info.si_status;
  if (::write(0, &end, sizeof end) != sizeof end) ::_exit(0);
  char closed = 0;
  (void)Get(0, &closed);
  ::_exit(0);
}

}  // namespace

bool EndsAreTaken() {
  if (taken.load(std::memory_order_relaxed)) return true;
  struct sigaction action {};
  return ::sigaction(SIGCHLD, nullptr, &action) == 0 &&
         (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT) != 0);
}

void NoteTakenEnd() { taken.store(true, std::memory_order_relaxed); }

StatusOr<KeptProgram> StartKept(const ProcessSpec& spec, const ProgramDescriptors& its) {
  const ProgramWords words(spec);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return ErrnoError(errno, "socketpair");
  KeptProgram kept;
  kept.report.Take(pair[0]);
  Descriptor theirs(pair[1]);
  kept.keeper = ::fork();
  if (kept.keeper == 0) Keep(spec, words, its, theirs.get());
  if (kept.keeper < 0) return ErrnoError(errno, "fork");
  theirs.Close();
  Begun begun{-1, 0};
  const bool told = Get(kept.report.get(), &begun);
  if (told && begun.program >= 0) {
    kept.program = begun.program;
    return kept;
  }
  kept.report.Close();
  BuryKeeper(kept.keeper);
  return told ? ErrnoError(begun.error, "fork") : Internal("the process for a program has ended");
}

std::optional<ProgramEnd> ReadEnd(int report) {
  ProgramEnd end;
  if (!Get(report, &end)) return std::nullopt;
  return end;
}

void BuryKeeper(pid_t keeper) {
  while (::waitpid(keeper, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace postern::rt
