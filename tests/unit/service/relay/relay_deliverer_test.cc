// Relaying in the simulated world, to a server that says what each test wants it to.
#include "lib/service/relay/relay_deliverer.h"

#include "tests/unit/core/tls/make_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/tls/tls_stream.h"

namespace postern::relay {
namespace {

using rt::Task;
using schedule::DeliveryResult;
using ::testing::HasSubstr;
using Outcome = schedule::DeliveryResult::Outcome;

constexpr std::string_view kZone = R"(
$ORIGIN example.
two MX 10 dead
two MX 20 mx
one MX 10 mx
plain A 192.0.2.2
null MX 0 .
broken SERVFAIL
mx A 192.0.2.2
dead A 192.0.2.9
)";

// FakeServer says what it is told to: how it greets, what it answers to which command, and when it
// drops the connection.
class FakeServer {
 public:
  FakeServer(rt::sim::Host& host, std::shared_ptr<const tls::ServerConfig> tls)
      : host_(host), tls_(std::move(tls)) {
    listener_ = *host.world().network().Listen(
        host.main_loop(), Endpoint{*IpAddress::Parse("192.0.2.2"), 25, ""}, {});
    host.main_loop().Post([this] { tasks_.Spawn(Serve()); });
  }

  // Close ends the listening; sessions end when their clients do.
  void Close() { listener_->Close(); }

  std::string greeting = "220 mx.example ESMTP";
  std::vector<std::string> ehlo = {"mx.example", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"};
  std::map<std::string, std::string> replies;  // by the beginning of the command, in capitals
  std::string end_of_data = "250 2.0.0 ok";
  bool drop_at_end_of_data = false;
  bool break_tls = false;
  bool close_after_message = false;
  int connections = 0;
  int tls_connections = 0;
  int quits = 0;
  std::vector<std::string> messages;
  std::vector<std::string> commands;

 private:
  Task<void> Serve() {
    for (;;) {
      StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener_->Accept(host_.main_loop());
      if (!stream.ok()) co_return;
      ++connections;
      tasks_.Spawn(Talk(std::move(*stream)));
    }
  }

  std::string ReplyTo(const std::string& line) {
    for (const auto& [prefix, reply] : replies) {
      if (StartsWithIgnoreCase(line, prefix)) return reply;
    }
    if (StartsWithIgnoreCase(line, "EHLO")) {
      std::string text;
      for (size_t i = 0; i < ehlo.size(); ++i)
        StrAppend(text, "250", i + 1 < ehlo.size() ? "-" : " ", ehlo[i], "\r\n");
      return text.substr(0, text.size() - 2);
    }
    if (StartsWithIgnoreCase(line, "DATA")) return "354 go";
    if (StartsWithIgnoreCase(line, "STARTTLS")) return "220 go";
    if (StartsWithIgnoreCase(line, "QUIT")) return "221 bye";
    return "250 2.1.0 ok";
  }

  Task<void> Talk(std::unique_ptr<rt::Stream> stream) {
    std::string buffer;
    std::string message;
    bool in_data = false;
    std::string out = greeting + "\r\n";
    char octets[4096];
    for (;;) {
      const Instant deadline = host_.main_loop().Now() + absl::Minutes(10);
      const Status written = co_await stream->Write(out, deadline);
      if (!written.ok()) co_return;
      out.clear();
      StatusOr<size_t> got = co_await rt::ReadSome(*stream, octets, deadline);
      if (!got.ok() || *got == 0) co_return;
      buffer.append(octets, *got);
      for (size_t end = buffer.find("\r\n"); end != std::string::npos; end = buffer.find("\r\n")) {
        const std::string line = buffer.substr(0, end);
        buffer.erase(0, end + 2);
        if (in_data) {
          if (line != ".") {
            message += line + "\n";
            continue;
          }
          in_data = false;
          messages.push_back(message);
          message.clear();
          if (drop_at_end_of_data) {
            stream->Close();
            co_return;
          }
          out += end_of_data + "\r\n";
          if (close_after_message) {
            const Status sent = co_await stream->Write(out, deadline);
            (void)sent;
            stream->Close();
            co_return;
          }
          continue;
        }
        commands.push_back(line);
        const std::string reply = ReplyTo(line);
        if (StartsWithIgnoreCase(line, "QUIT")) ++quits;
        in_data = StartsWithIgnoreCase(line, "DATA") && reply[0] == '3';
        out += reply + "\r\n";
        if (StartsWithIgnoreCase(line, "STARTTLS") && reply[0] == '2') {
          const Status sent = co_await stream->Write(out, deadline);
          if (!sent.ok()) co_return;
          out.clear();
          buffer.clear();
          if (break_tls) {
            out = "this is no TLS\r\n";
            continue;
          }
          StatusOr<std::unique_ptr<rt::Stream>> secured = co_await rt::TlsAccept(
              std::move(stream), tls_, host_.world().clock().WallNow(), deadline);
          if (!secured.ok()) co_return;
          stream = std::move(*secured);
          ++tls_connections;
        }
      }
    }
  }

  rt::sim::Host& host_;
  std::shared_ptr<const tls::ServerConfig> tls_;
  std::unique_ptr<rt::Listener> listener_;
  rt::TaskGroup tasks_;
};

class FixedRoute final : public RouteSource {
 public:
  StatusOr<RelaySettings> RouteFor(const queue::Envelope& envelope) override {
    if (!failure.ok()) return failure;
    RelaySettings answer = settings;
    if (answer.route.host.empty()) answer.route.host = envelope.destination.domain;
    return answer;
  }
  RelaySettings settings;
  Status failure;
};

class RelayTest : public ::testing::Test {
 protected:
  RelayTest()
      : simulation_(11),
        us_(simulation_.AddHost(
            {.name = "us.example", .addresses = {*IpAddress::Parse("192.0.2.1")}})),
        them_(simulation_.AddHost(
            {.name = "mx.example", .addresses = {*IpAddress::Parse("192.0.2.2")}})),
        resolver_(*dns::ZoneData::Parse(kZone)),
        queue_(store::NewMemoryQueue(us_.world())) {
    const tls_test::Made made = tls_test::MakeCertificate({"mx.example", {"mx.example"}});
    tls::ServerOptions server_options;
    server_options.key_pairs = {{"", made.certificate_pem, made.key_pem}};
    server_ = std::make_unique<FakeServer>(them_, *tls::ServerConfig::Make(server_options));
    tls::ClientOptions verifying;
    verifying.verify = true;
    verifying.ca_pem = made.certificate_pem;
    verifying_ = *tls::ClientConfig::Make(verifying);
    routes_.settings.helo_name = "us.example";
    routes_.settings.tls_config = *tls::ClientConfig::Make({});
    relay_ = std::make_unique<RelayDeliverer>(us_.world(), *queue_, resolver_, routes_, log_);
  }
  ~RelayTest() override {
    simulation_.At(simulation_.now(), &us_.main_loop(), [this] { relay_->Stop(); });
    simulation_.Await(us_.main_loop(), relay_->Join());
    simulation_.At(simulation_.now(), &them_.main_loop(), [this] { server_->Close(); });
    simulation_.RunFor(absl::Minutes(20));  // the server's sessions end
    relay_.reset();
  }

  std::vector<DeliveryResult> Send(std::vector<std::string> recipients,
                                   std::string body = "Subject: x\r\n\r\n.dot\r\n") {
    std::vector<queue::Envelope> batch;
    for (const std::string& text : recipients) {
      queue::Envelope envelope;
      envelope.kind = queue::Envelope::Kind::kRelay;
      envelope.sender.address = *mail::ParseAddress("from@us.example");
      envelope.sender.body = body_type_;
      envelope.destination = *mail::ParseAddress(text);
      envelope.recipient = envelope.destination;
      batch.push_back(envelope);
    }
    return simulation_.Await(us_.main_loop(), Attempt(std::move(batch), std::move(body)));
  }
  Task<std::vector<DeliveryResult>> Attempt(std::vector<queue::Envelope> batch, std::string body) {
    StatusOr<std::unique_ptr<store::MessageWriter>> writer = queue_->NewMessage(us_.main_loop());
    POSTERN_CHECK(writer.ok());
    const Status appended = co_await (*writer)->Append(body);
    POSTERN_CHECK(appended.ok());
    StatusOr<queue::MessageId> id = co_await (*writer)->Commit(batch);
    POSTERN_CHECK(id.ok());
    uint32_t low = 1;
    for (queue::Envelope& envelope : batch) envelope.id = queue::MakeEnvelopeId(*id, low++);
    const queue::EnvelopeId first = batch.front().id;
    std::vector<DeliveryResult> results = co_await relay_->Deliver(std::move(batch));
    if (record_) {
      relay_->Recorded(first);
    } else {
      unrecorded_.push_back(first);
    }
    co_return results;
  }

  Task<void> AttemptAndForget(std::vector<queue::Envelope> batch) {
    const std::vector<DeliveryResult> results =
        co_await Attempt(std::move(batch), "Subject: x\r\n\r\nx\r\n");
    (void)results;
  }

  mail::BodyType body_type_ = mail::BodyType::k7Bit;
  rt::sim::Simulation simulation_;
  rt::sim::Host& us_;
  rt::sim::Host& them_;
  resolve::ZoneResolver resolver_;
  std::unique_ptr<store::Queue> queue_;
  FixedRoute routes_;
  NullLogSink log_;
  std::shared_ptr<const tls::ClientConfig> verifying_;
  std::unique_ptr<FakeServer> server_;
  std::unique_ptr<RelayDeliverer> relay_;
  bool record_ = true;  // as the scheduler does; else `unrecorded_` has what waits for it
  std::vector<queue::EnvelopeId> unrecorded_;
};

TEST_F(RelayTest, DeliversByMx) {
  const std::vector<DeliveryResult> results = Send({"a@one.example", "b@one.example"});
  ASSERT_EQ(results.size(), 2u);
  for (const DeliveryResult& result : results) {
    EXPECT_EQ(result.outcome, Outcome::kDelivered) << result.text;
    EXPECT_EQ(result.text, "250 2.0.0 ok");
    EXPECT_EQ(result.remote_host, "mx.example");
    EXPECT_EQ(result.remote_address, "192.0.2.2");
    EXPECT_EQ(result.source_address, "192.0.2.1");
  }
  ASSERT_EQ(server_->messages.size(), 1u);
  EXPECT_EQ(server_->messages[0], "Subject: x\n\n..dot\n");
  EXPECT_EQ(server_->commands[0], "EHLO us.example");
}

TEST_F(RelayTest, ConnectionsAreKeptForAWhile) {
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 1);
  EXPECT_EQ(server_->messages.size(), 2u);
  EXPECT_EQ(relay_->idle_connections(), 1u);
  simulation_.RunFor(absl::Seconds(30));
  EXPECT_EQ(relay_->idle_connections(), 0u);
  EXPECT_EQ(server_->quits, 1);
}

// reliability.md P2: what a crash would repeat is one message for each connection.
TEST_F(RelayTest, AConnectionWaitsForTheRecordOfItsMessage) {
  record_ = false;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(relay_->idle_connections(), 0u);
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  ASSERT_EQ(unrecorded_.size(), 2u);
  us_.main_loop().Post([this] { relay_->Recorded(unrecorded_[0]); });
  simulation_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(relay_->idle_connections(), 1u);
  EXPECT_EQ(Send({"c@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  us_.main_loop().Post([this] {
    relay_->Recorded(unrecorded_[1]);
    relay_->Recorded(unrecorded_[2]);
  });
  simulation_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(relay_->idle_connections(), 2u);
}

TEST_F(RelayTest, AConnectionThatWentWhileItWaitedIsReplaced) {
  server_->close_after_message = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Send({"b@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  EXPECT_EQ(server_->messages.size(), 2u);
}

TEST_F(RelayTest, EachLimitOfConnectionsHolds) {
  record_ = false;  // so that connections stay in use
  constexpr size_t RelayLimits::*kLimits[] = {
      &RelayLimits::max_conn_per_host,   &RelayLimits::max_conn_per_route,
      &RelayLimits::max_conn_per_source, &RelayLimits::max_conn_per_connector,
      &RelayLimits::max_conn_per_relay,  &RelayLimits::max_conn_per_domain,
  };
  int held = 0;
  for (size_t RelayLimits::*const limit : kLimits) {
    routes_.settings.limits = RelayLimits();
    routes_.settings.limits.max_conn_per_host = 0;
    routes_.settings.limits.max_conn_per_domain = 0;
    routes_.settings.limits.*limit = 1;
    EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered) << held;
    const Instant begun = simulation_.now();
    const DeliveryResult result = Send({"a@one.example"})[0];
    EXPECT_EQ(result.held_back, "Too many connections to the destination") << held;
    EXPECT_EQ(result.outcome, Outcome::kTemporary);
    EXPECT_GE(simulation_.now() - begun, absl::Minutes(5)) << "it waits for a place";
    EXPECT_EQ(server_->connections, ++held);
  }
  for (const queue::EnvelopeId id : unrecorded_)
    us_.main_loop().Post([this, id] { relay_->Recorded(id); });
  simulation_.RunFor(absl::Minutes(1));
}

TEST_F(RelayTest, EachDelayBetweenConnectionsHolds) {
  constexpr Duration RelayLimits::*kDelays[] = {
      &RelayLimits::conn_delay_host,   &RelayLimits::conn_delay_route,
      &RelayLimits::conn_delay_source, &RelayLimits::conn_delay_connector,
      &RelayLimits::conn_delay_relay,  &RelayLimits::conn_delay_domain,
  };
  for (Duration RelayLimits::*const delay : kDelays) {
    routes_.settings.limits = RelayLimits();
    routes_.settings.limits.session_mail_max = 1;
    routes_.settings.limits.*delay = absl::Seconds(20);
    const Instant begun = simulation_.now();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
    EXPECT_GE(simulation_.now() - begun, absl::Seconds(40));
    EXPECT_LT(simulation_.now() - begun, absl::Seconds(65));
  }
  EXPECT_EQ(server_->connections, 18);
}

TEST_F(RelayTest, AConnectionRestsBetweenMessagesAndEndsAfterFailures) {
  routes_.settings.limits.session_transaction_delay = absl::Seconds(7);
  routes_.settings.limits.max_failures_per_session = 3;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  const Instant begun = simulation_.now();
  server_->replies["RCPT"] = "550 5.1.1 no";
  EXPECT_EQ(Send({"b@one.example", "c@one.example"})[0].outcome, Outcome::kPermanent);
  EXPECT_GE(simulation_.now() - begun, absl::Seconds(7));
  EXPECT_EQ(server_->connections, 1);
  EXPECT_EQ(relay_->idle_connections(), 1u);
  EXPECT_EQ(Send({"d@one.example"})[0].outcome, Outcome::kPermanent);
  EXPECT_EQ(relay_->idle_connections(), 0u) << "the third failure was its last";
  EXPECT_EQ(server_->connections, 1);
}

TEST_F(RelayTest, EhloSaysTheNameOfTheAddressThatTheSystemChose) {
  routes_.settings.helo_by_address = [](const IpAddress& ours) {
    return ours == *IpAddress::Parse("192.0.2.1") ? "source.example" : "";
  };
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->commands[0], "EHLO source.example");
}

// reliability.md row 5.
TEST_F(RelayTest, RepliesGluedBehindStartTlsAreDropped) {
  server_->ehlo.push_back("STARTTLS");
  server_->replies["STARTTLS"] =
      "220 go\r\n250-evil.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n554 no";
  routes_.settings.auth_user = "user";
  routes_.settings.auth_password = "secret";
  const DeliveryResult result = Send({"a@one.example"})[0];
  // AUTH was never offered inside TLS, so the password was never sent.
  EXPECT_EQ(result.outcome, Outcome::kTemporary);
  EXPECT_THAT(result.text, HasSubstr("AUTH"));
  EXPECT_EQ(server_->tls_connections, 1);
  for (const std::string& command : server_->commands)
    EXPECT_FALSE(StartsWithIgnoreCase(command, "AUTH"));
}

// RFC 3030 §3, RFC 6152 §3: what a server does not offer it is not given.
TEST_F(RelayTest, AMessageIsMadeFitForItsNextServer) {
  const std::string head = "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n";
  body_type_ = mail::BodyType::kBinaryMime;
  EXPECT_EQ(Send({"a@one.example"}, head + "\r\na\nb")[0].outcome, Outcome::kDelivered);
  body_type_ = mail::BodyType::k8BitMime;
  EXPECT_EQ(Send({"a@one.example"}, "Subject: x\r\n\r\ncaf\xc3\xa9\r\n")[0].outcome,
            Outcome::kDelivered);
  ASSERT_EQ(server_->messages.size(), 2u);
  EXPECT_EQ(server_->messages[0],
            "MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: base64\n\nYQpi\n");
  EXPECT_EQ(server_->messages[1], "Subject: x\n\ncaf\xc3\xa9\n");
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example>");
  EXPECT_THAT(server_->commands, ::testing::Contains("MAIL FROM:<from@us.example> BODY=8BITMIME"));
}

TEST_F(RelayTest, AServerOfSevenBitsGetsSeven) {
  server_->ehlo = {"mx.example", "SIZE 0"};
  body_type_ = mail::BodyType::k8BitMime;
  EXPECT_EQ(Send({"a@one.example"}, "Subject: x\r\n\r\nthe caf\xc3\xa9 has moved\r\n")[0].outcome,
            Outcome::kDelivered);
  ASSERT_EQ(server_->messages.size(), 1u);
  const std::string sent =
      "Subject: x\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n"
      "the caf=C3=A9 has moved\n";
  EXPECT_EQ(server_->messages[0], sent);
  EXPECT_EQ(server_->commands[1], "MAIL FROM:<from@us.example> SIZE=" +
                                      std::to_string(sent.size() + 5));  // CRLF where it has LF
  const DeliveryResult sealed = Send(
      {"a@one.example"},
      "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ncaf\xc3\xa9\r\n--b--\r\n")[0];
  EXPECT_EQ(sealed.outcome, Outcome::kPermanent);
  EXPECT_EQ(sealed.text,
            "554 5.6.3 The server mx.example takes no 8-bit text, and a signed or encrypted part "
            "cannot be carried as it is");
  EXPECT_EQ(server_->messages.size(), 1u);
  EXPECT_EQ(relay_->idle_connections(), 1u) << "the connection is as good as before";
}

TEST_F(RelayTest, TheNextServerIsTried) {
  EXPECT_EQ(Send({"a@two.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(Send({"a@plain.example"})[0].outcome, Outcome::kDelivered)
      << "a domain without MX is its own";
}

// reliability.md F9.
TEST_F(RelayTest, DnsFailures) {
  EXPECT_EQ(Send({"a@null.example"})[0].text, "556 5.1.10 Domain does not accept mail (null MX)");
  const DeliveryResult nobody = Send({"a@nobody.example"})[0];
  EXPECT_EQ(nobody.outcome, Outcome::kPermanent);
  EXPECT_EQ(nobody.status.ToString(), "5.1.2");
  EXPECT_EQ(Send({"a@broken.example"})[0].outcome, Outcome::kTemporary);
}

TEST_F(RelayTest, EachRecipientHasItsOwnFate) {
  server_->replies["RCPT TO:<bad"] = "550 5.1.1 no such user";
  server_->replies["RCPT TO:<busy"] = "451 4.2.1 later";
  const std::vector<DeliveryResult> results =
      Send({"good@one.example", "bad@one.example", "busy@one.example"});
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(results[1].outcome, Outcome::kPermanent);
  EXPECT_EQ(results[1].reply, "550 5.1.1 no such user");
  EXPECT_EQ(results[2].outcome, Outcome::kTemporary);
}

// reliability.md F10: nothing is known, so it is sent again.
TEST_F(RelayTest, AnAmbiguousEndOfDataIsTemporary) {
  server_->drop_at_end_of_data = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
  EXPECT_EQ(server_->messages.size(), 1u) << "and not within the same attempt";
}

TEST_F(RelayTest, TlsWhenOffered) {
  server_->ehlo.push_back("STARTTLS");
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->tls_connections, 1);
}

// reliability.md F11.
TEST_F(RelayTest, OpportunisticTlsFallsBackOnce) {
  server_->ehlo.push_back("STARTTLS");
  server_->break_tls = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  EXPECT_EQ(server_->connections, 2);
  EXPECT_EQ(server_->tls_connections, 0);
}

TEST_F(RelayTest, RequiredTlsDefers) {
  routes_.settings.route.tls = queue::RelayTls::kRequired;
  const DeliveryResult missing = Send({"a@one.example"})[0];
  EXPECT_EQ(missing.outcome, Outcome::kTemporary);
  EXPECT_THAT(missing.text, HasSubstr("TLS required but not supported"));
  server_->ehlo.push_back("STARTTLS");
  server_->break_tls = true;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
  EXPECT_TRUE(server_->messages.empty());
  server_->break_tls = false;
  routes_.settings.tls_config = verifying_;
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kDelivered);
  // The same server under a name that its certificate does not have.
  routes_.settings.route.host = "plain.example";
  EXPECT_THAT(Send({"a@one.example"})[0].text,
              HasSubstr("not for plain.example but for mx.example"));
}

TEST_F(RelayTest, GreetingsThatRefuse) {
  server_->greeting = "554 5.7.1 go away";
  const DeliveryResult refused = Send({"a@one.example"})[0];
  EXPECT_EQ(refused.outcome, Outcome::kPermanent) << refused.text;
  // What it said to that one is not its word about the next, which did not ask.
  const DeliveryResult next = Send({"a@one.example"})[0];
  EXPECT_EQ(next.outcome, Outcome::kTemporary) << next.text;
  EXPECT_NE(next.held_back, "");
  EXPECT_EQ(next.reply, "554 5.7.1 go away");
  EXPECT_EQ(next.remote_host, "mx.example");
}

// RFC 3464 §2.3.5, §2.3.6: whoever refuses before a message is begun is named with what it said.
TEST_F(RelayTest, RefusalsBeforeAMessageAreTheWordsOfTheServer) {
  struct Row {
    std::string greeting;
    std::map<std::string, std::string> replies;
    bool tls;
    bool auth;
    Outcome outcome;
    std::string reply;
    std::string text;  // empty: the reply
  };
  const std::string ok = "220 mx.example ESMTP";
  const Row rows[] = {
      {"554 5.7.1 block list", {}, false, false, Outcome::kPermanent, "554 5.7.1 block list", ""},
      {"554 no way", {}, false, false, Outcome::kPermanent, "554 no way", ""},
      {"421 4.3.2 closed", {}, false, false, Outcome::kTemporary, "421 4.3.2 closed", ""},
      {ok,
       {{"EHLO", "500 what"}, {"HELO", "550 5.7.1 bad name"}},
       false,
       false,
       Outcome::kPermanent,
       "550 5.7.1 bad name",
       ""},
      {ok, {{"EHLO", "450 4.7.1 later"}}, false, false, Outcome::kTemporary, "450 4.7.1 later", ""},
      {ok,
       {{"STARTTLS", "554 5.7.0 no TLS"}},
       true,
       false,
       Outcome::kTemporary,
       "554 5.7.0 no TLS",
       "454 4.7.0 TLS is required and was refused: the server mx.example answered: 554 5.7.0 no "
       "TLS"},
      {ok,
       {{"AUTH", "535 5.7.8 bad password"}},
       true,
       true,
       Outcome::kTemporary,
       "535 5.7.8 bad password",
       "454 4.7.0 AUTH failed: the server mx.example answered: 535 5.7.8 bad password"},
      {ok,
       {{"AUTH", "421 4.7.0 too often"}},
       true,
       true,
       Outcome::kTemporary,
       "421 4.7.0 too often",
       ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.reply);
    server_->greeting = row.greeting;
    server_->replies = row.replies;
    server_->ehlo = {"mx.example", "STARTTLS", "AUTH PLAIN"};
    routes_.settings.route.tls =
        row.tls ? queue::RelayTls::kRequired : queue::RelayTls::kOpportunistic;
    routes_.settings.auth_user = row.auth ? "user" : "";
    simulation_.RunFor(absl::Hours(2));  // no penalty is left
    const DeliveryResult result = Send({"a@one.example"})[0];
    EXPECT_EQ(result.outcome, row.outcome);
    EXPECT_EQ(result.held_back, "");
    EXPECT_EQ(result.reply, row.reply);
    EXPECT_EQ(result.text, row.text.empty() ? row.reply : row.text);
    EXPECT_EQ(result.remote_host, "mx.example");
    EXPECT_EQ(result.remote_address, "192.0.2.2");
    EXPECT_TRUE(result.before_message);
  }
}

// `two` has a server that cannot be reached and one that refuses: nobody spoke the last word.
TEST_F(RelayTest, ARefusalBesideAnUnreachableServerIsNotTheLastWord) {
  server_->greeting = "554 5.7.1 go away";
  const DeliveryResult result = Send({"a@two.example"})[0];
  EXPECT_EQ(result.outcome, Outcome::kTemporary);
  EXPECT_EQ(result.reply, "554 5.7.1 go away");
  EXPECT_EQ(result.text,
            "451 4.4.1 Other servers could not be reached, and the server mx.example answered: "
            "554 5.7.1 go away");
}

// A route is one port of an address, asked from one of ours.
TEST_F(RelayTest, APenaltyBelongsToThePortAndTheSource) {
  routes_.settings.route.host = "mx.example";
  routes_.settings.route.by_mx = false;
  routes_.settings.route.port = 26;
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
  EXPECT_NE(Send({"a@one.example"})[0].held_back, "");
  routes_.settings.source = IpAddress::Parse("192.0.2.1");
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
  routes_.settings.source.reset();
  routes_.settings.route.port = 25;
  const DeliveryResult healthy = Send({"a@one.example"})[0];
  EXPECT_EQ(healthy.outcome, Outcome::kDelivered) << healthy.held_back;
}

TEST_F(RelayTest, UnreachableServersAreLeftAloneForAWhile) {
  routes_.settings.route.host = "dead.example";
  routes_.settings.route.by_mx = false;
  const DeliveryResult tried = Send({"a@one.example"})[0];
  EXPECT_EQ(tried.outcome, Outcome::kTemporary);
  EXPECT_EQ(tried.held_back, "");
  const DeliveryResult blocked = Send({"a@one.example"})[0];
  EXPECT_EQ(blocked.outcome, Outcome::kTemporary);
  EXPECT_EQ(blocked.held_back, "All routes to destination blocked");
  EXPECT_EQ(blocked.text, tried.text) << "the cause is what the one before met with";
  simulation_.RunFor(absl::Seconds(16));
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
}

TEST_F(RelayTest, ConnectionsThatFailTogetherCountOnce) {
  routes_.settings.route.host = "dead.example";
  routes_.settings.route.by_mx = false;
  rt::TaskGroup group;
  simulation_.At(simulation_.now(), &us_.main_loop(), [&] {
    for (int i = 0; i < 8; ++i) {
      queue::Envelope envelope;
      envelope.kind = queue::Envelope::Kind::kRelay;
      envelope.destination = envelope.recipient = *mail::ParseAddress("a@one.example");
      group.Spawn(AttemptAndForget({envelope}));
    }
  });
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "All routes to destination blocked");
  simulation_.RunFor(absl::Seconds(16));
  EXPECT_EQ(Send({"a@one.example"})[0].held_back, "");
}

TEST_F(RelayTest, LargeBodiesAreStreamed) {
  const std::string line(70, 'x');
  std::string body = "Subject: large\r\n\r\n";
  while (body.size() < 1'000'000) body += line + "\r\n";
  EXPECT_EQ(Send({"a@one.example"}, body)[0].outcome, Outcome::kDelivered);
  std::string expected = body;
  std::erase(expected, '\r');
  EXPECT_EQ(server_->messages.at(0), expected);
}

TEST_F(RelayTest, MistakesOfTheConfigurationArePermanent) {
  routes_.failure = NotFound("No auth table for relaying");
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kPermanent);
  routes_.failure = Unavailable("the table does not answer");
  EXPECT_EQ(Send({"a@one.example"})[0].outcome, Outcome::kTemporary);
}

}  // namespace
}  // namespace postern::relay
