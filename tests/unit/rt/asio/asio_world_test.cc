#include "lib/rt/asio/asio_world.h"

#include <stdexcept>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

Endpoint Loopback(uint16_t port) { return Endpoint{IpAddress::V4(127, 0, 0, 1), port, ""}; }

// RunUntil polls the world until `done` or five seconds have passed.
void RunUntil(AsioWorld& world, const bool& done) {
  const Instant end = world.clock().Now() + absl::Seconds(5);
  while (!done && world.clock().Now() < end) world.Poll(absl::Milliseconds(20));
  ASSERT_TRUE(done) << "nothing happened in time";
}

Task<void> EchoOnce(Listener* listener, Executor* loop) {
  StatusOr<std::unique_ptr<Stream>> stream = co_await listener->Accept(*loop);
  if (!stream.ok()) co_return;
  char buffer[1024];
  for (;;) {
    StatusOr<size_t> got =
        co_await ReadSome(**stream, std::span<char>(buffer), loop->Now() + absl::Seconds(2));
    if (!got.ok() || *got == 0) co_return;
    const std::string_view data(buffer, *got);
    (void)co_await (*stream)->Write(data, loop->Now() + absl::Seconds(2));
  }
}

Task<void> TalkToEcho(World* world, Endpoint remote, size_t bytes, std::string* heard, bool* done) {
  Executor& loop = world->main_loop();
  ConnectOptions options;
  StatusOr<std::unique_ptr<Stream>> stream =
      co_await world->network().Connect(loop, remote, options, loop.Now() + absl::Seconds(2));
  if (stream.ok()) {
    const std::string sent(bytes, 'x');
    const Status written = co_await (*stream)->Write(sent, loop.Now() + absl::Seconds(2));
    EXPECT_TRUE(written.ok()) << Text(written);
    char buffer[4096];
    while (heard->size() < bytes) {
      StatusOr<size_t> got =
          co_await ReadSome(**stream, std::span<char>(buffer), loop.Now() + absl::Seconds(2));
      if (!got.ok() || *got == 0) break;
      heard->append(buffer, *got);
    }
  }
  *done = true;
}

TEST(AsioWorld, CarriesOctetsBothWaysWithoutThreads) {
  AsioWorldOptions options;
  options.no_threads = true;
  AsioWorld world(options);
  StatusOr<std::unique_ptr<Listener>> listener =
      world.network().Listen(world.main_loop(), Loopback(0), {});
  ASSERT_TRUE(listener.ok()) << Text(listener.status());
  TaskGroup group;
  std::string heard;
  bool done = false;
  group.Spawn(EchoOnce(listener->get(), &world.main_loop()));
  group.Spawn(TalkToEcho(&world, (*listener)->local(), 1024, &heard, &done));
  RunUntil(world, done);
  EXPECT_EQ(heard, std::string(1024, 'x'));
  bool joined = false;
  while (group.running() > 0) world.Poll(absl::Milliseconds(10));
  (void)joined;
}

Task<void> ReadUntilDeadline(World* world, Listener* listener, Status* result, bool* done) {
  StatusOr<std::unique_ptr<Stream>> stream = co_await listener->Accept(world->main_loop());
  *result = co_await (*stream)->WaitReadable(world->main_loop().Now() + absl::Milliseconds(30));
  *done = true;
}
Task<void> ConnectAndHold(World* world, Endpoint remote, std::unique_ptr<Stream>* held) {
  ConnectOptions options;
  StatusOr<std::unique_ptr<Stream>> stream =
      co_await world->network().Connect(world->main_loop(), remote, options, Instant::Never());
  if (stream.ok()) *held = std::move(*stream);
}

TEST(AsioWorld, ASilentPeerMeetsItsDeadline) {
  AsioWorld world;
  auto listener = world.network().Listen(world.main_loop(), Loopback(0), {});
  ASSERT_TRUE(listener.ok());
  TaskGroup group;
  Status result;
  bool done = false;
  std::unique_ptr<Stream> held;
  group.Spawn(ReadUntilDeadline(&world, listener->get(), &result, &done));
  group.Spawn(ConnectAndHold(&world, (*listener)->local(), &held));
  RunUntil(world, done);
  EXPECT_EQ(result.code(), StatusCode::kDeadlineExceeded);
  while (group.running() > 0) world.Poll(absl::Milliseconds(10));
}

TEST(AsioWorld, AnAddressInUseIsNamed) {
  AsioWorld world;
  auto first = world.network().Listen(world.main_loop(), Loopback(0), {});
  ASSERT_TRUE(first.ok());
  auto second = world.network().Listen(world.main_loop(), (*first)->local(), {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Message(second.status()),
            StrCat((*first)->local().ToString(), " is in use by another program"));
  auto elsewhere = world.network().Listen(world.main_loop(),
                                          Endpoint{IpAddress::V4(192, 0, 2, 77), 2525, ""}, {});
  EXPECT_EQ(elsewhere.status().code(), StatusCode::kInvalidArgument);
}

Task<void> Connects(World* world, Endpoint remote, Status* result, bool* done) {
  ConnectOptions options;
  StatusOr<std::unique_ptr<Stream>> stream =
      co_await world->network().Connect(world->main_loop(), remote, options, Instant::Never());
  *result = stream.status();
  *done = true;
}

TEST(AsioWorld, ARefusedConnectionIsUnavailable) {
  AsioWorld world;
  Endpoint gone;
  {
    auto listener = world.network().Listen(world.main_loop(), Loopback(0), {});
    gone = (*listener)->local();
  }
  world.Poll(absl::Milliseconds(1));
  TaskGroup group;
  Status result;
  bool done = false;
  group.Spawn(Connects(&world, gone, &result, &done));
  RunUntil(world, done);
  EXPECT_EQ(result.code(), StatusCode::kUnavailable) << Text(result);
}

Task<void> AcceptOne(World* world, Listener* listener, bool* on_reserve, bool* done) {
  StatusOr<std::unique_ptr<Stream>> stream = co_await listener->Accept(world->main_loop());
  *on_reserve = stream.ok() && (*stream)->accepted_on_reserve();
  *done = true;
}

TEST(AsioWorld, WithoutDescriptorsTheReserveServesOneClient) {
  AsioWorld world;
  auto listener = world.network().Listen(world.main_loop(), Loopback(0), {});
  ASSERT_TRUE(listener.ok());
  TaskGroup group;
  std::unique_ptr<Stream> held;
  group.Spawn(ConnectAndHold(&world, (*listener)->local(), &held));
  const Instant end = world.clock().Now() + absl::Seconds(5);
  while (held == nullptr && world.clock().Now() < end) world.Poll(absl::Milliseconds(10));
  ASSERT_NE(held, nullptr);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const int lowest_free = dup(0);
  close(lowest_free);
  rlimit tight{static_cast<rlim_t>(lowest_free), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &tight);
  bool on_reserve = false, done = false;
  group.Spawn(AcceptOne(&world, listener->get(), &on_reserve, &done));
  RunUntil(world, done);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(on_reserve);
}

Task<void> BlocksElsewhere(World* world, std::thread::id* where, bool* done) {
  auto work = world->main_loop().RunBlocking([] { return std::this_thread::get_id(); });
  *where = co_await work;
  EXPECT_TRUE(world->main_loop().IsCurrent());
  *done = true;
}

TEST(AsioWorld, BlockingWorkRunsOnThePoolAndComesBack) {
  AsioWorld world;
  TaskGroup group;
  std::thread::id where;
  bool done = false;
  group.Spawn(BlocksElsewhere(&world, &where, &done));
  RunUntil(world, done);
  EXPECT_NE(where, std::this_thread::get_id());

  AsioWorldOptions options;
  options.no_threads = true;
  AsioWorld bare(options);
  done = false;
  group.Spawn(BlocksElsewhere(&bare, &where, &done));
  RunUntil(bare, done);
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(AsioWorld, TheFirstCallbackAfterASleepSeesTheTimeOfItsTurn) {
  AsioWorld world;
  world.Poll(absl::ZeroDuration());
  const Instant before = world.clock().Now();
  Instant seen;
  std::thread waker([&world, &seen] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    world.main_loop().Post([&world, &seen] { seen = world.main_loop().Now(); });
  });
  world.Poll(absl::Seconds(5));
  waker.join();
  EXPECT_GE(seen - before, absl::Milliseconds(50));
}

Task<void> WaitsFor(Event* event, Instant deadline, bool* woken, bool* done) {
  *woken = co_await event->Wait(deadline);
  *done = true;
}

TEST(Event, WakesOnSetAndGivesUpAtItsDeadline) {
  AsioWorld world;
  Event event(&world.main_loop());
  TaskGroup group;
  bool woken = true, done = false;
  group.Spawn(WaitsFor(&event, world.clock().Now() + absl::Milliseconds(20), &woken, &done));
  RunUntil(world, done);
  EXPECT_FALSE(woken);
  done = false;
  group.Spawn(WaitsFor(&event, Instant::Never(), &woken, &done));
  event.Set();
  RunUntil(world, done);
  EXPECT_TRUE(woken);
}

TEST(AsioWorld, RunServesEveryWorkerUntilStop) {
  AsioWorldOptions options;
  options.workers = 3;
  AsioWorld world(options);
  std::atomic<int> ran{0};
  for (size_t i = 0; i < 3; ++i) {
    world.worker(i).Post([&world, &ran] {
      if (++ran == 3) world.Stop();
    });
  }
  world.Run();
  EXPECT_EQ(ran, 3);
}

TEST(AsioWorld, PollServesEveryWorkerOnTheCallersThread) {
  AsioWorldOptions options;
  options.workers = 3;
  AsioWorld world(options);
  const std::thread::id here = std::this_thread::get_id();
  bool done = false;
  // Around the loops and back: each hands on to the next.
  world.worker(1).Post([&] {
    EXPECT_EQ(std::this_thread::get_id(), here);
    world.worker(2).Post([&] {
      EXPECT_TRUE(world.worker(2).IsCurrent());
      world.main_loop().Post([&] { done = true; });
    });
  });
  RunUntil(world, done);
}

TEST(AsioWorld, AnExceptionOnAWorkerEndsRunAndComesOut) {
  for (const size_t thrower : {size_t{0}, size_t{1}}) {
    AsioWorldOptions options;
    options.workers = 2;
    AsioWorld world(options);
    world.worker(thrower).Post([] { throw std::runtime_error("from a callback"); });
    EXPECT_THROW(world.Run(), std::runtime_error);
  }
}

}  // namespace
}  // namespace postern::rt
