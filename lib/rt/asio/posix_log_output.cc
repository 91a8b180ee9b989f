#include "lib/rt/asio/posix_log_output.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

// What a pipe or a socket takes without a wait when it says that it takes something.
constexpr size_t kPieceBytes = 4096;

class LogFile final : public LogOutput {
 public:
  explicit LogFile(int fd) : fd_(fd) { Look(); }  // standard error: not ours to close
  LogFile(std::string path, LogFileOpener by_helper)
      : path_(std::move(path)), by_helper_(std::move(by_helper)) {}
  ~LogFile() override {
    if (!path_.empty() && fd_ >= 0) ::close(fd_);
  }

  Taken Write(std::string_view text) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fd_ < 0 || !FinishLocked()) return Taken::kLater;
    // One write, as others may write to the same file.
    std::string line;
    line.reserve(text.size() + 1);
    line.append(text).push_back('\n');
    const size_t wrote = Put(line);
    if (wrote == 0) return Taken::kLater;
    rest_ = line.substr(wrote);
    return Taken::kYes;
  }

  bool Finish() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return FinishLocked();
  }

  Status Reopen() override {
    if (path_.empty()) return OkStatus();
    int fd = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    const Status refused = fd < 0 ? ErrnoError(errno, StrCat("log file ", path_)) : OkStatus();
    if (refused.code() == StatusCode::kPermissionDenied && by_helper_) {
      const StatusOr<int> helped = by_helper_(path_);
      if (!helped.ok()) return Annotate(helped.status(), Message(refused));
      fd = *helped;
    } else if (!refused.ok()) {
      return refused;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    Look();
    return OkStatus();
  }

 private:
  // Look finds out whether a write may keep us waiting for a reader.
  void Look() {
    struct stat info = {};
    waits_ = ::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode);
  }

  bool FinishLocked() {
    if (!rest_.empty()) rest_.erase(0, Put(rest_));
    return rest_.empty();
  }

  // Put writes what can be written now of `text` and returns how much that is.
  size_t Put(std::string_view text) const {
    size_t wrote = 0;
    while (wrote < text.size()) {
      const size_t piece =
          waits_ ? std::min(kPieceBytes, text.size() - wrote) : text.size() - wrote;
      struct pollfd ready = {fd_, POLLOUT, 0};
      if (waits_ && (::poll(&ready, 1, 0) <= 0 || (ready.revents & POLLOUT) == 0)) break;
      const ssize_t done = ::write(fd_, text.data() + wrote, piece);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) break;
      wrote += static_cast<size_t>(done);
    }
    return wrote;
  }

  const std::string path_;
  const LogFileOpener by_helper_;
  std::mutex mutex_;
  std::string rest_;  // of a line that was written in part
  bool waits_ = true;
  int fd_ = -1;
};

class LogSocket final : public LogOutput {
 public:
  explicit LogSocket(std::string path) : path_(std::move(path)) {}
  ~LogSocket() override {
    if (fd_ >= 0) ::close(fd_);
  }

  Taken Write(std::string_view text) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (fd_ < 0 && !Connect().ok()) return Taken::kLater;
    if (Send(text)) return Taken::kYes;
    if (errno == EMSGSIZE) return Taken::kNever;
    if (errno == EAGAIN || errno == ENOBUFS) return Taken::kLater;
    // The daemon that listened is another one now.
    if (Connect().ok() && Send(text)) return Taken::kYes;
    return errno == EMSGSIZE ? Taken::kNever : Taken::kLater;
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

StatusOr<std::unique_ptr<LogOutput>> OpenLogFile(const std::string& path, LogFileOpener by_helper) {
  if (path.empty()) return std::make_unique<LogFile>(STDERR_FILENO);
  auto file = std::make_unique<LogFile>(path, std::move(by_helper));
  POSTERN_RETURN_IF_ERROR(file->Reopen());
  return std::unique_ptr<LogOutput>(std::move(file));
}

std::unique_ptr<LogOutput> OpenLogSocket(const std::string& path) {
  return std::make_unique<LogSocket>(path);
}

}  // namespace postern::rt
