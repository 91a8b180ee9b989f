#include "lib/rt/asio/helper_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <mutex>
#include <poll.h>
#include <pwd.h>
#include <set>
#include <shadow.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/rt/asio/program_run.h"

namespace postern::rt {
namespace {

constexpr uint32_t kMagic = 0x50484c31;   // "PHL1"
constexpr uint32_t kLeastPlainId = 1000;  // ids below are the system's own accounts and groups
constexpr int kMaxGroups = 256;
constexpr size_t kMaxAllowedFiles = 4096;

enum class Verb : uint32_t { kWork = 1, kOpen, kHash, kAllowFile, kAllowPasswords, kSeal };

// Header begins each datagram; the rest of it is the request. A reply descriptor comes with it, and
// for work with a payload that one's.
struct Header {
  uint32_t magic = kMagic;
  Verb verb = Verb::kWork;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t request_bytes = 0;
};

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Reset(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Send writes one datagram with descriptors.
bool Send(int socket, std::string_view octets, const std::vector<int>& fds) {
  iovec part{const_cast<char*>(octets.data()), octets.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(octets.size());
}

// Receive reads one datagram; false at the end, or when it is too long.
bool Receive(int socket, std::vector<char>* octets, std::vector<Fd>* fds, bool* ended) {
  octets->resize(sizeof(Header) + kMaxHelperRequestBytes);
  iovec part{octets->data(), octets->size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  *ended = got <= 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds->emplace_back(fd);
    }
  }
  if (got < 0) return false;
  octets->resize(static_cast<size_t>(got));
  return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

void WriteAll(int fd, std::string_view octets) {
  while (!octets.empty()) {
    const ssize_t put = ::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    octets.remove_prefix(static_cast<size_t>(put));
  }
}

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

[[noreturn]] void Work(const HelperOptions& options, const Header& header, std::string_view request,
                       int reply, Fd payload) {
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
    Header header;
    if (!whole || octets.size() < sizeof header || fds.empty() || fds.size() > 2) continue;
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.magic != kMagic || header.request_bytes != octets.size() - sizeof header) continue;
    const std::string_view request(octets.data() + sizeof header, header.request_bytes);
    const int reply = fds[0].get();
    switch (header.verb) {
      case Verb::kWork: {
        const pid_t child = ::fork();
        if (child == 0) {
          ::close(control);
          Work(options, header, request, reply, fds.size() == 2 ? std::move(fds[1]) : Fd());
        }
        if (child > 0) ++children;
        break;
      }
      case Verb::kOpen: OpenFor(allowed, std::string(request), reply); break;
      case Verb::kHash: HashFor(allowed, std::string(request), reply); break;
      case Verb::kAllowFile:
        if (!allowed.sealed && allowed.files.size() < kMaxAllowedFiles)
          allowed.files.emplace(request);
        break;
      case Verb::kAllowPasswords: allowed.passwords = allowed.passwords || !allowed.sealed; break;
      case Verb::kSeal: allowed.sealed = true; break;
    }
  }
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  ::_exit(0);
}

// --- the server's side ---

class ProcessAnswer final : public HelperAnswer {
 public:
  explicit ProcessAnswer(int fd) : fd_(fd) {}
  int descriptor() const override { return fd_.get(); }
  bool Take() override {
    while (!ended_) {
      char buffer[4096];
      const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return false;
      if (got > 0 && text_.size() < kMaxHelperAnswerBytes + 1) {
        text_.append(buffer, static_cast<size_t>(got));
      } else {
        ended_ = true;
      }
    }
    return true;
  }
  void Wait(Duration limit) override {
    const WallTime end = absl::Now() + limit;
    while (!Take()) {
      const Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) return;
      pollfd wait{fd_.get(), POLLIN, 0};
      ::poll(&wait, 1,
             static_cast<int>(absl::ToInt64Milliseconds(std::min(left, absl::Minutes(1)))) + 1);
    }
  }
  StatusOr<std::string> Result() const override {
    if (!ended_) return DeadlineExceeded("the helper did not answer in time");
    if (text_.empty() || text_[0] != '+')
      return Unavailable("the helper refused, or ended without an answer");
    return text_.substr(1);
  }

 private:
  Fd fd_;
  std::string text_;
  bool ended_ = false;
};

class ProcessHelper final : public Helper {
 public:
  ProcessHelper(int control, pid_t pid) : control_(control), pid_(pid) {}
  ~ProcessHelper() override {
    control_.Reset();
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  StatusOr<std::unique_ptr<HelperAnswer>> Begin(const HelperCall& call) override {
    Fd payload;
    if (call.payload.data() != nullptr) {
      payload.Reset(::memfd_create("postern-message", MFD_CLOEXEC | MFD_ALLOW_SEALING));
      if (payload.get() < 0) return ErrnoError(errno, "memfd_create");
      std::string_view left = call.payload;
      while (!left.empty()) {
        const ssize_t put = ::write(payload.get(), left.data(), left.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return ErrnoError(errno, "write to memory");
        left.remove_prefix(static_cast<size_t>(put));
      }
      ::fcntl(payload.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    }
    StatusOr<int> reply =
        Ask(Verb::kWork, call.who, call.request, payload.get() >= 0 ? payload.get() : -1);
    if (!reply.ok()) return reply.status();
    return std::unique_ptr<HelperAnswer>(std::make_unique<ProcessAnswer>(*reply));
  }

  StatusOr<std::unique_ptr<File>> OpenNamed(const std::string& path) override {
    StatusOr<int> reply = Ask(Verb::kOpen, {}, path, -1);
    if (!reply.ok()) return reply.status();
    Fd socket(*reply);
    std::vector<char> octets;
    std::vector<Fd> fds;
    bool ended = false;
    if (Receive(socket.get(), &octets, &fds, &ended) && fds.size() == 1 && !octets.empty() &&
        octets[0] == '+')
      return FileOfDescriptor(fds[0].Release(), path);
    const std::string_view text(octets.data(), octets.size());
    const std::optional<uint64_t> error =
        text.empty() ? std::optional<uint64_t>() : ParseUint(text.substr(1), 4095);
    return ErrnoError(static_cast<int>(error.value_or(EPERM)), StrCat("open ", path));
  }

  StatusOr<std::string> FindPasswordHash(const std::string& name) override {
    StatusOr<int> reply = Ask(Verb::kHash, {}, name, -1);
    if (!reply.ok()) return reply.status();
    ProcessAnswer answer(*reply);
    answer.Wait(absl::Seconds(30));
    StatusOr<std::string> hash = answer.Result();
    if (!hash.ok()) return NotFound(StrCat("no password of ", Escape(name)));
    return hash;
  }

  Status AllowFile(const std::string& path) override {
    return Ask(Verb::kAllowFile, {}, path, -1, false).status();
  }
  Status AllowPasswords() override {
    return Ask(Verb::kAllowPasswords, {}, "", -1, false).status();
  }
  Status Seal() override { return Ask(Verb::kSeal, {}, "", -1, false).status(); }

 private:
  // Ask sends one call and gives our end of its reply socket, or closes it.
  StatusOr<int> Ask(Verb verb, const Credentials& who, const std::string& request, int payload,
                    bool keep = true) {
    if (request.size() > kMaxHelperRequestBytes)
      return ResourceExhausted("a request to the helper that is too long");
    int pair[2];
    if (::socketpair(AF_UNIX, (verb == Verb::kOpen ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC,
                     0, pair) != 0)
      return ErrnoError(errno, "socketpair");
    Fd ours(pair[0]), theirs(pair[1]);
    Header header;
    header.verb = verb;
    header.uid = who.uid;
    header.gid = who.gid;
    header.request_bytes = static_cast<uint32_t>(request.size());
    std::string octets(reinterpret_cast<const char*>(&header), sizeof header);
    octets += request;
    std::vector<int> fds = {theirs.get()};
    if (payload >= 0) fds.push_back(payload);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!Send(control_.get(), octets, fds)) return ErrnoError(errno, "ask the helper");
    return keep ? ours.Release() : -1;
  }

  std::mutex mutex_;
  Fd control_;
  const pid_t pid_;
};

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
  return std::unique_ptr<Helper>(std::make_unique<ProcessHelper>(pair[0], pid));
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
