#include "lib/rt/asio/posix_conversation.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/program_child.h"

namespace postern::rt {
namespace {

// What of standard error is looked at for its last line; the rest is read and dropped, so that a
// program that complains a lot does not stand still.
constexpr size_t kMaxErrorBytes = 1024;

class PosixConversation final : public Conversation {
 public:
  PosixConversation(ProgramChild child, Descriptor socket, Descriptor errors)
      : socket_(std::move(socket)), errors_(std::move(errors)), child_(std::move(child)) {}
  ~PosixConversation() override { End(); }

  Status Write(std::string_view data, Duration patience) override {
    const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(patience);
    while (!data.empty()) {
      // MSG_NOSIGNAL: a program that has gone must give EPIPE, not a signal to the host's process.
      const ssize_t put = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (put >= 0) {
        data.remove_prefix(static_cast<size_t>(put));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Unavailable("the program reads no more");
      if (!WaitFor(POLLOUT, end_ms))
        return DeadlineExceeded("the program does not read what it is asked");
    }
    return OkStatus();
  }

  StatusOr<size_t> Read(std::span<char> into, Duration patience) override {
    const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(patience);
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) return size_t{0};  // it left without reading all
      if (errno != EAGAIN) return ErrnoError(errno, "read");
      if (!WaitFor(POLLIN, end_ms)) return DeadlineExceeded("the program does not answer");
    }
  }

  std::string LastError() override {
    ReadErrors();
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string_view text = Trim(error_text_);
    const size_t line = text.rfind('\n');
    return std::string(line == std::string_view::npos ? text : text.substr(line + 1));
  }

  void End() override {
    child_.Kill();
    ::shutdown(socket_.get(), SHUT_RDWR);
  }

 private:
  // WaitFor waits until the socket is ready and drains standard error meanwhile; false when the
  // time is up.
  bool WaitFor(short events, int64_t end_ms) {
    bool errors_open = true;
    for (;;) {
      const int64_t wait_ms = end_ms - MonotonicMs();
      if (wait_ms <= 0) return false;
      std::array<pollfd, 2> fds = {{{socket_.get(), events, 0}, {errors_.get(), POLLIN, 0}}};
      ::poll(fds.data(), errors_open ? 2 : 1, static_cast<int>(std::min<int64_t>(wait_ms, 60'000)));
      if (errors_open && fds[1].revents != 0) errors_open = ReadErrors();
      if (fds[0].revents != 0) return true;
    }
  }

  // ReadErrors takes what is there; false at the end.
  bool ReadErrors() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::array<char, 1024> buffer;
    for (int turns = 0; turns < 64; ++turns) {
      const ssize_t got = ::read(errors_.get(), buffer.data(), buffer.size());
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      error_text_.append(buffer.data(), static_cast<size_t>(got));
      if (error_text_.size() > kMaxErrorBytes)
        error_text_.erase(0, error_text_.size() - kMaxErrorBytes);
    }
    return true;
  }

  const Descriptor socket_;
  const Descriptor errors_;
  std::mutex mutex_;  // guards error_text_, and the reading of errors_
  std::string error_text_;
  const ProgramChild child_;
};

}  // namespace

StatusOr<std::unique_ptr<Conversation>> StartConversation(const ProcessSpec& spec) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return ErrnoError(errno, "socketpair");
  Descriptor ours(sockets[0]);
  const Descriptor its(sockets[1]);
  int errors[2];
  if (::pipe2(errors, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  Descriptor heard(errors[0]);
  const Descriptor said(errors[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(heard.get(), F_SETFL, O_NONBLOCK);
  StatusOr<ProgramChild> child = ProgramChild::Start(spec, {its.get(), its.get(), said.get()});
  if (!child.ok()) return child.status();
  return std::unique_ptr<Conversation>(
      std::make_unique<PosixConversation>(*std::move(child), std::move(ours), std::move(heard)));
}

}  // namespace postern::rt
