// The options of a listen line, as a client meets them: a whole server in the simulated world.
#include "lib/server/listeners.h"

#include "tests/unit/core/tls/make_certificate.h"
#include "tests/unit/server/session_test.h"

#include <gmock/gmock.h>

#include "lib/core/mail/base64.h"

namespace postern::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHead[] = R"(
mailname "mx.example.org"
spool "/spool"
resolver zone "/zone"
pki mx.example.org cert "/cert" key "/key"
ca house cert "/ca"
table logins { alice = "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
               bob = "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA" }
table who { alice = "alice@example.org, @lists.example.org" }
table accounts { alice = "0:0:/home/alice" }
table addresses { "@" = alice }
)";
constexpr char kTail[] = R"(
action "here" maildir "/mail/%{user.username}" virtual <addresses> userbase <accounts>
action "away" relay
match from any for domain "example.org" action "here"
match auth from any for any action "here"
match for any action "away"
)";

// Proxied is the PROXY header of a proxy for a client at `source` that came to `destination`.
std::string Proxied(const IpAddress& source, const IpAddress& destination, std::string tlvs = "") {
  const size_t size = source.bytes().size() * 2 + 4 + tlvs.size();
  std::string header("\r\n\r\n\0\r\nQUIT\n", 12);
  header += '\x21';
  header += source.is_v6() ? '\x21' : '\x11';
  header += static_cast<char>(size >> 8);
  header += static_cast<char>(size & 0xff);
  StrAppend(header, source.bytes(), destination.bytes());
  header += std::string("\x30\x39\0\x19", 4);
  return header + tlvs;
}

class ListenersTest : public SessionTest {
 protected:
  ListenersTest() {
    tls::ClientOptions client;
    plain_tls_ = *tls::ClientConfig::Make(client);
    Put("/zone", "");
    Put("/cert", authority_.certificate_pem);
    const tls_test::Made server =
        tls_test::MakeCertificate({"mx.example.org", {"mx.example.org"}}, &authority_);
    Put("/cert", server.certificate_pem);
    Put("/key", server.key_pem);
    Put("/ca", authority_.certificate_pem);
  }
  // Start runs a server with these listen lines.
  void Start(const std::string& lines) {
    Run(StrCat(std::string_view(kHead), lines, std::string_view(kTail)));
  }
  // Wrong gives what is said of these listen lines, which are refused.
  std::string Wrong(const std::string& lines) {
    ServerOptions options;
    options.config_text = StrCat(std::string_view(kHead), lines, std::string_view(kTail));
    const LoadedConfig loaded = LoadConfig(host_.world(), options);
    EXPECT_EQ(loaded.runtime, nullptr);
    return loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].message;
  }
  std::string Says(Client client, rt::sim::Host* from = nullptr) {
    return Heard(from == nullptr ? client_ : *from, std::move(client), absl::Minutes(11));
  }
  static std::string Login(const std::string& user) {
    std::string plain = "x" + user + "xsecret";
    plain[0] = '\0';
    plain[user.size() + 1] = '\0';
    return StrCat("AUTH PLAIN ", mail::Base64Encode(plain), "\r\n");
  }
  static std::string Mail(const std::string& sender, const std::string& recipient,
                          const std::string& header = "") {
    return StrCat("MAIL FROM:<", sender, ">\r\nRCPT TO:<", recipient, ">\r\nDATA\r\n", header,
                  "Subject: x\r\n\r\nbody\r\n.\r\n");
  }

  tls_test::Made authority_ =
      tls_test::MakeCertificate({.common_name = "Test CA", .authority = true});
  std::shared_ptr<const tls::ClientConfig> plain_tls_;
};

TEST_F(ListenersTest, SendersMaySendAsThemselvesOnly) {
  Start("listen on 192.0.2.1 port 465 smtps auth-optional <logins> senders <who>\n");
  const auto say = [&](const std::string& script) {
    return Says({.port = 465, .tls = plain_tls_, .script = "EHLO c.example\r\n" + script});
  };
  const std::string alice =
      say(Login("alice") +
          "MAIL FROM:<bob@example.org>\r\nMAIL FROM:<Alice+tag@EXAMPLE.org>\r\nRSET\r\n"
          "MAIL FROM:<anybody@lists.example.org>\r\nRSET\r\nMAIL FROM:<>\r\n"
          "MAIL FROM:<alice@example.org.evil.example>\r\nQUIT\r\n");
  EXPECT_THAT(alice, HasSubstr("235 2.7.0"));
  EXPECT_THAT(alice,
              HasSubstr("530 5.7.1 Sender rejected\r\n250 2.0.0 Ok\r\n250 2.0.0 Reset state\r\n"
                        "250 2.0.0 Ok\r\n250 2.0.0 Reset state\r\n"
                        "530 5.7.1 Sender rejected\r\n530 5.7.1 Sender rejected\r\n221"));
  // Who has no entry may send as nobody; who has not logged in is not asked.
  EXPECT_THAT(say(Login("bob") + "MAIL FROM:<bob@example.org>\r\nQUIT\r\n"),
              HasSubstr("235 2.7.0 Authentication succeeded\r\n530 5.7.1 Sender rejected\r\n"));
  EXPECT_THAT(say("MAIL FROM:<bob@example.org>\r\nQUIT\r\n"), Not(HasSubstr("530")));
}

TEST_F(ListenersTest, MasqueradeWritesTheSenderIntoFrom) {
  Start("listen on 192.0.2.1 port 465 smtps auth-optional <logins> senders <who> masquerade\n");
  const auto send = [&](const std::string& login) {
    Says({.port = 465,
          .tls = plain_tls_,
          .script = StrCat("EHLO c.example\r\n", login,
                           Mail("alice@example.org", "bob@example.org",
                                "From: \"The Boss\" <boss@bank.example>\r\n"),
                           "QUIT\r\n")});
    return Delivered();
  };
  const std::string mine = send(Login("alice"));
  EXPECT_THAT(mine, HasSubstr("\nFrom: The Boss <alice@example.org>\nSubject: x\n"));
  EXPECT_THAT(mine, Not(HasSubstr("bank.example")));
  EXPECT_THAT(send(""), HasSubstr("From: \"The Boss\" <boss@bank.example>\n"));
}

// Silence is bounded by the times of the file before the first word as well.
TEST_F(ListenersTest, AHandshakeHasNoMoreTimeThanASession) {
  Start(
      "smtp timeout session 20s\nsmtp timeout command 12s\n"
      "listen on 192.0.2.1 port 465 smtps pki mx.example.org\n");
  auto connect = client_.world().network().Connect(
      client_.main_loop(), Endpoint{IpAddress::V4(192, 0, 2, 1), 465, ""}, {}, Instant::Never());
  const StatusOr<std::unique_ptr<rt::Stream>> stream =
      simulation_.Await(client_.main_loop(), std::move(connect));
  ASSERT_TRUE(stream.ok());
  char buffer[16];
  simulation_.RunFor(absl::Seconds(11));
  EXPECT_TRUE(rt::IsWouldBlock((*stream)->TryRead(buffer).status()));
  simulation_.RunFor(absl::Seconds(2));
  EXPECT_FALSE(rt::IsWouldBlock((*stream)->TryRead(buffer).status()));
  (*stream)->Close();
}

TEST_F(ListenersTest, HostNamesFollowTheAddress) {
  Start(
      "listen on 192.0.2.1 port 25 hostnames { \"192.0.2.1\" = one.example.org, "
      "\"127.0.0.1\" = two.example.org }\n"
      "listen on 192.0.2.1 port 26 hostname line.example.org hostnames { \"192.0.2.99\" = "
      "one.example.org }\n");
  const std::string one = Says(
      {.script = StrCat("EHLO c.example\r\n", Mail("a@b.example", "x@example.org"), "QUIT\r\n")});
  EXPECT_EQ(one.substr(0, 20), "220 one.example.org ");
  EXPECT_THAT(one, HasSubstr("250-one.example.org Hello"));
  EXPECT_THAT(Delivered(), HasSubstr("by one.example.org (Postern)"));
  EXPECT_EQ(Says({.port = 26, .script = "QUIT\r\n"}).substr(0, 21), "220 line.example.org ");
}

// What is heard on loopback from a proxy comes from whoever the proxy serves: nothing is added to
// that, and no Return-Path of theirs is taken away (RFC 5321 §6.4).
TEST_F(ListenersTest, BehindAProxyNobodyIsOfThisMachine) {
  Start(
      "listen on 127.0.0.1 port 25 proxy-v2\n"
      "listen on 127.0.0.1 port 26\n");
  const std::string script =
      StrCat("EHLO c.example\r\n", Mail("a@b.example", "x@example.org"), "QUIT\r\n");
  const IpAddress loopback = IpAddress::V4(127, 0, 0, 1);
  Says({.source = loopback, .port = 26, .script = script, .server = loopback}, &host_);
  EXPECT_THAT(Delivered(), HasSubstr("\nMessage-ID: "));
  Says({.source = loopback,
        .first = Proxied(IpAddress::V4(203, 0, 113, 5), IpAddress::V4(198, 51, 100, 9)),
        .script = script,
        .server = loopback},
       &host_);
  const std::string proxied = Delivered();
  EXPECT_THAT(proxied, HasSubstr("\nSubject: x\n"));
  EXPECT_THAT(proxied, Not(HasSubstr("\nMessage-ID: ")));
}

TEST_F(ListenersTest, AProxyTellsWhoTheClientIs) {
  Start("listen on 192.0.2.1 port 25 proxy-v2 hostnames { \"198.51.100.9\" = nine.example.org }\n");
  const std::string script =
      StrCat("EHLO c.example\r\n", Mail("a@b.example", "x@example.org"), "QUIT\r\n");
  const std::string v4 =
      Says({.first = Proxied(IpAddress::V4(203, 0, 113, 5), IpAddress::V4(198, 51, 100, 9),
                             std::string("\x02\0\x03mx1", 6)),
            .script = script});
  EXPECT_EQ(v4.substr(0, 21), "220 nine.example.org ");
  EXPECT_THAT(v4, HasSubstr("Hello c.example [203.0.113.5]"));
  EXPECT_THAT(Delivered(), HasSubstr("[203.0.113.5])"));
  EXPECT_THAT(log_.text, HasSubstr("proxied proxy=192.0.2.8:"));
  EXPECT_THAT(log_.text, HasSubstr("connected address=203.0.113.5 "));
  const IpAddress v6 = *IpAddress::Parse("2001:db8::77");
  EXPECT_THAT(Says({.first = Proxied(v6, v6), .script = script}),
              HasSubstr("Hello c.example [IPv6:2001:db8::77]"));
  // The proxy's own connection, to see whether we live.
  EXPECT_EQ(Says({.first = std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16), .script = "QUIT\r\n"})
                .substr(0, 4),
            "220 ");
}

TEST_F(ListenersTest, WhoeverDoesNotSpeakFirstOrSpeaksWronglyGetsNothing) {
  Start("listen on 192.0.2.1 port 25 proxy-v2\n");
  const std::string good = Proxied(IpAddress::V4(203, 0, 113, 5), IpAddress::V4(198, 51, 100, 9));
  for (const std::string& first :
       {std::string(), std::string("EHLO client.example\r\n"), good.substr(0, 20),
        "PROXY TCP4 203.0.113.5 198.51.100.9 1 25\r\n" + std::string("EHLO c\r\n"),
        std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", 16) + std::string(70000, 'x'),
        std::string("\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", 16)}) {
    std::string heard;
    rt::TaskGroup tasks;
    tasks.Spawn(Talk(&client_.world(), {.first = first}, &heard));
    simulation_.RunFor(absl::Seconds(15));
    EXPECT_EQ(heard.find("220"), std::string::npos) << heard;
    EXPECT_EQ(tasks.running(), 0u) << "closed within its 10 seconds: " << Escape(first, 40);
  }
  EXPECT_THAT(log_.text, HasSubstr("no PROXY header of version 2"));
  EXPECT_THAT(log_.text, HasSubstr("over 4096"));
}

// Nobody who speaks something else is waited for, however little he says.
TEST_F(ListenersTest, AShortWrongStartIsRefusedAtOnce) {
  Start("listen on 192.0.2.1 port 25 proxy-v2\n");
  for (const std::string& first :
       {std::string("Q"), std::string("EHLO c\r\n"), std::string("\r\n\r\n\0\r\nQUIT\r", 12),
        std::string("\r\n\r\n\0\r\nQUIT\n\x11", 13),
        std::string("\r\n\r\n\0\r\nQUIT\n\x21\x12", 14)}) {
    std::string heard;
    rt::TaskGroup tasks;
    tasks.Spawn(Talk(&client_.world(), {.first = first}, &heard));
    simulation_.RunFor(absl::Seconds(1));
    EXPECT_EQ(heard, "");
    EXPECT_EQ(tasks.running(), 0u) << "still open: " << Escape(first, 40);
    simulation_.RunFor(absl::Seconds(15));
  }
}

// Who relays for `from local` must not do so for whoever says to be local (reliability, row 24).
TEST_F(ListenersTest, AProxyElsewhereCannotMakeItsClientsLocal) {
  Start("listen on 192.0.2.1 port 25 proxy-v2\nlisten on 192.0.2.1 port 26\n");
  const std::string script =
      "EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n"
      "RCPT TO:<victim@elsewhere.example>\r\nQUIT\r\n";
  const IpAddress here = IpAddress::V4(192, 0, 2, 1);
  for (const char* claimed :
       {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.1", "0.0.0.0", "::"}) {
    const IpAddress source = *IpAddress::Parse(claimed);
    const IpAddress destination = source.is_v6() ? source : here;
    EXPECT_THAT(Says({.first = Proxied(source, destination), .script = script}),
                Not(HasSubstr("220")))
        << claimed;
  }
  // A client elsewhere is refused as it would be without a proxy.
  EXPECT_THAT(Says({.first = Proxied(IpAddress::V4(203, 0, 113, 5), here), .script = script}),
              HasSubstr("550 5.1.1 Invalid recipient"));
  // A listener without the option knows no such header.
  const std::string plain = Says(
      {.port = 26, .first = Proxied(IpAddress::V4(127, 0, 0, 1), here), .script = "\r\n" + script});
  EXPECT_THAT(plain, Not(HasSubstr("250 2.1.5")));
  // A proxy on this machine may pass on clients of this machine.
  EXPECT_THAT(
      Says({.source = here, .first = Proxied(IpAddress::V4(127, 0, 0, 1), here), .script = script},
           &host_),
      HasSubstr("250 2.1.5"));
}

TEST_F(ListenersTest, ClientCertificatesAreVerified) {
  Start(
      "listen on 192.0.2.1 port 465 smtps verify ca house received-auth\n"
      "listen on 192.0.2.1 port 466 smtps ca house\n");
  const auto with = [&](const tls_test::Made* made) {
    tls::ClientOptions options;
    if (made != nullptr) options.key_pair = {"", made->certificate_pem, made->key_pem};
    return *tls::ClientConfig::Make(options);
  };
  const tls_test::Made known = tls_test::MakeCertificate({"client.example", {}}, &authority_);
  const tls_test::Made stranger = tls_test::MakeCertificate({"client.example", {}});
  const std::string script =
      StrCat("EHLO c.example\r\n", Mail("a@b.example", "x@example.org"), "QUIT\r\n");
  EXPECT_THAT(Says({.port = 465, .tls = with(&known), .script = script}), HasSubstr("250 2.0.0"));
  EXPECT_THAT(Delivered(), HasSubstr(":YES)"));
  EXPECT_THAT(log_.text, HasSubstr("verified=yes"));
  EXPECT_THAT(Says({.port = 465, .tls = with(nullptr), .script = script}), Not(HasSubstr("220")));
  EXPECT_THAT(Says({.port = 465, .tls = with(&stranger), .script = script}), Not(HasSubstr("220")));
  EXPECT_THAT(log_.text, HasSubstr("gave no certificate, and one is required"));
  // Without verify a good one or none will do.
  EXPECT_THAT(Says({.port = 466, .tls = with(&known), .script = script}), HasSubstr("250 2.0.0"));
  EXPECT_THAT(Delivered(), HasSubstr(":YES)"));
  EXPECT_THAT(Says({.port = 466, .tls = with(nullptr), .script = script}), HasSubstr("250 2.0.0"));
  EXPECT_THAT(Delivered(), HasSubstr(":NO)"));
  EXPECT_THAT(Says({.port = 466, .tls = with(&stranger), .script = script}), Not(HasSubstr("220")));
}

TEST_F(ListenersTest, VersionsAndCiphersAreTheLines) {
  Start(
      "listen on 192.0.2.1 port 465 smtps protocols \"TLSv1.3\"\n"
      "listen on 192.0.2.1 port 466 smtps protocols \"TLSv1.2\" ciphers \"ECDHE+CHACHA20\"\n");
  const auto of = [](tls::Version version, const std::string& ciphers) {
    tls::ClientOptions options;
    options.max_version = version;
    options.ciphers = ciphers;
    return *tls::ClientConfig::Make(options);
  };
  const auto says = [&](uint16_t port, tls::Version version, const std::string& ciphers) {
    return Says({.port = port, .tls = of(version, ciphers), .script = "QUIT\r\n"}).substr(0, 4);
  };
  EXPECT_EQ(says(465, tls::Version::kTls13, ""), "220 ");
  EXPECT_EQ(says(465, tls::Version::kTls12, ""), "TLS:");
  log_.text.clear();
  EXPECT_EQ(says(466, tls::Version::kTls13, ""), "220 ");
  EXPECT_THAT(log_.text, HasSubstr("ciphers=TLSv1.2:ECDHE-ECDSA-CHACHA20-POLY1305:256"));
  EXPECT_EQ(says(466, tls::Version::kTls13, "ECDHE+AESGCM"), "TLS:");
  EXPECT_THAT(Wrong("listen on 192.0.2.1 smtps ciphers \"HIGH:nonsense\"\n"),
              HasSubstr("nonsense is not known here; known are HIGH"));
  EXPECT_THAT(Wrong("listen on 192.0.2.1 smtps verify\n"),
              HasSubstr("verify: no certificate authorities to verify with"));
}

// The local socket is there without a line.
TEST_F(ListenersTest, TheSocketAlwaysExists) {
  Start("listen on 192.0.2.1 port 25\n");
  EXPECT_EQ(server_->endpoints().size(), 1u);
  rt::Executor& loop = host_.main_loop();
  Endpoint socket;
  socket.unix_path = "/spool/submit.sock";
  auto connected =
      simulation_.Await(loop, host_.world().network().Connect(loop, socket, {}, Instant::Never()));
  ASSERT_TRUE(connected.ok()) << Text(connected.status());
  (*connected)->Close();
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_THAT(log_.text, HasSubstr("connected address=local"));
}

}  // namespace
}  // namespace postern::server
