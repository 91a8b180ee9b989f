#include "lib/rt/asio/asio_world.h"

#include <algorithm>
#include <errno.h>
#include <exception>
#include <mutex>
#include <new>
#include <signal.h>
#include <sys/random.h>
#include <thread>
#include <time.h>

#include "lib/core/base/check.h"
#include "lib/rt/asio/asio_executor.h"
#include "lib/rt/asio/asio_network.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/rt/asio/posix_processes.h"

namespace postern::rt {
namespace {

Instant ReadMonotonic() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return Instant{ts.tv_sec * int64_t{1'000'000'000} + ts.tv_nsec};
}

class SystemClock final : public Clock {
 public:
  Instant Now() override { return ReadMonotonic(); }
  WallTime WallNow() override { return absl::Now(); }
};

// How long Poll waits on the main loop before it looks at the others again.
constexpr Duration kWaitOfOneAmongSeveral = absl::Milliseconds(5);

class KernelRandom final : public Random {
 public:
  void Fill(std::span<uint8_t> octets) override {
    while (!octets.empty()) {
      const ssize_t got = getrandom(octets.data(), octets.size(), 0);
      if (got < 0) {
        POSTERN_CHECK(errno == EINTR);
        continue;
      }
      octets = octets.subspan(static_cast<size_t>(got));
    }
  }
};

}  // namespace

struct AsioWorld::Parts {
  SystemClock clock;
  KernelRandom random;
  PosixFiles files;
  AsioNetwork network;
  PosixProcesses processes;
  ThreadPool pool;
  std::vector<std::unique_ptr<AsioExecutor>> workers;
  std::atomic<bool> stopped{false};

  explicit Parts(const AsioWorldOptions& options) : pool(options.pool_threads) {}
};

AsioWorld::AsioWorld(const AsioWorldOptions& options) : parts_(std::make_unique<Parts>(options)) {
  const bool threads = !options.no_threads && options.pool_threads > 0;
  const size_t workers = options.no_threads || options.workers == 0 ? 1 : options.workers;
  for (size_t i = 0; i < workers; ++i) {
    parts_->workers.push_back(std::make_unique<AsioExecutor>(threads ? &parts_->pool : nullptr));
  }
}

AsioWorld::~AsioWorld() { parts_->pool.Stop(); }

Clock& AsioWorld::clock() { return parts_->clock; }
Random& AsioWorld::random() { return parts_->random; }
Files& AsioWorld::files() { return parts_->files; }
Network& AsioWorld::network() { return parts_->network; }
Processes& AsioWorld::processes() { return parts_->processes; }
size_t AsioWorld::worker_count() const { return parts_->workers.size(); }
Executor& AsioWorld::worker(size_t index) { return *parts_->workers[index]; }

void AsioWorld::Run() {
  parts_->stopped = false;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto fail = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!failure) failure = std::current_exception();
    Stop();
  };
  const auto serve = [&](AsioExecutor* loop) {
    try {
      while (!parts_->stopped) {
        try {
          loop->RunOnce(absl::InfiniteDuration());
        } catch (const std::bad_alloc&) {
          // It ended one callback. What waits in the loop is in place and goes on.
        }
      }
    } catch (...) {
      fail();
    }
  };
  std::vector<std::thread> threads;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (size_t i = 1; i < parts_->workers.size(); ++i)
      threads.emplace_back(serve, parts_->workers[i].get());
  } catch (...) {
    fail();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  serve(parts_->workers[0].get());
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

size_t AsioWorld::Poll(Duration max_wait) {
  size_t ran = 0;
  for (size_t i = 1; i < parts_->workers.size(); ++i)
    ran += parts_->workers[i]->RunOnce(absl::ZeroDuration());
  // One loop's wait must not hold back the others.
  if (parts_->workers.size() > 1)
    max_wait = ran > 0 ? absl::ZeroDuration() : std::min(max_wait, kWaitOfOneAmongSeveral);
  return ran + parts_->workers[0]->RunOnce(max_wait);
}

void AsioWorld::Stop() {
  parts_->stopped = true;
  for (const auto& worker : parts_->workers) worker->Wake();
}

}  // namespace postern::rt
