// Executor: one event loop, its timers, and the pool for work that blocks.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lib/core/base/time.h"
#include "lib/rt/job.h"
#include "lib/rt/task.h"
#include "lib/rt/timer.h"

namespace postern::rt {

// FdWatch keeps a descriptor watched for as long as it lives. It does not own the descriptor. Loop
// only.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
};

struct FdInterest {
  bool read = false;
  bool write = false;
};

// Executor runs callbacks one after the other on one loop (one thread at a time).
//
// What somebody waits for must arrive though memory has run out. So all that wakes a coroutine is a
// Job or a Timer, which the one who waits keeps, and is noexcept; a std::function is for those who
// can bear an exception when it is handed over.
class Executor {
 public:
  using TimerId = uint64_t;
  virtual ~Executor() = default;

  // Now is the monotonic time of this turn of the loop. Loop only.
  virtual Instant Now() const = 0;

  // PostJob queues `job` to run on the loop, after those that were queued before, never inside the
  // call. Any thread.
  virtual void PostJob(Job* job) noexcept = 0;

  // Post is PostJob with a function; it may throw std::bad_alloc, and nothing is queued then.
  // Functions run in the order in which they were posted; so do Jobs; between the two there is
  // none. Any thread.
  virtual void Post(std::function<void()> fn) = 0;

  // Arm runs `timer` on the loop once `at` has come (Never: not at all), unless Disarm comes first.
  // A timer that is armed already gets the new time. Disarm of one that is not armed does nothing.
  // Loop only.
  virtual void Arm(Timer* timer, Instant at) noexcept = 0;
  virtual void Disarm(Timer* timer) noexcept = 0;

  // CallAt runs `fn` on the loop once `at` has come, unless CancelTimer(id) comes first (cancelling
  // a timer that has run or is unknown does nothing). Ids are not 0. It may throw std::bad_alloc.
  // Loop only.
  virtual TimerId CallAt(Instant at, std::function<void()> fn) = 0;
  virtual void CancelTimer(TimerId id) noexcept = 0;

  // PostBlocking runs `job` on the pool, where it may block (disk, SQLite, password hashes), and
  // then its `done` on this loop. Any thread. With a pool of no threads (an embedder's poll loop),
  // or when the system has no thread for it, it runs on the loop itself, in a later turn.
  virtual void PostBlocking(Job* job) noexcept = 0;

  // PostOutside is PostBlocking for work that may wait for somebody else: a program, another
  // server. However long they all wait, part of the pool stays free for the disk.
  virtual void PostOutside(Job* job) noexcept { PostBlocking(job); }

  // WatchFd calls `on_ready` on the loop each time `fd` is ready for what `interest` asks, until
  // the result is destroyed (which `on_ready` may do). It is for libraries that own sockets of
  // their own, such as a DNS resolver. Null where there are no descriptors (the simulation). Loop
  // only.
  virtual std::unique_ptr<FdWatch> WatchFd(int fd, FdInterest interest,
                                           std::function<void(FdInterest)> on_ready) {
    (void)fd, (void)interest, (void)on_ready;
    return nullptr;
  }

  // IsCurrent tells whether the caller runs on this loop.
  virtual bool IsCurrent() const = 0;

  // RunBlocking is PostBlocking as an awaitable: `co_await executor.RunBlocking([&] { return
  // store.Read(id); })`. What `work` refers to must live until it returns: the awaiting coroutine's
  // own frame does. An exception of `work` is rethrown; there is no other.
  template <typename Fn>
  auto RunBlocking(Fn work);

  // RunOutside is RunBlocking by PostOutside.
  template <typename Fn>
  auto RunOutside(Fn work);

  // Yield lets other callbacks of the loop run: `co_await executor.Yield()`.
  auto Yield();

 protected:
  // For those who keep timers elsewhere than in a TimerHeap: the number is theirs.
  static uint64_t NumberOf(const Timer* timer) { return timer->number_; }
  static void SetArmed(Timer* timer, bool armed, uint64_t number) {
    timer->armed_ = armed;
    timer->number_ = number;
  }
};

namespace executor_internal {

template <typename T>
using Slot = std::conditional_t<std::is_void_v<T>, bool, T>;

template <typename Fn>
struct BlockingAwaiter : Job {
  using Result = std::invoke_result_t<Fn&>;
  BlockingAwaiter(Executor* on, Fn what, bool is_outside)
      : executor(on), work(std::move(what)), outside(is_outside) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept {
    waiter = handle;
    run = [](Job* job) { static_cast<BlockingAwaiter*>(job)->Work(); };
    done = [](Job* job) { static_cast<BlockingAwaiter*>(job)->waiter.resume(); };
    if (outside) {
      executor->PostOutside(this);
    } else {
      executor->PostBlocking(this);
    }
  }
  Result await_resume() {
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<Result>) return std::move(*result);
  }
  void Work() noexcept {
    try {
      if constexpr (std::is_void_v<Result>) {
        work();
        result.emplace(true);
      } else {
        result.emplace(work());
      }
    } catch (...) {
      failure = std::current_exception();
    }
  }

  Executor* executor;
  Fn work;
  bool outside;
  std::coroutine_handle<> waiter;
  std::optional<Slot<Result>> result;
  std::exception_ptr failure;
};

struct YieldAwaiter : Job {
  explicit YieldAwaiter(Executor* on) : executor(on) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept {
    waiter = handle;
    run = [](Job* job) { static_cast<YieldAwaiter*>(job)->waiter.resume(); };
    executor->PostJob(this);
  }
  void await_resume() const noexcept {}

  Executor* executor;
  std::coroutine_handle<> waiter;
};

}  // namespace executor_internal

template <typename Fn>
auto Executor::RunBlocking(Fn work) {
  return executor_internal::BlockingAwaiter<Fn>(this, std::move(work), false);
}
template <typename Fn>
auto Executor::RunOutside(Fn work) {
  return executor_internal::BlockingAwaiter<Fn>(this, std::move(work), true);
}
inline auto Executor::Yield() { return executor_internal::YieldAwaiter(this); }

// Event is a flag that coroutines of one loop can wait for. It is also how one sleeps: wait for an
// Event that nobody sets, or for the one that is set on stop, until a deadline. Neither to wait nor
// to wake takes memory.
class Event {
 public:
  explicit Event(Executor* executor) : executor_(executor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { POSTERN_CHECK(first_ == nullptr); }

  // Set wakes all who wait and lets later waiters pass until Reset. Loop only; from another thread,
  // post it.
  void Set() noexcept {
    set_ = true;
    WakeAll();
  }
  // Pulse wakes those who wait now and leaves the flag as it was.
  void Pulse() noexcept { WakeAll(); }
  void Reset() noexcept { set_ = false; }
  bool is_set() const { return set_; }
  Executor* executor() const { return executor_; }

  // Wait returns true when the event was set or pulsed, false when `deadline` came first.
  auto Wait(Instant deadline = Instant::Never()) noexcept { return Awaiter(this, deadline); }

 private:
  struct Awaiter : Job, Timer {
    Awaiter(Event* on, Instant until) : event(on), deadline(until) {}

    bool await_ready() {
      woken = event->set_;
      return woken || deadline <= event->executor_->Now();
    }
    void await_suspend(std::coroutine_handle<> handle) noexcept {
      waiter = handle;
      event->Link(this);
      if (deadline.IsNever()) return;
      Timer::run = [](Timer* timer) {
        auto* const self = static_cast<Awaiter*>(timer);
        self->event->Unlink(self);
        self->waiter.resume();
      };
      event->executor_->Arm(this, deadline);
    }
    bool await_resume() const noexcept { return woken; }

    Event* event;
    Instant deadline;
    std::coroutine_handle<> waiter;
    Awaiter* after = nullptr;
    Awaiter* before = nullptr;
    bool woken = false;
  };

  void Link(Awaiter* awaiter) noexcept {
    awaiter->before = last_;
    awaiter->after = nullptr;
    (last_ == nullptr ? first_ : last_->after) = awaiter;
    last_ = awaiter;
  }
  void Unlink(Awaiter* awaiter) noexcept {
    (awaiter->before == nullptr ? first_ : awaiter->before->after) = awaiter->after;
    (awaiter->after == nullptr ? last_ : awaiter->after->before) = awaiter->before;
  }

  void WakeAll() noexcept {
    // Each is resumed in a turn of its own: a woken coroutine may destroy this Event or wait again.
    while (first_ != nullptr) {
      Awaiter* const awaiter = first_;
      Unlink(awaiter);
      executor_->Disarm(awaiter);
      awaiter->woken = true;
      awaiter->Job::run = [](Job* job) { static_cast<Awaiter*>(job)->waiter.resume(); };
      executor_->PostJob(awaiter);
    }
  }

  Executor* executor_;
  bool set_ = false;
  Awaiter* first_ = nullptr;
  Awaiter* last_ = nullptr;
};

// Completion<T> carries one result from any thread to one coroutine: a group commit to the session
// that waits for it. Complete may be called before or after Wait, once. The object must outlive
// both.
template <typename T>
class Completion : private Job {
 public:
  explicit Completion(Executor* executor) : executor_(executor) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Complete hands over `value`, and takes no memory. Any thread.
  void Complete(T value) noexcept {
    value_.emplace(std::move(value));
    run = [](Job* job) {
      auto* const self = static_cast<Completion*>(job);
      self->there_ = true;
      if (self->waiter_) std::exchange(self->waiter_, nullptr).resume();
    };
    executor_->PostJob(this);
  }

  // Wait gives the value once it is there. Loop of `executor` only; one waiter, once.
  auto Wait() noexcept {
    struct Awaiter {
      Completion* completion;
      bool await_ready() const noexcept { return completion->there_; }
      void await_suspend(std::coroutine_handle<> waiter) const noexcept {
        completion->waiter_ = waiter;
      }
      T await_resume() const { return std::move(*completion->value_); }
    };
    return Awaiter{this};
  }

 private:
  Executor* executor_;
  std::optional<T> value_;  // written by who completes, read on the loop once it is there
  bool there_ = false;
  std::coroutine_handle<> waiter_;
};

}  // namespace postern::rt
