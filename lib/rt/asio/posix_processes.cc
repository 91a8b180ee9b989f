#include "lib/rt/asio/posix_processes.h"

#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <shadow.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

constexpr size_t kAccountBufferBytes = 64 * 1024;
constexpr int kMaxGroups = 256;
constexpr size_t kMaxKnownAccounts = 4096;
constexpr Duration kAccountLifetime = absl::Seconds(2);

Account AccountOf(const passwd& entry) {
  Account account;
  account.name = entry.pw_name;
  account.uid = entry.pw_uid;
  account.gid = entry.pw_gid;
  account.home = entry.pw_dir;
  std::vector<gid_t> groups(kMaxGroups);
  int count = kMaxGroups;
  if (::getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) >= 0) {
    account.groups.assign(groups.begin(), groups.begin() + count);
  } else {
    account.groups.push_back(entry.pw_gid);
  }
  return account;
}

struct Pipe {
  int read = -1;
  int write = -1;
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  bool Open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return false;
    read = fds[0];
    write = fds[1];
    return true;
  }
  void CloseRead() {
    if (read >= 0) ::close(std::exchange(read, -1));
  }
  void CloseWrite() {
    if (write >= 0) ::close(std::exchange(write, -1));
  }
};

// BecomeProgram is the child's side: only calls that are safe after fork in a process with threads.
[[noreturn]] void BecomeProgram(const ProcessSpec& spec, char* const* argv, char* const* envp,
                                int in, int out) {
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(out, 2);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
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
  if (!spec.directory.empty() && ::chdir(spec.directory.c_str()) != 0) ::_exit(75);
  ::execve(argv[0], argv, envp);
  ::_exit(errno == ENOENT ? 69 : 71);  // EX_UNAVAILABLE, EX_OSERR
}

Instant MonotonicNow() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return Instant{ts.tv_sec * int64_t{1'000'000'000} + ts.tv_nsec};
}

int64_t MonotonicMs() { return MonotonicNow().ns / 1'000'000; }

// Converse feeds `spec.input` and collects output until both ends are done or the time is up.
void Converse(const ProcessSpec& spec, Pipe* in, Pipe* out, pid_t child, ProcessResult* result) {
  ::fcntl(in->write, F_SETFL, O_NONBLOCK);
  ::fcntl(out->read, F_SETFL, O_NONBLOCK);
  std::string_view left = spec.input;
  if (left.empty()) in->CloseWrite();
  const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(spec.time_limit);
  while (out->read >= 0) {
    const int64_t wait_ms = end_ms - MonotonicMs();
    if (wait_ms <= 0) {
      result->timed_out = true;
      ::kill(-child, SIGKILL);
      ::kill(child, SIGKILL);
      break;
    }
    pollfd fds[2] = {{out->read, POLLIN, 0}, {in->write, POLLOUT, 0}};
    ::poll(fds, in->write >= 0 ? 2 : 1, static_cast<int>(std::min<int64_t>(wait_ms, 60'000)));
    if (in->write >= 0 && fds[1].revents != 0) {
      const ssize_t put = ::write(in->write, left.data(), left.size());
      if (put > 0) left.remove_prefix(static_cast<size_t>(put));
      if ((put < 0 && errno != EAGAIN && errno != EINTR) || left.empty()) in->CloseWrite();
    }
    if (fds[0].revents == 0) continue;
    char buffer[4096];
    const ssize_t got = ::read(out->read, buffer, sizeof buffer);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) out->CloseRead();
    if (got > 0 && result->output.size() < spec.output_limit_bytes) {
      const size_t room = spec.output_limit_bytes - result->output.size();
      result->output.append(buffer, std::min(room, static_cast<size_t>(got)));
    }
  }
  result->read_all_input = left.empty();
}

StatusOr<ProcessResult> RunAndWait(const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty() || spec.argv[0][0] != '/') {
    return InvalidArgument("a program is named by its absolute path");
  }
  std::vector<char*> argv, envp;
  for (const std::string& each : spec.argv) argv.push_back(const_cast<char*>(each.c_str()));
  for (const std::string& each : spec.environment) envp.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  Pipe in, out;
  if (!in.Open() || !out.Open()) return ErrnoError(errno, "pipe");

  // A program that stops reading must give EPIPE to this thread, not a signal to the host's
  // process.
  sigset_t sigpipe, before;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &sigpipe, &before);

  const pid_t child = ::fork();
  if (child == 0) BecomeProgram(spec, argv.data(), envp.data(), in.read, out.write);
  ProcessResult result;
  StatusOr<ProcessResult> outcome = Unavailable("fork");
  if (child < 0) {
    outcome = ErrnoError(errno, "fork");
  } else {
    in.CloseRead();
    out.CloseWrite();
    Converse(spec, &in, &out, child, &result);
    in.CloseWrite();
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    outcome = std::move(result);
  }
  const timespec at_once{};
  while (sigtimedwait(&sigpipe, nullptr, &at_once) > 0) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return outcome;
}

}  // namespace

Task<StatusOr<ProcessResult>> PosixProcesses::Run(Executor& loop, ProcessSpec spec) {
  auto run = loop.RunBlocking([&spec] { return RunAndWait(spec); });
  StatusOr<ProcessResult> result = co_await run;
  co_return result;
}

StatusOr<Account> PosixProcesses::FindAccount(const std::string& name) {
  const Instant now = MonotonicNow();
  const auto missing = [&name] { return NotFound(StrCat("no account ", Escape(name))); };
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = known_.find(name);
    if (known != known_.end() && now < known->second.until) {
      if (!known->second.account.has_value()) return missing();
      return *known->second.account;
    }
  }
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  const int error = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr && error != 0 && error != ENOENT && error != ESRCH)
    return ErrnoError(error, "getpwnam");
  std::optional<Account> account;
  if (found != nullptr) account = AccountOf(entry);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= kMaxKnownAccounts) known_.clear();
  known_.insert_or_assign(name, Known{account, now + kAccountLifetime});
  if (!account.has_value()) return missing();
  return *std::move(account);
}

StatusOr<std::string> PosixProcesses::FindPasswordHash(const std::string& name) {
  spwd entry{};
  spwd* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  const int error = ::getspnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) return std::string(entry.sp_pwdp);
  if (error == EACCES || error == EPERM || ::geteuid() != 0) {
    return PermissionDenied("the shadow file is for privileged processes");
  }
  return NotFound(StrCat("no account ", Escape(name)));
}

Account PosixProcesses::Self() {
  const uint32_t uid = ::geteuid();
  const Instant now = MonotonicNow();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (self_.account.has_value() && self_.account->uid == uid && now < self_.until)
      return *self_.account;
  }
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(kAccountBufferBytes);
  ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  Account account;
  if (found != nullptr) {
    account = AccountOf(entry);
  } else {
    account.name = StrCat(uid);
    account.uid = uid;
    account.gid = ::getegid();
    account.home = "/";
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  self_ = Known{account, now + kAccountLifetime};
  return account;
}

}  // namespace postern::rt
