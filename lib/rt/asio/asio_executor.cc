#include "lib/rt/asio/asio_executor.h"

#include <time.h>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>

namespace postern::rt {
namespace {

// PosixFdWatch waits for one readiness at a time in each direction and asks again after each.
class PosixFdWatch final : public FdWatch {
 public:
  PosixFdWatch(asio::io_context& io, int fd, FdInterest interest,
               std::function<void(FdInterest)> on_ready)
      : state_(std::make_shared<State>(io, fd, std::move(on_ready))) {
    if (interest.read) Arm(state_, true);
    if (interest.write) Arm(state_, false);
  }
  ~PosixFdWatch() override {
    state_->on_ready = nullptr;
    state_->descriptor.release();
  }

 private:
  struct State {
    State(asio::io_context& io, int fd, std::function<void(FdInterest)> ready)
        : descriptor(io, fd), on_ready(std::move(ready)) {}
    asio::posix::stream_descriptor descriptor;
    std::function<void(FdInterest)> on_ready;
  };

  static void Arm(const std::shared_ptr<State>& state, bool read) {
    using Descriptor = asio::posix::stream_descriptor;
    state->descriptor.async_wait(read ? Descriptor::wait_read : Descriptor::wait_write,
                                 [state, read](const asio::error_code& error) {
                                   if (error || !state->on_ready) return;
                                   const std::function<void(FdInterest)> on_ready = state->on_ready;
                                   on_ready(FdInterest{.read = read, .write = !read});
                                   if (state->on_ready) Arm(state, read);
                                 });
  }

  std::shared_ptr<State> state_;
};

}  // namespace

AsioExecutor::AsioExecutor(ThreadPool* pool) : keep_open_(asio::make_work_guard(io_)), pool_(pool) {
  ReadClock();
}

void AsioExecutor::ReadClock() const {
  waited_ = false;
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  now_ = Instant{ts.tv_sec * int64_t{1'000'000'000} + ts.tv_nsec};
}

void AsioExecutor::Post(std::function<void()> fn) { asio::post(io_, std::move(fn)); }

Executor::TimerId AsioExecutor::CallAt(Instant at, std::function<void()> fn) {
  const TimerId id = next_timer_++;
  timers_.emplace(TimerKey{at, id}, std::move(fn));
  timer_times_.emplace(id, at);
  return id;
}

void AsioExecutor::CancelTimer(TimerId id) {
  const auto it = timer_times_.find(id);
  if (it == timer_times_.end()) return;
  timers_.erase(TimerKey{it->second, id});
  timer_times_.erase(it);
}

void AsioExecutor::PostBlocking(std::function<void()> work, std::function<void()> done) {
  auto both = [this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    Post(std::move(done));
  };
  if (pool_ == nullptr || !pool_->Post(both)) Post(std::move(both));
}

void AsioExecutor::PostOutside(std::function<void()> work, std::function<void()> done) {
  auto both = [this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    Post(std::move(done));
  };
  if (pool_ == nullptr || !pool_->PostOutside(both)) Post(std::move(both));
}

std::unique_ptr<FdWatch> AsioExecutor::WatchFd(int fd, FdInterest interest,
                                               std::function<void(FdInterest)> on_ready) {
  return std::make_unique<PosixFdWatch>(io_, fd, interest, std::move(on_ready));
}

size_t AsioExecutor::RunDueTimers() {
  size_t ran = 0;
  while (!timers_.empty() && timers_.begin()->first.first <= now_) {
    auto node = timers_.extract(timers_.begin());
    timer_times_.erase(node.key().second);
    node.mapped()();
    ++ran;
  }
  return ran;
}

size_t AsioExecutor::RunOnce(Duration max_wait) {
  running_on_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  ReadClock();
  size_t ran = RunDueTimers();
  if (!timers_.empty()) max_wait = std::min(max_wait, timers_.begin()->first.first - now_);
  if (ran == 0 && max_wait > absl::ZeroDuration()) {
    // Straight into the wait, which ends at once when something is ready: to look first would be
    // one more call of the system for each turn. A bounded wait also for "forever": the clock type
    // of Asio would overflow.
    const Duration bounded = std::min(max_wait, absl::Hours(24));
    waited_ = true;
    ran += io_.run_one_for(absl::ToChronoNanoseconds(bounded));
    ReadClock();
    ran += RunDueTimers();
  }
  ran += io_.poll();
  running_on_.store(std::thread::id(), std::memory_order_relaxed);
  return ran;
}

void AsioExecutor::Wake() {
  asio::post(io_, [] {});
}

}  // namespace postern::rt
