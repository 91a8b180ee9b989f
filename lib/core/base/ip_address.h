// IP addresses and networks as values: parsed, printed, compared; never looked up.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern {

// IpAddress is an IPv4 or IPv6 address. An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is folded to
// IPv4 by Parse and FromBytes, so that a rule for an IPv4 network also covers a client on a
// dual-stack socket.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
  // FromBytes takes 4 or 16 octets in network order; anything else is nullopt.
  static std::optional<IpAddress> FromBytes(std::string_view octets);
  // Parse reads "192.0.2.1" or "2001:db8::1" (no brackets, no zone, no IPv6: tag).
  static std::optional<IpAddress> Parse(std::string_view text);

  bool is_v6() const { return v6_; }
  bool is_v4() const { return !v6_; }
  bool IsLoopback() const;  // 127.0.0.0/8, ::1
  bool IsAny() const;       // 0.0.0.0, ::
  // bytes lends the 4 or 16 octets in network order.
  std::string_view bytes() const {
    return std::string_view(reinterpret_cast<const char*>(bytes_.data()), v6_ ? 16 : 4);
  }
  // ToString gives dotted-quad or RFC 5952 text.
  std::string ToString() const;
  // ToLiteral gives the RFC 5321 §4.1.3 form: "[192.0.2.1]" or "[IPv6:2001:db8::1]".
  std::string ToLiteral() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool v6_ = false;
  std::array<uint8_t, 16> bytes_{};
};

// IpNetwork is an address and a prefix length.
struct IpNetwork {
  IpAddress address;
  int prefix_bits = 0;

  // Parse reads "192.0.2.0/24", "2001:db8::/32", "[2001:db8::]", "[2001:db8::/32]", or an address
  // alone (a network of one).
  static std::optional<IpNetwork> Parse(std::string_view text);
  bool Contains(const IpAddress& candidate) const;
  std::string ToString() const;
};

// Endpoint is where a stream starts or ends: an address and a port, or the path of a Unix socket
// when `unix_path` is set.
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  std::string unix_path;

  bool is_unix() const { return !unix_path.empty(); }
  // ToString gives "192.0.2.1:25", "[2001:db8::1]:25" or the path.
  std::string ToString() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

}  // namespace postern
