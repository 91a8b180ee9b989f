// What a relay action of the configuration means for an envelope.
#include "lib/server/relay_routes.h"

#include "tests/unit/core/tls/make_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/server/server.h"

namespace postern::server {
namespace {

using ::testing::HasSubstr;

constexpr char kHead[] = R"(
mailname "mx.example.org"
spool "/spool"
resolver zone "/zone"
srs key "secret"
pki house cert "/cert" key "/key"
ca house cert "/cert"
listen on 192.0.2.1 port 25
table names { "192.0.2.1" = one.example.org, "192.0.2.3" = three.example.org }
table hosts { a.example = "smtps://mx.a.example:4650", b.example = "lmtp://192.0.2.9:24" }
)";

class RelayRoutesTest : public ::testing::Test {
 protected:
  RelayRoutesTest() {
    const tls_test::Made made = tls_test::MakeCertificate({"mx.example.org", {"mx.example.org"}});
    for (const auto& [path, text] : {std::pair<std::string, std::string>{"/zone", ""},
                                     {"/cert", made.certificate_pem},
                                     {"/key", made.key_pem}}) {
      EXPECT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0600).ok());
    }
  }
  // Load gives the configuration with `action`, called "out"; null after an error, which is in
  // told_.
  std::shared_ptr<const Runtime> Load(const std::string& action) {
    ServerOptions options;
    options.config_text =
        StrCat(std::string_view(kHead), "action out ", action, "\nmatch for any action out\n");
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    told_.clear();
    for (const policy::Diagnostic& each : loaded.diagnostics) {
      if (each.severity == policy::Severity::kError) StrAppend(told_, each.ToString(), "\n");
    }
    return loaded.runtime;
  }
  StatusOr<relay::RelaySettings> Route(const std::string& action, const queue::Envelope& envelope) {
    std::shared_ptr<const Runtime> runtime = Load(action);
    if (runtime == nullptr) return InvalidArgument(told_);
    RuntimeHolder holder(runtime);
    RelayRoutes routes(&host_.world(), &holder);
    return routes.RouteFor(envelope);
  }
  static queue::Envelope To(const std::string& destination, const std::string& recipient = "",
                            const std::string& sender = "alice@origin.example") {
    queue::Envelope envelope;
    envelope.kind = queue::Envelope::Kind::kRelay;
    envelope.action = "out";
    if (!sender.empty()) envelope.sender.address = *mail::ParseAddress(sender);
    envelope.destination = *mail::ParseAddress(destination);
    envelope.recipient = *mail::ParseAddress(recipient.empty() ? destination : recipient);
    return envelope;
  }

  rt::sim::Simulation simulation_{3};
  rt::sim::Host& host_ = simulation_.AddHost(
      {.name = "mx.example.org",
       .addresses = {IpAddress::V4(192, 0, 2, 1), IpAddress::V4(192, 0, 2, 3)}});
  std::string told_;
};

TEST_F(RelayRoutesTest, TheSmarthostFollowsTheDomain) {
  const StatusOr<relay::RelaySettings> a =
      Route("relay domain <hosts> ca house", To("x@A.example"));
  ASSERT_TRUE(a.ok()) << Text(a.status());
  EXPECT_EQ(a->route.host, "mx.a.example");
  EXPECT_EQ(a->route.port, 4650);
  EXPECT_EQ(a->route.tls, queue::RelayTls::kImplicit);
  const StatusOr<relay::RelaySettings> b = Route("relay domain <hosts>", To("x@b.example"));
  ASSERT_TRUE(b.ok()) << Text(b.status());
  EXPECT_TRUE(b->route.lmtp);
  EXPECT_EQ(b->route.port, 24);
  // Exactly that domain, or it waits.
  for (const char* other : {"x@c.example", "x@sub.a.example", "x@example"}) {
    const StatusOr<relay::RelaySettings> none = Route("relay domain <hosts>", To(other));
    EXPECT_EQ(none.status().code(), StatusCode::kUnavailable) << other;
    EXPECT_THAT(Text(none.status()), HasSubstr("Cannot retrieve smarthost"));
  }
}

// An address may stand there as SMTP writes it; another one may serve where the first cannot be
// bound.
TEST_F(RelayRoutesTest, SourcesComeFromTables) {
  const StatusOr<relay::RelaySettings> found =
      Route("relay src { \"[2001:db8::7]\" }", To("x@a.example"));
  ASSERT_TRUE(found.ok()) << Text(found.status());
  EXPECT_EQ(found->source, IpAddress::Parse("2001:db8::7"));
  EXPECT_TRUE(found->other_hosts);
}

TEST_F(RelayRoutesTest, EhloSaysTheNameOfTheSource) {
  const queue::Envelope envelope = To("x@a.example");
  const StatusOr<relay::RelaySettings> bound =
      Route("relay src 192.0.2.3 helo-src <names>", envelope);
  ASSERT_TRUE(bound.ok());
  EXPECT_EQ(bound->helo_name, "three.example.org");
  EXPECT_FALSE(bound->helo_by_address);
  // Without src the system chooses, and the name is looked up when it has.
  const StatusOr<relay::RelaySettings> free =
      Route("relay helo line.example.org helo-src <names>", envelope);
  ASSERT_TRUE(free.ok());
  EXPECT_EQ(free->helo_name, "line.example.org");
  EXPECT_EQ(free->helo_by_address(IpAddress::V4(192, 0, 2, 1)), "one.example.org");
  EXPECT_EQ(free->helo_by_address(IpAddress::V4(192, 0, 2, 9)), "");
}

TEST_F(RelayRoutesTest, WhatIsForwardedHasASenderOfOurs) {
  const std::string srs = "relay srs";
  const auto sender = [&](const std::string& action, const queue::Envelope& envelope) {
    const StatusOr<relay::RelaySettings> settings = Route(action, envelope);
    return settings.ok() ? settings->mail_from : Text(settings.status());
  };
  const std::string rewritten = sender(srs, To("bob@far.example", "list@example.org"));
  EXPECT_EQ(rewritten.substr(0, 5), "SRS0=");
  EXPECT_THAT(rewritten, HasSubstr("=origin.example=alice@example.org"));
  EXPECT_EQ(sender(srs, To("bob@far.example")), "") << "sent here for there: not forwarded";
  EXPECT_EQ(sender(srs, To("bob@far.example", "list@example.org", "")), "") << "a bounce";
  EXPECT_EQ(sender("relay", To("bob@far.example", "list@example.org")), "");
  EXPECT_EQ(sender("relay srs mail-from \"@x.org\"", To("bob@far.example", "list@example.org")),
            "@x.org");
}

TEST_F(RelayRoutesTest, CertificatesAndCiphersAreTheActions) {
  const queue::Envelope envelope = To("x@a.example");
  const StatusOr<relay::RelaySettings> own =
      Route("relay tls pki house ca house protocols \"TLSv1.3\" ciphers \"HIGH\"", envelope);
  ASSERT_TRUE(own.ok()) << Text(own.status());
  EXPECT_TRUE(own->tls_config->verifies());
  EXPECT_EQ(own->shared_as, "out") << "such connections are not shared with other actions";
  const StatusOr<relay::RelaySettings> plain = Route("relay", envelope);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->shared_as, "");
  // What cannot be is told where it stands, before anything is sent.
  const struct {
    const char* action;
    const char* told;
  } wrong[] = {
      {"relay ciphers \"nonsense\"", "11:18: error: ciphers \"nonsense\": nonsense is not known"},
      {"relay protocols \"TLSv1.0\"", "11:28: error: protocols \"TLSv1.0\" leaves no version"},
      {"relay pki nothing", "11:22: error: pki name not found"},
      {"relay ca nothing", "11:21: error: ca name not found"},
      {"relay host \"ftp://x\"", "11:23: error: relay host \"ftp://x\": unknown scheme"},
      {"relay domain { a.example = \"smtps://l@x\" }", "needs auth"},
  };
  for (const auto& each : wrong) {
    EXPECT_EQ(Load(each.action), nullptr) << each.action;
    EXPECT_THAT(told_, HasSubstr(each.told));
  }
}

TEST_F(RelayRoutesTest, AnActionThatIsGoneIsKeptForItsMail) {
  const auto load = [&](const std::string& rest) {
    ServerOptions options;
    options.config_text = StrCat(std::string_view(kHead), rest);
    return LoadConfig(host_.world(), options).runtime;
  };
  const std::shared_ptr<const Runtime> first =
      load("action out relay host smtp://192.0.2.9:2525\nmatch for any action out\n");
  const std::shared_ptr<const Runtime> second =
      load("action other relay\nmatch for any action other\n");
  const std::shared_ptr<const Runtime> third =
      load("action out maildir\naction other relay\nmatch for any action other\n");
  const std::shared_ptr<const Runtime> fourth =
      load("action out relay host smtp://192.0.2.9:2626\nmatch for any action out\n");
  ASSERT_TRUE(first && second && third && fourth);
  RuntimeHolder holder(first);
  RelayRoutes routes(&host_.world(), &holder);
  const auto port = [&] {
    const StatusOr<relay::RelaySettings> settings = routes.RouteFor(To("x@a.example"));
    return settings.ok() ? static_cast<int>(settings->route.port) : 0;
  };
  EXPECT_EQ(port(), 2525);
  holder.Set(second);
  EXPECT_EQ(port(), 2525);
  holder.Set(third);
  EXPECT_EQ(port(), 2525) << "a local action of that name is another one";
  EXPECT_EQ(holder.FindAction("out", true).runtime, third);
  holder.Set(second);
  EXPECT_EQ(holder.FindAction("out", true).runtime, third);
  holder.Set(fourth);
  EXPECT_EQ(port(), 2626) << "one of that name takes it over";
  EXPECT_EQ(holder.FindAction("never", true).action, nullptr);
  EXPECT_EQ(holder.FindAction("never", false).action, nullptr);
}

}  // namespace
}  // namespace postern::server
