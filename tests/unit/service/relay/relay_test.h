// Relaying in the simulated world, to a server that says what each test wants it to.
#pragma once

#include "tests/unit/core/tls/make_certificate.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/tls/tls_stream.h"
#include "lib/service/relay/relay_deliverer.h"

namespace postern::relay {

using rt::Task;
using schedule::DeliveryResult;
using ::testing::HasSubstr;
using Outcome = schedule::DeliveryResult::Outcome;

inline constexpr std::string_view kZone = R"(
$ORIGIN example.
two MX 10 dead
two MX 20 mx
one MX 10 mx
plain A 192.0.2.2
null MX 0 .
broken SERVFAIL
mx A 192.0.2.2
dead A 192.0.2.9
dead2 A 192.0.2.10
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
  Duration end_of_data_after = absl::ZeroDuration();
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
          if (end_of_data_after > absl::ZeroDuration()) {
            rt::Event never(&host_.main_loop());
            const Instant then = host_.main_loop().Now() + end_of_data_after;
            (void)co_await never.Wait(then);
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
    if (!hosts.empty()) {
      answer.other_hosts = true;
      answer.route.host = hosts[asked++ % hosts.size()];
    }
    if (answer.route.host.empty()) answer.route.host = envelope.destination.domain;
    return answer;
  }
  RelaySettings settings;
  Status failure;
  std::vector<std::string> hosts;  // named in turn
  size_t asked = 0;
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
      envelope.sender.smtputf8 = smtputf8_;
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
  bool smtputf8_ = false;
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

}  // namespace postern::relay
