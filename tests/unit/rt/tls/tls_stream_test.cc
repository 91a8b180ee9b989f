// TLS over the simulated network.
#include "lib/rt/tls/tls_stream.h"

#include "tests/unit/core/tls/make_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt {
namespace {

using ::testing::HasSubstr;
using StreamPtr = std::unique_ptr<Stream>;

Task<void> Keep(Task<StatusOr<StreamPtr>> task, std::optional<StatusOr<StreamPtr>>* into) {
  StatusOr<StreamPtr> got = co_await std::move(task);
  into->emplace(std::move(got));
}

class TlsStreamTest : public ::testing::Test {
 protected:
  TlsStreamTest()
      : simulation_(7),
        client_(simulation_.AddHost(
            {.name = "client.example", .addresses = {*IpAddress::Parse("192.0.2.1")}})),
        server_(simulation_.AddHost(
            {.name = "server.example", .addresses = {*IpAddress::Parse("192.0.2.2")}})) {
    const tls_test::Made made = tls_test::MakeCertificate({"server.example", {"server.example"}});
    tls::ServerOptions options;
    options.key_pairs = {{"", made.certificate_pem, made.key_pem}};
    server_config_ = *tls::ServerConfig::Make(options);
    tls::ClientOptions verifying;
    verifying.verify = true;
    verifying.ca_pem = made.certificate_pem;
    client_config_ = *tls::ClientConfig::Make(verifying);
  }

  Instant In(Duration d) { return simulation_.now() + d; }

  // Connect opens the plain connection.
  void Connect() {
    const Endpoint endpoint{*IpAddress::Parse("192.0.2.2"), 465, ""};
    StatusOr<std::unique_ptr<Listener>> listener =
        server_.world().network().Listen(server_.main_loop(), endpoint, {});
    ASSERT_TRUE(listener.ok());
    Executor& loop = client_.main_loop();
    StatusOr<StreamPtr> a = simulation_.Await(
        loop, client_.world().network().Connect(loop, endpoint, {}, In(absl::Minutes(1))));
    StatusOr<StreamPtr> b =
        simulation_.Await(server_.main_loop(), (*listener)->Accept(server_.main_loop()));
    ASSERT_TRUE(a.ok() && b.ok());
    a_ = std::move(*a);
    b_ = std::move(*b);
  }

  void Secure(std::string name = "server.example") {
    std::optional<StatusOr<StreamPtr>> a, b;
    TaskGroup group;
    simulation_.At(simulation_.now(), &client_.main_loop(), [&] {
      group.Spawn(Keep(TlsConnect(std::move(a_), client_config_, name, simulation_.wall_now(),
                                  In(absl::Seconds(10))),
                       &a));
    });
    simulation_.At(simulation_.now(), &server_.main_loop(), [&] {
      group.Spawn(Keep(
          TlsAccept(std::move(b_), server_config_, simulation_.wall_now(), In(absl::Seconds(10))),
          &b));
    });
    simulation_.RunUntil([&] { return a.has_value() && b.has_value(); });
    ASSERT_TRUE(a.has_value() && b.has_value());
    a_status_ = a->status();
    b_status_ = b->status();
    if (a->ok()) a_ = std::move(**a);
    if (b->ok()) b_ = std::move(**b);
  }

  Status Write(Stream& stream, std::string_view data) {
    return simulation_.Await(stream.executor(), stream.Write(data, In(absl::Minutes(1))));
  }
  StatusOr<std::string> Read(Stream& stream) {
    char octets[4096];
    const StatusOr<size_t> got =
        simulation_.Await(stream.executor(), ReadSome(stream, octets, In(absl::Minutes(1))));
    if (!got.ok()) return got.status();
    return std::string(octets, *got);
  }

  sim::Simulation simulation_;
  sim::Host& client_;
  sim::Host& server_;
  std::shared_ptr<const tls::ServerConfig> server_config_;
  std::shared_ptr<const tls::ClientConfig> client_config_;
  StreamPtr a_, b_;
  Status a_status_, b_status_;
};

TEST_F(TlsStreamTest, CarriesAndEnds) {
  Connect();
  Secure();
  ASSERT_TRUE(a_status_.ok() && b_status_.ok()) << Text(a_status_) << Text(b_status_);
  ASSERT_NE(b_->tls(), nullptr);
  EXPECT_EQ(b_->tls()->version, "TLSv1.3");
  EXPECT_TRUE(a_->tls()->peer_verified);
  ASSERT_TRUE(Write(*a_, "EHLO x\r\n").ok());
  EXPECT_EQ(*Read(*b_), "EHLO x\r\n");
  char octets[10];
  EXPECT_TRUE(IsWouldBlock(b_->TryRead(octets).status()));
  ASSERT_TRUE(Write(*b_, "250 ok\r\n").ok());
  EXPECT_EQ(*Read(*a_), "250 ok\r\n");
  ASSERT_TRUE(simulation_.Await(a_->executor(), a_->ShutdownWrite(In(absl::Minutes(1)))).ok());
  EXPECT_EQ(*Read(*b_), "");
  // The other direction goes on.
  ASSERT_TRUE(Write(*b_, "221 bye\r\n").ok());
  EXPECT_EQ(*Read(*a_), "221 bye\r\n");
}

TEST_F(TlsStreamTest, MuchGoesThrough) {
  Connect();
  Secure();
  ASSERT_TRUE(a_status_.ok() && b_status_.ok());
  const std::string much(3'000'000, 'y');
  Status sent = Internal("not ended");
  TaskGroup group;
  simulation_.At(simulation_.now(), &client_.main_loop(), [&] {
    group.Spawn(
        [](Stream& stream, std::string_view data, Instant deadline, Status* out) -> Task<void> {
          const Status status = co_await stream.Write(data, deadline);
          *out = status;
        }(*a_, much, In(absl::Minutes(10)), &sent));
  });
  size_t total = 0;
  while (total < much.size()) {
    StatusOr<std::string> part = Read(*b_);
    ASSERT_TRUE(part.ok()) << Text(part.status());
    ASSERT_FALSE(part->empty());
    total += part->size();
  }
  simulation_.RunUntil([&] { return group.running() == 0; });
  EXPECT_TRUE(sent.ok()) << Text(sent);
}

TEST_F(TlsStreamTest, ACutIsNoEnd) {
  Connect();
  Secure();
  ASSERT_TRUE(a_status_.ok() && b_status_.ok());
  ASSERT_TRUE(Write(*a_, "half").ok());
  a_->Close();
  EXPECT_EQ(*Read(*b_), "half");
  EXPECT_FALSE(Read(*b_).ok());
}

TEST_F(TlsStreamTest, TheWrongNameFailsOnBothSides) {
  Connect();
  Secure("other.example");
  EXPECT_EQ(a_status_.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(a_status_)), HasSubstr("not for other.example"));
}

TEST_F(TlsStreamTest, APlainClientIsToldAndDropped) {
  Connect();
  ASSERT_TRUE(Write(*a_, "EHLO client.example\r\n").ok());
  StatusOr<StreamPtr> b = simulation_.Await(
      server_.main_loop(),
      TlsAccept(std::move(b_), server_config_, simulation_.wall_now(), In(absl::Seconds(10))));
  EXPECT_THAT(std::string(Message(b.status())), HasSubstr("does not speak TLS"));
}

TEST_F(TlsStreamTest, ASilentClientMeetsTheDeadline) {
  Connect();
  const Instant before = simulation_.now();
  StatusOr<StreamPtr> b = simulation_.Await(
      server_.main_loop(),
      TlsAccept(std::move(b_), server_config_, simulation_.wall_now(), In(absl::Seconds(10))));
  EXPECT_EQ(b.status().code(), StatusCode::kDeadlineExceeded) << Text(b.status());
  EXPECT_LE(simulation_.now() - before, absl::Seconds(11));
}

TEST_F(TlsStreamTest, CloseWakesTheReader) {
  Connect();
  Secure();
  ASSERT_TRUE(a_status_.ok() && b_status_.ok());
  simulation_.After(absl::Seconds(1), &server_.main_loop(), [&] { b_->Close(); });
  EXPECT_EQ(Read(*b_).status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace postern::rt
