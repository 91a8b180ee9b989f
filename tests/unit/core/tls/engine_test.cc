#include "lib/core/tls/engine.h"

#include "tests/unit/core/tls/make_certificate.h"
#include <malloc.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postern::tls {
namespace {

using ::testing::HasSubstr;
using tls_test::Made;
using tls_test::MakeCertificate;

const WallTime kNow = absl::FromUnixSeconds(1767225600);  // 2026-01-01

struct World {
  Made authority = MakeCertificate({.common_name = "Test CA",
                                    .not_after = absl::FromUnixSeconds(2208988800),
                                    .authority = true});  // 2040
  Made first = MakeCertificate({"mx.example.com", {"mx.example.com"}}, &authority);
  Made second = MakeCertificate({"mx.example.net", {"mx.example.net", "*.wild.net"}}, &authority);
  Made client = MakeCertificate({"client.example", {}}, &authority);
};
const World& TheWorld() {
  static const World world;
  return world;
}

ServerOptions Server() {
  const World& w = TheWorld();
  ServerOptions options;
  options.key_pairs = {{"first", w.first.certificate_pem, w.first.key_pem},
                       {"second", w.second.certificate_pem, w.second.key_pem}};
  return options;
}
ClientOptions Verifying() {
  ClientOptions options;
  options.verify = true;
  options.ca_pem = TheWorld().authority.certificate_pem;
  return options;
}

// Talk is a client and a server whose octets meet in this file.
struct Talk {
  std::unique_ptr<Engine> client, server;

  Talk(const ServerOptions& server_options, const ClientOptions& client_options,
       std::string_view name, WallTime now = kNow) {
    StatusOr<std::shared_ptr<const ServerConfig>> sc = ServerConfig::Make(server_options);
    StatusOr<std::shared_ptr<const ClientConfig>> cc = ClientConfig::Make(client_options);
    EXPECT_TRUE(sc.ok()) << Text(sc.status());
    EXPECT_TRUE(cc.ok()) << Text(cc.status());
    client = Engine::Client(*cc, name, now);
    server = Engine::Server(*sc, now);
  }
  static void Carry(Engine& from, Engine& to, size_t piece) {
    const std::string octets = from.TakeOutput();
    for (size_t i = 0; i < octets.size(); i += piece) {
      std::string_view part = std::string_view(octets).substr(i, piece);
      while (!part.empty()) {
        part.remove_prefix(to.Feed(part));
        if (!part.empty() && to.Handshake() == Engine::Step::kFailed) return;
      }
      to.Handshake();
    }
  }
  // Shake runs the handshake and tells whether both sides are done.
  bool Shake(size_t piece = 1 << 20) {
    Engine::Step c = Engine::Step::kNeedInput, s = Engine::Step::kNeedInput;
    for (int i = 0; i < 10; ++i) {
      c = client->Handshake();
      Carry(*client, *server, piece);
      s = server->Handshake();
      Carry(*server, *client, piece);
      if (c == Engine::Step::kFailed || s == Engine::Step::kFailed) {
        client->Handshake();
        return false;
      }
    }
    return c == Engine::Step::kDone && s == Engine::Step::kDone;
  }
  static std::string ReadAll(Engine& engine) {
    std::string all;
    char buffer[4096];
    for (;;) {
      const Engine::ReadResult got = engine.Read(buffer);
      if (got.kind != Engine::ReadKind::kData) return all;
      all.append(buffer, got.size);
    }
  }
};

TEST(TlsEngine, CarriesBothWays) {
  for (const Version version : {Version::kTls12, Version::kTls13}) {
    ClientOptions client = Verifying();
    client.max_version = version;
    Talk talk(Server(), client, "mx.example.com");
    ASSERT_TRUE(talk.Shake(1)) << Text(talk.client->error()) << Text(talk.server->error());
    const Info info = talk.server->info();
    EXPECT_EQ(info.version, version == Version::kTls12 ? "TLSv1.2" : "TLSv1.3");
    EXPECT_GE(info.cipher_bits, 128);
    EXPECT_FALSE(info.cipher.empty());
    EXPECT_EQ(info.server_name, "mx.example.com");
    EXPECT_TRUE(talk.client->info().peer_verified);
    EXPECT_FALSE(talk.client->info().peer_certificate_der.empty());
    EXPECT_EQ(talk.client->Write("EHLO x\r\n"), 8u);
    Talk::Carry(*talk.client, *talk.server, 1 << 20);
    EXPECT_EQ(talk.server->Peek().kind, Engine::ReadKind::kData);
    EXPECT_EQ(Talk::ReadAll(*talk.server), "EHLO x\r\n");
    EXPECT_EQ(talk.server->Peek().kind, Engine::ReadKind::kNeedInput);
    EXPECT_EQ(talk.server->Write("250 ok\r\n"), 8u);
    Talk::Carry(*talk.server, *talk.client, 1 << 20);
    EXPECT_EQ(Talk::ReadAll(*talk.client), "250 ok\r\n");
  }
}

TEST(TlsEngine, TheServerNameSelectsTheCertificate) {
  for (const std::string_view name : {"mx.example.com", "mx.example.net", "a.wild.net"}) {
    Talk talk(Server(), Verifying(), name);
    EXPECT_TRUE(talk.Shake()) << name << Text(talk.client->error());
  }
  // An unknown name gets the default, which the client then refuses by itself.
  Talk talk(Server(), Verifying(), "other.example");
  EXPECT_FALSE(talk.Shake());
  EXPECT_THAT(std::string(Message(talk.client->error())),
              HasSubstr("not for other.example but for mx.example.com"));
  EXPECT_EQ(talk.client->error().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Talk(Server(), ClientOptions{}, "other.example").Shake());
  StatusOr<std::shared_ptr<const ServerConfig>> config = ServerConfig::Make(Server());
  EXPECT_EQ((*config)->IndexFor("B.Wild.Net"), 1u);
  EXPECT_EQ((*config)->IndexFor("a.b.wild.net"), 0u);
  EXPECT_EQ((*config)->IndexFor(""), 0u);
}

TEST(TlsEngine, CertificatesAreJudgedByTheTimeGiven) {
  Talk late(Server(), Verifying(), "mx.example.com",
            absl::FromUnixSeconds(2051222400) + absl::Hours(24));
  EXPECT_FALSE(late.Shake());
  EXPECT_EQ(Message(late.client->error()),
            "certificate of mx.example.com expired on 2035-01-01 00:00 UTC");
}

TEST(TlsEngine, UnknownAuthoritiesAreRefused) {
  const Made other = MakeCertificate({.common_name = "Other CA", .authority = true});
  ClientOptions options = Verifying();
  options.ca_pem = other.certificate_pem;
  Talk talk(Server(), options, "mx.example.com");
  EXPECT_FALSE(talk.Shake());
  EXPECT_THAT(std::string(Message(talk.client->error())),
              HasSubstr("issued by CN=Test CA, which leads to no trusted authority"));
  EXPECT_THAT(std::string(Message(talk.server->error())), HasSubstr("ended TLS with the alert"));
  // Without a name there is nothing to verify against.
  Talk nameless(Server(), Verifying(), "");
  EXPECT_FALSE(nameless.Shake());
}

// reliability.md row 33.
TEST(TlsEngine, AForeignApplicationProtocolIsRefused) {
  ServerOptions server = Server();
  server.alpn = {"imap"};
  ClientOptions client;
  client.alpn = {"h2"};
  Talk talk(server, client, "mx.example.com");
  EXPECT_FALSE(talk.Shake());
  EXPECT_THAT(std::string(Message(talk.server->error())), HasSubstr("ALPN"));
  EXPECT_THAT(std::string(Message(talk.client->error())), HasSubstr("no application protocol"));
  client.alpn = {"h2", "imap"};
  Talk good(server, client, "mx.example.net");
  EXPECT_TRUE(good.Shake());
  EXPECT_EQ(good.server->info().alpn, "imap");
  EXPECT_TRUE(Talk(server, ClientOptions{}, "mx.example.com").Shake());
}

TEST(TlsEngine, ClientCertificates) {
  ServerOptions server = Server();
  server.client_certificates = ClientCertificates::kRequire;
  server.ca_pem = TheWorld().authority.certificate_pem;
  ClientOptions client;
  client.max_version = Version::kTls12;
  Talk without(server, client, "mx.example.com");
  EXPECT_FALSE(without.Shake());
  EXPECT_THAT(std::string(Message(without.server->error())), HasSubstr("gave no certificate"));
  client.max_version = Version::kTls13;
  client.key_pair = {"", TheWorld().client.certificate_pem, TheWorld().client.key_pem};
  Talk with(server, client, "mx.example.com");
  EXPECT_TRUE(with.Shake()) << Text(with.server->error());
  EXPECT_TRUE(with.server->info().peer_verified);
}

// reliability.md F11: a cut is not an end.
TEST(TlsEngine, TruncationIsToldFromTheEnd) {
  Talk cut(Server(), ClientOptions{}, "mx.example.com");
  ASSERT_TRUE(cut.Shake());
  cut.client->Write("half");
  Talk::Carry(*cut.client, *cut.server, 1 << 20);
  cut.server->FeedEnd();
  char buffer[10];
  EXPECT_EQ(cut.server->Read(buffer).size, 4u);
  EXPECT_EQ(cut.server->Read(buffer).kind, Engine::ReadKind::kFailed);
  EXPECT_EQ(cut.server->error().code(), StatusCode::kDataLoss);

  Talk whole(Server(), ClientOptions{}, "mx.example.com");
  ASSERT_TRUE(whole.Shake());
  whole.client->Write("all");
  whole.client->CloseNotify();
  EXPECT_EQ(whole.client->Write("more"), 0u);
  Talk::Carry(*whole.client, *whole.server, 1 << 20);
  whole.server->FeedEnd();
  EXPECT_EQ(Talk::ReadAll(*whole.server), "all");
  EXPECT_EQ(whole.server->Peek().kind, Engine::ReadKind::kEnd);
}

TEST(TlsEngine, StrangersAreToldApart) {
  struct Row {
    std::string_view octets, what;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\n\r\n", "speaks HTTP, not TLS"},
      {"EHLO client.example\r\n", "does not speak TLS"},
      {"\x16\x03\x01\xff\xff"
       "aaaaaaaaaa",
       "TLS error"},
  };
  for (const Row& row : rows) {
    Talk talk(Server(), ClientOptions{}, "");
    EXPECT_EQ(talk.server->Feed(row.octets), row.octets.size());
    EXPECT_EQ(talk.server->Handshake(), Engine::Step::kFailed);
    EXPECT_THAT(std::string(Message(talk.server->error())), HasSubstr(row.what));
  }
  Talk silent(Server(), ClientOptions{}, "");
  silent.server->FeedEnd();
  EXPECT_EQ(silent.server->Handshake(), Engine::Step::kFailed);
  EXPECT_THAT(std::string(Message(silent.server->error())), HasSubstr("during the TLS handshake"));
}

TEST(TlsEngine, EveryFlippedBitIsSeen) {
  Talk talk(Server(), ClientOptions{}, "mx.example.com");
  ASSERT_TRUE(talk.Shake());
  talk.client->Write("message");
  std::string record = talk.client->TakeOutput();
  record[record.size() / 2] = static_cast<char>(record[record.size() / 2] ^ 1);
  talk.server->Feed(record);
  char buffer[100];
  EXPECT_EQ(talk.server->Read(buffer).kind, Engine::ReadKind::kFailed);
  EXPECT_EQ(talk.server->error().code(), StatusCode::kInvalidArgument);
}

TEST(TlsEngine, BuffersHaveBounds) {
  Talk talk(Server(), ClientOptions{}, "mx.example.com");
  ASSERT_TRUE(talk.Shake());
  const std::string much(1 << 20, 'x');
  const size_t taken = talk.client->Write(much);
  EXPECT_LT(taken, much.size());
  EXPECT_GE(taken, size_t{256} * 1024);
  EXPECT_LT(talk.client->output_size(), size_t{300} * 1024);
  EXPECT_LT(talk.server->Feed(much), size_t{21} * 1024);
  EXPECT_EQ(talk.server->input_room(), 0u);
}

TEST(TlsEngine, MistakesInTheConfigurationAreNamed) {
  const World& w = TheWorld();
  ServerOptions options;
  EXPECT_FALSE(ServerConfig::Make(options).ok());
  options.key_pairs = {{"mx", w.first.certificate_pem, w.second.key_pem}};
  EXPECT_THAT(std::string(Message(ServerConfig::Make(options).status())),
              HasSubstr("pki mx: the key is not that"));
  options = Server();
  options.ciphers = "NONSENSE";
  EXPECT_THAT(std::string(Message(ServerConfig::Make(options).status())),
              HasSubstr("ciphers \"NONSENSE\""));
  options.ciphers = "HIGH:!aNULL:!MD5";
  EXPECT_TRUE(ServerConfig::Make(options).ok());
}

// Issue 2: an idle TLS session has 40 KiB in all; the engine's share is 30.
TEST(TlsEngine, CipherWordsAreOpenSslsAsFarAsTheyAreThere) {
  for (const char* good :
       {"", "HIGH", "HIGH:!aNULL:!MD5", "ECDHE+AESGCM:ECDHE+CHACHA20", "secure", "compat",
        "DEFAULT", "ECDHE-RSA-AES128-GCM-SHA256,ECDHE-ECDSA-AES256-GCM-SHA384",
        "ALL:-AES128:+AES256", "HIGH:!RC4:!3DES:@STRENGTH", "HIGH:!kDHE+CAMELLIA"}) {
    EXPECT_TRUE(CheckCiphers(good).ok()) << good << ": " << Text(CheckCiphers(good));
  }
  const struct {
    const char* ciphers;
    const char* told;
  } wrong[] = {
      {"HIGH:NONSENSE", "NONSENSE is not known here; known are HIGH"},
      {"HIGH:!NONSENSE", "NONSENSE is not known here"},
      {"HIGH:CAMELLIA", "CAMELLIA is not known here"},
      {"ECDHE+CAMELLIA", "CAMELLIA is not known here"},
      {"HIGH:@SECLEVEL=2", "@SECLEVEL=2 is not known here"},
      {"TLS_AES_128_GCM_SHA256", "one of TLS 1.3"},
      {"HIGH:!ALL", "ciphers"},
      {"!!HIGH", "ciphers"},
  };
  for (const auto& each : wrong) {
    const Status status = CheckCiphers(each.ciphers);
    EXPECT_FALSE(status.ok()) << each.ciphers;
    EXPECT_THAT(std::string(Message(status)), HasSubstr(each.told));
  }
  EXPECT_THAT(std::string(Message(CheckCiphers("x"))), HasSubstr("ECDHE-RSA-AES128-GCM-SHA256"));
  // What the words choose is what is spoken.
  ServerOptions server = Server();
  server.ciphers = "ECDHE+CHACHA20";
  server.max_version = Version::kTls12;
  Talk talk(server, Verifying(), "mx.example.com");
  talk.Shake();
  EXPECT_THAT(talk.server->info().cipher, HasSubstr("CHACHA20"));
}

TEST(TlsEngine, IdleConnectionsAreSmall) {
  StatusOr<std::shared_ptr<const ServerConfig>> sc = ServerConfig::Make(Server());
  StatusOr<std::shared_ptr<const ClientConfig>> cc = ClientConfig::Make(ClientOptions{});
  std::vector<std::unique_ptr<Engine>> servers;
  constexpr size_t kCount = 50;
  size_t before = 0;
  for (size_t i = 0; i < kCount + 5; ++i) {
    if (i == 5) before = mallinfo2().uordblks;
    Talk talk(Server(), ClientOptions{}, "");
    talk.client = Engine::Client(*cc, "mx.example.com", kNow);
    talk.server = Engine::Server(*sc, kNow);
    ASSERT_TRUE(talk.Shake());
    servers.push_back(std::move(talk.server));
  }
  const size_t each = (mallinfo2().uordblks - before) / kCount;
  RecordProperty("bytes_each", static_cast<int>(each));
  EXPECT_LT(each, size_t{30} * 1024);
}

}  // namespace
}  // namespace postern::tls
