// SocketAddress: the kernel's form of an Endpoint.
#pragma once

#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/core/base/ip_address.h"

namespace postern::rt {

class SocketAddress {
 public:
  // Set fills the address; false when a socket path is too long for the kernel (108 octets with its
  // end).
  bool Set(const Endpoint& endpoint) {
    std::memset(&storage_, 0, sizeof storage_);
    if (endpoint.is_unix()) {
      auto* un = reinterpret_cast<sockaddr_un*>(&storage_);
      if (endpoint.unix_path.size() >= sizeof un->sun_path) return false;
      un->sun_family = AF_UNIX;
      std::memcpy(un->sun_path, endpoint.unix_path.data(), endpoint.unix_path.size());
      length_ =
          static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + endpoint.unix_path.size() + 1);
    } else if (endpoint.address.is_v6()) {
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage_);
      in6->sin6_family = AF_INET6;
      in6->sin6_port = htons(endpoint.port);
      std::memcpy(&in6->sin6_addr, endpoint.address.bytes().data(), 16);
      length_ = sizeof *in6;
    } else {
      auto* in = reinterpret_cast<sockaddr_in*>(&storage_);
      in->sin_family = AF_INET;
      in->sin_port = htons(endpoint.port);
      std::memcpy(&in->sin_addr, endpoint.address.bytes().data(), 4);
      length_ = sizeof *in;
    }
    return true;
  }

  Endpoint ToEndpoint(socklen_t length) const {
    Endpoint endpoint;
    if (storage_.ss_family == AF_INET) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(&storage_);
      endpoint.address =
          *IpAddress::FromBytes(std::string_view(reinterpret_cast<const char*>(&in->sin_addr), 4));
      endpoint.port = ntohs(in->sin_port);
    } else if (storage_.ss_family == AF_INET6) {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&storage_);
      endpoint.address = *IpAddress::FromBytes(
          std::string_view(reinterpret_cast<const char*>(&in6->sin6_addr), 16));
      endpoint.port = ntohs(in6->sin6_port);
    } else if (storage_.ss_family == AF_UNIX && length > offsetof(sockaddr_un, sun_path)) {
      endpoint.unix_path = reinterpret_cast<const sockaddr_un*>(&storage_)->sun_path;
    }
    return endpoint;
  }

  int family() const { return storage_.ss_family; }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  static constexpr socklen_t capacity() { return sizeof(sockaddr_storage); }

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace postern::rt
