#include "lib/rt/asio/helper_serve.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <list>
#include <map>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <set>
#include <shadow.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/helper_identity.h"
#include "lib/rt/asio/helper_pam.h"
#include "lib/rt/asio/helper_programs.h"
#include "lib/rt/asio/helper_wire.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/rt/asio/program_run.h"

namespace postern::rt {
namespace {

constexpr size_t kMaxAllowedFiles = 4096;
constexpr size_t kMaxAllowedLogs = 16;
constexpr size_t kLookupBytes = 64 << 10;

// Allowed is what the server named while it still had its own privileges.
struct Allowed {
  std::set<std::string> files;
  std::map<std::string, Descriptor> log_folders;  // of log files, by the name of the file
  std::set<uint16_t> ports = {std::begin(kHelperPorts), std::end(kHelperPorts)};
  NamedPairs pairs;
  NamedPrograms programs;
  NamedPamServices pam;
  bool passwords = false;
  bool sealed = false;
};

// Child is one piece of work under way, or a program that serves the server.
struct Child {
  pid_t pid = -1;
  uint32_t uid = 0;
  int64_t end_ms = 0;   // when its time is up; a program has no such time
  std::string program;  // its name; "" for work
  bool is_pam = false;  // work that asks PAM
  bool killed = false;  // of a program
  // closed once it was killed; a program's when it has died, which is how the server knows
  Descriptor reply;
  bool is_program() const { return !program.empty(); }
  bool is_plain() const { return program.empty() && !is_pam; }
};

// DoWork is what a child does: it becomes the user, for good, and then works.
[[noreturn]] void DoWork(const HelperOptions& options, const Allowed& allowed,
                         const HelperHeader& header, std::string_view request, int reply,
                         Descriptor payload) {
  HelperTask task;
  task.request = request;
  task.who = Credentials{header.uid, header.gid, {header.gid}};
  const HelperGrant grant = options.grant ? options.grant(task.who, request) : HelperGrant();
  // Root's own work is done by root only when it was started by root; elsewhere all are who we are.
  Status may = OkStatus();
  if (::geteuid() == 0) {
    may = BecomeUser(task.who, grant, allowed.pairs);
  } else if (::geteuid() != header.uid) {
    may = PermissionDenied("only root becomes another user");
  }
  if (!may.ok()) {
    const int error = ErrnoOf(may);
    WriteAll(reply, RefusalText(error != 0 ? error : EPERM, Message(may)));
    ::_exit(1);
  }
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(077);
  PosixFiles files;
  std::unique_ptr<File> body;
  if (payload.open()) body = FileOfDescriptor(payload.Release(), "payload");
  task.files = &files;
  task.payload = body.get();
  task.now = absl::Now();
  task.mark = StrCat(::getpid());
  task.run = [reply](const ProcessSpec& spec) { return RunProgramAndWait(spec, reply); };
  std::string answer = "+";
  answer += options.work(task);
  if (answer.size() <= kMaxHelperAnswerBytes) WriteAll(reply, answer);
  ::_exit(0);
}

void OpenFor(const Allowed& allowed, const std::string& path, int reply) {
  if (!allowed.files.contains(path)) {
    WriteAll(reply, RefusalText(EPERM, "it was not named at the start"));
    return;
  }
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  const int error = errno;
  struct stat st {};
  if (!file.open()) {
    WriteAll(reply, RefusalText(error, strerror(error)));
  } else if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    WriteAll(reply, RefusalText(EINVAL, "not a regular file"));
  } else {
    (void)SendDatagram(reply, "+", {file.get()});
  }
}

// AllowLog keeps the folder that a log file is in now: whoever owns one above it can move another
// one to its name later.
void AllowLog(const std::string& path, Allowed* allowed) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || allowed->log_folders.size() >= kMaxAllowedLogs) return;
  Descriptor folder(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.open()) allowed->log_folders.insert_or_assign(path, std::move(folder));
}

// OpenLogFor opens a log file to append to, and makes it where there is none. It is no other file
// by a link: whoever took over the server may be able to write to its folder.
void OpenLogFor(const Allowed& allowed, const std::string& path, int reply) {
  const auto known = allowed.log_folders.find(path);
  if (known == allowed.log_folders.end())
    return WriteAll(reply, RefusalText(EPERM, "it was no log at the start"));
  Descriptor file(::openat(
      known->second.get(), path.substr(path.rfind('/') + 1).c_str(),
      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0640));
  const int error = errno;
  struct stat st {};
  if (!file.open()) {
    WriteAll(reply, RefusalText(error, strerror(error)));
  } else if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink > 1) {
    WriteAll(reply, RefusalText(EINVAL, "not a regular file, or one with other names"));
  } else {
    (void)SendDatagram(reply, "+", {file.get()});
  }
}

void HashFor(const Allowed& allowed, const std::string& name, int reply) {
  if (!allowed.passwords) {
    WriteAll(reply, RefusalText(EPERM, "system passwords were not asked for at the start"));
    return;
  }
  std::vector<char> buffer(kLookupBytes);
  passwd account{};
  passwd* who = nullptr;
  int error = ::getpwnam_r(name.c_str(), &account, buffer.data(), buffer.size(), &who);
  const bool is_root = who != nullptr && who->pw_uid == 0;
  spwd entry{};
  spwd* found = nullptr;
  if (!is_root && (who != nullptr || error == 0)) {
    buffer.assign(kLookupBytes, '\0');
    error = ::getspnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  }
  if (found != nullptr) {
    WriteAll(reply, StrCat("+", found->sp_pwdp));
  } else if (is_root || error == 0 || error == ENOENT || error == ESRCH) {
    WriteAll(reply, RefusalText(ENOENT, "no such account"));
  } else {
    WriteAll(reply, RefusalText(error, "the accounts cannot be read"));
  }
}

// BindFor binds a socket of the server's. The socket is the same in both processes.
void BindFor(const Allowed& allowed, std::string_view request, int socket, int reply) {
  HelperPlace place;
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  if (request.size() != sizeof place || socket < 0 ||
      ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
      ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
    return WriteAll(reply, RefusalText(EINVAL, ""));
  std::memcpy(&place, request.data(), sizeof place);
  if (!allowed.ports.contains(place.port)) return WriteAll(reply, RefusalText(EACCES, ""));
  int bound = -1;
  errno = EINVAL;
  if (place.is_v6 != 0 && domain == AF_INET6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(place.port);
    std::memcpy(&address.sin6_addr, place.address, 16);
    bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else if (place.is_v6 == 0 && domain == AF_INET) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(place.port);
    std::memcpy(&address.sin_addr, place.address, 4);
    bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  WriteAll(reply, bound == 0 ? std::string("+") : RefusalText(errno, ""));
}

// AllowPairs takes pairs of numbers as they lie in memory.
void AllowPairs(std::string_view request, NamedPairs* pairs) {
  uint32_t pair[2];
  for (; request.size() >= sizeof pair; request.remove_prefix(sizeof pair)) {
    if (pairs->size() >= kMaxHelperPairs) return;
    std::memcpy(pair, request.data(), sizeof pair);
    if (pair[0] != 0 && pair[1] != 0) pairs->emplace(pair[0], pair[1]);
  }
}

// ChildrenOf gives the processes that `pid`, one of our children, has started and not reaped.
std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> found;
  const Descriptor file(
      ::open(StrCat("/proc/", pid, "/task/", pid, "/children").c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t got = file.open() ? ::read(file.get(), text, sizeof text) : -1;
  if (got <= 0) return found;
  for (const std::string_view word : Split(std::string_view(text, static_cast<size_t>(got)), ' ')) {
    const std::optional<uint64_t> number = ParseUint(word, 1 << 30);
    if (number && *number > 1) found.push_back(static_cast<pid_t>(*number));
  }
  return found;
}

class Work {
 public:
  explicit Work(const HelperOptions& options) : options_(options) {}

  bool empty() const { return children_.empty(); }

  // Begin starts a child for a call, or answers why not.
  void Begin(const Allowed& allowed, const HelperHeader& header, std::string_view request,
             int control, std::vector<Descriptor> fds) {
    const auto of_user = std::count_if(
        children_.begin(), children_.end(),
        [&header](const Child& child) { return child.uid == header.uid && child.is_plain(); });
    const auto works = std::count_if(children_.begin(), children_.end(),
                                     [](const Child& child) { return child.is_plain(); });
    if (static_cast<size_t>(works) >= options_.max_children ||
        static_cast<size_t>(of_user) >= options_.max_children_of_user) {
      WriteAll(fds[0].get(),
               RefusalText(EAGAIN, "too much is being done for users at this moment"));
      return;
    }
    if (!Fork(header, control, false, &fds)) {
      DoWork(options_, allowed, header, request, fds[0].get(),
             fds.size() == 2 ? std::move(fds[1]) : Descriptor());
    }
  }

  // BeginPam starts a child that asks PAM, or answers why not.
  void BeginPam(const Allowed& allowed, const HelperHeader& header, std::string_view request,
                int control, std::vector<Descriptor> fds) {
    const auto asking = std::count_if(children_.begin(), children_.end(),
                                      [](const Child& child) { return child.is_pam; });
    if (static_cast<size_t>(asking) >= options_.max_pam) {
      WriteAll(fds[0].get(), RefusalText(EAGAIN, "PAM is being asked too much at this moment"));
      return;
    }
    if (!Fork(header, control, true, &fds)) DoPam(allowed.pam, request, fds[0].get());
  }

  // BeginProgram starts a named program with the descriptors of the call, or says on what was to be
  // its standard error why not.
  void BeginProgram(const Allowed& allowed, std::string_view name, std::vector<Descriptor> fds) {
    const auto known = allowed.programs.find(name);
    const auto running =
        std::count_if(children_.begin(), children_.end(),
                      [name](const Child& child) { return child.program == name; });
    StatusOr<pid_t> pid = PermissionDenied(
        "the configuration did not name this program, or its user was not there, when the server "
        "started: it takes a restart");
    if (static_cast<size_t>(running) >= kMaxRunsOfProgram) {
      pid = Unavailable("those that were started before have not ended yet");
    } else if (known != allowed.programs.end()) {
      pid = ForkNamedProgram(known->second, fds[1].get(), fds[2].get());
    }
    if (!pid.ok()) return WriteAll(fds[2].get(), StrCat(Message(pid.status()), "\n"));
    Child child;
    child.pid = *pid;
    child.program = known->first;
    child.reply = std::move(fds[0]);
    children_.push_back(std::move(child));
  }

  // Look takes the ends of children, and kills those that were stopped and those whose time is up.
  void Look() {
    for (;;) {
      siginfo_t info{};
      if (::waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG) != 0 || info.si_pid == 0) break;
      const auto child =
          std::find_if(children_.begin(), children_.end(),
                       [&info](const Child& each) { return each.pid == info.si_pid; });
      if (child == children_.end()) continue;
      if (info.si_code == CLD_STOPPED || info.si_code == CLD_TRAPPED) {
        // Of a program the server knows what to think when it does not answer.
        if (!child->is_program()) Kill(*child);
      } else {
        children_.erase(child);
      }
    }
    const int64_t now = MonotonicMs();
    for (Child& child : children_) {
      if (!child.is_program() && child.end_ms <= now) Kill(child);
    }
  }

  // Watch adds what to poll for, and makes `*wait_ms` no longer than until something is due.
  void Watch(std::vector<pollfd>* fds, int64_t* wait_ms) const {
    const int64_t now = MonotonicMs();
    for (const Child& child : children_) {
      if (!child.reply.open() || child.killed) continue;
      fds->push_back(pollfd{child.reply.get(), POLLRDHUP, 0});
      if (child.is_program()) continue;
      const int64_t left = std::max<int64_t>(child.end_ms - now, 0);
      if (*wait_ms < 0 || left < *wait_ms) *wait_ms = left;
    }
  }

  void KillAll() {
    for (Child& child : children_) Kill(child);
  }

  // HungUp kills the child whose answer nobody awaits any more.
  void HungUp(int reply) {
    for (Child& child : children_) {
      if (child.reply.open() && child.reply.get() == reply) return Kill(child);
    }
  }

 private:
  // Fork makes a child of a call, or answers that there is none to be had; false in the child,
  // which has no other's descriptors.
  bool Fork(const HelperHeader& header, int control, bool is_pam, std::vector<Descriptor>* fds) {
    const pid_t pid = ::fork();
    if (pid < 0) {
      WriteAll((*fds)[0].get(), RefusalText(EAGAIN, "no process to be had"));
      return true;
    }
    if (pid == 0) {
      ::close(control);
      // Whoever awaits the others must see their end, not ours.
      for (Child& other : children_) other.reply.Close();
      ::signal(SIGCHLD, SIG_DFL);
      sigset_t none;
      sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      return false;
    }
    const int64_t limit = absl::ToInt64Milliseconds(options_.max_time);
    Child child;
    child.pid = pid;
    child.uid = header.uid;
    child.is_pam = is_pam;
    child.end_ms = MonotonicMs() + std::min<int64_t>(header.limit_ms, limit);
    child.reply = std::move((*fds)[0]);
    children_.push_back(std::move(child));
    return true;
  }

  // Kill ends a child and what it runs. It is stopped first, so that it starts and reaps nothing
  // any more and the numbers that we read stay those of its program.
  static void Kill(Child& child) {
    if (child.is_program() && !child.killed) {
      child.killed = true;
      ::kill(-child.pid, SIGKILL);  // what it started, too: it has a session of its own
      ::kill(child.pid, SIGKILL);
    }
    if (child.is_program() || !child.reply.open()) return;
    ::kill(child.pid, SIGSTOP);
    for (const pid_t program : ChildrenOf(child.pid)) {
      ::kill(-program, SIGKILL);
      ::kill(program, SIGKILL);
    }
    // It has a session of its own. Only now: its own death makes its children another's.
    if (child.is_pam) ::kill(-child.pid, SIGKILL);
    ::kill(child.pid, SIGKILL);
    child.reply.Close();
  }

  const HelperOptions& options_;
  std::list<Child> children_;
};

// Call does what one datagram asks.
void Call(Work* work, Allowed* allowed, int control, const std::vector<char>& octets,
          std::vector<Descriptor> fds) {
  HelperHeader header;
  if (octets.size() < sizeof header || fds.empty() || fds.size() > kMaxDescriptors) return;
  std::memcpy(&header, octets.data(), sizeof header);
  if (header.magic != kHelperMagic || header.request_bytes != octets.size() - sizeof header) return;
  const std::string_view request(octets.data() + sizeof header, header.request_bytes);
  const int reply = fds[0].get();
  switch (header.verb) {
    case HelperVerb::kWork: work->Begin(*allowed, header, request, control, std::move(fds)); break;
    case HelperVerb::kOpen: OpenFor(*allowed, std::string(request), reply); break;
    case HelperVerb::kOpenLog: OpenLogFor(*allowed, std::string(request), reply); break;
    case HelperVerb::kAllowLog:
      if (!allowed->sealed) AllowLog(std::string(request), allowed);
      break;
    case HelperVerb::kHash: HashFor(*allowed, std::string(request), reply); break;
    case HelperVerb::kAllowFile:
      if (!allowed->sealed && allowed->files.size() < kMaxAllowedFiles)
        allowed->files.emplace(request);
      break;
    case HelperVerb::kBind:
      BindFor(*allowed, request, fds.size() == 2 ? fds[1].get() : -1, reply);
      break;
    case HelperVerb::kAllowPort:
      if (const std::optional<uint64_t> port = ParseUint(request, 65535); port && !allowed->sealed)
        allowed->ports.insert(static_cast<uint16_t>(*port));
      break;
    case HelperVerb::kAllowPairs:
      if (!allowed->sealed) AllowPairs(request, &allowed->pairs);
      break;
    case HelperVerb::kAllowProgram:
      if (!allowed->sealed) AddNamedProgram(request, &allowed->programs);
      break;
    case HelperVerb::kProgram:
      if (fds.size() == 3) work->BeginProgram(*allowed, request, std::move(fds));
      break;
    case HelperVerb::kAllowPam:
      if (!allowed->sealed) AddPamService(request, &allowed->pam);
      break;
    case HelperVerb::kPam:
      work->BeginPam(*allowed, header, request, control, std::move(fds));
      break;
    case HelperVerb::kAllowPasswords: allowed->passwords |= !allowed->sealed; break;
    case HelperVerb::kSeal: allowed->sealed = true; break;
  }
}

}  // namespace

void ServeHelper(const HelperOptions& options, int control) {
  ::prctl(PR_SET_NAME, "postern-helper");
  // Whoever stops the server stops us by its end: a delivery is not cut.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2})
    ::signal(number, SIG_IGN);
  // A child's end or stop wakes ppoll, and nothing else: there it is let through.
  struct sigaction wake {};
  wake.sa_handler = [](int) {};
  ::sigaction(SIGCHLD, &wake, nullptr);
  sigset_t children, none;
  sigemptyset(&none);
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  ::sigprocmask(SIG_SETMASK, &children, nullptr);
  (void)!::chdir("/");
  Allowed allowed;
  Work work(options);
  std::vector<char> octets;
  std::vector<pollfd> fds;
  int64_t leave_ms = -1;  // when we go, whoever has not ended by then; -1: the server is there
  for (;;) {
    work.Look();
    int64_t wait_ms = -1;
    if (leave_ms >= 0) wait_ms = leave_ms - MonotonicMs();
    if (leave_ms >= 0 && (work.empty() || wait_ms <= 0)) ::_exit(0);
    fds.assign(1, pollfd{leave_ms < 0 ? control : -1, POLLIN, 0});
    work.Watch(&fds, &wait_ms);
    const timespec wait{static_cast<time_t>(wait_ms / 1000),
                        static_cast<long>(wait_ms % 1000 * 1'000'000)};
    if (::ppoll(fds.data(), fds.size(), wait_ms < 0 ? nullptr : &wait, &none) <= 0) continue;
    for (size_t i = 1; i < fds.size(); ++i) {
      if ((fds[i].revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0) work.HungUp(fds[i].fd);
    }
    if (fds[0].revents == 0) continue;
    std::vector<Descriptor> descriptors;
    bool ended = false;
    if (ReceiveDatagram(control, &octets, &descriptors, &ended)) {
      if (!ended) Call(&work, &allowed, control, octets, std::move(descriptors));
      // There may have been a password in it.
      ::explicit_bzero(octets.data(), octets.size());
    }
    if (!ended) continue;
    // The server is gone, and with it all who awaited something.
    work.KillAll();
    leave_ms = MonotonicMs() + absl::ToInt64Milliseconds(options.farewell);
  }
}

}  // namespace postern::rt
