// An SMTP service over the simulated network, and clients that talk to it.
#pragma once

#include "tests/unit/reply_codes.h"
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/service/smtp/service.h"

namespace postern::service {

// Talk says all of `script` at once and collects what the server says until it closes.
inline rt::Task<void> Talk(rt::World* world, Endpoint server, std::string script,
                           std::string* heard) {
  rt::ConnectOptions options;
  StatusOr<std::unique_ptr<rt::Stream>> stream =
      co_await world->network().Connect(world->main_loop(), server, options, Instant::Never());
  if (!stream.ok()) co_return;
  (void)co_await (*stream)->Write(script, Instant::Never());
  char buffer[4096];
  for (;;) {
    const StatusOr<size_t> got =
        co_await rt::ReadSome(**stream, std::span<char>(buffer), Instant::Never());
    if (!got.ok() || *got == 0) break;
    heard->append(buffer, *got);
  }
  (*stream)->Close();
}

inline rt::Task<void> AcceptAll(rt::World* world, rt::Listener* listener, SmtpService* service,
                                std::shared_ptr<const SmtpListener> settings) {
  for (;;) {
    StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener->Accept(world->main_loop());
    if (!stream.ok()) co_return;
    service->Serve(std::move(*stream), settings);
  }
}

// SmtpSessions has a service whose sessions ask a Backend of a test.
template <typename Backend>
class SmtpSessions : public ::testing::Test {
 protected:
  // `more` are mechanisms beside PLAIN and LOGIN.
  explicit SmtpSessions(sasl::MechanismSet more = 0, bool wants_reverse_name = false) {
    auto options = std::make_shared<smtp::ServerOptions>();
    options->hostname = "mx.example.org";
    options->auth_available = true;
    options->auth_without_tls = true;
    options->mechanisms |= more;
    auto settings = std::make_shared<SmtpListener>();
    settings->options = options;
    settings->wants_reverse_name = wants_reverse_name;
    settings_ = settings;
    listener_ = *server_.world().network().Listen(server_.main_loop(), endpoint_, {});
    tasks_.Spawn(AcceptAll(&server_.world(), listener_.get(), &service_, settings_));
  }
  ~SmtpSessions() override {
    if (!stopped_) Stop(absl::ZeroDuration());
    listener_->Close();
    simulation_.RunFor(absl::Seconds(1));
  }
  void Stop(Duration grace) {
    stopped_ = true;
    simulation_.Await(server_.main_loop(), service_.Stop(grace));
  }
  // Says gives the codes of all replies to `script`, the greeting first; heard_ is their text.
  std::string Says(const std::string& script, Duration wait = absl::Minutes(10)) {
    heard_.clear();
    tasks_.Spawn(Talk(&client_.world(), endpoint_, script, &heard_));
    simulation_.RunFor(wait);
    return CodesOf(heard_);
  }

  rt::sim::Simulation simulation_{7};
  rt::sim::Host& server_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  rt::sim::Host& client_ =
      simulation_.AddHost({.name = "client.example", .addresses = {IpAddress::V4(192, 0, 2, 2)}});
  Endpoint endpoint_{IpAddress::V4(192, 0, 2, 1), 25, ""};
  Backend backend_;
  NullLogSink log_;
  SmtpService service_{&server_.world(), &server_.main_loop(), &backend_, &log_, {}};
  std::shared_ptr<const SmtpListener> settings_;
  std::unique_ptr<rt::Listener> listener_;
  rt::TaskGroup tasks_;
  std::string heard_;
  bool stopped_ = false;
};

}  // namespace postern::service
