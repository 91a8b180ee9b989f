#include "lib/rt/asio/program_child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace postern::rt {
namespace {

// WaitFor is waitid for one child: the one of `descriptor`, which no other process ever becomes, or
// the one of the number where there is no descriptor. False when it is not our child (any more).
bool WaitFor(pid_t pid, int descriptor, int options, siginfo_t* info) {
  const idtype_t kind = descriptor >= 0 ? P_PIDFD : P_PID;
  const id_t which = static_cast<id_t>(descriptor >= 0 ? descriptor : pid);
  for (;;) {
    *info = siginfo_t{};
    if (::waitid(kind, which, info, options) == 0) return true;
    if (errno == EAGAIN && descriptor >= 0) {
      // A loop that watches a descriptor makes it one that does not wait.
      pollfd ended = {descriptor, POLLIN, 0};
      ::poll(&ended, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
}

}  // namespace

ProgramWords::ProgramWords(const ProcessSpec& spec) {
  argv.reserve(spec.argv.size() + 1);
  envp.reserve(spec.environment.size() + 1);
  for (const std::string& each : spec.argv) argv.push_back(const_cast<char*>(each.c_str()));
  for (const std::string& each : spec.environment) envp.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
}

Status CheckProgram(const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty() || spec.argv[0][0] != '/')
    return InvalidArgument("a program is named by its absolute path");
  return OkStatus();
}

// Only calls that are safe after fork in a process with threads.
[[noreturn]] void BecomeProgram(const ProcessSpec& spec, const ProgramWords& words,
                                const ProgramDescriptors& its, pid_t die_with) {
  ::dup2(its.in, 0);
  ::dup2(its.out, 1);
  ::dup2(its.error, 2);
  // A descriptor that is in its place already would be closed by the exec.
  if (its.back == kHandBackDescriptor) {
    ::fcntl(its.back, F_SETFD, 0);
  } else if (its.back >= 0) {
    ::dup2(its.back, kHandBackDescriptor);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // What the host or the helper ignores its programs need not: a shell counts on SIGPIPE, and
  // cannot trap what was ignored when it was started.
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  ::setsid();
  if (!spec.root.empty() && (::chroot(spec.root.c_str()) != 0 || ::chdir("/") != 0)) ::_exit(75);
  if (spec.run_as.has_value() && ::geteuid() == 0) {
    std::array<gid_t, kMaxGroups> groups{};
    const size_t count = std::min<size_t>(spec.run_as->groups.size(), groups.size());
    for (size_t i = 0; i < count; ++i) groups[i] = spec.run_as->groups[i];
    if (::setgroups(count, groups.data()) != 0 ||
        ::setresgid(spec.run_as->gid, spec.run_as->gid, spec.run_as->gid) != 0 ||
        ::setresuid(spec.run_as->uid, spec.run_as->uid, spec.run_as->uid) != 0) {
      ::_exit(75);  // EX_TEMPFAIL of sysexits: it may work when tried again
    }
  }
  if (!spec.directory.empty() && ::chdir(spec.directory.c_str()) != 0 && ::chdir("/") != 0)
    ::_exit(75);
  // After the change of identity, which would forget it.
  if (die_with != 0 && (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != die_with))
    ::_exit(75);
  ::execve(words.argv[0], words.argv.data(), words.envp.data());
  ::_exit(errno == ENOENT ? 69 : 71);  // EX_UNAVAILABLE, EX_OSERR
}

StatusOr<pid_t> ForkProgram(const ProcessSpec& spec, const ProgramDescriptors& its,
                            bool dies_with_us) {
  POSTERN_RETURN_IF_ERROR(CheckProgram(spec));
  const ProgramWords words(spec);
  const pid_t us = dies_with_us ? ::getpid() : 0;
  const pid_t child = ::fork();
  if (child == 0) BecomeProgram(spec, words, its, us);
  if (child < 0) return ErrnoError(errno, "fork");
  return child;
}

ProgramChild::ProgramChild(pid_t pid) noexcept
    : pid_(pid), descriptor_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {
  if (!descriptor_.open()) descriptor_errno_ = errno;
  // It may have ended already, and been buried: then the descriptor is somebody else's.
  siginfo_t info;
  if (WaitFor(pid_, descriptor_.get(), WEXITED | WNOHANG | WNOWAIT, &info)) return;
  if (errno == EINVAL) {  // Linux 5.3 has such descriptors but cannot wait by them
    descriptor_.Close();
    descriptor_errno_ = ENOSYS;
    if (WaitFor(pid_, -1, WEXITED | WNOHANG | WNOWAIT, &info)) return;
  }
  Forget();
}

ProgramChild::ProgramChild(ProgramChild&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      descriptor_errno_(other.descriptor_errno_),
      descriptor_(std::move(other.descriptor_)) {}

ProgramChild& ProgramChild::operator=(ProgramChild&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(descriptor_errno_, other.descriptor_errno_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

ProgramChild::~ProgramChild() {
  if (Ended()) return;
  Kill();
  (void)TakeEnd();
}

StatusOr<ProgramChild> ProgramChild::Start(const ProcessSpec& spec, const ProgramDescriptors& its,
                                           bool dies_with_us) {
  const StatusOr<pid_t> pid = ForkProgram(spec, its, dies_with_us);
  if (!pid.ok()) return pid.status();
  return ProgramChild(*pid);
}

void ProgramChild::Kill() const noexcept {
  siginfo_t info;
  if (!ours() || !WaitFor(pid_, descriptor_.get(), WEXITED | WNOHANG | WNOWAIT, &info)) return;
  const bool sent = ::kill(-pid_, SIGKILL) == 0;
  // It has no session of its own until it has made one.
  if (descriptor_.open()) {
    ::syscall(SYS_pidfd_send_signal, descriptor_.get(), SIGKILL, nullptr, 0);
  } else if (!sent) {
    ::kill(pid_, SIGKILL);
  }
}

bool ProgramChild::Ended() noexcept {
  siginfo_t info;
  if (!ours()) return true;
  if (WaitFor(pid_, descriptor_.get(), WEXITED | WNOHANG, &info) && info.si_pid == 0) return false;
  Forget();
  return true;
}

std::optional<ProgramEnd> ProgramChild::TakeEnd() noexcept {
  if (!ours()) return std::nullopt;
  siginfo_t info;
  const bool taken = WaitFor(pid_, descriptor_.get(), WEXITED, &info);
  Forget();
  if (!taken) return std::nullopt;
  ProgramEnd end;
  (info.si_code == CLD_EXITED ? end.exit_code : end.signal) = info.si_status;
  return end;
}

void ProgramChild::Forget() noexcept {
  pid_ = -1;
  descriptor_.Close();
}

}  // namespace postern::rt
