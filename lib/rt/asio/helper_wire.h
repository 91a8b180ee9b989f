// What goes over the helper's socket: one datagram for a call, with descriptors.
//
// An answer on the reply descriptor is "+" and what the work gave, or "-", an errno, a space and a
// text, and then its end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/rt/asio/descriptor.h"

namespace postern::rt {

inline constexpr uint32_t kHelperMagic = 0x50484c32;  // "PHL2"

enum class HelperVerb : uint32_t {
  kWork = 1,
  kOpen,
  kOpenLog,
  kAllowLog,
  kHash,
  kAllowFile,
  kAllowPairs,
  kAllowPasswords,
  kSeal,
  kBind,
  kAllowPort,
  kAllowProgram,
  kProgram,
  kAllowPam,
  kPam,
};

// kMaxDescriptors are those of one call.
inline constexpr size_t kMaxDescriptors = 3;

// HelperPlace is the request of kBind: an address, of IPv4 in its first four octets, and a port.
struct HelperPlace {
  uint8_t is_v6 = 0;
  uint8_t address[16] = {};
  uint16_t port = 0;
};

// HelperHeader begins each datagram; the rest of it is the request. A reply descriptor comes with
// it, and for work with a payload, or a socket to bind, that one's; for a program the two that it
// gets, its standard input and output and its standard error. The reply descriptor of a program
// gets nothing: it ends with the program, and the program with it, or with our saying no more.
struct HelperHeader {
  uint32_t magic = kHelperMagic;
  HelperVerb verb = HelperVerb::kWork;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t limit_ms = 0;  // for work and questions to PAM: when it is given up
  uint32_t request_bytes = 0;
};

// SendDatagram writes one datagram with at most kMaxDescriptors; false, with errno, when it could
// not. It does not block: EAGAIN.
bool SendDatagram(int socket, std::string_view octets, const std::vector<int>& fds);

// ReceiveDatagram reads one datagram; false when it was too long, or `*ended`: there are no more.
bool ReceiveDatagram(int socket, std::vector<char>* octets, std::vector<Descriptor>* fds,
                     bool* ended);

// WriteAll writes to a reply descriptor, as far as somebody reads.
void WriteAll(int fd, std::string_view octets);

// RefusalText is the answer that says why nothing was done, RefusalStatus what the asker makes of
// it: EAGAIN is kUnavailable (more is under way than may be), others as ErrnoError has it, but
// without an errno. RefusalErrno is that number; EPERM where there is none.
std::string RefusalText(int error_number, std::string_view text);
Status RefusalStatus(std::string_view answer);
int RefusalErrno(std::string_view answer);

}  // namespace postern::rt
