#include "lib/rt/asio/helper_wire.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include "lib/core/base/strings.h"
#include "lib/rt/helper.h"

namespace postern::rt {

bool SendDatagram(int socket, std::string_view octets, const std::vector<int>& fds) {
  iovec part{const_cast<char*>(octets.data()), octets.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(octets.size());
}

bool ReceiveDatagram(int socket, std::vector<char>* octets, std::vector<Descriptor>* fds,
                     bool* ended) {
  octets->resize(sizeof(HelperHeader) + kMaxHelperRequestBytes);
  iovec part{octets->data(), octets->size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  *ended = got <= 0;
  octets->resize(got > 0 ? static_cast<size_t>(got) : 0);
  if (got < 0) return false;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds->emplace_back(fd);
    }
  }
  return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

void WriteAll(int fd, std::string_view octets) {
  while (!octets.empty()) {
    const ssize_t put = ::send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    octets.remove_prefix(static_cast<size_t>(put));
  }
}

std::string RefusalText(int error_number, std::string_view text) {
  return StrCat("-", error_number, " ", text);
}

int RefusalErrno(std::string_view answer) {
  if (answer.empty() || answer[0] != '-') return EPERM;
  const std::optional<uint64_t> number = ParseUint(answer.substr(1, answer.find(' ') - 1), 4095);
  return static_cast<int>(number.value_or(EPERM));
}

Status RefusalStatus(std::string_view answer) {
  if (answer.empty() || answer[0] != '-') return Internal("the helper ended without an answer");
  answer.remove_prefix(1);
  const size_t space = answer.find(' ');
  const std::optional<uint64_t> number = ParseUint(answer.substr(0, space), 4095);
  if (!number || *number == 0) return Internal("the helper's answer is not whole");
  const std::string text =
      space == std::string_view::npos ? std::string() : std::string(answer.substr(space + 1));
  if (*number == EAGAIN) return Unavailable(text);
  return Error(ErrnoError(static_cast<int>(*number), "").code(), text);
}

}  // namespace postern::rt
