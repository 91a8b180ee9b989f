#include "lib/rt/asio/posix_log_output.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

class LogFile final : public LogOutput {
 public:
  explicit LogFile(int fd) : fd_(fd) {}  // standard error: not ours to close
  explicit LogFile(std::string path) : path_(std::move(path)) {}
  ~LogFile() override {
    if (!path_.empty() && fd_ >= 0) ::close(fd_);
  }

  bool Write(std::string_view text) override {
    char end = '\n';
    struct iovec parts[2] = {{const_cast<char*>(text.data()), text.size()}, {&end, 1}};
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fd_ < 0) return false;
    ssize_t wrote = 0;
    do {
      wrote = ::writev(fd_, parts, 2);
    } while (wrote < 0 && errno == EINTR);
    return wrote == static_cast<ssize_t>(text.size()) + 1;
  }

  Status Reopen() override {
    if (path_.empty()) return OkStatus();
    const int fd =
        ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0) return ErrnoError(errno, StrCat("log file ", path_));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    return OkStatus();
  }

 private:
  const std::string path_;
  std::mutex mutex_;
  int fd_ = -1;
};

class LogSocket final : public LogOutput {
 public:
  explicit LogSocket(std::string path) : path_(std::move(path)) {}
  ~LogSocket() override {
    if (fd_ >= 0) ::close(fd_);
  }

  bool Write(std::string_view text) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fd_ < 0 && !Connect().ok()) return false;
    if (Send(text)) return true;
    // The daemon that listened is another one now.
    if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE) return false;
    return Connect().ok() && Send(text);
  }

  Status Reopen() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return Connect();
  }

 private:
  bool Send(std::string_view text) const {
    ssize_t sent = 0;
    do {
      sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
  }

  Status Connect() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path)
      return InvalidArgument(StrCat(path_, ": socket path too long"));
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return ErrnoError(errno, "log socket");
    if (::connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) != 0) {
      const int why = errno;
      ::close(fd);
      return ErrnoError(why, StrCat("log socket ", path_));
    }
    fd_ = fd;
    return OkStatus();
  }

  const std::string path_;
  std::mutex mutex_;
  int fd_ = -1;
};

}  // namespace

StatusOr<std::unique_ptr<LogOutput>> OpenLogFile(const std::string& path) {
  if (path.empty()) return std::make_unique<LogFile>(STDERR_FILENO);
  auto file = std::make_unique<LogFile>(path);
  POSTERN_RETURN_IF_ERROR(file->Reopen());
  return std::unique_ptr<LogOutput>(std::move(file));
}

std::unique_ptr<LogOutput> OpenLogSocket(const std::string& path) {
  return std::make_unique<LogSocket>(path);
}

}  // namespace postern::rt
