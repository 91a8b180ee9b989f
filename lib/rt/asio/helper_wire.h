// What the server and its helper process say to each other: datagrams on a socket pair, each with a
// descriptor for the reply.
#pragma once

#include <cstdint>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

namespace postern::rt {

inline constexpr uint32_t kHelperMagic = 0x50484c31;  // "PHL1"

enum class HelperVerb : uint32_t {
  kWork = 1,
  kOpen,
  kHash,
  kAllowFile,
  kAllowPasswords,
  kSeal,
  kBind,
  kAllowPort
};

// HelperPlace is the request of kBind: an address, of IPv4 in its first four octets, and a port.
struct HelperPlace {
  uint8_t is_v6 = 0;
  uint8_t address[16] = {};
  uint16_t port = 0;
};

// HelperHeader begins each datagram; the rest of it is the request. A reply descriptor comes with
// it, and for work with a payload, or a socket to bind, that one's.
struct HelperHeader {
  uint32_t magic = kHelperMagic;
  HelperVerb verb = HelperVerb::kWork;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t request_bytes = 0;
};

// Fd owns a descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Reset(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Send writes one datagram with descriptors.
bool Send(int socket, std::string_view octets, const std::vector<int>& fds);

// Receive reads one datagram; false at the end, which `*ended` tells, or when it is too long.
bool Receive(int socket, std::vector<char>* octets, std::vector<Fd>* fds, bool* ended);

// WriteAll writes to a socket, or stops where nobody reads.
void WriteAll(int fd, std::string_view octets);

}  // namespace postern::rt
