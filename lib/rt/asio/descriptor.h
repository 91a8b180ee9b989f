// Descriptor owns a file descriptor; MonotonicMs is the clock of deadlines.
#pragma once

#include <cstdint>
#include <ctime>
#include <unistd.h>
#include <utility>

namespace postern::rt {

// kMaxGroups bounds the groups of an account that we take on: more than any account has (the kernel
// would take 65,536).
inline constexpr int kMaxGroups = 256;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) Take(other.Release());
    return *this;
  }
  // Take closes what it has and owns `fd` from now on.
  void Take(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int Release() { return std::exchange(fd_, -1); }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_;
};

// MonotonicMs is a clock that no change of the time moves, in milliseconds.
inline int64_t MonotonicMs() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * int64_t{1000} + ts.tv_nsec / 1'000'000;
}

}  // namespace postern::rt
