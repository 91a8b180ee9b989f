#include "lib/rt/asio/helper_client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/helper_pam.h"
#include "lib/rt/asio/helper_programs.h"
#include "lib/rt/asio/helper_wire.h"
#include "lib/rt/asio/posix_companion.h"
#include "lib/rt/asio/posix_files.h"

namespace postern::rt {
namespace {

// The helper answers at once, but for the system's look-ups: one that does not has been stopped.
constexpr Duration kPatience = absl::Seconds(30);
// In the end it kills what is still under way; its own limit for that is HelperOptions::farewell.
constexpr Duration kFarewell = absl::Seconds(15);

// PollFor waits until `fd` is ready for `events`; false when `limit` has passed.
bool PollFor(int fd, short events, Duration limit) {
  const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(limit);
  for (;;) {
    const int64_t left_ms = std::max<int64_t>(end_ms - MonotonicMs(), 0);
    pollfd wait{fd, events, 0};
    // Rounded up, so that it is not asked anew within the same millisecond.
    if (::poll(&wait, 1, static_cast<int>(std::min<int64_t>(left_ms + 1, 60'000))) > 0) return true;
    if (left_ms == 0) return false;
  }
}

class ProcessAnswer final : public HelperAnswer {
 public:
  explicit ProcessAnswer(int fd) : fd_(fd) {}
  int descriptor() const override { return fd_.get(); }
  bool Take() override {
    while (!ended_) {
      char buffer[16384];
      // Before it is read: what there was no memory for then comes at the next Take.
      if (text_.size() < kMaxHelperAnswerBytes + 1) text_.reserve(text_.size() + sizeof buffer);
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
    const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(limit);
    while (!Take()) {
      const int64_t left_ms = end_ms - MonotonicMs();
      if (left_ms <= 0) return;
      (void)PollFor(fd_.get(), POLLIN, absl::Milliseconds(left_ms));
    }
  }
  StatusOr<std::string> Result() const override {
    if (!ended_) return DeadlineExceeded("the helper did not answer in time");
    if (text_.empty() || text_[0] != '+') return RefusalStatus(text_);
    return text_.substr(1);
  }

 private:
  Descriptor fd_;
  std::string text_;
  bool ended_ = false;
};

// HelpedCompanion is a program that the helper has started and, as its parent, kills and buries.
class HelpedCompanion final : public Companion {
 public:
  HelpedCompanion(Descriptor reply, CompanionSockets sockets)
      : reply_(std::move(reply)), sockets_(std::move(sockets)) {
    // The helper has its own of these.
    sockets_.its.Close();
    sockets_.said.Close();
  }
  Stream& stream() override { return *sockets_.stream; }
  Stream* errors() override { return sockets_.errors.get(); }
  void End() override {
    ::shutdown(reply_.get(), SHUT_WR);
    sockets_.stream->Close();
    sockets_.errors->Close();
  }
  bool Ended() override {
    char octet;
    const ssize_t got = ::recv(reply_.get(), &octet, 1, MSG_DONTWAIT);
    return got >= 0 || (errno != EAGAIN && errno != EINTR);
  }

 private:
  Descriptor reply_;
  CompanionSockets sockets_;
};

class ProcessHelper final : public Helper {
 public:
  ProcessHelper(int control, pid_t pid)
      : control_(control), pid_(pid), end_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  ~ProcessHelper() override {
    control_.Close();
    // It is root's: it cannot be made to go by who has no privileges any more.
    if (end_.open() && !PollFor(end_.get(), POLLIN, kFarewell)) return;
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  StatusOr<std::unique_ptr<HelperAnswer>> Begin(const HelperCall& call) override {
    Descriptor payload;
    if (call.payload.data() != nullptr) {
      payload.Take(::memfd_create("postern-message", MFD_CLOEXEC | MFD_ALLOW_SEALING));
      if (!payload.open()) return ErrnoError(errno, "memfd_create");
      std::string_view left = call.payload;
      while (!left.empty()) {
        const ssize_t put = ::write(payload.get(), left.data(), left.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return ErrnoError(errno, "write to memory");
        left.remove_prefix(static_cast<size_t>(put));
      }
      ::fcntl(payload.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    }
    HelperHeader header;
    header.verb = HelperVerb::kWork;
    header.uid = call.who.uid;
    header.gid = call.who.gid;
    header.limit_ms = LimitMs(call.time_limit);
    std::vector<int> given;
    if (payload.open()) given.push_back(payload.get());
    StatusOr<Descriptor> reply = Ask(header, call.request, given);
    if (!reply.ok()) return reply.status();
    return std::unique_ptr<HelperAnswer>(std::make_unique<ProcessAnswer>(reply->Release()));
  }

  StatusOr<std::unique_ptr<File>> OpenNamed(const std::string& path) override {
    StatusOr<Descriptor> file = OpenBy(HelperVerb::kOpen, path);
    if (!file.ok()) return file.status();
    return FileOfDescriptor(file->Release(), path);
  }

  StatusOr<int> OpenLog(const std::string& path) override {
    StatusOr<Descriptor> file = OpenBy(HelperVerb::kOpenLog, path);
    if (!file.ok()) return file.status();
    return file->Release();
  }

  StatusOr<std::string> FindPasswordHash(const std::string& name) override {
    HelperHeader header;
    header.verb = HelperVerb::kHash;
    StatusOr<Descriptor> reply = Ask(header, name, {});
    if (!reply.ok()) return reply.status();
    ProcessAnswer answer(reply->Release());
    answer.Wait(kPatience);
    StatusOr<std::string> hash = answer.Result();
    if (!hash.ok()) return Annotate(hash.status(), StrCat("password of ", Escape(name, 80)));
    return hash;
  }

  Status BindSocket(int socket, const Endpoint& local) override {
    HelperPlace place;
    place.is_v6 = local.address.is_v6() ? 1 : 0;
    const std::string_view octets = local.address.bytes();
    std::memcpy(place.address, octets.data(), std::min(octets.size(), sizeof place.address));
    place.port = local.port;
    HelperHeader header;
    header.verb = HelperVerb::kBind;
    const StatusOr<Descriptor> reply =
        Ask(header, std::string(reinterpret_cast<const char*>(&place), sizeof place), {socket});
    if (!reply.ok()) return reply.status();
    if (!PollFor(reply->get(), POLLIN, kPatience))
      return DeadlineExceeded("the helper did not answer in time");
    char text[128];
    const ssize_t got = ::recv(reply->get(), text, sizeof text, 0);
    const std::string_view answer(text, got > 0 ? static_cast<size_t>(got) : 0);
    if (answer == "+") return OkStatus();
    return ErrnoError(RefusalErrno(answer), StrCat("bind ", local.ToString()));
  }

  Status AllowPort(uint16_t port) override { return Tell(HelperVerb::kAllowPort, StrCat(port)); }
  Status AllowFile(const std::string& path) override { return Tell(HelperVerb::kAllowFile, path); }
  Status AllowLog(const std::string& path) override { return Tell(HelperVerb::kAllowLog, path); }
  Status AllowPairs(const std::vector<std::pair<uint32_t, uint32_t>>& pairs) override {
    constexpr size_t kAtOnce = kMaxHelperRequestBytes / (2 * sizeof(uint32_t));
    for (size_t from = 0; from < pairs.size(); from += kAtOnce) {
      std::string octets;
      for (size_t i = from; i < std::min(pairs.size(), from + kAtOnce); ++i) {
        const uint32_t pair[2] = {pairs[i].first, pairs[i].second};
        octets.append(reinterpret_cast<const char*>(pair), sizeof pair);
      }
      POSTERN_RETURN_IF_ERROR(Tell(HelperVerb::kAllowPairs, octets));
    }
    return OkStatus();
  }
  StatusOr<std::unique_ptr<Companion>> Accompany(Executor& loop, const std::string& name) override {
    CompanionSockets sockets;
    POSTERN_RETURN_IF_ERROR(OpenCompanionSockets(loop, &sockets));
    HelperHeader header;
    header.verb = HelperVerb::kProgram;
    StatusOr<Descriptor> reply = Ask(header, name, {sockets.its.get(), sockets.said.get()});
    if (!reply.ok()) return reply.status();
    return std::unique_ptr<Companion>(
        std::make_unique<HelpedCompanion>(*std::move(reply), std::move(sockets)));
  }
  Status AllowProgram(const std::string& name, const ProcessSpec& spec) override {
    return Tell(HelperVerb::kAllowProgram, NamedProgramText(name, spec));
  }
  StatusOr<std::unique_ptr<HelperAnswer>> BeginPam(const PamQuestion& question,
                                                   Duration limit) override {
    HelperHeader header;
    header.verb = HelperVerb::kPam;
    header.limit_ms = LimitMs(limit);
    StatusOr<Descriptor> reply = Ask(header, EncodePamQuestion(question), {});
    if (!reply.ok()) return reply.status();
    return std::unique_ptr<HelperAnswer>(std::make_unique<ProcessAnswer>(reply->Release()));
  }
  Status AllowPam(const PamService& service) override {
    return Tell(HelperVerb::kAllowPam, PamServiceText(service));
  }
  Status AllowPasswords() override { return Tell(HelperVerb::kAllowPasswords, ""); }
  Status Seal() override { return Tell(HelperVerb::kSeal, ""); }
  int end_descriptor() const override { return end_.get(); }

 private:
  static uint32_t LimitMs(Duration limit) {
    return static_cast<uint32_t>(
        std::clamp<int64_t>(absl::ToInt64Milliseconds(limit), 0, 0x7fffffff));
  }

  Status Tell(HelperVerb verb, const std::string& request) {
    HelperHeader header;
    header.verb = verb;
    return Ask(header, request, {}).status();
  }

  StatusOr<Descriptor> OpenBy(HelperVerb verb, const std::string& path) {
    HelperHeader header;
    header.verb = verb;
    const StatusOr<Descriptor> socket = Ask(header, path, {});
    if (!socket.ok()) return socket.status();
    if (!PollFor(socket->get(), POLLIN, kPatience))
      return DeadlineExceeded("the helper did not answer in time");
    std::vector<char> octets;
    std::vector<Descriptor> fds;
    bool ended = false;
    if (ReceiveDatagram(socket->get(), &octets, &fds, &ended) && fds.size() == 1 &&
        !octets.empty() && octets[0] == '+')
      return std::move(fds[0]);
    return Annotate(RefusalStatus(std::string_view(octets.data(), octets.size())),
                    StrCat("open ", path));
  }

  // Ask sends one call and gives our end of its reply socket.
  StatusOr<Descriptor> Ask(HelperHeader header, const std::string& request,
                           const std::vector<int>& given) {
    if (request.size() > kMaxHelperRequestBytes)
      return ResourceExhausted("a request to the helper that is too long");
    int pair[2];
    const bool packets = header.verb == HelperVerb::kOpen || header.verb == HelperVerb::kOpenLog;
    if (::socketpair(AF_UNIX, (packets ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0, pair) !=
        0)
      return ErrnoError(errno, "socketpair");
    Descriptor ours(pair[0]), theirs(pair[1]);
    header.request_bytes = static_cast<uint32_t>(request.size());
    std::string octets(reinterpret_cast<const char*>(&header), sizeof header);
    octets += request;
    std::vector<int> fds = {theirs.get()};
    fds.insert(fds.end(), given.begin(), given.end());
    const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(kPatience);
    // Each datagram goes as a whole, so that threads need no lock between them.
    while (!SendDatagram(control_.get(), octets, fds)) {
      if (errno == EPIPE || errno == ECONNRESET)
        return Internal("the helper process has ended: the server must be started again");
      if (errno != EAGAIN) return ErrnoError(errno, "ask the helper");
      const int64_t left_ms = end_ms - MonotonicMs();
      if (left_ms <= 0 || !PollFor(control_.get(), POLLOUT, absl::Milliseconds(left_ms)))
        return DeadlineExceeded("the helper takes no requests");
    }
    return ours;
  }

  Descriptor control_;
  const pid_t pid_;
  const Descriptor end_;
};

}  // namespace

std::unique_ptr<Helper> NewProcessHelper(int control, pid_t pid) {
  return std::make_unique<ProcessHelper>(control, pid);
}

}  // namespace postern::rt
