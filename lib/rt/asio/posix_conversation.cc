#include "lib/rt/asio/posix_conversation.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/program_run.h"

namespace postern::rt {
namespace {

// What of standard error is looked at for its last line; the rest is read and dropped, so that a
// program that complains a lot does not stand still.
constexpr size_t kMaxErrorBytes = 1024;

class PosixConversation final : public Conversation {
 public:
  PosixConversation(pid_t child, int socket, int errors)
      : child_(child), socket_(socket), errors_(errors) {}

  ~PosixConversation() override {
    End();
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    ::close(socket_);
    ::close(errors_);
  }

  Status Write(std::string_view data, Duration patience) override {
    const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(patience);
    while (!data.empty()) {
      // MSG_NOSIGNAL: a program that has gone must give EPIPE, not a signal to the host's process.
      const ssize_t put = ::send(socket_, data.data(), data.size(), MSG_NOSIGNAL);
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
      const ssize_t got = ::recv(socket_, into.data(), into.size(), 0);
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
    ::kill(-child_, SIGKILL);  // what it started, too: it has a session of its own
    ::kill(child_, SIGKILL);
    ::shutdown(socket_, SHUT_RDWR);
  }

 private:
  // WaitFor waits until the socket is ready and drains standard error meanwhile; false when the
  // time is up.
  bool WaitFor(short events, int64_t end_ms) {
    bool errors_open = true;
    for (;;) {
      const int64_t wait_ms = end_ms - MonotonicMs();
      if (wait_ms <= 0) return false;
      std::array<pollfd, 2> fds = {{{socket_, events, 0}, {errors_, POLLIN, 0}}};
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
      const ssize_t got = ::read(errors_, buffer.data(), buffer.size());
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      error_text_.append(buffer.data(), static_cast<size_t>(got));
      if (error_text_.size() > kMaxErrorBytes)
        error_text_.erase(0, error_text_.size() - kMaxErrorBytes);
    }
    return true;
  }

  const pid_t child_;
  const int socket_;
  const int errors_;
  std::mutex mutex_;  // guards error_text_, and the reading of errors_
  std::string error_text_;
};

}  // namespace

StatusOr<std::unique_ptr<Conversation>> StartConversation(const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty() || spec.argv[0][0] != '/')
    return InvalidArgument("a program is named by its absolute path");
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (const std::string& each : spec.argv) argv.push_back(const_cast<char*>(each.c_str()));
  for (const std::string& each : spec.environment) envp.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);

  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    return ErrnoError(errno, "socketpair");
  int errors[2];
  if (::pipe2(errors, O_CLOEXEC) != 0) {
    const Status failed = ErrnoError(errno, "pipe");
    ::close(sockets[0]);
    ::close(sockets[1]);
    return failed;
  }
  ::fcntl(sockets[0], F_SETFL, O_NONBLOCK);
  ::fcntl(errors[0], F_SETFL, O_NONBLOCK);
  const pid_t child = ::fork();
  if (child == 0) BecomeProgram(spec, argv.data(), envp.data(), sockets[1], sockets[1], errors[1]);
  const int fork_error = errno;
  ::close(sockets[1]);
  ::close(errors[1]);
  if (child < 0) {
    ::close(sockets[0]);
    ::close(errors[0]);
    return ErrnoError(fork_error, "fork");
  }
  return std::unique_ptr<Conversation>(
      std::make_unique<PosixConversation>(child, sockets[0], errors[0]));
}

}  // namespace postern::rt
