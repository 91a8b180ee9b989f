// AsioExecutor: one Asio event loop with the timers of rt::Executor.
#pragma once

#include <atomic>
#include <map>
#include <thread>

#include <asio/io_context.hpp>

#include "lib/rt/asio/thread_pool.h"
#include "lib/rt/executor.h"

namespace postern::rt {

class AsioExecutor final : public Executor {
 public:
  // `pool` outlives the executor; null means blocking work runs on the loop itself.
  explicit AsioExecutor(ThreadPool* pool);

  Instant Now() const override {
    if (waited_) ReadClock();
    return now_;
  }
  void Post(std::function<void()> fn) override;
  TimerId CallAt(Instant at, std::function<void()> fn) override;
  void CancelTimer(TimerId id) override;
  void PostBlocking(std::function<void()> work, std::function<void()> done) override;
  void PostOutside(std::function<void()> work, std::function<void()> done) override;
  std::unique_ptr<FdWatch> WatchFd(int fd, FdInterest interest,
                                   std::function<void(FdInterest)> on_ready) override;
  bool IsCurrent() const override {
    return running_on_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  // RunOnce runs what is ready; when nothing is, it waits until something is or `max_wait` has
  // passed. It returns how many callbacks ran. One thread at a time.
  size_t RunOnce(Duration max_wait);

  // Wake ends a RunOnce that waits. Any thread.
  void Wake();

  asio::io_context& io() { return io_; }

 private:
  void ReadClock() const;
  size_t RunDueTimers();

  using TimerKey = std::pair<Instant, TimerId>;

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_open_;
  ThreadPool* pool_;
  mutable Instant now_;
  // the loop has slept since now_ was read: the first callback after it reads anew
  mutable bool waited_ = false;
  std::map<TimerKey, std::function<void()>> timers_;
  std::map<TimerId, Instant> timer_times_;
  TimerId next_timer_ = 1;
  std::atomic<std::thread::id> running_on_{};
};

}  // namespace postern::rt
