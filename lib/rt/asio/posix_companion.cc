#include "lib/rt/asio/posix_companion.h"

#include <cerrno>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "lib/rt/asio/program_run.h"

namespace postern::rt {
namespace {

class PosixCompanion final : public Companion {
 public:
  PosixCompanion(pid_t child, std::unique_ptr<Stream> stream, std::unique_ptr<Stream> errors)
      : child_(child), stream_(std::move(stream)), errors_(std::move(errors)) {}
  ~PosixCompanion() override {
    Kill();
    (void)Ended();
  }

  Stream& stream() override { return *stream_; }
  Stream* errors() override { return errors_.get(); }
  void End() override {
    Kill();
    stream_->Close();
    errors_->Close();
  }

  bool Ended() override {
    if (buried_) return true;
    int status = 0;
    pid_t gone = 0;
    while ((gone = ::waitpid(child_, &status, WNOHANG)) < 0 && errno == EINTR) {
    }
    buried_ = gone != 0;
    return buried_;
  }

 private:
  void Kill() const {
    if (buried_) return;
    ::kill(-child_, SIGKILL);  // what it started, too: it has a session of its own
    ::kill(child_, SIGKILL);
  }

  const pid_t child_;
  bool buried_ = false;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Stream> errors_;
};

}  // namespace

Status OpenCompanionSockets(Executor& loop, CompanionSockets* sockets) {
  int talk[2];
  int complaints[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk) != 0)
    return ErrnoError(errno, "socketpair");
  SocketHolder ours(talk[0]);
  sockets->its.Take(talk[1]);
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, complaints) != 0)
    return ErrnoError(errno, "socketpair");
  SocketHolder heard(complaints[0]);
  sockets->said.Take(complaints[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(heard.get(), F_SETFL, O_NONBLOCK);
  AsioExecutor& asio_loop = static_cast<AsioExecutor&>(loop);
  sockets->stream =
      MakeAsioStream(asio_loop, std::move(ours), Endpoint(), Endpoint(), /*on_reserve=*/false);
  sockets->errors =
      MakeAsioStream(asio_loop, std::move(heard), Endpoint(), Endpoint(), /*on_reserve=*/false);
  return OkStatus();
}

StatusOr<std::unique_ptr<Companion>> StartCompanion(Executor& loop, const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty() || spec.argv[0][0] != '/')
    return InvalidArgument("a program is named by its absolute path");
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (const std::string& each : spec.argv) argv.push_back(const_cast<char*>(each.c_str()));
  for (const std::string& each : spec.environment) envp.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);

  CompanionSockets sockets;
  POSTERN_RETURN_IF_ERROR(OpenCompanionSockets(loop, &sockets));
  const pid_t child = ::fork();
  if (child == 0)
    BecomeProgram(spec, argv.data(), envp.data(), sockets.its.get(), sockets.its.get(),
                  sockets.said.get());
  if (child < 0) return ErrnoError(errno, "fork");
  return std::unique_ptr<Companion>(std::make_unique<PosixCompanion>(
      child, std::move(sockets.stream), std::move(sockets.errors)));
}

}  // namespace postern::rt
