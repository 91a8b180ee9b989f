#include "lib/rt/asio/helper_process.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <iterator>
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
#include "lib/rt/asio/helper_client.h"
#include "lib/rt/asio/helper_wire.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/rt/asio/program_run.h"

namespace postern::rt {
namespace {

constexpr uint32_t kLeastPlainId = 1000;  // ids below are the system's own accounts and groups
constexpr int kMaxGroups = 256;
constexpr size_t kMaxAllowedFiles = 4096;

// --- the process with the privileges ---

// Become makes this process `who` for good; false when it may not be, or cannot. The groups are
// those of the account, so that nobody gets into another by naming it.
bool Become(const Credentials& who, const HelperGrant& grant) {
  if (who.uid == 0) return grant.as_root;
  std::vector<char> buffer(64 << 10);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(who.uid, &entry, buffer.data(), buffer.size(), &found);
  std::vector<gid_t> groups = {who.gid};
  if (found != nullptr && found->pw_gid == who.gid) {
    groups.resize(kMaxGroups);
    int count = kMaxGroups;
    if (::getgrouplist(found->pw_name, found->pw_gid, groups.data(), &count) < 0) return false;
    groups.resize(static_cast<size_t>(count));
  } else if (who.gid < kLeastPlainId || who.uid < kLeastPlainId) {
    // A pair that no account has is one of a userbase: no system account's part may be in it.
    return false;
  }
  std::erase(groups, 0u);
  if (who.gid == 0) return false;
  if (grant.extra_group) groups.push_back(*grant.extra_group);
  return ::setgroups(groups.size(), groups.data()) == 0 &&
         ::setresgid(who.gid, who.gid, who.gid) == 0 &&
         ::setresuid(who.uid, who.uid, who.uid) == 0 && ::geteuid() == who.uid &&
         ::getegid() == who.gid;
}

[[noreturn]] void Work(const HelperOptions& options, const HelperHeader& header,
                       std::string_view request, int reply, Fd payload) {
  HelperTask task;
  task.request = request;
  task.who = Credentials{header.uid, header.gid, {header.gid}};
  const HelperGrant grant = options.grant ? options.grant(task.who, request) : HelperGrant();
  // Root's own work is done by root only when it was started by root; elsewhere all are who we are.
  const bool may = ::geteuid() == 0 ? Become(task.who, grant) : ::geteuid() == header.uid;
  if (!may) ::_exit(1);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(077);
  PosixFiles files;
  std::unique_ptr<File> body;
  if (payload.get() >= 0) body = FileOfDescriptor(payload.Release(), "payload");
  task.files = &files;
  task.payload = body.get();
  task.now = absl::Now();
  task.run = [reply](const ProcessSpec& spec) { return RunProgramAndWait(spec, reply); };
  std::string answer = "+";
  answer += options.work(task);
  if (answer.size() <= kMaxHelperAnswerBytes) WriteAll(reply, answer);
  ::_exit(0);
}

struct Allowed {
  std::set<std::string> files;
  std::set<uint16_t> ports = {std::begin(kHelperPorts), std::end(kHelperPorts)};
  bool passwords = false;
  bool sealed = false;
};

void OpenFor(const Allowed& allowed, const std::string& path, int reply) {
  if (!allowed.files.contains(path)) {
    WriteAll(reply, StrCat("-", EPERM));
    return;
  }
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat st {};
  const bool regular = file.get() >= 0 && ::fstat(file.get(), &st) == 0 && S_ISREG(st.st_mode);
  if (file.get() < 0 || !regular) {
    WriteAll(reply, StrCat("-", file.get() < 0 ? errno : EINVAL));
  } else {
    (void)Send(reply, "+", {file.get()});
  }
}

void HashFor(const Allowed& allowed, const std::string& name, int reply) {
  std::vector<char> buffer(64 << 10);
  spwd entry{};
  spwd* found = nullptr;
  passwd account{};
  passwd* who = nullptr;
  ::getpwnam_r(name.c_str(), &account, buffer.data(), buffer.size(), &who);
  const bool is_root = who != nullptr && who->pw_uid == 0;
  if (allowed.passwords && !is_root)
    ::getspnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) {
    WriteAll(reply, StrCat("+", found->sp_pwdp));
  } else {
    WriteAll(reply, StrCat("-", allowed.passwords ? ENOENT : EPERM));
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
    return WriteAll(reply, StrCat("-", EINVAL));
  std::memcpy(&place, request.data(), sizeof place);
  if (!allowed.ports.contains(place.port)) return WriteAll(reply, StrCat("-", EACCES));
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
  WriteAll(reply, bound == 0 ? std::string("+") : StrCat("-", errno));
}

// Serve is the life of the helper.
[[noreturn]] void Serve(const HelperOptions& options, int control) {
  ::prctl(PR_SET_NAME, "postern-helper");
  // Whoever stops the server stops us by its end: a delivery is not cut.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2})
    ::signal(number, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  (void)!::chdir("/");
  Allowed allowed;
  size_t children = 0;
  std::vector<char> octets;
  for (;;) {
    while (children > 0) {
      const pid_t ended = ::waitpid(-1, nullptr, children >= options.max_children ? 0 : WNOHANG);
      if (ended <= 0 && errno != EINTR) break;
      if (ended == 0) break;
      if (ended > 0) --children;
    }
    // Children are reaped at the latest a second after the last call.
    pollfd wait{control, POLLIN, 0};
    if (::poll(&wait, 1, children > 0 ? 1000 : -1) <= 0) continue;
    std::vector<Fd> fds;
    bool ended = false;
    const bool whole = Receive(control, &octets, &fds, &ended);
    if (ended) break;
    HelperHeader header;
    if (!whole || octets.size() < sizeof header || fds.empty() || fds.size() > 2) continue;
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.magic != kHelperMagic || header.request_bytes != octets.size() - sizeof header)
      continue;
    const std::string_view request(octets.data() + sizeof header, header.request_bytes);
    const int reply = fds[0].get();
    switch (header.verb) {
      case HelperVerb::kWork: {
        const pid_t child = ::fork();
        if (child == 0) {
          ::close(control);
          Work(options, header, request, reply, fds.size() == 2 ? std::move(fds[1]) : Fd());
        }
        if (child > 0) ++children;
        break;
      }
      case HelperVerb::kOpen: OpenFor(allowed, std::string(request), reply); break;
      case HelperVerb::kHash: HashFor(allowed, std::string(request), reply); break;
      case HelperVerb::kAllowFile:
        if (!allowed.sealed && allowed.files.size() < kMaxAllowedFiles)
          allowed.files.emplace(request);
        break;
      case HelperVerb::kBind:
        BindFor(allowed, request, fds.size() == 2 ? fds[1].get() : -1, reply);
        break;
      case HelperVerb::kAllowPort:
        if (const std::optional<uint64_t> port = ParseUint(request, 65535); port && !allowed.sealed)
          allowed.ports.insert(static_cast<uint16_t>(*port));
        break;
      case HelperVerb::kAllowPasswords:
        allowed.passwords = allowed.passwords || !allowed.sealed;
        break;
      case HelperVerb::kSeal: allowed.sealed = true; break;
    }
  }
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  ::_exit(0);
}

}  // namespace

StatusOr<std::unique_ptr<Helper>> StartHelper(HelperOptions options) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return ErrnoError(errno, "socketpair");
  const int room = static_cast<int>(4 * kMaxHelperRequestBytes);
  ::setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  const pid_t pid = ::fork();
  if (pid < 0) {
    const int error = errno;
    ::close(pair[0]);
    ::close(pair[1]);
    return ErrnoError(error, "fork");
  }
  if (pid == 0) {
    // Nothing that the host has open is ours but its error output.
    const int control = ::dup2(pair[1], 3);
    ::close_range(4, ~0u, 0);
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    if (null > 3) ::close(null);
    ::fcntl(control, F_SETFD, FD_CLOEXEC);
    Serve(options, control);
  }
  ::close(pair[1]);
  return NewProcessHelper(pair[0], pid);
}

Status BecomeAccount(const Account& account) {
  std::vector<gid_t> groups(account.groups.begin(), account.groups.end());
  if (groups.empty()) groups.push_back(account.gid);
  if (::setgroups(groups.size(), groups.data()) != 0) return ErrnoError(errno, "setgroups");
  if (::setresgid(account.gid, account.gid, account.gid) != 0) return ErrnoError(errno, "setgid");
  if (::setresuid(account.uid, account.uid, account.uid) != 0) return ErrnoError(errno, "setuid");
  if (account.uid != 0 && ::setuid(0) == 0) return Internal("root's rights are still there");
  return OkStatus();
}

}  // namespace postern::rt
