#include "lib/server/endpoints.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::server {
namespace {

std::vector<rt::InterfaceAddress> Machine() {
  return {
      {.interface_name = "lo",
       .address = IpAddress::V4(127, 0, 0, 1),
       .is_loopback = true,
       .has_default_route = false},
      {.interface_name = "lo",
       .address = *IpAddress::Parse("::1"),
       .is_loopback = true,
       .has_default_route = false},
      {.interface_name = "eth0",
       .address = IpAddress::V4(192, 0, 2, 1),
       .is_loopback = false,
       .has_default_route = true},
      {.interface_name = "eth1",
       .address = IpAddress::V4(198, 51, 100, 1),
       .is_loopback = false,
       .has_default_route = false},
  };
}

std::string Resolved(const std::string& target,
                     policy::AddressFamily family = policy::AddressFamily::kAny) {
  policy::Listener listener;
  listener.target = target;
  listener.family = family;
  listener.port = 25;
  const StatusOr<std::vector<Endpoint>> endpoints = ResolveListener(listener, Machine());
  if (!endpoints.ok()) return std::string(Message(endpoints.status()));
  std::vector<std::string> texts;
  for (const Endpoint& each : *endpoints) texts.push_back(each.ToString());
  return StrJoin(texts, " ");
}

TEST(ResolveListener, KnowsInterfacesGroupsAndAddresses) {
  EXPECT_EQ(Resolved("lo0"), "127.0.0.1:25 [::1]:25");
  EXPECT_EQ(Resolved("lo"), "127.0.0.1:25 [::1]:25");
  EXPECT_EQ(Resolved("localhost", policy::AddressFamily::kInet4), "127.0.0.1:25");
  EXPECT_EQ(Resolved("egress"), "192.0.2.1:25");
  EXPECT_EQ(Resolved("eth1"), "198.51.100.1:25");
  EXPECT_EQ(Resolved("all"), "127.0.0.1:25 [::1]:25 192.0.2.1:25 198.51.100.1:25");
  EXPECT_EQ(Resolved("all", policy::AddressFamily::kInet6), "[::1]:25");
  EXPECT_EQ(Resolved("203.0.113.9"), "203.0.113.9:25");
  EXPECT_EQ(Resolved("[2001:db8::1]"), "[2001:db8::1]:25");
}

TEST(ResolveListener, SaysWhatWouldBeRight) {
  EXPECT_EQ(Resolved("eth9"),
            "\"eth9\" is no interface, group or address of this machine (interfaces: eth0, eth1, "
            "lo; groups: all, egress, lo0)");
  EXPECT_EQ(Resolved("192.0.2.1", policy::AddressFamily::kInet6),
            "192.0.2.1 is not an inet6 address");
}

}  // namespace
}  // namespace postern::server
