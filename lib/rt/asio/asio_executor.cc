#include "lib/rt/asio/asio_executor.h"

#include <exception>
#include <time.h>
#include <utility>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>

namespace postern::rt {
namespace {

// Without memory to wait for a descriptor it is tried again after this.
constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);

// PosixFdWatch waits for one readiness at a time in each direction and asks again after each.
class PosixFdWatch final : public FdWatch {
 public:
  PosixFdWatch(AsioExecutor* loop, int fd, FdInterest interest,
               std::function<void(FdInterest)> on_ready)
      : state_(std::make_shared<State>(loop, fd, std::move(on_ready))) {
    if (interest.read) Ask(state_, true);
    if (interest.write) Ask(state_, false);
  }
  ~PosixFdWatch() override {
    state_->loop->Disarm(state_.get());
    state_->on_ready = nullptr;
    state_->descriptor.release();
  }

 private:
  // State is shared by the watch and what it asked for, which may outlive it. As a Timer it asks
  // again for what could not be asked for.
  struct State : Timer, std::enable_shared_from_this<State> {
    State(AsioExecutor* on, int fd, std::function<void(FdInterest)> ready)
        : loop(on), descriptor(on->io(), fd), on_ready(std::move(ready)) {}
    // A socket that is the library's is not closed by a constructor that failed.
    ~State() {
      if (descriptor.is_open()) descriptor.release();
    }
    AsioExecutor* loop;
    asio::posix::stream_descriptor descriptor;
    std::function<void(FdInterest)> on_ready;
    bool lacks_read = false;
    bool lacks_write = false;
  };

  static void Ask(const std::shared_ptr<State>& state, bool read) noexcept {
    using Descriptor = asio::posix::stream_descriptor;
    try {
      state->descriptor.async_wait(read ? Descriptor::wait_read : Descriptor::wait_write,
                                   [state, read](const asio::error_code& error) {
                                     if (!error) OnReady(state, read);
                                   });
    } catch (const std::exception&) {
      AskAt(state, read, state->loop->Now() + kPauseWithoutMemory);
    }
  }

  static void AskAt(const std::shared_ptr<State>& state, bool read, Instant at) noexcept {
    (read ? state->lacks_read : state->lacks_write) = true;
    state->run = [](Timer* timer) {
      const std::shared_ptr<State> lacking = static_cast<State*>(timer)->shared_from_this();
      if (std::exchange(lacking->lacks_read, false)) Ask(lacking, true);
      if (std::exchange(lacking->lacks_write, false)) Ask(lacking, false);
    };
    state->loop->Arm(state.get(), at);
  }

  static void OnReady(const std::shared_ptr<State>& state, bool read) {
    if (!state->on_ready) return;
    struct Again {  // also after an exception
      const std::shared_ptr<State>& state;
      bool read;
      ~Again() {
        // In the next turn: what stays ready would else be told of again and again, and those whom
        // it woke never have theirs.
        if (state->on_ready) AskAt(state, read, state->loop->Now());
      }
    } const again{state, read};
    const std::function<void(FdInterest)> on_ready = state->on_ready;
    on_ready(FdInterest{.read = read, .write = !read});
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

AsioExecutor::~AsioExecutor() {
  TakeJobsOfOthers();
  while (!jobs_.empty()) {
    Job* const job = jobs_.Pop();
    if (job->drop != nullptr) job->drop(job);
  }
}

// --- jobs ---

void AsioExecutor::PostJob(Job* job) noexcept {
  if (IsCurrent()) {
    jobs_.Push(job);
    return;
  }
  Job* first = others_.load(std::memory_order_relaxed);
  do {
    job->next = first;
  } while (!others_.compare_exchange_weak(first, job, std::memory_order_release,
                                          std::memory_order_relaxed));
  // A handler posted to Asio would take memory; to stop the loop takes none, and RunOnce, which
  // starts it anew, looks at the list in between.
  if (first == nullptr) io_.stop();
}

void AsioExecutor::Post(std::function<void()> fn) { asio::post(io_, std::move(fn)); }

void AsioExecutor::PostBlocking(Job* job) noexcept {
  job->home = this;
  if (pool_ == nullptr || !pool_->Post(job)) PostJob(job);
}

void AsioExecutor::PostOutside(Job* job) noexcept {
  job->home = this;
  if (pool_ == nullptr || !pool_->PostOutside(job)) PostJob(job);
}

void AsioExecutor::TakeJobsOfOthers() noexcept {
  if (others_.load(std::memory_order_relaxed) == nullptr) return;
  Job* last = others_.exchange(nullptr, std::memory_order_acquire);
  Job* in_order = nullptr;
  while (last != nullptr) {
    Job* const before = last->next;
    last->next = in_order;
    in_order = last;
    last = before;
  }
  while (in_order != nullptr) {
    Job* const after = in_order->next;
    jobs_.Push(in_order);
    in_order = after;
  }
}

// RunJobs runs those that are there; what they post waits for the next turn.
size_t AsioExecutor::RunJobs() {
  TakeJobsOfOthers();
  const size_t count = jobs_.size();
  for (size_t i = 0; i < count; ++i) {
    Job* const job = jobs_.Pop();
    const auto done = job->done;
    job->run(job);
    if (done == nullptr) continue;  // it may be gone
    job->run = done;
    job->done = nullptr;
    jobs_.Push(job);
  }
  return count;
}

// --- timers ---

void AsioExecutor::Arm(Timer* timer, Instant at) noexcept {
  if (timer->armed()) timers_.Remove(timer);
  if (!at.IsNever()) timers_.Insert(timer, at);
}

void AsioExecutor::Disarm(Timer* timer) noexcept {
  if (timer->armed()) timers_.Remove(timer);
}

Executor::TimerId AsioExecutor::CallAt(Instant at, std::function<void()> fn) {
  const TimerId id = ++last_timer_;
  OwnedTimer& timer = owned_timers_[id];
  timer.loop = this;
  timer.id = id;
  timer.fn = std::move(fn);
  timer.run = [](Timer* due) {
    auto* const self = static_cast<OwnedTimer*>(due);
    const auto owned = self->loop->owned_timers_.extract(self->id);
    owned.mapped().fn();
  };
  Arm(&timer, at);
  return id;
}

void AsioExecutor::CancelTimer(TimerId id) noexcept {
  const auto it = owned_timers_.find(id);
  if (it == owned_timers_.end()) return;
  Disarm(&it->second);
  owned_timers_.erase(it);
}

std::unique_ptr<FdWatch> AsioExecutor::WatchFd(int fd, FdInterest interest,
                                               std::function<void(FdInterest)> on_ready) {
  return std::make_unique<PosixFdWatch>(this, fd, interest, std::move(on_ready));
}

size_t AsioExecutor::RunDueTimers() {
  size_t ran = 0;
  while (Timer* const due = timers_.TakeDue(now_)) {
    due->run(due);
    ++ran;
  }
  return ran;
}

size_t AsioExecutor::RunOnce(Duration max_wait) {
  running_on_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  struct End {
    AsioExecutor* loop;
    ~End() { loop->running_on_.store(std::thread::id(), std::memory_order_relaxed); }
  } const end{this};
  // Starting anew comes before the list is looked at: whoever puts a job on it after that stops the
  // loop after that too.
  if (io_.stopped()) io_.restart();
  ReadClock();
  size_t ran = RunDueTimers();
  ran += RunJobs();
  if (!timers_.empty()) max_wait = std::min(max_wait, timers_.next() - now_);
  if (ran == 0 && max_wait > absl::ZeroDuration()) {
    // Straight into the wait, which ends at once when something is ready: to look first would be
    // one more call of the system for each turn. A bounded wait also for "forever": the clock type
    // of Asio would overflow.
    const Duration bounded = std::min(max_wait, absl::Hours(24));
    waited_ = true;
    ran += io_.run_one_for(absl::ToChronoNanoseconds(bounded));
    ReadClock();
    ran += RunDueTimers();
    ran += RunJobs();
  }
  ran += io_.poll();
  ran += RunJobs();
  return ran;
}

}  // namespace postern::rt
