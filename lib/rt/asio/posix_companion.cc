#include "lib/rt/asio/posix_companion.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>
#include <utility>

#include "lib/rt/asio/program_child.h"

namespace postern::rt {
namespace {

class PosixCompanion final : public Companion {
 public:
  PosixCompanion(ProgramChild child, CompanionSockets sockets)
      : child_(std::move(child)),
        stream_(std::move(sockets.stream)),
        errors_(std::move(sockets.errors)) {}
  ~PosixCompanion() override {
    child_.Kill();
    // It does not hold up the loop.
    if (!child_.Ended()) child_.Forget();
  }

  Stream& stream() override { return *stream_; }
  Stream* errors() override { return errors_.get(); }
  void End() override {
    child_.Kill();
    stream_->Close();
    errors_->Close();
  }
  bool Ended() override { return child_.Ended(); }

 private:
  ProgramChild child_;
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
  CompanionSockets sockets;
  POSTERN_RETURN_IF_ERROR(OpenCompanionSockets(loop, &sockets));
  const int talk = sockets.its.get();
  StatusOr<ProgramChild> child = ProgramChild::Start(spec, {talk, talk, sockets.said.get()});
  if (!child.ok()) return child.status();
  return std::unique_ptr<Companion>(
      std::make_unique<PosixCompanion>(*std::move(child), std::move(sockets)));
}

}  // namespace postern::rt
