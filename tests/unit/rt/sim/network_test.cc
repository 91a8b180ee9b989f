#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "lib/rt/sim/fabric.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {
namespace {

using StreamPtr = std::unique_ptr<Stream>;

IpAddress Address(std::string_view text) { return *IpAddress::Parse(text); }

// Pair is two hosts, a listener on the second, and the two ends of a connection between them.
struct Pair {
  explicit Pair(uint64_t seed, HostOptions server_options = {})
      : simulation(seed),
        client(simulation.AddHost({.name = "client.example",
                                   .addresses = {Address("192.0.2.1"), Address("2001:db8::1")}})),
        server(simulation.AddHost(WithAddresses(std::move(server_options)))) {}
  static HostOptions WithAddresses(HostOptions options) {
    options.name = "server.example";
    options.addresses = {Address("192.0.2.2"), Address("2001:db8::2")};
    return options;
  }
  Fabric& wire() { return simulation.network(); }
  Instant In(Duration d) { return simulation.now() + d; }

  std::unique_ptr<Listener> Listen(Endpoint endpoint, ListenOptions options = {}) {
    StatusOr<std::unique_ptr<Listener>> made =
        server.world().network().Listen(server.main_loop(), endpoint, options);
    EXPECT_TRUE(made.ok()) << Text(made.status());
    return made.ok() ? std::move(*made) : nullptr;
  }
  StatusOr<StreamPtr> Connect(Endpoint endpoint, Duration patience = absl::Seconds(30)) {
    Executor& loop = client.main_loop();
    return simulation.Await(loop,
                            client.world().network().Connect(loop, endpoint, {}, In(patience)));
  }
  StatusOr<StreamPtr> Accept(Listener& from) {
    return simulation.Await(server.main_loop(), from.Accept(server.main_loop()));
  }
  void Open() {
    listener = Listen({Address("192.0.2.2"), 25, ""});
    StatusOr<StreamPtr> opened = Connect({Address("192.0.2.2"), 25, ""});
    ASSERT_TRUE(opened.ok()) << Text(opened.status());
    StatusOr<StreamPtr> accepted = Accept(*listener);
    ASSERT_TRUE(accepted.ok());
    a = std::move(*opened);
    b = std::move(*accepted);
  }
  Status Write(Stream& stream, std::string_view data, Duration patience = absl::Seconds(30)) {
    return simulation.Await(stream.executor(), stream.Write(data, In(patience)));
  }
  StatusOr<std::string> ReadOnce(Stream& stream, Duration patience = absl::Seconds(30)) {
    char octets[4096];
    const StatusOr<size_t> got =
        simulation.Await(stream.executor(), ReadSome(stream, octets, In(patience)));
    if (!got.ok()) return got.status();
    return std::string(octets, *got);
  }
  std::string ReadBytes(Stream& stream, size_t count) {
    std::string all;
    while (all.size() < count) {
      StatusOr<std::string> part = ReadOnce(stream);
      if (!part.ok() || part->empty()) break;
      all += *part;
    }
    return all;
  }

  Simulation simulation;
  Host& client;
  Host& server;
  std::unique_ptr<Listener> listener;
  StreamPtr a;
  StreamPtr b;
};

TEST(Network, OctetsArriveInOrderInRandomCutsWithRightEndpoints) {
  std::set<size_t> first_cuts;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Pair p(seed);
    p.Open();
    EXPECT_EQ(p.a->remote().ToString(), "192.0.2.2:25");
    EXPECT_EQ(p.b->local().ToString(), "192.0.2.2:25");
    EXPECT_EQ(p.a->local(), p.b->remote());
    EXPECT_EQ(p.b->remote().address.ToString(), "192.0.2.1");
    std::string data;
    for (int i = 0; i < 3000; ++i) data += std::to_string(i);
    const Instant sent = p.simulation.now();
    ASSERT_TRUE(p.Write(*p.a, data).ok());
    StatusOr<std::string> first = p.ReadOnce(*p.b);
    ASSERT_TRUE(first.ok());
    EXPECT_GE(p.simulation.now() - sent, p.wire().options().latency_min);
    first_cuts.insert(first->size());
    const std::string rest = p.ReadBytes(*p.b, data.size() - first->size());
    ASSERT_EQ(*first + rest, data);
  }
  EXPECT_GT(first_cuts.size(), 5u);
}

TEST(Network, EndAndCloseAreSeenByThePeer) {
  Pair p(1);
  p.Open();
  ASSERT_TRUE(p.Write(*p.a, "bye").ok());
  ASSERT_TRUE(
      p.simulation.Await(p.client.main_loop(), p.a->ShutdownWrite(p.In(absl::Seconds(1)))).ok());
  EXPECT_FALSE(p.Write(*p.a, "more").ok());
  EXPECT_EQ(p.ReadBytes(*p.b, 3), "bye");
  EXPECT_EQ(*p.ReadOnce(*p.b), "");
  // The other direction is still open.
  ASSERT_TRUE(p.Write(*p.b, "ok").ok());
  EXPECT_EQ(p.ReadBytes(*p.a, 2), "ok");
  p.b->Close();
  EXPECT_EQ(*p.ReadOnce(*p.a), "");
  p.a->Close();
  p.simulation.RunUntilIdle();
  EXPECT_EQ(p.wire().connections(), 0u);
}

TEST(Network, ClosingWithUnreadDataIsAReset) {
  Pair p(1);
  p.Open();
  ASSERT_TRUE(p.Write(*p.a, "nobody reads this").ok());
  p.simulation.RunUntilIdle();
  p.b->Close();
  EXPECT_EQ(p.ReadOnce(*p.a).status().code(), StatusCode::kUnavailable);
}

TEST(Network, WritingToAClosedPeerEndsInAReset) {
  Pair p(1);
  p.Open();
  p.b->Close();
  p.simulation.RunUntilIdle();
  ASSERT_TRUE(p.Write(*p.a, "hello?").ok());
  p.simulation.RunUntilIdle();
  EXPECT_EQ(p.Write(*p.a, "hello?").code(), StatusCode::kUnavailable);
}

Task<void> ReadInto(Stream& stream, Instant deadline, StatusOr<size_t>* result) {
  char octets[16];
  *result = co_await ReadSome(stream, octets, deadline);
}

TEST(Network, CloseWakesWhoeverWaits) {
  Pair p(1);
  p.Open();
  StatusOr<size_t> result = size_t{99};
  TaskGroup group;
  group.Spawn(ReadInto(*p.b, Instant::Never(), &result));
  p.simulation.RunFor(absl::Hours(1));
  EXPECT_EQ(*result, 99u);
  p.b->Close();
  p.simulation.RunFor(absl::Seconds(1));
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(group.running(), 0u);
}

TEST(Network, WaitsEndAtTheirDeadline) {
  Pair p(1);
  p.Open();
  const Instant start = p.simulation.now();
  EXPECT_EQ(p.ReadOnce(*p.a, absl::Seconds(7)).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(p.simulation.now() - start, absl::Seconds(7));
}

TEST(Network, APeerThatStopsReadingFillsTheBuffer) {
  Pair p(1);
  p.Open();
  const std::string much(p.wire().options().buffer_bytes * 2, 'x');
  EXPECT_EQ(p.Write(*p.a, much, absl::Seconds(60)).code(), StatusCode::kDeadlineExceeded);
  // Reading makes room again.
  EXPECT_EQ(p.ReadBytes(*p.b, p.wire().options().buffer_bytes).size(),
            p.wire().options().buffer_bytes);
  EXPECT_TRUE(p.Write(*p.a, "more").ok());
}

Task<void> WriteAll(Stream& stream, std::string_view data, Instant deadline, Status* result) {
  *result = co_await stream.Write(data, deadline);
}

TEST(Network, AWaitingWriterGoesOnAsThePeerReads) {
  Pair p(5);
  p.Open();
  const std::string much(p.wire().options().buffer_bytes * 5, 'x');
  Status written = Unavailable("not yet");
  TaskGroup group;
  group.Spawn(WriteAll(*p.a, much, p.In(absl::Hours(1)), &written));
  EXPECT_EQ(p.ReadBytes(*p.b, much.size()), much);
  EXPECT_TRUE(written.ok()) << Text(written);
  EXPECT_EQ(group.running(), 0u);
}

TEST(Network, ListenSaysWhyNot) {
  Pair p(1, {.self = {.name = "mail", .uid = 100, .gid = 100, .groups = {}, .home = "/"}});
  Network& network = p.server.world().network();
  Executor& loop = p.server.main_loop();
  EXPECT_EQ(network.Listen(loop, {Address("192.0.2.9"), 2525, ""}, {}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(network.Listen(loop, {Address("192.0.2.2"), 25, ""}, {}).status().code(),
            StatusCode::kPermissionDenied);
  auto first = network.Listen(loop, {Address("0.0.0.0"), 2525, ""}, {});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(network.Listen(loop, {Address("192.0.2.2"), 2525, ""}, {}).status().code(),
            StatusCode::kAlreadyExists);
  EXPECT_TRUE(network.Listen(loop, {Address("::"), 2525, ""}, {}).ok());
  auto any = network.Listen(loop, {Address("192.0.2.2"), 0, ""}, {});
  ASSERT_TRUE(any.ok());
  EXPECT_NE((*any)->local().port, 0);
  first->reset();
  EXPECT_TRUE(network.Listen(loop, {Address("192.0.2.2"), 2525, ""}, {}).ok());
}

TEST(Network, ConnectSaysWhyNot) {
  Pair p(1);
  EXPECT_EQ(p.Connect({Address("192.0.2.2"), 25, ""}).status().code(),
            StatusCode::kUnavailable);  // refused
  EXPECT_EQ(p.Connect({Address("192.0.2.77"), 25, ""}).status().code(),
            StatusCode::kUnavailable);  // no such host
  auto listener = p.Listen({Address("::"), 25, ""}, {.v6_only = true});
  EXPECT_FALSE(p.Connect({Address("192.0.2.2"), 25, ""}).ok());
  EXPECT_TRUE(p.Connect({Address("2001:db8::2"), 25, ""}).ok());
  p.wire().Partition(p.client, p.server);
  EXPECT_EQ(p.Connect({Address("2001:db8::2"), 25, ""}, absl::Seconds(5)).status().code(),
            StatusCode::kDeadlineExceeded);
  const Instant start = p.simulation.now();
  EXPECT_EQ(p.Connect({Address("2001:db8::2"), 25, ""}, absl::Hours(1)).status().code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_EQ(p.simulation.now() - start, absl::Seconds(127));
}

TEST(Network, AFullBacklogLetsTheNextOneWait) {
  Pair p(1);
  auto listener = p.Listen({Address("192.0.2.2"), 25, ""}, {.backlog = 2});
  auto one = p.Connect({Address("192.0.2.2"), 25, ""});
  auto two = p.Connect({Address("192.0.2.2"), 25, ""});
  EXPECT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(p.Connect({Address("192.0.2.2"), 25, ""}, absl::Seconds(20)).status().code(),
            StatusCode::kDeadlineExceeded);
  StreamPtr accepted = std::move(*p.Accept(*listener));
  EXPECT_TRUE(p.Connect({Address("192.0.2.2"), 25, ""}).ok());
}

TEST(Network, WithoutDescriptorsOneIsAcceptedOnTheReserve) {
  Pair p(1, {.descriptor_limit = 2});
  auto listener = p.Listen({Address("192.0.2.2"), 25, ""});
  StatusOr<StreamPtr> first = p.Connect({Address("192.0.2.2"), 25, ""});
  StatusOr<StreamPtr> second = p.Connect({Address("192.0.2.2"), 25, ""});
  StatusOr<StreamPtr> third = p.Connect({Address("192.0.2.2"), 25, ""});
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  StatusOr<StreamPtr> one = p.Accept(*listener);
  ASSERT_TRUE(one.ok());
  EXPECT_FALSE((*one)->accepted_on_reserve());
  StatusOr<StreamPtr> two = p.Accept(*listener);
  ASSERT_TRUE(two.ok());
  EXPECT_TRUE((*two)->accepted_on_reserve());
  EXPECT_EQ(p.Accept(*listener).status().code(), StatusCode::kUnavailable);
  (*two)->Close();
  EXPECT_TRUE(p.Accept(*listener).ok());
}

TEST(Network, LoopbackAndUnixSocketsStayInsideTheHost) {
  Pair p(1);
  auto listener = p.Listen({Address("127.0.0.1"), 25, ""});
  EXPECT_FALSE(p.Connect({Address("127.0.0.1"), 25, ""}).ok());
  Executor& loop = p.server.main_loop();
  Network& network = p.server.world().network();
  auto inside = p.simulation.Await(
      loop, network.Connect(loop, {Address("127.0.0.1"), 25, ""}, {}, Instant::Never()));
  ASSERT_TRUE(inside.ok());
  EXPECT_TRUE((*inside)->local().address.IsLoopback());
  auto local = p.Listen({IpAddress(), 0, "/run/lmtp"});
  EXPECT_TRUE(
      p.simulation
          .Await(loop, network.Connect(loop, {IpAddress(), 0, "/run/lmtp"}, {}, Instant::Never()))
          .ok());
  EXPECT_FALSE(
      p.simulation
          .Await(loop, network.Connect(loop, {IpAddress(), 0, "/run/x"}, {}, Instant::Never()))
          .ok());
}

TEST(Network, APartitionDelaysAndHealDelivers) {
  Pair p(1);
  p.Open();
  p.wire().Partition(p.client, p.server);
  ASSERT_TRUE(p.Write(*p.a, "through the wall").ok());
  EXPECT_EQ(p.ReadOnce(*p.b, absl::Minutes(3)).status().code(), StatusCode::kDeadlineExceeded);
  p.wire().Heal(p.client, p.server);
  EXPECT_EQ(p.ReadBytes(*p.b, 16), "through the wall");
}

TEST(Network, TheSenderGivesUpOnALongPartition) {
  Pair p(1);
  p.Open();
  p.wire().PartitionOneWay(p.client, p.server);
  ASSERT_TRUE(p.Write(*p.a, "anyone?").ok());
  ASSERT_TRUE(p.Write(*p.b, "I still hear nothing").ok());
  EXPECT_EQ(p.ReadBytes(*p.a, 20), "I still hear nothing");
  p.simulation.RunFor(absl::Minutes(16));
  EXPECT_EQ(p.ReadOnce(*p.a).status().code(), StatusCode::kUnavailable);
}

TEST(Network, ResetCutsBothSides) {
  Pair p(1);
  p.Open();
  p.wire().Reset(p.client, p.server);
  EXPECT_EQ(p.ReadOnce(*p.a).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(p.Write(*p.b, "x").code(), StatusCode::kUnavailable);
}

TEST(Network, AKilledProcessLeavesAnEndOrAReset) {
  Pair p(1);
  p.Open();
  ASSERT_TRUE(p.Write(*p.b, "last words").ok());
  p.server.Crash(CrashKind::kKill);
  EXPECT_EQ(p.ReadBytes(*p.a, 10), "last words");
  const StatusOr<std::string> after = p.ReadOnce(*p.a);
  EXPECT_TRUE(after.ok() && after->empty());
  EXPECT_EQ(p.ReadOnce(*p.b).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(p.Accept(*p.listener).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(p.Connect({Address("192.0.2.2"), 25, ""}).status().code(), StatusCode::kUnavailable);
}

TEST(Network, PowerLossIsSilentUntilTheMachineIsBack) {
  Pair p(1);
  p.Open();
  p.server.Crash(CrashKind::kPowerLoss);
  EXPECT_EQ(p.ReadOnce(*p.a, absl::Minutes(1)).status().code(), StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(p.Write(*p.a, "hello?").ok());
  EXPECT_EQ(p.Connect({Address("192.0.2.2"), 25, ""}, absl::Seconds(9)).status().code(),
            StatusCode::kDeadlineExceeded);
  p.b.reset();
  p.listener.reset();
  p.server.Restart();
  p.simulation.RunFor(absl::Seconds(1));
  EXPECT_EQ(p.ReadOnce(*p.a).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(p.Connect({Address("192.0.2.2"), 25, ""}).status().code(), StatusCode::kUnavailable);
}

TEST(Network, ACrashWakesWaitsOfItsOwnSide) {
  Pair p(1);
  p.Open();
  StatusOr<size_t> result = size_t{99};
  TaskGroup group;
  group.Spawn(ReadInto(*p.b, Instant::Never(), &result));
  p.simulation.RunFor(absl::Seconds(1));
  p.server.Crash(CrashKind::kPowerLoss);
  p.simulation.RunFor(absl::Seconds(1));
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(group.running(), 0u);
}

TEST(Network, TheSameSeedTakesTheSameCourse) {
  const auto run = [](uint64_t seed) {
    Pair p(seed);
    std::vector<std::string> lines;
    p.simulation.SetTraceSink([&lines](const std::string& line) { lines.push_back(line); });
    p.Open();
    EXPECT_TRUE(p.Write(*p.a, std::string(5000, 'x')).ok());
    EXPECT_EQ(p.ReadBytes(*p.b, 5000).size(), 5000u);
    p.server.Crash(CrashKind::kPowerLoss);
    p.simulation.RunFor(absl::Seconds(1));
    EXPECT_FALSE(lines.empty());
    return std::pair(p.simulation.TraceHash(), lines);
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Network, OneWorkerAcceptsForAnother) {
  Pair p(1, {.workers = 2});
  auto listener = p.Listen({Address("192.0.2.2"), 25, ""});
  StatusOr<StreamPtr> opened = p.Connect({Address("192.0.2.2"), 25, ""});
  ASSERT_TRUE(opened.ok());
  World& world = p.server.world();
  StatusOr<StreamPtr> accepted =
      p.simulation.Await(world.worker(0), listener->Accept(world.worker(1)));
  ASSERT_TRUE(accepted.ok());
  EXPECT_EQ(&(*accepted)->executor(), &world.worker(1));
  ASSERT_TRUE(p.Write(**opened, "to the second loop").ok());
  EXPECT_EQ(p.ReadBytes(**accepted, 18), "to the second loop");
}

TEST(Network, InterfacesAndHostName) {
  Pair p(1);
  EXPECT_EQ(p.server.world().network().HostName(), "server.example");
  const std::vector<InterfaceAddress> all = p.server.world().network().Interfaces();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_TRUE(all[0].is_loopback);
  EXPECT_EQ(all[2].address.ToString(), "192.0.2.2");
  EXPECT_TRUE(all[2].has_default_route);
}

}  // namespace
}  // namespace postern::rt::sim
