#include "lib/rt/asio/helper_client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/helper_wire.h"
#include "lib/rt/asio/posix_files.h"

namespace postern::rt {
namespace {

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
        Ask(HelperVerb::kWork, call.who, call.request, payload.get() >= 0 ? payload.get() : -1);
    if (!reply.ok()) return reply.status();
    return std::unique_ptr<HelperAnswer>(std::make_unique<ProcessAnswer>(*reply));
  }

  StatusOr<std::unique_ptr<File>> OpenNamed(const std::string& path) override {
    StatusOr<int> reply = Ask(HelperVerb::kOpen, {}, path, -1);
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
    StatusOr<int> reply = Ask(HelperVerb::kHash, {}, name, -1);
    if (!reply.ok()) return reply.status();
    ProcessAnswer answer(*reply);
    answer.Wait(absl::Seconds(30));
    StatusOr<std::string> hash = answer.Result();
    if (!hash.ok()) return NotFound(StrCat("no password of ", Escape(name)));
    return hash;
  }

  Status BindSocket(int socket, const Endpoint& local) override {
    HelperPlace place;
    place.is_v6 = local.address.is_v6() ? 1 : 0;
    const std::string_view octets = local.address.bytes();
    std::memcpy(place.address, octets.data(), std::min(octets.size(), sizeof place.address));
    place.port = local.port;
    StatusOr<int> reply =
        Ask(HelperVerb::kBind, {}, std::string(reinterpret_cast<const char*>(&place), sizeof place),
            socket);
    if (!reply.ok()) return reply.status();
    Fd answer(*reply);
    char text[16];
    const ssize_t got = ::recv(answer.get(), text, sizeof text, 0);
    if (got > 0 && text[0] == '+') return OkStatus();
    const std::optional<uint64_t> error =
        got > 1 ? ParseUint(std::string_view(text + 1, static_cast<size_t>(got) - 1), 4095)
                : std::nullopt;
    return ErrnoError(static_cast<int>(error.value_or(EPERM)), StrCat("bind ", local.ToString()));
  }

  Status AllowPort(uint16_t port) override {
    return Ask(HelperVerb::kAllowPort, {}, StrCat(port), -1, false).status();
  }
  Status AllowFile(const std::string& path) override {
    return Ask(HelperVerb::kAllowFile, {}, path, -1, false).status();
  }
  Status AllowPasswords() override {
    return Ask(HelperVerb::kAllowPasswords, {}, "", -1, false).status();
  }
  Status Seal() override { return Ask(HelperVerb::kSeal, {}, "", -1, false).status(); }

 private:
  // Ask sends one call and gives our end of its reply socket, or closes it.
  StatusOr<int> Ask(HelperVerb verb, const Credentials& who, const std::string& request,
                    int payload, bool keep = true) {
    if (request.size() > kMaxHelperRequestBytes)
      return ResourceExhausted("a request to the helper that is too long");
    int pair[2];
    if (::socketpair(AF_UNIX,
                     (verb == HelperVerb::kOpen ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0,
                     pair) != 0)
      return ErrnoError(errno, "socketpair");
    Fd ours(pair[0]), theirs(pair[1]);
    HelperHeader header;
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

std::unique_ptr<Helper> NewProcessHelper(int control, pid_t pid) {
  return std::make_unique<ProcessHelper>(control, pid);
}

}  // namespace postern::rt
