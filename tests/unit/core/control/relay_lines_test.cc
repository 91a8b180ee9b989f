#include "lib/core/control/relay_lines.h"

#include <gtest/gtest.h>

namespace postern::control {
namespace {

// The lines are those that Debian's smtpctl printed beside a dead smarthost and a dead exchanger.
TEST(RelayLines, AreSmtpctls) {
  HostLine host;
  host.address = "127.0.0.1";
  host.name = "localhost";
  host.references = 2;
  host.last = absl::Seconds(3);
  EXPECT_EQ(HostText(host), "127.0.0.1 localhost refcount=2 nconn=0 lastconn=3s\n");
  host.last.reset();
  EXPECT_EQ(HostText(host), "127.0.0.1 localhost refcount=2 nconn=0 lastconn=-\n");

  RouteLine route;
  route.id = 2;
  route.source = "[]";
  route.address = "192.0.2.9";
  route.host = "mx.elsewhere.test";
  route.is_new = route.disabled = true;
  route.penalty = 1;
  route.timeout = absl::Seconds(12);
  EXPECT_EQ(RouteText(route),
            "2. [] <-> 192.0.2.9 (mx.elsewhere.test) ND-- nconn=0 nerror=0 penalty=1 "
            "timeout=12s\n");
  route.disabled = false;
  route.lowering = true;
  route.timeout = absl::ZeroDuration();
  EXPECT_EQ(RouteText(route),
            "2. [] <-> 192.0.2.9 (mx.elsewhere.test) N-Q- nconn=0 nerror=0 penalty=1 timeout=-\n");
  route.timeout = absl::Milliseconds(1);
  EXPECT_NE(RouteText(route).find("timeout=1s"), std::string::npos);

  RelayLine relay;
  relay.name = RelayName("127.0.0.1", 1, "smtp", true);
  relay.tasks = relay.connections = 1;
  relay.last = absl::Seconds(3);
  relay.connectors.push_back({"[]", 1, absl::Seconds(3)});
  EXPECT_EQ(RelayText(relay),
            "[relay:127.0.0.1,port=1,smtp,mx] refcount=1 ntask=1 nconn=1 lastconn=3s timeout=- "
            "wait=-\n"
            "  connector [] refcount=1 nconn=1 lastconn=3s timeout=- flags=-\n");
  EXPECT_EQ(RelayName("elsewhere.test", 0, "smtp", false), "[relay:elsewhere.test,smtp]");
}

TEST(RelayLines, StayOnTheirLineWhateverAServerIsCalled) {
  HostLine host;
  host.name = "a\nb\x1b]0;";
  EXPECT_EQ(HostText(host).find('\n'), HostText(host).size() - 1);
  EXPECT_EQ(HostText(host).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace postern::control
