#include "lib/server/acceptor.h"

#include "tests/unit/text_log.h"
#include <new>

#include <gtest/gtest.h>

#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::server {
namespace {

rt::Task<void> ConnectTo(rt::World* world, Endpoint remote, std::unique_ptr<rt::Stream>* stream) {
  const Instant deadline = world->main_loop().Now() + absl::Seconds(10);
  auto connected =
      co_await world->network().Connect(world->main_loop(), remote, rt::ConnectOptions(), deadline);
  if (connected.ok()) *stream = std::move(*connected);
}

TEST(AcceptorTest, WhatFailsForOneConnectionDoesNotEndTheListener) {
  rt::sim::Simulation simulation(3);
  rt::sim::Host& host =
      simulation.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  rt::sim::Host& client = simulation.AddHost(
      {.name = "client.example.org", .addresses = {IpAddress::V4(192, 0, 2, 2)}});
  const Endpoint endpoint{IpAddress::V4(192, 0, 2, 1), 25, ""};
  TextLog log;
  int handled = 0;
  Acceptor acceptor(&host.world(), *host.world().network().Listen(host.main_loop(), endpoint, {}),
                    &log);
  acceptor.SetHandler([&handled](size_t, std::unique_ptr<rt::Stream>) {
    if (++handled == 1) throw std::bad_alloc();
  });
  host.main_loop().Post([&acceptor] { acceptor.Start(); });
  rt::TaskGroup tasks;
  std::unique_ptr<rt::Stream> streams[2];
  for (std::unique_ptr<rt::Stream>& stream : streams) {
    tasks.Spawn(ConnectTo(&client.world(), endpoint, &stream));
    simulation.RunFor(absl::Seconds(1));
  }
  EXPECT_EQ(handled, 2);
  EXPECT_NE(log.text.find("accept-failed"), std::string::npos) << log.text;
  simulation.Await(host.main_loop(), acceptor.Stop());
}

}  // namespace
}  // namespace postern::server
