#include "lib/core/trust/iprev.h"

#include <string>

#include <gtest/gtest.h>

namespace postern::trust {
namespace {

constexpr char kZone[] =
    "1.2.0.192.in-addr.arpa. PTR liar.example.\n"
    "1.2.0.192.in-addr.arpa. PTR mail.example.\n"
    "mail.example. A 192.0.2.1\n"
    "liar.example. A 192.0.2.99\n"
    "2.2.0.192.in-addr.arpa. PTR liar.example.\n"
    "3.2.0.192.in-addr.arpa. PTR gone.example.\n"
    "4.2.0.192.in-addr.arpa. PTR broken.example.\n"
    "broken.example. SERVFAIL\n"
    "6.2.0.192.in-addr.arpa. TIMEOUT\n"
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.example.\n"
    "six.example. AAAA 2001:db8::1\n";

Iprev Check(std::string_view address, IprevLimits limits = {}) {
  return dns::RunOnZone(*dns::ZoneData::Parse(kZone),
                        CheckIprev(*IpAddress::Parse(address), limits));
}

TEST(IprevTest, SaysWhatTheDnsSays) {
  const struct {
    const char* address;
    IprevResult result;
    const char* reason;
    const char* explanation;
  } kCases[] = {
      {"192.0.2.1", IprevResult::kPass, "address_confirmed",
       "iprev pass: 192.0.2.1 is mail.example, which has that address"},
      {"2001:db8::1", IprevResult::kPass, "address_confirmed",
       "iprev pass: 2001:db8::1 is six.example, which has that address"},
      {"192.0.2.2", IprevResult::kFail, "address_not_confirmed",
       "iprev fail: 192.0.2.2 calls itself liar.example, which has other addresses"},
      {"192.0.2.3", IprevResult::kPermError, "no_address",
       "iprev permerror: 192.0.2.3 calls itself gone.example, which has no IPv4 address"},
      {"192.0.2.4", IprevResult::kTempError, "dns_failed",
       "iprev temperror: 192.0.2.4 calls itself broken.example, whose address could not be asked "
       "for"},
      {"192.0.2.5", IprevResult::kPermError, "no_name",
       "iprev permerror: 192.0.2.5 has no name in the DNS"},
      {"192.0.2.6", IprevResult::kTempError, "dns_failed",
       "iprev temperror: the name of 192.0.2.6 could not be asked for (timeout)"},
  };
  for (const auto& c : kCases) {
    const Iprev iprev = Check(c.address);
    EXPECT_EQ(IprevResultName(iprev.result), std::string(IprevResultName(c.result))) << c.address;
    EXPECT_EQ(iprev.reason, c.reason) << c.address;
    EXPECT_EQ(iprev.explanation, c.explanation) << c.address;
  }
}

TEST(IprevTest, LooksAtNoMoreNamesThanTheLimit) {
  const Iprev iprev = Check("192.0.2.1", IprevLimits{.max_names = 1});
  EXPECT_EQ(iprev.result, IprevResult::kFail);
  EXPECT_EQ(iprev.names.size(), 1u);
}

}  // namespace
}  // namespace postern::trust
