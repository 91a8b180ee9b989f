// Mail that would come back to us is not sent.
#include "tests/unit/service/relay/relay_test.h"

namespace postern::relay {
namespace {

class LoopsTest : public RelayTest {
 protected:
  LoopsTest() {
    routes_.settings.route.tls = queue::RelayTls::kNever;
    routes_.settings.own_names = {"us.example"};
    routes_.settings.loop_advice = "mend it";
  }
  void Own(std::string_view address) {
    routes_.settings.own_listener = [own = *IpAddress::Parse(address)](const IpAddress& asked,
                                                                       uint16_t port) {
      return asked == own && port == 25;
    };
  }
  void ExpectLoop(const DeliveryResult& result) {
    EXPECT_EQ(result.outcome, Outcome::kPermanent) << result.text;
    EXPECT_EQ(result.status, (mail::EnhancedStatus{5, 4, 6})) << result.text;
    EXPECT_THAT(result.text, HasSubstr("loops back to this server: mend it"));
    EXPECT_EQ(server_->messages.size(), 0u);
  }
};

TEST_F(LoopsTest, AnExchangerOfAnotherNameWithOurAddressIsUs) {
  Own("192.0.2.2");
  ExpectLoop(Send({"a@one.example"})[0]);
  ExpectLoop(Send({"a@plain.example"})[0]);  // without MX: the domain's own address
  EXPECT_EQ(server_->connections, 0);
}

TEST_F(LoopsTest, WhoIsNoBetterThanUsIsLeftOut) {
  Own("192.0.2.9");  // dead.example, preferred over mx.example
  ExpectLoop(Send({"a@two.example"})[0]);
  EXPECT_EQ(server_->connections, 0);
}

TEST_F(LoopsTest, WhoIsBetterThanUsTakesTheMail) {
  Own("192.0.2.2");  // mx.example, behind dead.example
  const DeliveryResult result = Send({"a@two.example"})[0];
  EXPECT_EQ(result.outcome, Outcome::kTemporary) << result.text;
  EXPECT_EQ(server_->connections, 0);
}

TEST_F(LoopsTest, ANamedHostAndAnAddressAreLookedAtAsWell) {
  Own("192.0.2.2");
  routes_.settings.route.by_mx = false;
  routes_.settings.route.host = "mx.example";
  ExpectLoop(Send({"a@elsewhere.example"})[0]);
  routes_.settings.route.address = IpAddress::Parse("192.0.2.2");
  ExpectLoop(Send({"a@elsewhere.example"})[0]);
  // Another port is another server.
  routes_.settings.own_listener = [](const IpAddress&, uint16_t port) { return port == 2525; };
  EXPECT_EQ(Send({"a@elsewhere.example"})[0].outcome, Outcome::kDelivered);
}

TEST_F(LoopsTest, AnExchangerThatSaysOurNameIsUs) {
  server_->ehlo[0] = "US.example hello";
  ExpectLoop(Send({"a@one.example"})[0]);
  EXPECT_EQ(server_->connections, 1);
  // Behind one that cannot be reached the mail waits for that one.
  const DeliveryResult waits = Send({"a@two.example"})[0];
  EXPECT_EQ(waits.outcome, Outcome::kTemporary) << waits.text;
  EXPECT_EQ(server_->messages.size(), 0u);
  // Whom the configuration names may be called as he likes.
  routes_.settings.route.by_mx = false;
  routes_.settings.route.host = "mx.example";
  EXPECT_EQ(Send({"a@elsewhere.example"})[0].outcome, Outcome::kDelivered);
}

}  // namespace
}  // namespace postern::relay
