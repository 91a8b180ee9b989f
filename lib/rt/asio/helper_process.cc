#include "lib/rt/asio/helper_process.h"

#include <cerrno>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/rt/asio/helper_client.h"
#include "lib/rt/asio/helper_serve.h"

namespace postern::rt {

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
    ServeHelper(options, control);
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
