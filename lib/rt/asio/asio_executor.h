// AsioExecutor: one Asio event loop with the jobs and timers of rt::Executor.
#pragma once

#include <atomic>
#include <thread>
#include <unordered_map>

#include <asio/io_context.hpp>

#include "lib/rt/asio/thread_pool.h"
#include "lib/rt/executor.h"

namespace postern::rt {

class AsioExecutor final : public Executor {
 public:
  // `pool` outlives the executor; null means blocking work runs on the loop itself.
  explicit AsioExecutor(ThreadPool* pool);
  ~AsioExecutor() override;

  Instant Now() const override {
    if (waited_) ReadClock();
    return now_;
  }
  void PostJob(Job* job) noexcept override;
  void Post(std::function<void()> fn) override;
  void Arm(Timer* timer, Instant at) noexcept override;
  void Disarm(Timer* timer) noexcept override;
  TimerId CallAt(Instant at, std::function<void()> fn) override;
  void CancelTimer(TimerId id) noexcept override;
  void PostBlocking(Job* job) noexcept override;
  void PostOutside(Job* job) noexcept override;
  std::unique_ptr<FdWatch> WatchFd(int fd, FdInterest interest,
                                   std::function<void(FdInterest)> on_ready) override;
  bool IsCurrent() const override {
    return running_on_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  // RunOnce runs what is ready; when nothing is, it waits until something is or `max_wait` has
  // passed. It returns how many callbacks ran. One thread at a time. What a callback throws leaves
  // it, and the rest waits for the next call.
  size_t RunOnce(Duration max_wait);

  // Wake ends a RunOnce that waits, or the next one. Any thread.
  void Wake() noexcept { io_.stop(); }

  asio::io_context& io() { return io_; }

 private:
  struct OwnedTimer : Timer {
    AsioExecutor* loop = nullptr;
    TimerId id = 0;
    std::function<void()> fn;
  };

  void ReadClock() const;
  size_t RunDueTimers();
  void TakeJobsOfOthers() noexcept;
  size_t RunJobs();

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_open_;
  ThreadPool* pool_;
  mutable Instant now_;
  // the loop has slept since now_ was read: the first callback after it reads anew
  mutable bool waited_ = false;
  TimerHeap timers_;
  std::unordered_map<TimerId, OwnedTimer> owned_timers_;  // of CallAt
  TimerId last_timer_ = 0;
  JobList jobs_;  // the loop's own
  // of other threads, the last first; who puts the first on it wakes the loop
  std::atomic<Job*> others_{nullptr};
  std::atomic<std::thread::id> running_on_{};
};

}  // namespace postern::rt
